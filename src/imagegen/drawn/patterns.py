"""The pattern of a flower's petals, read back from its picture by drawing the flower again."""

from imagegen._contracts import checked
from imagegen.drawn.drawing import (
    COLORS,
    MAX_SIZE,
    MIN_SIZE,
    PATTERNS,
    FlowerAttributes,
    draw_flowers,
)
from imagegen.drawn.reading import FlowerReading, read_flowers
from imagegen.typing import Images

import numpy as np

_SIZES = np.linspace(MIN_SIZE, MAX_SIZE, 6)


@checked
def read_patterns(images: Images) -> list[str]:
    r"""Reads whether petals are plain, striped or spotted.

    `read_flowers` tells the colours and the number $n$ of petals. Their rotation is the phase of
    the $n$-th harmonic of what stands out from the background, $d$, around the centre:

    $$\frac{1}{n} \arg \sum_{r, \theta} d(r, \theta)\, e^{i n \theta}$$

    With these the flower is drawn anew, with each pattern and in six sizes. The pattern is that of
    the drawing with the least squared distance to the picture. Nothing here is learned, so no model
    is favoured.

    Args:
        images: uint8 of shape `(num_images, size, size, 3)`, as for `read_flowers`.

    Returns:
        For each picture `"plain"`, `"stripes"` or `"spots"`, or `"none"` where `read_flowers` finds
        no whole flower.

    Raises:
        ValueError: If the images are of another shape or type.

    Example:
        ```python
        from imagegen.drawn import FlowerAttributes, draw_flowers, read_patterns

        images = draw_flowers([FlowerAttributes(5, "red", "yellow", "blue", pattern="spots")])
        assert read_patterns(images) == ["spots"]
        ```
    """
    readings = read_flowers(images)
    images = np.asarray(images)
    return [_read(image, reading) for image, reading in zip(images, readings, strict=True)]


def _read(image: np.ndarray, reading: FlowerReading) -> str:
    colors = reading.petal_color, reading.center_color, reading.background_color
    if "none" in colors or not reading.num_petals or len(set(colors)) < 3:
        return "none"
    candidates = [
        FlowerAttributes(
            reading.num_petals, *colors, pattern, rotation=_rotation(image, reading), size=size
        )
        for pattern in PATTERNS
        for size in _SIZES
    ]
    drawn = draw_flowers(candidates, len(image)).astype("float32")
    return candidates[((drawn - image) ** 2).mean(axis=(1, 2, 3)).argmin()].pattern


def _rotation(image: np.ndarray, reading: FlowerReading) -> float:
    axis = (np.arange(len(image)) + 0.5) * 2 / len(image) - 1
    y, x = axis[:, None], axis[None, :]
    background = np.array(COLORS[reading.background_color], "float32")
    stands_out = np.linalg.norm(image - background, axis=-1) * (np.hypot(x, y) < 1)
    turns = np.exp(1j * reading.num_petals * np.arctan2(y, x))
    return float(np.angle((stands_out * turns).sum()) / reading.num_petals)
