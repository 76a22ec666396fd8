"""Editing pictures with any trained diffusion model.

Nothing here is trained. Each function begins somewhere on the way from noise to picture, or holds
on to something that is known while the model paints the rest.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number
from imagegen.conditioning import Guidance
from imagegen.images import as_pictures, fitted
from imagegen.samplers import (
    DDIM,
    Denoise,
    Level,
    Sampler,
    checked_seed,
    initial_noise,
    levels,
    step_noise,
)

import numpy as np
from keras import ops


def image_to_image(
    model: Any,
    images: Any,
    *,
    strength: float = 0.6,
    prompts: Any = None,
    negative_prompts: Any = None,
    guidance_scale: float | None = 3.0,
    num_steps: int = 50,
    sampler: Sampler = DDIM(),
    seed: int | None = None,
) -> np.ndarray:
    r"""Paints pictures anew, over a rough draft.

    The draft drowns in noise up to the level at which a share `strength` of the steps is left, and
    the model takes these steps. What the noise hides is the model's; what still shows through,
    large shapes and colours first of all, is the draft's.

    Args:
        model: A trained `DiffusionModel` of pictures with values from 0 to 255, a
            `LatentDiffusion`, or Stable Diffusion 3, which takes pictures of any size.
        images: The drafts: uint8, or floats from 0 to 1, of the model's size, `(height, width, 3)`
            or `(num_images, height, width, 3)`.
        strength: From 0, which gives the draft back, to 1, which is `generate` and has nothing
            of the draft.
        prompts: What the pictures shall show, one prompt for all or one a picture, for a model
            that takes prompts.
        negative_prompts: What they shall not show.
        guidance_scale: How firmly prompts are followed, as for `ImageGenerator.generate`.
        num_steps: Steps of the whole way from noise. The share `strength` of them is taken,
            rounded; in between 0 and 1, at least one step and at most all but one.
        sampler: How a step is taken.
        seed: A non-negative integer. `None` draws one from Keras's global random state.

    Returns:
        uint8 pictures `(num_images, height, width, channels)`.

    Raises:
        ValueError: If an argument is out of range or a picture doesn't have the model's size.

    Example:
        ```python
        import imagegen
        import numpy as np

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        draft = np.full((64, 64, 3), (60, 110, 50), "uint8")
        draft[16:48, 16:48] = (240, 200, 40)
        images = imagegen.image_to_image(model, draft, strength=0.7, num_steps=5, seed=0)
        assert images.shape == (1, 64, 64, 3)
        ```

    Reference:
        Meng et al., [SDEdit](https://arxiv.org/abs/2108.01073), 2022, algorithm 1.
    """
    images = checked_pictures(model, images, "images")
    strength = check_number(strength, "strength", minimum=0, maximum=1)
    guidance = _guidance(model, len(images), prompts, negative_prompts, guidance_scale)
    table, seed = levels(model.schedule, num_steps), checked_seed(seed)
    num_taken = round(num_steps * strength)
    if 0 < strength < 1 < num_steps:
        num_taken = min(max(num_taken, 1), num_steps - 1)
    if num_taken == 0:
        return images.copy()
    start = num_steps - num_taken
    if start == 0:
        noisy = _first_noise(model, len(images), table, seed)
    else:
        _, noise_rate, signal_rate = table[start]
        noise = initial_noise(len(images), model.sample_shape, seed)
        noisy = ops.convert_to_tensor(signal_rate * model.to_samples(images) + noise_rate * noise)
    state = sampler.init(noisy, ops.convert_to_tensor(seed, "int32"))
    final = run_steps(model, noisy, state, table, start, num_steps, sampler, "edit", guidance)
    return model.to_images(final)


def variations(
    model: Any,
    image: Any,
    num_images: int = 4,
    *,
    strength: float = 0.6,
    prompts: Any = None,
    negative_prompts: Any = None,
    guidance_scale: float | None = 3.0,
    num_steps: int = 50,
    sampler: Sampler = DDIM(),
    seed: int | None = None,
) -> np.ndarray:
    """Paints one picture several times, each time a little differently.

    It is `image_to_image` from the same picture under different noise.

    Args:
        model: A trained `DiffusionModel` of pictures with values from 0 to 255, a
            `LatentDiffusion`, or Stable Diffusion 3, which takes pictures of any size.
        image: One picture, uint8 or floats from 0 to 1, of the model's size.
        num_images: How many variations.
        strength: How much they differ, from 0 to 1.
        prompts: What the pictures shall show, one prompt for all or one a picture, for a model
            that takes prompts.
        negative_prompts: What they shall not show.
        guidance_scale: How firmly prompts are followed, as for `ImageGenerator.generate`.
        num_steps: Steps of the whole way from noise. The share `strength` of them is taken.
        sampler: How a step is taken.
        seed: A non-negative integer. `None` draws one from Keras's global random state.

    Returns:
        uint8 pictures `(num_images, height, width, channels)`.

    Raises:
        ValueError: If an argument is out of range or the picture doesn't have the model's size.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        image = model.generate(1, num_steps=5, seed=0)
        images = imagegen.variations(model, image, 3, num_steps=5, seed=1)
        assert images.shape == (3, 64, 64, 3)
        ```
    """
    picture = checked_picture(model, image, "image")
    num_images = check_integer(num_images, "num_images", minimum=1)
    return image_to_image(
        model,
        np.repeat(picture, num_images, axis=0),
        strength=strength,
        prompts=prompts,
        negative_prompts=negative_prompts,
        guidance_scale=guidance_scale,
        num_steps=num_steps,
        sampler=sampler,
        seed=seed,
    )


def inpaint(
    model: Any,
    images: Any,
    mask: Any,
    *,
    prompts: Any = None,
    negative_prompts: Any = None,
    guidance_scale: float | None = 3.0,
    num_steps: int = 50,
    num_resamplings: int = 5,
    sampler: Sampler = DDIM(),
    seed: int | None = None,
) -> np.ndarray:
    r"""Repaints a part of pictures, to fit the rest.

    At every level the part that is kept is put in place from the picture itself, with as much
    noise as the level has:

    $$x_t \leftarrow m\, x_t + (1 - m)(s_t\, x_\text{kept} + n_t\, \epsilon).$$

    One step fits the new part to the old one only roughly. So noise is added again and the step
    repeated, `num_resamplings` times, until both have come to terms.

    Args:
        model: A trained `DiffusionModel` of pictures with values from 0 to 255, a
            `LatentDiffusion`, or Stable Diffusion 3, which takes pictures of any size.
        images: uint8, or floats from 0 to 1, of the model's size, `(height, width, 3)` or
            `(num_images, height, width, 3)`.
        mask: What to repaint, `(height, width)`, or one a picture `(num_images, height, width)`:
            booleans; or uint8 from 0 to 255 or floats from 0 to 1, of which the brighter half is
            repainted.
        prompts: What the pictures shall show, one prompt for all or one a picture, for a model
            that takes prompts.
        negative_prompts: What they shall not show.
        guidance_scale: How firmly prompts are followed, as for `ImageGenerator.generate`.
        num_steps: Steps from noise to picture.
        num_resamplings: How often each step is taken; 1 doesn't repeat. The work grows with it.
        sampler: How a step is taken. The memory of a multistep sampler begins anew in each step.
        seed: A non-negative integer. `None` draws one from Keras's global random state.

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
    given = checked_pictures(model, images, "images", any_size=model.fits_pictures)
    images = fitted(given, *model.image_shape[:2])
    repaint = _mask(mask, given, images)
    guidance = _guidance(model, len(images), prompts, negative_prompts, guidance_scale)
    num_resamplings = check_integer(num_resamplings, "num_resamplings", minimum=1)
    table, seed = levels(model.schedule, num_steps), checked_seed(seed)
    noisy = _first_noise(model, len(images), table, seed)
    kept = ops.convert_to_tensor(model.to_samples(images))
    index = ops.convert_to_tensor(0, "int32")
    part = ops.convert_to_tensor(_of_samples(repaint, model.sample_shape))
    visits = ops.convert_to_tensor(num_resamplings, "int32")
    state = (ops.convert_to_tensor(seed, "int32"), index, kept, part, visits)
    repainting = _RePaint(sampler)
    final = run_steps(model, noisy, state, table, 0, num_steps, repainting, "inpaint", guidance)
    return np.where(repaint, model.to_images(final), images)


def outpaint(
    model: Any,
    images: Any,
    pad: int | Sequence[int],
    *,
    prompts: Any = None,
    negative_prompts: Any = None,
    guidance_scale: float | None = 3.0,
    num_steps: int = 50,
    num_resamplings: int = 5,
    sampler: Sampler = DDIM(),
    seed: int | None = None,
) -> np.ndarray:
    """Continues pictures beyond their edges.

    A window of the model's size wanders outwards from the picture, half of its size at a time.
    What the window sees of picture is kept, and what is still empty is painted by `inpaint`.

    Args:
        model: A trained `DiffusionModel` of pictures with values from 0 to 255, a
            `LatentDiffusion`, or Stable Diffusion 3, which takes pictures of any size.
        images: uint8, or floats from 0 to 1, of any size, `(height, width, 3)` or
            `(num_images, height, width, 3)`.
        pad: Pixels to add on each side, or four numbers: above, below, left and right.
        prompts: What the pictures shall show, one prompt for all or one a picture, for a model
            that takes prompts.
        negative_prompts: What they shall not show.
        guidance_scale: How firmly prompts are followed, as for `ImageGenerator.generate`.
        num_steps: Steps from noise to picture, in each window.
        num_resamplings: How often each step is taken.
        sampler: How a step is taken.
        seed: A non-negative integer. `None` draws one from Keras's global random state.

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
    seed = checked_seed(seed)
    for number, window in enumerate(_windows(model, canvas, above - below, left - right)):
        if not empty[window].any():
            continue
        canvas[:, *window] = inpaint(
            model,
            canvas[:, *window],
            empty[window],
            prompts=prompts,
            negative_prompts=negative_prompts,
            guidance_scale=guidance_scale,
            num_steps=num_steps,
            num_resamplings=num_resamplings,
            sampler=sampler,
            seed=int(np.random.default_rng([seed, number]).integers(2**31)),
        )
        empty[window] = False
    return canvas


def super_resolve(
    model: Any,
    images: Any,
    factor: int,
    *,
    prompts: Any = None,
    negative_prompts: Any = None,
    guidance_scale: float | None = 3.0,
    num_steps: int = 50,
    sampler: Sampler = DDIM(),
    seed: int | None = None,
) -> np.ndarray:
    r"""Paints large pictures that small ones could be the reductions of.

    Reducing a picture takes the mean $Ax$ of every block of `factor` x `factor` pixels. At every
    step, the blocks of the clean estimate are shifted to have the means $y$ that are known:

    $$\hat x \leftarrow \hat x + A^+(y - A\hat x),$$

    where $A^+$ repeats each pixel of a small picture over its block. The detail within the blocks
    is the model's. It is guessed, not recovered.

    Args:
        model: A trained `DiffusionModel` of pictures with values from 0 to 255.
        images: Small pictures, uint8 or floats from 0 to 1, `(height, width, 3)` or
            `(num_images, height, width, 3)`, where height and width are the model's divided by
            `factor`.
        factor: How many times the height and the width grow, at least 2.
        prompts: What the pictures shall show, one prompt for all or one a picture, for a model
            that takes prompts.
        negative_prompts: What they shall not show.
        guidance_scale: How firmly prompts are followed, as for `ImageGenerator.generate`.
        num_steps: Steps from noise to picture.
        sampler: How a step is taken.
        seed: A non-negative integer. `None` draws one from Keras's global random state.

    Returns:
        uint8 pictures of the model's size. The mean of each block is within 1 of the given pixel.

    Raises:
        ValueError: If an argument is out of range or a picture has another size.

    Example:
        ```python
        import imagegen
        import numpy as np

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        small = np.full((16, 16, 3), 90, "uint8")
        images = imagegen.super_resolve(model, small, 4, num_steps=5, seed=0)
        assert abs(images.mean() - 90) < 1
        ```

    Reference:
        Wang et al., [Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
        Model](https://arxiv.org/abs/2212.00490), 2023, equation 13.
    """
    factor = check_integer(factor, "factor", minimum=2)
    images = checked_pictures(model, images, "images", reduced=factor)
    if model.image_shape != model.sample_shape:
        raise ValueError(
            "`model` must work on pixels, whose means are known. Received: a model of latents, "
            f"{model.sample_shape}"
        )
    guidance = _guidance(model, len(images), prompts, negative_prompts, guidance_scale)
    table, seed = levels(model.schedule, num_steps), checked_seed(seed)
    noisy = _first_noise(model, len(images), table, seed)
    known = ops.convert_to_tensor(model.to_samples(images))
    state = (known, sampler.init(noisy, ops.convert_to_tensor(seed, "int32")))
    consistent = _WithBlockMeans(sampler, factor)
    final = run_steps(
        model, noisy, state, table, 0, num_steps, consistent, "super-resolve", guidance
    )
    return _with_block_means(model.to_images(final), images, factor)


@dataclasses.dataclass(frozen=True)
class _RePaint(Sampler):
    """Takes each step several times, with the kept part put in place before."""

    base: Sampler

    def step(
        self, denoise: Denoise, noisy: Any, now: Level, after: Level, state: Any
    ) -> tuple[Any, Any, Any]:
        seed, index, kept, repaint, num_visits = state
        # q(x_t | x_t'), the forward process from the next level up to this one.
        ratio = now.signal_rate / after.signal_rate
        added = ops.sqrt(ops.maximum(now.noise_rate**2 - (ratio * after.noise_rate) ** 2, 0.0))
        # The last step ends in the clean sample, and from there nothing goes back.
        repeats = ops.where(after.noise_rate == 0, 1, num_visits)

        def visit(count: Any, noisy: Any, clean: Any, index: Any) -> tuple[Any, Any, Any, Any]:
            noisier = ratio * noisy + added * step_noise(noisy, seed, index)
            noisy = ops.where(count == 0, noisy, noisier)
            noise = step_noise(noisy, seed, index + 1)
            noisy = ops.where(repaint, noisy, now.signal_rate * kept + now.noise_rate * noise)
            # Without the sign that an overflow leaves.
            fresh = self.base.init(noisy, ops.bitwise_and(seed + index, 2**31 - 1))
            noisy, clean, _ = self.base.step(denoise, noisy, now, after, fresh)
            return count + 1, noisy, clean, index + 2

        _, noisy, clean, index = ops.while_loop(
            lambda count, *_: count < repeats, visit, (ops.zeros_like(index), noisy, noisy, index)
        )
        return noisy, clean, (seed, index, kept, repaint, num_visits)


@dataclasses.dataclass(frozen=True)
class _WithBlockMeans(Sampler):
    """Steps whose clean estimates have known means in blocks."""

    base: Sampler
    factor: int

    def step(
        self, denoise: Denoise, noisy: Any, now: Level, after: Level, state: Any
    ) -> tuple[Any, Any, Any]:
        known, base_state = state

        def consistent(noisy: Any, time: Any) -> Any:
            clean = denoise(noisy, time)
            blocks = ops.reshape(clean, _blocks(known.shape, self.factor))
            means = ops.mean(blocks, axis=(2, 4), keepdims=True)
            blocks = blocks + ops.reshape(known, means.shape) - means
            return ops.reshape(blocks, clean.shape)

        noisy, clean, base_state = self.base.step(consistent, noisy, now, after, base_state)
        return noisy, clean, (known, base_state)


def run_steps(
    model: Any,
    noisy: Any,
    state: Any,
    table: np.ndarray,
    start: int,
    stop: int,
    sampler: Sampler,
    label: str,
    guidance: Guidance | None = None,
) -> Any:
    steps = model.run(
        noisy, state, table, start, stop, sampler=sampler, guidance=guidance, label=label
    )
    for samples, _ in steps:
        noisy = samples
    return noisy


def _first_noise(model: Any, count: int, table: np.ndarray, seed: int) -> Any:
    """Noise with the deviation that normalized data have at the first level."""
    noise = initial_noise(count, model.sample_shape, seed)
    return ops.convert_to_tensor(noise * np.hypot(*table[0, 1:]), "float32")


def _guidance(
    model: Any, count: int, prompts: Any, negative_prompts: Any, guidance_scale: float | None
) -> Guidance | None:
    if prompts is None and negative_prompts is None:
        return None
    prompts = "" if prompts is None else prompts
    return model.guidance(prompts, negative_prompts, guidance_scale, num_images=count)


def checked_pictures(
    model: Any, images: Any, name: str, *, reduced: int = 1, any_size: bool = False
) -> np.ndarray:
    """Returns uint8 pictures with a batch axis, of the model's size divided by `reduced`."""
    if model.value_range != (0, 255):
        raise ValueError(
            "`model` must be a model of pictures with values from 0 to 255. "
            f"Received: value_range={model.value_range}"
        )
    height, width, channels = model.image_shape
    pictures = as_pictures(images, name)
    if channels not in (1, 3) or (channels == 1 and (pictures != pictures[..., :1]).any()):
        raise ValueError(
            f"`{name}` must be {'grey' if channels == 1 else 'color'} pictures, and the model's "
            f"have 1 channel or 3. Received: color pictures, and a model of {channels} channels"
        )
    pictures = pictures[..., :channels]
    expected = (height // reduced, width // reduced)
    if height % reduced or width % reduced:
        raise ValueError(
            f"`factor` must divide the model's size, {height} x {width}. Received: factor={reduced}"
        )
    if model.fits_pictures and not any_size:
        return fitted(pictures, *expected)
    if not any_size and pictures.shape[1:3] != expected:
        raise ValueError(
            f"`{name}` must be {expected[0]} x {expected[1]} pixels. "
            f"Received: {pictures.shape[1]} x {pictures.shape[2]}"
        )
    return pictures


def checked_picture(model: Any, image: Any, name: str) -> np.ndarray:
    """Returns a single uint8 picture with a batch axis."""
    pictures = checked_pictures(model, image, name)
    if len(pictures) != 1:
        raise ValueError(f"`{name}` must be one picture. Received: {len(pictures)} pictures")
    return pictures


def _mask(mask: Any, given: np.ndarray, images: np.ndarray) -> np.ndarray:
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
    model: Any, canvas: np.ndarray, vertical: int, horizontal: int
) -> list[tuple[slice, slice]]:
    """Overlapping windows that cover the canvas, those near the picture first."""
    starts = []
    for name, size, length in zip(
        ("height", "width"), model.image_shape, canvas.shape[1:3], strict=False
    ):
        if length < size:
            raise ValueError(
                f"`pad` must make the {name} at least the model's, {size}. Received: {length}"
            )
        starts.append(sorted({*range(0, length - size, size // 2), length - size}))
    height, width = model.image_shape[:2]
    # The middle of the picture lies off the middle of the canvas by half of these.
    middle = np.array([canvas.shape[1] + vertical, canvas.shape[2] + horizontal]) / 2

    def distance(corner: tuple[int, int]) -> float:
        return float(np.hypot(*(np.add(corner, (height / 2, width / 2)) - middle)))

    corners = sorted(((y, x) for y in starts[0] for x in starts[1]), key=distance)
    return [(slice(y, y + height), slice(x, x + width)) for y, x in corners]


def _blocks(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """The shape in which axes 2 and 4 run over the pixels of a block."""
    num_images, height, width, channels = shape
    return num_images, height, factor, width, factor, channels


def _with_block_means(images: np.ndarray, small: np.ndarray, factor: int) -> np.ndarray:
    """Shifts the blocks of pictures to the means in `small`, where values stay in 0..255."""
    blocks = images.reshape(_blocks(small.shape, factor)).astype("float64")
    target = small.reshape(_blocks(small.shape, 1))
    low, high = np.full(target.shape, -256.0), np.full(target.shape, 256.0)
    # The clipped mean grows with the shift: 20 halvings find it to 1/1000 of a level.
    for _ in range(20):
        shift = (low + high) / 2
        too_low = np.clip(blocks + shift, 0, 255).mean((2, 4), keepdims=True) < target
        low, high = np.where(too_low, shift, low), np.where(too_low, high, shift)
    return np.rint(np.clip(blocks + high, 0, 255)).astype("uint8").reshape(images.shape)
