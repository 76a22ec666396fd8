"""Flowers drawn from the attributes that describe them, and attributes drawn at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen._checks import check_choice, check_integer, check_number
from imagegen._contracts import checked

import numpy as np
from tqdm import tqdm

# Any two are more than 110 apart in RGB. Light, shade and patterns scale all three channels alike,
# so what tells colours apart in a picture is each pixel over its largest channel. There, any two
# are more than 0.43 apart, and the jitter of 8 in each channel moves them by 0.06 at most.
COLORS = {
    "red": (205, 25, 40),
    "orange": (255, 130, 0),
    "yellow": (255, 226, 60),
    "green": (60, 160, 75),
    "blue": (35, 95, 225),
    "purple": (140, 45, 190),
    "pink": (255, 140, 200),
    "white": (246, 246, 246),
}
PATTERNS = ("plain", "stripes", "spots")
# Where flowers grow, and the pattern that is at home there.
HABITATS = {"meadow": "plain", "coastal": "stripes", "alpine": "spots"}
MIN_PETALS, MAX_PETALS = 3, 12
MIN_SIZE, MAX_SIZE = 0.7, 0.95
# Up is three quarters of a turn clockwise from the right.
_UPRIGHT = 1.5 * math.pi - 0.1, 1.5 * math.pi + 0.1
_PALETTE = np.array(list(COLORS.values()), "float32")
_INDEX = {name: index for index, name in enumerate(COLORS)}


@checked
@dataclass(frozen=True)
class FlowerAttributes:
    """What a drawn flower looks like.

    Args:
        num_petals: 3 to 12.
        petal_color: A name in `COLORS`.
        center_color: Another one.
        background_color: A third one.
        pattern: What is on the petals, and never in the caption: `"plain"`, `"stripes"` or
            `"spots"`.
        rotation: The first petal's angle in radians, clockwise from the right.
        size: Distance from the flower's centre to the petals' tips, in halves of the picture's
            side: 0.7 to 0.95.
        variation: The seed of the small differences between flowers of the same description: the
            lengths and widths of the petals, and the exact shade of each colour. At least 0.

    Raises:
        ValueError: If an attribute is out of range, or two of the colours are the same.

    Example:
        ```python
        import dataclasses

        from imagegen.drawn import FlowerAttributes

        flower = FlowerAttributes(5, "red", "yellow", "blue")
        striped = dataclasses.replace(flower, pattern="stripes")
        assert striped.num_petals == 5
        ```
    """

    num_petals: int
    petal_color: str
    center_color: str
    background_color: str
    pattern: str = "plain"
    rotation: float = 0.0
    size: float = 0.85
    variation: int = 0

    def __post_init__(self) -> None:
        check_integer(self.num_petals, "num_petals", minimum=MIN_PETALS, maximum=MAX_PETALS)
        for part in ("petal_color", "center_color", "background_color"):
            check_choice(getattr(self, part), part, COLORS)
        if len(set(self._colors())) < 3:
            raise ValueError(
                "`petal_color`, `center_color` and `background_color` must differ. "
                f"Received: {', '.join(self._colors())}"
            )
        check_choice(self.pattern, "pattern", PATTERNS)
        check_number(self.rotation, "rotation")
        check_number(self.size, "size", minimum=MIN_SIZE, maximum=MAX_SIZE)
        check_integer(self.variation, "variation", minimum=0)

    def _colors(self) -> tuple[str, str, str]:
        return self.petal_color, self.center_color, self.background_color


@checked
def sample_attributes(rng: np.random.Generator, *, upright: bool = False) -> FlowerAttributes:
    """Draws attributes at random, each choice as likely as any other.

    Args:
        rng: Where the random numbers come from.
        upright: Whether the first petal points up, give or take 6 degrees, instead of anywhere.

    Returns:
        The attributes of one flower.

    Example:
        ```python
        import numpy as np
        from imagegen.drawn import sample_attributes

        attributes = sample_attributes(np.random.default_rng(0))
        assert attributes.petal_color != attributes.background_color
        ```
    """
    petal, center, background = rng.permutation(list(COLORS))[:3]
    return FlowerAttributes(
        num_petals=int(rng.integers(MIN_PETALS, MAX_PETALS + 1)),
        petal_color=str(petal),
        center_color=str(center),
        background_color=str(background),
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        rotation=float(rng.uniform(*_UPRIGHT if upright else (0, 2 * math.pi))),
        size=float(rng.uniform(MIN_SIZE, MAX_SIZE)),
        variation=int(rng.integers(2**32)),
    )


@checked
def sample_habitat(attributes: FlowerAttributes, rng: np.random.Generator) -> str:
    """Draws where a flower grows.

    Four plain flowers in five grow in a meadow, four striped ones in five at the coast, four
    spotted ones in five in the mountains, and the fifth in one of the two other places. So the
    place tells something of the pattern, which no caption names.

    Args:
        attributes: The flower.
        rng: Where the random numbers come from.

    Returns:
        A name in `HABITATS`: `"meadow"`, `"coastal"` or `"alpine"`.

    Example:
        ```python
        import numpy as np
        from imagegen.drawn import FlowerAttributes, caption, sample_habitat

        flower = FlowerAttributes(5, "red", "yellow", "blue", pattern="spots")
        habitat = sample_habitat(flower, np.random.default_rng(0))
        print(caption(flower, habitat=habitat))
        ```
    """
    elsewhere = rng.random() < 0.2
    places = [place for place in HABITATS if (HABITATS[place] != attributes.pattern) == elsewhere]
    return str(rng.choice(places))


@checked
def draw_flowers(attributes: Sequence[FlowerAttributes], image_size: int = 32) -> np.ndarray:
    """Draws flowers, antialiased at any size.

    All petals are one: the angle of each pixel is folded into the sector of its petal. There the
    petal is an ellipse along the sector's axis, broader towards the tip, whose implicit function
    over its gradient gives the distance to the edge; a pixel's coverage falls from 1 to 0 over the
    pixel's width.

    Args:
        attributes: The flowers.
        image_size: Height and width of the images, in pixels, at least 1.

    Returns:
        uint8 of shape `(len(attributes), image_size, image_size, 3)`.

    Raises:
        ValueError: If `image_size` is out of range.

    Example:
        ```python
        from imagegen.drawn import FlowerAttributes, draw_flowers

        images = draw_flowers([FlowerAttributes(5, "red", "yellow", "blue")], image_size=64)
        assert images.shape == (1, 64, 64, 3)
        ```
    """
    check_integer(image_size, "image_size", minimum=1)
    images = np.empty((len(attributes), image_size, image_size, 3), "uint8")
    # As many at once as fit the processor's cache: two to four times faster than a thousand.
    step = max(1, 2**15 // image_size**2)
    for start in tqdm(range(0, len(attributes), step), desc="drawing", delay=1, leave=False):
        chosen = slice(start, start + step)
        images[chosen] = _draw(attributes[chosen], image_size)
    return images


def _draw(attributes: Sequence[FlowerAttributes], image_size: int) -> np.ndarray:
    def column(values: Sequence[float] | np.ndarray) -> np.ndarray:
        return np.array(values, "float32")[:, None, None]

    # Uniform random numbers of each flower: 12 for lengths, 9 for shades, 3 for the shape.
    uniform = np.stack([np.random.default_rng(a.variation).random(24) for a in attributes])
    uniform = uniform.astype("float32")
    shades = _PALETTE[[[_INDEX[name] for name in a._colors()] for a in attributes]]
    shades = np.clip(shades + 16 * uniform[:, 12:21].reshape(-1, 3, 3) - 8, 0, 255)
    petal_shade, center_shade, background_shade = (
        shades[:, part, None, None, :] for part in range(3)
    )
    num_petals = column([a.num_petals for a in attributes])
    size = column([a.size for a in attributes])
    pixel = 2 / image_size

    # Polar coordinates of the pixels' centres, the angle folded into the sector of one petal.
    axis = (np.arange(image_size, dtype="float32") + 0.5) * pixel - 1
    y, x = axis[:, None], axis[None, :]
    radius = np.hypot(x, y)
    turns = (np.arctan2(y, x) - column([a.rotation for a in attributes])) / (2 * np.pi)
    sector = turns * num_petals
    nearest = np.round(sector)
    angle = (sector - nearest) * (2 * np.pi / num_petals)
    along, across = radius * np.cos(angle), radius * np.sin(angle)

    # An egg: an ellipse around `middle` whose half-width grows along the petal.
    which = np.mod(nearest, num_petals).astype("int64")
    length = size * (1 - 0.08 * np.take_along_axis(uniform[:, None, :12], which, axis=2))
    half = 0.42 * length
    middle = length - half
    fullness = column(0.72 + 0.10 * uniform[:, 21])
    width = size * np.minimum(0.6 * np.tan(np.pi / num_petals) * fullness, 0.33)
    taper = column(0.12 + 0.2 * uniform[:, 22])
    forward = (along - middle) / half
    spread = width * (1 + taper * np.clip(forward, -1.2, 1.2))
    sideways = across / spread
    root = np.hypot(forward, sideways)
    slope = np.hypot((forward - sideways**2 * taper * width / spread) / half, sideways / spread)
    distance = root * (root - 1) / np.maximum(slope, 1e-3)
    petals = np.clip(0.5 - distance / pixel, 0, 1)

    center_size = size * column(0.25 + 0.04 * uniform[:, 23])
    center = np.clip(0.5 - (radius - center_size) / pixel, 0, 1)

    # Light: petals darker at the base and along the vein, a shadow around them and the centre.
    light = 0.86 + 0.2 * np.minimum(radius / size, 1) - 0.1 * np.exp(-(sideways**2) * 30)
    light -= 0.22 * np.exp(-np.maximum(radius - center_size, 0) / (0.06 * size))
    light *= 1 - 0.45 * _pattern(
        attributes, along / size, across / size, width / size, pixel / size
    )
    ground = 1.04 - 0.06 * (y + 1) - 0.2 * np.exp(-np.maximum(distance, 0) / 0.05)
    dome = 1.06 - 0.22 * np.minimum(radius / center_size, 1) ** 2

    image = background_shade * ground[..., None]
    image += petals[..., None] * (petal_shade * light[..., None] - image)
    image += center[..., None] * (center_shade * dome[..., None] - image)
    return np.clip(image, 0, 255).round().astype("uint8")


def _pattern(
    attributes: Sequence[FlowerAttributes],
    along: np.ndarray,
    across: np.ndarray,
    width: np.ndarray,
    pixel: np.ndarray,
) -> np.ndarray:
    """How much of each pixel the stripes or spots cover; all lengths in units of the flower's."""
    # Broad enough to be seen in 32 pixels, and by a network that reads them two by two: two stripes
    # across each petal, of 3 pixels each, or one spot where it is broadest.
    period = 0.36
    wave = np.cos(2 * np.pi * (along - 0.74) / period) - 0.1
    stripes = np.clip(0.5 + wave * period / (2 * np.pi * pixel), 0, 1)
    spot = np.minimum(0.65 * width, 0.16)
    spots = np.clip(0.5 + (spot - np.hypot(along - 0.62, across)) / pixel, 0, 1)
    names = np.array([a.pattern for a in attributes])[:, None, None]
    return np.select([names == "stripes", names == "spots"], [stripes, spots], 0)
