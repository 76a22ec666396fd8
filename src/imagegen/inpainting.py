"""Inpainting and outpainting: a part of the picture is known, and the model paints the rest."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, Unpack

from imagegen._checks import check_finite, check_integer
from imagegen._contracts import checked
from imagegen.editing import checked_pictures
from imagegen.generation import ImageGenerator
from imagegen.images import fitted
from imagegen.samplers import Denoise, Level, Sampler, checked_seeds, step_noise
from imagegen.sampling import Prompts, SamplingOptions
from imagegen.typing import Array, Images, State, Tensor

import numpy as np
from keras import ops


@checked
def inpaint(
    model: ImageGenerator,
    images: Images,
    mask: Array,
    *,
    prompts: Prompts | None = None,
    num_resamplings: int = 5,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    r"""Repaints a part of pictures, to fit the rest.

    At every level the part that is kept is put in place from the picture itself, with as much
    noise as the level has:

    $$x_t \leftarrow m\, x_t + (1 - m)(s_t\, x_\text{kept} + n_t\, \epsilon).$$

    One step fits the new part to the old one only roughly. So noise is added again and the step
    repeated, `num_resamplings` times, until both have come to terms.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        images: uint8, or floats from 0 to 1, of the model's size, `(height, width, 3)` or
            `(num_images, height, width, 3)`.
        mask: What to repaint, `(height, width)`, or one a picture `(num_images, height, width)`:
            booleans; or uint8 from 0 to 255 or floats from 0 to 1, of which the brighter half is
            repainted.
        prompts: What the pictures should show, one prompt for all or one a picture, for a model
            that takes prompts.
        num_resamplings: How often each step is taken; 1 doesn't repeat. The work grows with it.
        **options: How to sample, by the names of `SamplingOptions`.

    Returns:
        uint8 pictures `(num_images, height, width, 3)`. The pixels that are kept are the given ones
        exactly.

    Raises:
        ValueError: If an argument is out of range, or a picture or the mask doesn't have the
            model's size.

    Example:
        ```python
        import imagegen
        import numpy as np

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        image = model.generate(1, num_steps=5, seed=0)
        mask = np.zeros((64, 64), bool)
        mask[:, 32:] = True
        images = imagegen.inpaint(model, image, mask, num_steps=3, num_resamplings=2, seed=1)
        assert (images[:, :, :32] == image[:, :, :32]).all()
        ```

    Reference:
        Lugmayr et al., [RePaint](https://arxiv.org/abs/2201.09865), 2022, algorithm 1, with jumps
        of one step.
    """
    given = checked_pictures(model, images, "images", any_size=model.accepts_any_size)
    images = fitted(given, *model.image_shape[:2])
    repaint = _mask(mask, given, images)
    num_resamplings = check_integer(num_resamplings, "num_resamplings", minimum=1)
    way = model.begin(prompts, len(images), options)
    # Both parts come to terms in the middle of the way, where even times have most of their stops.
    way = dataclasses.replace(way, schedule=model.schedule.evenly())
    noisy = way.first_noise()
    kept = ops.convert_to_tensor(model.to_samples(images))
    part = ops.convert_to_tensor(_of_samples(repaint, model.sample_shape))
    index, visits = (ops.convert_to_tensor(number, "int32") for number in (0, num_resamplings))
    base_state = way.sampler.init(noisy, way.seed_tensor)
    state = (way.seed_tensor, index, kept, part, visits, base_state)
    final = way.end(noisy, state, sampler=RePaint(way.sampler), label="inpaint")
    return np.where(repaint, model.to_images(final), images)


@checked
def outpaint(
    model: ImageGenerator,
    images: Images,
    pad: int | Sequence[int],
    *,
    prompts: Prompts | None = None,
    num_resamplings: int = 5,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    """Continues pictures beyond their edges.

    A window of the model's size wanders outwards from the picture, half of its size at a time.
    What the window sees of picture is kept, and what is still empty is painted by `inpaint`.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        images: uint8, or floats from 0 to 1, of any size, `(height, width, 3)` or
            `(num_images, height, width, 3)`.
        pad: Pixels to add on each side, or four numbers: above, below, left and right.
        prompts: What the pictures should show, one prompt for all or one a picture, for a model
            that takes prompts.
        num_resamplings: How often each step is taken.
        **options: How to sample, by the names of `SamplingOptions`.

    Returns:
        uint8 pictures `(num_images, height + above + below, width + left + right, 3)`, with the
        given pixels in the middle.

    Raises:
        ValueError: If an argument is out of range, or the result is smaller than the model's size.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        image = model.generate(1, num_steps=5, seed=0)
        wide = imagegen.outpaint(
            model, image, (0, 0, 0, 32), num_steps=3, num_resamplings=2, seed=1
        )
        assert wide.shape == (1, 64, 96, 3)
        ```
    """
    images = checked_pictures(model, images, "images", any_size=True)
    pads = [pad] * 4 if np.ndim(pad) == 0 else list(pad)  # type: ignore[arg-type]
    if len(pads) != 4:
        raise ValueError(f"`pad` must be one number or four. Received: pad={pad!r}")
    above, below, left, right = (check_integer(number, "pad", minimum=0) for number in pads)
    canvas = np.pad(images, ((0, 0), (above, below), (left, right), (0, 0)))
    empty = np.ones(canvas.shape[1:3], bool)
    empty[above : above + images.shape[1], left : left + images.shape[2]] = False
    seeds = checked_seeds(options.get("seed"), len(images))
    for number, window in enumerate(_windows(model, canvas, above - below, left - right)):
        if not empty[window].any():
            continue
        canvas[:, *window] = inpaint(
            model,
            canvas[:, *window],
            empty[window],
            prompts=prompts,
            num_resamplings=num_resamplings,
            **options | {"seed": _seeds_of_window(seeds, number)},
        )
        empty[window] = False
    return canvas


def _seeds_of_window(seeds: int | list[int], number: int) -> int | list[int]:
    """Other seeds for every window, and the same whenever the first ones are."""
    if isinstance(seeds, list):
        return [_seeds_of_window(seed, number) for seed in seeds]  # type: ignore[misc]
    return int(np.random.default_rng([seeds, number]).integers(2**31))


@checked
@dataclasses.dataclass(frozen=True)
class RePaint(Sampler):
    """Takes each step of a sampler several times, with the kept part put in place before.

    Its state is a tuple: the seed, the number of steps so far, what is kept (normalized
    samples), where to repaint (booleans), how often each step is taken, and what `base.init`
    returns, whose numbers every step begins with.

    Args:
        base: The sampler that takes the steps. The memory of a multistep one begins anew in each.

    Example:
        ```python
        import imagegen

        assert imagegen.RePaint(imagegen.DDIM()).base == imagegen.DDIM()
        ```

    Reference:
        Lugmayr et al., [RePaint](https://arxiv.org/abs/2201.09865), 2022, algorithm 1.
    """

    base: Sampler

    def goes_straight(self) -> bool:
        # The noise goes on before a step: what follows begins at its level, as any step does.
        return self.base.goes_straight()

    def _formulas(self) -> Hashable:
        return (RePaint, self.base._formulas()) if self._steps_as(RePaint) else self

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        seed, index, kept, repaint, num_visits, base_state = state
        # q(x_t | x_t'), the forward process from the next level up to this one.
        ratio = now.signal_rate / after.signal_rate
        added = ops.sqrt(ops.maximum(now.noise_rate**2 - (ratio * after.noise_rate) ** 2, 0.0))
        # The last step ends in the clean sample, and from there nothing goes back.
        repeats = ops.where(after.noise_rate == 0, 1, num_visits)

        def visit(
            count: Any, noisy: Tensor, clean: Tensor, index: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            noisier = ratio * noisy + added * step_noise(noisy, seed, index)
            noisy = ops.where(count == 0, noisy, noisier)
            noise = step_noise(noisy, seed, index + 1)
            noisy = ops.where(repaint, noisy, now.signal_rate * kept + now.noise_rate * noise)
            # Without the sign that an overflow leaves.
            base_seed = ops.bitwise_and(seed + index, 2**31 - 1)
            fresh = self.base._again(base_state, noisy, base_seed)
            noisy, clean, _ = self.base.step(denoise, noisy, now, after, fresh)
            return count + 1, noisy, clean, index + 2

        _, noisy, clean, index = ops.while_loop(
            lambda count, *_: count < repeats, visit, (ops.zeros_like(index), noisy, noisy, index)
        )
        return noisy, clean, (seed, index, kept, repaint, num_visits, base_state)


def _mask(mask: Array, given: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Returns booleans `(num_images, height, width, 1)` for pictures `given` in another size."""
    mask = check_finite(mask, "mask")
    if mask.dtype != bool:
        brightest = {np.dtype("uint8"): 255}.get(mask.dtype, 1 if mask.dtype.kind == "f" else 0)
        # Ones among bytes are booleans that lost their type, and not the darkest grey.
        if mask.min() < 0 or mask.max() > brightest or (brightest == 255 and mask.max() == 1):
            raise ValueError(
                "`mask` must hold booleans, uint8 from 0 to 255, or floats from 0 to 1. "
                f"Received: {mask.dtype} from {mask.min()} to {mask.max()}"
            )
        mask = mask >= brightest / 2
    if mask.shape == given.shape[1:3]:
        mask = np.broadcast_to(mask, given.shape[:3])
    if mask.shape != given.shape[:3]:
        raise ValueError(
            f"`mask` must have the shape {given.shape[1:3]} or {given.shape[:3]}. "
            f"Received: shape {mask.shape}"
        )
    return fitted(mask, *images.shape[1:3])[..., None]


def _of_samples(repaint: np.ndarray, sample_shape: tuple[int, ...]) -> np.ndarray:
    """The mask of samples: a latent is repainted when one of its pixels is."""
    if len(sample_shape) != 3:
        raise ValueError(
            "`model` must have latents with a place in the picture, `(rows, columns, channels)`. "
            f"Received: latents of the shape {sample_shape}"
        )
    num_images, height, width, _ = repaint.shape
    rows, columns, _ = sample_shape
    blocks = repaint.reshape(num_images, rows, height // rows, columns, width // columns, 1)
    return np.asarray(blocks.any((2, 4)))


def _windows(
    model: ImageGenerator, canvas: np.ndarray, vertical: int, horizontal: int
) -> list[tuple[slice, slice]]:
    """Overlapping windows that cover the canvas, those near the picture first."""
    starts = []
    for name, size, length in zip(
        ("height", "width"), model.image_shape, canvas.shape[1:3], strict=False
    ):
        if length < size:
            raise ValueError(
                f"`pad` must make the {name} at least the model's, {size}, with `images` of this "
                f"size. Received: {length}"
            )
        starts.append(sorted({*range(0, length - size, size // 2), length - size}))
    height, width = model.image_shape[:2]
    # The middle of the picture lies off the middle of the canvas by half of these.
    middle = np.array([canvas.shape[1] + vertical, canvas.shape[2] + horizontal]) / 2

    def distance(corner: tuple[int, int]) -> float:
        return float(np.hypot(*(np.add(corner, (height / 2, width / 2)) - middle)))

    corners = sorted(((y, x) for y in starts[0] for x in starts[1]), key=distance)
    return [(slice(y, y + height), slice(x, x + width)) for y, x in corners]
