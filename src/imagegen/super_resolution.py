"""Super-resolution by a model that was never trained for it: the small picture is held on to."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Unpack

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen.editing import checked_pictures
from imagegen.generation import ImageGenerator
from imagegen.samplers import Denoise, Level, Sampler
from imagegen.sampling import Prompts, SamplingOptions
from imagegen.typing import Images, State, Tensor

import numpy as np
from keras import ops


@checked
def super_resolve(
    model: ImageGenerator,
    images: Images,
    factor: int,
    *,
    prompts: Prompts | None = None,
    **options: Unpack[SamplingOptions],
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
        prompts: What the pictures should show, one prompt for all or one a picture, for a model
            that takes prompts.
        **options: How to sample, by the names of `SamplingOptions`.

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
    way = model.begin(prompts, len(images), options)
    noisy = way.first_noise()
    known = ops.convert_to_tensor(model.to_samples(images))
    state = (known, way.sampler.init(noisy, way.seed_tensor))
    consistent = WithBlockMeans(way.sampler, factor)
    final = way.end(noisy, state, sampler=consistent, label="super-resolve")
    return _with_block_means(model.to_images(final), images, factor)


@checked
@dataclasses.dataclass(frozen=True)
class WithBlockMeans(Sampler):
    """Takes steps of a sampler whose clean estimates have known means in blocks.

    Its state is a pair: the known means, normalized, and the state of `base`.

    Args:
        base: The sampler that takes the steps.
        factor: The side of a block.

    Example:
        ```python
        import imagegen

        assert imagegen.WithBlockMeans(imagegen.DDIM(), factor=4).factor == 4
        ```

    Reference:
        Wang et al., [Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
        Model](https://arxiv.org/abs/2212.00490), 2023, equation 13.
    """

    base: Sampler
    factor: int

    def goes_straight(self) -> bool:
        return self.base.goes_straight()

    def _formulas(self) -> Hashable:
        same = self._steps_as(WithBlockMeans)
        return (WithBlockMeans, self.base._formulas(), self.factor) if same else self

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        known, base_state = state

        def consistent(noisy: Tensor, time: Tensor) -> Tensor:
            clean = denoise(noisy, time)
            blocks = ops.reshape(clean, _blocks(known.shape, self.factor))
            means = ops.mean(blocks, axis=(2, 4), keepdims=True)
            blocks = blocks + ops.reshape(known, means.shape) - means
            return ops.reshape(blocks, clean.shape)

        noisy, clean, base_state = self.base.step(consistent, noisy, now, after, base_state)
        return noisy, clean, (known, base_state)


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
