"""A data set of drawn flowers with captions, of any size and from a seed."""

from typing import NamedTuple

from imagegen._checks import check_integer
from imagegen._contracts import checked
from imagegen.drawn.captions import caption
from imagegen.drawn.drawing import FlowerAttributes, draw_flowers, sample_attributes

import numpy as np


class CaptionedFlowers(NamedTuple):
    """Drawn flowers with their captions.

    Attributes:
        images: uint8 of shape `(num_images, image_size, image_size, 3)`.
        captions: One sentence for each image.
        attributes: One `FlowerAttributes` for each image.

    Example:
        ```python
        from imagegen import datasets

        images, captions, attributes = datasets.captioned_flowers(2)
        assert attributes[0].petal_color in captions[0]
        ```
    """

    images: np.ndarray
    captions: list[str]
    attributes: list[FlowerAttributes]


@checked
def captioned_flowers(
    num_images: int, *, image_size: int = 32, seed: int = 0, upright: bool = False
) -> CaptionedFlowers:
    """Draws flowers with random attributes and writes their captions.

    Every second caption, at random, names the colour of the centre: "a red flower with five petals
    and a yellow centre on a blue background". The others leave it out: "a red flower with five
    petals on a blue background". Patterns are never named.

    Picture `i` depends on `seed`, `i`, `image_size` and `upright` alone, not on how many are drawn.

    Args:
        num_images: How many, at least 1.
        image_size: Height and width of the images, in pixels, at least 1. Twelve petals can be
            counted from 32 on.
        seed: The same seed gives the same pictures; at least 0.
        upright: Whether the first petal of every flower points up, give or take 6 degrees, instead
            of anywhere.

    Returns:
        `CaptionedFlowers(images, captions, attributes)`: uint8 of shape `(num_images, image_size,
        image_size, 3)`, and two lists.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        ```python
        from imagegen import datasets

        images, captions, attributes = datasets.captioned_flowers(4, seed=1)
        assert images.shape == (4, 32, 32, 3)
        assert attributes[0].petal_color in captions[0]
        ```
    """
    check_integer(num_images, "num_images", minimum=1)
    check_integer(seed, "seed", minimum=0)
    attributes, captions = [], []
    for index in range(num_images):
        rng = np.random.default_rng([seed, index])
        attributes.append(sample_attributes(rng, upright=upright))
        captions.append(caption(attributes[-1], name_center=rng.random() < 0.5))
    return CaptionedFlowers(draw_flowers(attributes, image_size), captions, attributes)
