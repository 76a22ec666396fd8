"""Editing pictures with any model that generates: over a draft.

Nothing here is trained: sampling begins somewhere on the way from noise to picture.
"""

from typing import Unpack

from imagegen._checks import check_integer, check_number
from imagegen._contracts import checked
from imagegen.generation import ImageGenerator
from imagegen.images import as_pictures, fitted
from imagegen.sampling import Prompts, SamplingOptions
from imagegen.typing import Images

import numpy as np
from keras import ops


@checked
def image_to_image(
    model: ImageGenerator,
    images: Images,
    *,
    strength: float = 0.6,
    prompts: Prompts | None = None,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    r"""Paints pictures anew, over a rough draft.

    The draft drowns in noise up to the level at which a share `strength` of the way is left, and
    the model takes the steps from there. What the noise hides is the model's; what still shows
    through, large shapes and colours first of all, is the draft's.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        images: The drafts: uint8, or floats from 0 to 1, of the model's size, `(height, width, 3)`
            or `(num_images, height, width, 3)`.
        strength: From 0, which gives the draft back, to 1, which is `generate` and has nothing
            of the draft. At even times this share of the steps is taken, rounded; in between 0 and
            1, at least one step and at most all but one.
        prompts: What the pictures should show, one prompt for all or one a picture, for a model
            that takes prompts.
        **options: How to sample, by the names of `SamplingOptions`.

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
    way = model.begin(prompts, len(images), options)
    start = model.schedule.first_step(way.num_steps, strength)
    if start == way.num_steps:
        return images.copy()
    if start == 0:
        noisy = way.first_noise()
    else:
        _, noise_rate, signal_rate = way.table[start]
        mixed = signal_rate * model.to_samples(images) + noise_rate * way.noise()
        noisy = ops.convert_to_tensor(mixed)
    state = way.sampler.init(noisy, way.seed_tensor)
    return model.to_images(way.end(noisy, state, start=start, label="edit"))


@checked
def variations(
    model: ImageGenerator,
    image: Images,
    num_images: int = 4,
    *,
    strength: float = 0.6,
    prompts: Prompts | None = None,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    """Paints one picture several times, each time a little differently.

    It is `image_to_image` from the same picture under different noise.

    Args:
        model: A model of pictures with values from 0 to 255. Stable Diffusion 3 takes pictures of
            any size.
        image: One picture, uint8 or floats from 0 to 1, of the model's size.
        num_images: How many variations.
        strength: How much they differ, from 0 to 1.
        prompts: What the pictures should show, one prompt for all or one a picture, for a model
            that takes prompts.
        **options: How to sample, by the names of `SamplingOptions`.

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
    drafts = np.repeat(picture, num_images, axis=0)
    return image_to_image(model, drafts, strength=strength, prompts=prompts, **options)


def checked_pictures(
    model: ImageGenerator, images: Images, name: str, *, reduced: int = 1, any_size: bool = False
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
    if model.accepts_any_size and not any_size:
        return fitted(pictures, *expected)
    if not any_size and pictures.shape[1:3] != expected:
        raise ValueError(
            f"`{name}` must be {expected[0]} x {expected[1]} pixels. "
            f"Received: {pictures.shape[1]} x {pictures.shape[2]}"
        )
    return pictures


def checked_picture(model: ImageGenerator, image: Images, name: str) -> np.ndarray:
    """Returns a single uint8 picture with a batch axis."""
    pictures = checked_pictures(model, image, name)
    if len(pictures) != 1:
        raise ValueError(f"`{name}` must be one picture. Received: {len(pictures)} pictures")
    return pictures
