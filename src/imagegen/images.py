"""Pictures as arrays: conversion, grids and figures.

One rule of shapes holds everywhere: a picture is `(height, width)`, `(height, width, 1)` or
`(height, width, 3)`, pictures have one axis more in front, and a last axis of length 1 or 3 is
always the channels.
"""

import math
import os
import textwrap
from collections.abc import Sequence
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number
from imagegen._contracts import checked
from imagegen.typing import Images

import keras
import numpy as np
from PIL import Image, ImageColor, ImageOps

_CHANNELS = (1, 3)
# Where a file format has no larger numbers. H.264 stops where its largest level does.
_LONGEST_SIDES = {"gif": 65_535, "jpeg": 65_500, "jpg": 65_500, "webp": 16_383, "mp4": 16_384}
# No grid is larger than this.
_MOST_BYTES = 1 << 32
_SHAPES = "(height, width), (height, width, 1 or 3), or one of them with a batch axis in front"


@checked
def to_uint8(images: Images, *, value_range: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Converts floats to bytes.

    ```
    byte = round(255 (value - low) / (high - low)), clipped to 0..255
    ```

    Args:
        images: Floats, one picture or several. Values outside of `value_range`, which networks do
            produce, are clipped.
        value_range: The values `(low, high)` that become 0 and 255.

    Returns:
        A uint8 array of the same shape.

    Raises:
        ValueError: If the values are no floats, NaN or infinity is among them, the shape is no
            picture's, or `low` is not below `high`.

    Example:
        ```python
        import numpy as np
        import imagegen

        gray = imagegen.to_uint8(np.array([[-1.0, 0.0, 1.0, 1.5]]), value_range=(-1, 1))
        assert gray.tolist() == [[0, 128, 255, 255]]
        ```
    """
    array = _check_shape(check_finite(_as_array(images, "images"), "images"), "images")
    if array.dtype.kind in "biu":
        raise ValueError(f"`images` must hold floats. Received: dtype {array.dtype}")
    low, high = (check_number(end, "value_range") for end in value_range)
    if low >= high:
        raise ValueError(
            "`value_range` must be two numbers, the first one smaller. "
            f"Received: value_range={value_range!r}"
        )
    # Clipped before it is scaled, so that nothing overflows however large a network's outputs.
    share = (np.clip(array.astype("float64"), low, high) - low) / (high - low)
    return np.rint(255 * share).astype("uint8")


@checked
def to_float(images: Images) -> np.ndarray:
    """Converts bytes to floats from 0 to 1: the byte divided by 255.

    `to_uint8(to_float(images))` gives the same bytes again.

    Args:
        images: uint8, one picture or several.

    Returns:
        A float32 array of the same shape, from 0 to 1.

    Raises:
        ValueError: If the values are not uint8, or the shape is no picture's.

    Example:
        ```python
        import numpy as np
        import imagegen

        white = np.full((2, 2), 255, dtype="uint8")
        assert imagegen.to_float(white).max() == 1.0
        ```
    """
    array = _check_shape(_as_array(images, "images"), "images")
    if array.dtype != np.uint8:
        raise ValueError(f"`images` must be uint8. Received: dtype {array.dtype}")
    return np.divide(array, 255, dtype="float32")


@checked
def center_square(
    picture: Image.Image | str | os.PathLike[str], image_size: int, *, background: str = "white"
) -> np.ndarray:
    """Cuts the largest square out of the middle of a picture, and resizes it with antialiasing.

    The picture keeps its proportions, and every pixel of the square counts in the small one: what
    photographs of all shapes need before a network of one size learns from them. It is taken as a
    viewer shows it: turned as the camera says, and of any mode and depth.

    Args:
        picture: A picture of any size and mode, as `PIL.Image.open` gives it, or its file.
        image_size: Height and width of the result, in pixels.
        background: The colour behind what is transparent, by a name or as `"#rrggbb"`.

    Returns:
        A uint8 array `(image_size, image_size, 3)`.

    Raises:
        ValueError: If `image_size` is no positive integer, `picture` is something else or has no
            pixels, or there is no such colour.
        OSError: If the file can't be read.

    Example:
        ```python
        import imagegen
        from PIL import Image

        square = imagegen.center_square(Image.new("RGB", (120, 90), "purple"), 32)
        assert square.shape == (32, 32, 3)
        ```
    """
    check_integer(image_size, "image_size", minimum=1)
    if isinstance(picture, str | os.PathLike):
        with Image.open(picture) as opened:
            return resized_to(upright(opened, background), image_size, image_size)
    if not isinstance(picture, Image.Image):
        raise ValueError(
            "`picture` must be a PIL.Image.Image, or the path of one; PIL.Image.fromarray makes it "
            f"of an array. Received: {type(picture).__name__}"
        )
    return resized_to(upright(picture, background), image_size, image_size)


def check_color(color: str) -> tuple[int, ...]:
    """Returns red, green and blue of a `background`, or raises when there is no such colour."""
    try:
        return ImageColor.getrgb(color)[:3]
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"`background` must be a colour, such as 'white' or '#ffcc00'. Received: {color!r}"
        ) from error


def upright(picture: Image.Image, background: str = "white") -> Image.Image:
    """Returns a picture as a viewer shows it, in RGB.

    Args:
        picture: A picture of any mode, with or without a note of how the camera was held.
        background: The colour behind what is transparent.

    Raises:
        ValueError: If the picture has no pixels, or there is no such colour.
    """
    if not picture.width or not picture.height:
        raise ValueError(f"`picture` must have pixels. Received: size {picture.size}")
    color = check_color(background)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F" or picture.mode.startswith("I"):
        values = np.asarray(picture, "float64")
        if not np.isfinite(values).all():
            raise ValueError("`picture` must be finite everywhere. Received: NaN or infinity in it")
        full = {"F": 1.0, "I": 255.0}.get(picture.mode, 65535.0)
        if values.max() > full:  # Floats up to 255, or 16 bits in the mode of 32.
            full = 255.0 if picture.mode == "F" else 65535.0
        if values.min() < 0 or values.max() > full:
            rule = "floats from 0 to 1 or to 255" if picture.mode == "F" else "from 0 to 65535"
            raise ValueError(
                f"`picture` must have values that say what is white: {rule}. "
                f"Received: values from {values.min():g} to {values.max():g}"
            )
        return Image.fromarray(np.rint(values * (255 / full)).astype("uint8")).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (*color, 255)), picture).convert(
        "RGB"
    )


def resized_to(
    picture: Image.Image, height: int, width: int, pad: bool = False, background: str = "white"
) -> np.ndarray:
    """Returns an RGB picture in another size, uint8 `(height, width, 3)`, not distorted.

    Args:
        picture: The picture.
        height: The new height.
        width: The new width.
        pad: Whether all of it is kept, on the background, or as much as fills the size is cut out
            of its middle.
        background: The colour beside it when it is kept whole.
    """
    method = Image.Resampling.LANCZOS
    if pad:
        return np.asarray(ImageOps.pad(picture, (width, height), method, background))
    return np.asarray(ImageOps.fit(picture, (width, height), method))


def fitted(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cuts as much as there is of the right proportions out of the middle, and resizes it.

    Args:
        images: uint8 pictures `(num_images, any height, any width, 3)`, or booleans without the
            last axis: masks, of which each pixel is that of the nearest one.
        height: The new height.
        width: The new width.

    Returns:
        Pictures or masks of the new size; the given ones when they have it.
    """
    if images.shape[1:3] == (height, width):
        return images
    mask = images.dtype == bool
    method = Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS
    rows = [
        np.asarray(ImageOps.fit(Image.fromarray(np.uint8(image)), (width, height), method))
        for image in images
    ]
    return np.stack(rows).astype(images.dtype)


@checked
def grid(images: Images, *, columns: int | None = None, padding: int = 2) -> np.ndarray:
    """Puts pictures side by side, row by row, into one picture on white.

    Picture `i` is in row `i // columns` and column `i % columns`.

    Args:
        images: uint8 or floats from 0 to 1, of shape `(num_images, height, width)`, with a last
            axis of 1 or 3 channels or without; or a single picture.
        columns: How many pictures there are in a row; by default, about as many as there are rows.
        padding: Pixels between neighbours.

    Returns:
        A uint8 array of shape `(height, width, 3)`.

    Raises:
        ValueError: If the pictures are wrongly shaped, out of range, or have NaN in them.

    Example:
        ```python
        import numpy as np
        import imagegen

        digits = np.zeros((6, 28, 28), dtype="uint8")
        assert imagegen.grid(digits, columns=3).shape == (2 * 28 + 2, 3 * 28 + 4, 3)
        ```
    """
    pictures = as_pictures(images, "images")
    padding = check_integer(padding, "padding", minimum=0)
    return _tile(pictures, _check_columns(columns, len(pictures)), (padding, padding))


@checked
def show(
    images: Images,
    *,
    titles: Sequence[Any] | None = None,
    columns: int | None = None,
    scale: int | None = None,
) -> None:
    """Shows pictures as one figure, each pixel a sharp square.

    The figure is drawn and closed at once, so that a notebook shows it exactly once, even in the
    middle of a cell or a loop.

    Args:
        images: uint8 or floats from 0 to 1, of shape `(num_images, height, width)`, with a last
            axis of 1 or 3 channels or without; or a single picture, such as `grid` returns.
        titles: One text for each picture, written above it.
        columns: How many pictures there are in a row; by default, about as many as there are rows.
        scale: Pixels on the screen for each pixel of a picture; by default, so many that small
            pictures are well seen and the figure is not wider than a page.

    Raises:
        ValueError: If the pictures are wrongly shaped, out of range, or have NaN in them, or the
            titles are not as many as they.

    Example:
        ```python
        import numpy as np
        import imagegen

        shades = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 8, 8))
        imagegen.show(shades, titles=["black", "", "gray", "", "white"], columns=5)
        ```
    """
    import matplotlib.pyplot as plt

    pictures = as_pictures(images, "images")
    num_pictures, height, width, _ = pictures.shape
    columns = _check_columns(columns, num_pictures)
    if scale is None:
        scale = max(1, min(800 // (columns * (width + 2)), 256 // max(height, width)))
    scale = check_integer(scale, "scale", minimum=1)
    labels = [""] * num_pictures if titles is None else [str(title) for title in titles]
    if len(labels) != num_pictures:
        raise ValueError(
            f"`titles` must hold one title for each of {num_pictures} pictures. "
            f"Received: {len(labels)} titles"
        )

    dpi, font_pixels = 100, 11
    # Letters are about half as wide as the font is high.
    letters_per_line = max(6, int(width * scale / (0.55 * font_pixels)))
    labels = [textwrap.fill(label, letters_per_line) for label in labels]
    num_lines = max(label.count("\n") + 1 if label else 0 for label in labels)
    title_height = math.ceil(num_lines * 1.4 * font_pixels / scale)

    gaps = (2 + title_height, 2)
    canvas = _tile(pictures, columns, gaps)
    # Clear between the pictures, for pages of any colour.
    canvas = np.dstack([canvas, _tile(np.full_like(pictures, 255), columns, gaps, 0)[..., :1]])
    canvas = np.pad(canvas, ((title_height, 0), (0, 0), (0, 0)))
    inches = scale / dpi
    figure = plt.figure(figsize=(canvas.shape[1] * inches, canvas.shape[0] * inches), dpi=dpi)
    # Axes that fill a figure of whole multiples of the canvas, or the squares would not be equal.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(canvas, interpolation="nearest", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    for index, label in enumerate(labels):
        row, column = divmod(index, columns)
        x = column * (width + gaps[1]) + width / 2
        y = row * (height + gaps[0]) + title_height - 3 / scale
        place = (x / canvas.shape[1], 1 - y / canvas.shape[0])
        figure.text(*place, label, ha="center", va="bottom", fontsize=font_pixels * 72 / dpi)
    plt.show()
    plt.close(figure)


def _as_array(images: Images, name: str) -> np.ndarray:
    if isinstance(images, Image.Image):
        return np.asarray(upright(images))
    if isinstance(images, list | tuple) and any(isinstance(each, Image.Image) for each in images):
        images = [_as_array(each, name) for each in images]
    try:
        return keras.ops.convert_to_numpy(images)
    except ValueError as error:
        raise ValueError(f"`{name}` must all have the same shape. Received: {error}") from error


def _check_shape(array: np.ndarray, name: str) -> np.ndarray:
    channelled = array.ndim > 2 and array.shape[-1] in _CHANNELS
    # A width of 4 can be meant, in tiny pictures.
    if array.ndim > 2 and array.shape[-1] == 4 and min(array.shape[-3:-1]) > 8:
        raise ValueError(
            f"`{name}` must have 1 or 3 channels; a PIL.Image.Image with transparency is laid on "
            f"white. Received: shape {array.shape}"
        )
    if array.ndim - channelled not in (2, 3) or array.size == 0:
        raise ValueError(
            f"`{name}` must have the shape {_SHAPES}, none of them 0. Received: shape {array.shape}"
        )
    return array


def as_pictures(images: Images, name: str) -> np.ndarray:
    """Returns what can be drawn as uint8 `(num_images, height, width, 3)`, and refuses the rest."""
    array = _check_shape(check_finite(_as_array(images, name), name), name)
    if array.dtype != np.uint8:
        if array.dtype.kind in "biu" or array.min() < 0 or array.max() > 1:
            raise ValueError(
                f"`{name}` must be uint8, or floats from 0 to 1 (`imagegen.to_uint8` converts "
                f"other ranges). Received: {array.dtype} from {array.min()} to {array.max()}"
            )
        array = to_uint8(array)
    if array.ndim == 2 or array.shape[-1] not in _CHANNELS:
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    return np.broadcast_to(array, (*array.shape[:-1], 3))


def check_sides(size: tuple[int, ...], file_format: str) -> None:
    """Raises when pictures of a height and width don't fit into a file of that format."""
    longest = _LONGEST_SIDES.get(file_format)
    if longest is not None and max(size) > longest:
        height, width = size
        raise ValueError(
            f"A {file_format.upper()} must be at most {longest:,} pixels high and wide. "
            f"Received: {height:,} x {width:,} pixels"
        )


def _check_columns(columns: int | None, num_pictures: int) -> int:
    if columns is None:
        return math.ceil(math.sqrt(num_pictures))
    return check_integer(columns, "columns", minimum=1)


def _tile(
    pictures: np.ndarray, columns: int, gaps: tuple[int, int], paper: int = 255
) -> np.ndarray:
    """Puts pictures on paper, with `gaps` of so many pixels below and to the right of each."""
    num_pictures, height, width, _ = pictures.shape
    rows = math.ceil(num_pictures / columns)
    step_y, step_x = height + gaps[0], width + gaps[1]
    size = (rows * step_y, columns * step_x, 3)
    if math.prod(size) > _MOST_BYTES:
        raise ValueError(
            f"The pictures and the `padding` must fit {_MOST_BYTES:,} bytes on `columns` columns. "
            f"Received: a canvas of the shape {size}"
        )
    canvas = np.full(size, paper, dtype="uint8")
    for index, picture in enumerate(pictures):
        y, x = index // columns * step_y, index % columns * step_x
        canvas[y : y + height, x : x + width] = picture
    return canvas[: rows * step_y - gaps[0], : columns * step_x - gaps[1]]
