"""Prompt adherence: what drawn and generated flowers show, read back from their pixels.

The reader knows how `draw_flowers` draws and nothing of how a picture was made. It learns
nothing, so it favours no model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagegen._checks import check_rank
from imagegen._contracts import checked, renamed
from imagegen.drawn.drawing import COLORS, HABITATS, MAX_PETALS, MIN_PETALS, FlowerAttributes
from imagegen.typing import Images

import numpy as np

_NAMES = list(COLORS)
_PALETTE = np.array(list(COLORS.values()), "float32")
_TINTS = _PALETTE / _PALETTE.max(1, keepdims=True)
_ATTRIBUTES = ("petal_color", "center_color", "background_color", "num_petals")

# How far a pixel's tint may be from a colour's: a little more than half of what is between the two
# nearest colours. And how bright it must be, as a share of that colour's own brightness: the
# darkest stripes keep half. Less is black, or the grey that would pass for white.
_MAX_TINT_DISTANCE, _MIN_BRIGHTNESS = 0.25, 0.4
# Where to look, in halves of the picture's side: no flower reaches beyond 0.95, and the centre's
# radius is from 0.175 to 0.276. Petals lie in the ring between.
_CENTER, _PETALS, _BACKGROUND = (0.0, 0.15), (0.32, 0.72), (1.02, np.inf)
# The share of the pixels there that must agree on a colour. Of 2,000 drawings at 32 pixels, with
# blur, noise, shift and tint all at once, the least were 0.75, 0.22 and 0.91.
_CENTER_SHARE, _PETALS_SHARE, _BACKGROUND_SHARE = 0.5, 0.15, 0.6
# Petals are counted on these rings, at this many points of each.
_RADII, _NUM_ANGLES = np.linspace(0.35, 0.85, 11, dtype="float32"), 96
# The highest frequency kept along a ring: that of twelve petals, once doubled for their shape. What
# is finer is noise.
_MAX_FREQUENCY = 2 * MAX_PETALS
# How far a ring must swing between gap, 0, and petal, 1. Those drawings swing by 0.31 and more, and
# the steps at the edge of a plain disc by 0.07 and less.
_MIN_CONTRAST = 0.15
# How many are read at once: 3 MB of floats.
_CHUNK_PIXELS = 2**18

_NUMBERS = dict(
    zip(
        ["three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        range(MIN_PETALS, MAX_PETALS + 1),
        strict=True,
    )
)
# What a colour or a number before each noun says.
_NOUNS = {
    "flower": {"color": "petal_color"},
    "petals": {"color": "petal_color", "number": "num_petals"},
    "centre": {"color": "center_color"},
    "background": {"color": "background_color"},
}
# A habitat says nothing for certain, so it names no attribute.
_LINKS = ("a", "an", "and", "on", "with")


class FlowerReading(NamedTuple):
    """What a picture of a flower shows.

    Attributes:
        petal_color: A name in `COLORS`, or `"none"`.
        center_color: The same.
        background_color: The same.
        num_petals: 3 to 12, or 0 when they can't be counted.

    Example:
        ```python
        from imagegen.drawn import FlowerAttributes, draw_flowers, read_flowers

        (reading,) = read_flowers(draw_flowers([FlowerAttributes(5, "red", "yellow", "blue")], 64))
        assert reading.petal_color == "red"
        ```
    """

    petal_color: str
    center_color: str
    background_color: str
    num_petals: int


class PromptAdherence(NamedTuple):
    """How often pictures show what their prompts name, in shares from 0 to 1.

    A share is NaN when no prompt names what it is about.

    Attributes:
        petal_color: The share of pictures with the right petals, of those whose prompt names their
            colour.
        center_color: The same for the colour of the centre.
        background_color: The same for the colour of the background.
        num_petals: The same for the number of petals.
        everything: The share of pictures with all right that their prompt names.
        num_named: How many prompts name each of these, by the name of the field. Under
            `"everything"`, how many name anything at all.

    Example:
        ```python
        from imagegen import datasets
        from imagegen.drawn import prompt_adherence

        images, captions, _ = datasets.captioned_flowers(8, image_size=64)
        assert prompt_adherence(images, captions).petal_color == 1
        ```
    """

    petal_color: float
    center_color: float
    background_color: float
    num_petals: float
    everything: float
    num_named: dict[str, int]


@checked
def prompt_adherence(images: Images, prompts: Sequence[str | FlowerAttributes]) -> PromptAdherence:
    """Measures how often generated flowers show what their prompts name.

    What a prompt leaves open, the picture may show in any way.

    Args:
        images: uint8 pictures of flowers, as for `read_flowers`.
        prompts: One for each picture: a caption, as for `parse_caption`, or the attributes of a
            flower, which name all three colours and the number of petals.

    Returns:
        `PromptAdherence(petal_color, center_color, background_color, num_petals, everything,
        num_named)`.

    Raises:
        ValueError: If there are not as many prompts as pictures, `read_flowers` refuses the
            pictures or `parse_caption` a caption.

    Example:
        ```python
        from imagegen import datasets
        from imagegen.drawn import prompt_adherence

        images, captions, attributes = datasets.captioned_flowers(100)
        assert prompt_adherence(images, captions).everything == 1
        # A wrong colour is right by chance once in eight.
        assert prompt_adherence(images, captions[::-1]).petal_color < 0.3
        ```
    """
    readings = read_flowers(images)
    if isinstance(prompts, str) or len(prompts) != len(readings):
        received = repr(prompts) if isinstance(prompts, str) else f"{len(prompts)} prompts"
        raise ValueError(
            f"`prompts` must be one for each of {len(readings)} images. Received: {received}"
        )
    hits: dict[str, list[bool]] = {field: [] for field in (*_ATTRIBUTES, "everything")}
    for reading, prompt in zip(readings, prompts, strict=True):
        right = {field: getattr(reading, field) == value for field, value in _named(prompt).items()}
        for field, hit in right.items():
            hits[field].append(hit)
        if right:
            hits["everything"].append(all(right.values()))
    shares = {field: float(np.mean(found)) if found else np.nan for field, found in hits.items()}
    return PromptAdherence(**shares, num_named={field: len(found) for field, found in hits.items()})


@checked
def parse_caption(caption: str) -> dict[str, str | int]:
    """Returns what a caption names, the inverse of `imagegen.drawn.caption`.

    It need not name everything: "a red flower", "five petals" and "a flower on a blue background"
    are captions too, and so is "", which names nothing. A habitat, as in "a coastal flower", is
    read and names no attribute. Capitals and punctuation don't matter.

    Args:
        caption: A sentence in the words of captions.

    Returns:
        The attributes it names, each with its value: some of `petal_color`, `center_color`,
        `background_color` and `num_petals`.

    Raises:
        ValueError: If the caption has a word that captions don't, a colour or number that
            describes nothing, or names one thing in two ways.

    Example:
        ```python
        from imagegen.drawn import parse_caption

        named = parse_caption("a flower with five petals on a blue background")
        assert named == {"num_petals": 5, "background_color": "blue"}
        ```
    """
    if not isinstance(caption, str):
        raise ValueError(f"`caption` must be a sentence. Received: caption={caption!r}")
    named: dict[str, str | int] = {}
    adjectives: list[str] = []
    for word in re.findall(r"[^\s.,;:!?]+", caption.lower()):
        if word in COLORS or word in _NUMBERS:
            adjectives.append(word)
        elif word in _NOUNS:
            for adjective in adjectives:
                attribute = _NOUNS[word].get("color" if adjective in COLORS else "number")
                value = _NUMBERS.get(adjective, adjective)
                if attribute is None:
                    raise _nonsense("count petals only", caption)
                if named.setdefault(attribute, value) != value:
                    raise _nonsense(f"name one `{attribute}`", caption)
            adjectives = []
        elif word in HABITATS:
            continue
        elif word not in _LINKS:
            known = ", ".join([*_LINKS, *_NOUNS, *COLORS, *_NUMBERS, *HABITATS])
            raise _nonsense(f"use only the words {known}, and {word!r} is none of them", caption)
        elif adjectives:
            break
    if adjectives:
        raise _nonsense(f"have a noun after {adjectives[-1]!r}", caption)
    return named


@checked
def read_flowers(images: Images) -> list[FlowerReading]:
    r"""Reads the colours and the number of petals from pictures of flowers.

    A pixel's colour is the name in `COLORS` whose tint, $c / \max(c)$, is nearest to the pixel's:
    light, shade and patterns scale all channels alike and leave the tint as it is. The background
    is what the corners agree on, the petals' colour is the most frequent other one around the
    centre, and the centre's is the one in the middle of the flower.

    To count, each pixel is taken as a mixture of the picture's own petal and background colours,
    $p \, c_{\text{petal}} + b \, c_{\text{background}}$ by least squares. The petals' share
    $p / (p + b)$, averaged along the radius, is a curve over the angle, and every rise of it
    through its middle is a petal.

    Args:
        images: uint8 of shape `(num_images, size, size, 3)`, 24 pixels or more wide: drawn by
            `imagegen.drawn.draw_flowers`, or generated by a model that learned from such.

    Returns:
        A `FlowerReading` for each picture. Where the corners don't agree on a background, or
        nothing else has the colour of petals, there is no flower, and all of it reads `"none"` and
        0.

    Raises:
        ValueError: If the images are of another shape or type.

    Example:
        ```python
        from imagegen.drawn import FlowerAttributes, draw_flowers, read_flowers

        images = draw_flowers([FlowerAttributes(5, "red", "yellow", "blue")])
        assert read_flowers(images) == [("red", "yellow", "blue", 5)]
        ```
    """
    images = check_rank(np.asarray(images), "images", 4, "(num_images, size, size, 3)")
    num_images, height, width, channels = images.shape
    if images.dtype != np.uint8 or height != width or height < 24 or channels != 3:
        raise ValueError(
            "`images` must be uint8 of shape (num_images, size, size, 3), with a size of 24 or "
            f"more. Received: {images.dtype} of shape {images.shape}"
        )
    step = max(1, _CHUNK_PIXELS // height**2)
    return [
        reading
        for start in range(0, num_images, step)
        for reading in _read(images[start : start + step].astype("float32"))
    ]


def _read(images: np.ndarray) -> list[FlowerReading]:
    num_images, size = images.shape[:2]
    pixels = images.reshape(num_images, -1, 3)
    axis = (np.arange(size, dtype="float32") + 0.5) * 2 / size - 1
    x, y = np.tile(axis, size), np.repeat(axis, size)
    radius = np.hypot(x, y)
    names = _nearest_names(pixels)

    outside = _between(radius, _BACKGROUND)
    background, background_share = _most_frequent(names, outside)
    around = _between(radius, _PETALS)
    petal, petal_share = _most_frequent(names, around, besides=background)

    # A generated flower may stand a pixel beside the picture's centre.
    flower = (names != background[:, None]) & (radius < 1)
    middle = np.stack([_mean(np.broadcast_to(a, flower.shape), flower) for a in (x, y)], 1)
    inside = _between(np.hypot(x - middle[:, :1], y - middle[:, 1:]), _CENTER)
    center, center_share = _most_frequent(names, inside)

    petal_shade = _mean(pixels, (names == petal[:, None]) & around)
    background_shade = _mean(pixels, (names == background[:, None]) & outside)
    parts = _petal_part(pixels, petal_shade, background_shade)
    counts = _count_petals(parts.reshape(num_images, size, size), middle)

    found = (background_share >= _BACKGROUND_SHARE) & (petal_share >= _PETALS_SHARE)
    centered = found & (center_share >= _CENTER_SHARE)
    colors = (
        np.where(known, [_NAMES[index] for index in indices], "none").tolist()
        for indices, known in ((petal, found), (center, centered), (background, found))
    )
    return [
        FlowerReading(*reading)
        for reading in zip(*colors, np.where(found, counts, 0).tolist(), strict=True)
    ]


def _between(radius: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return (ends[0] <= radius) & (radius < ends[1])


def _nearest_names(pixels: np.ndarray) -> np.ndarray:
    """The index in `COLORS` of each pixel's colour, or -1."""
    brightness = pixels.max(-1)
    tints = pixels / np.maximum(brightness, 1)[..., None]
    squares = (tints**2).sum(-1)[..., None] - 2 * tints @ _TINTS.T + (_TINTS**2).sum(1)
    nearest = squares.argmin(-1)
    named = squares.min(-1) < _MAX_TINT_DISTANCE**2
    named &= brightness > _MIN_BRIGHTNESS * _PALETTE.max(1)[nearest]
    return np.where(named, nearest, -1)


def _most_frequent(
    names: np.ndarray, where: np.ndarray, *, besides: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The colour that most pixels `where` have, and the share of them that have it."""
    shares = np.stack(
        [((names == index) & where).sum(1) / where.sum(-1) for index in range(len(_NAMES))], 1
    )
    if besides is not None:
        shares[np.arange(len(shares)), besides] = 0
    return shares.argmax(1), shares.max(1)


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The mean over each picture's pixels `where`, or 0 where there are none."""
    weights = where / np.maximum(where.sum(1, keepdims=True), 1)
    return np.einsum("np,np...->n...", weights.astype("float32"), values)


def _petal_part(pixels: np.ndarray, petal: np.ndarray, background: np.ndarray) -> np.ndarray:
    """How much of each pixel is petal, when it is a mixture of two colours by least squares."""
    basis = np.stack([petal, background], 1)
    gram = np.einsum("nic,njc->nij", basis, basis)
    # Where a picture has no petals, their colour is 0, and the matrix could not be inverted.
    gram += np.eye(2, dtype="float32")
    amounts = np.einsum("nij,njc,npc->npi", np.linalg.inv(gram), basis, pixels, optimize=True)
    amounts = np.maximum(amounts, 0)
    return amounts[..., 0] / np.maximum(amounts.sum(-1), 1e-3)


def _count_petals(parts: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """How often a turn around the flower enters a petal, or 0 where that is no possible count."""
    curves = _on_rings(parts, middle).mean(1)
    waves = np.fft.rfft(curves)
    waves[:, _MAX_FREQUENCY + 1 :] = 0
    curves = np.fft.irfft(waves, _NUM_ANGLES)
    # Rises are counted, and not the strongest frequency taken: with one petal of several gone, that
    # keeps the old count for every second flower.
    low, high = np.quantile(curves, [0.1, 0.9], axis=1, keepdims=True)
    on_petal = curves > (low + high) / 2
    counts = (on_petal & ~np.roll(on_petal, 1, axis=1)).sum(1)
    possible = (counts >= MIN_PETALS) & (counts <= MAX_PETALS)
    possible &= (high - low)[:, 0] >= _MIN_CONTRAST
    return np.where(possible, counts, 0)


def _on_rings(values: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Pictures at the points of rings around `middle`, between pixels in proportion."""
    angles = np.arange(_NUM_ANGLES, dtype="float32") * np.float32(2 * np.pi / _NUM_ANGLES)
    size = values.shape[1]
    directions = np.stack([np.cos(angles), np.sin(angles)])
    points = middle[:, :, None, None] + directions[:, None] * _RADII[:, None]
    points = np.clip((1 + points) * size / 2 - 0.5, 0, size - 1)
    corner = np.minimum(points.astype("int64"), size - 2)
    (right, below), (column, row) = np.moveaxis(points - corner, 1, 0), np.moveaxis(corner, 1, 0)
    picture = np.arange(len(values))[:, None, None]
    above, under = (
        (1 - right) * values[picture, line, column] + right * values[picture, line, column + 1]
        for line in (row, row + 1)
    )
    return (1 - below) * above + below * under


def _named(prompt: str | FlowerAttributes) -> Mapping[str, str | int]:
    if isinstance(prompt, FlowerAttributes):
        return {field: getattr(prompt, field) for field in _ATTRIBUTES}
    with renamed("caption", "prompts"):
        return parse_caption(prompt)


def _nonsense(rule: str, caption: str) -> ValueError:
    return ValueError(f"`caption` must {rule}. Received: caption={caption!r}")
