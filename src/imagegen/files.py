"""Pictures in files, together with how they were made."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagegen._checks import check_choice, check_integer
from imagegen._contracts import checked
from imagegen._files import whole_file
from imagegen.images import as_pictures, check_sides
from imagegen.typing import Images

from PIL import ExifTags, Image, PngImagePlugin

_FORMATS = {"png": "PNG", "webp": "WebP", "jpeg": "JPEG"}
_KEY = "imagegen"
# What is longer was not written by `save_images`.
_MAX_METADATA = 1 << 20


@checked
def save_images(
    images: Images,
    folder: str | os.PathLike[str],
    *,
    name: str = "image",
    format: str = "png",
    quality: int = 95,
    metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Saves pictures as files that say how they were made.

    The files are numbered, and the numbers go on where those in the folder end: nothing is
    overwritten. Each is written whole or not at all.

    Args:
        images: uint8 or floats from 0 to 1, of shape `(num_images, height, width)`, with a last
            axis of 1 or 3 channels or without; or a single picture.
        folder: Where they are saved; made when it is missing.
        name: What the files' names begin with: `image_0001.png`.
        format: `"png"` and `"webp"`, which keep every pixel, or `"jpeg"`, which is smaller.
        quality: Of JPEG, from 1 to 100.
        metadata: What is kept with each picture, such as prompt, seed, model and options, or a
            sequence of one for each: what JSON can hold. Where a value is a list or a tuple as long
            as there are pictures, each picture keeps its own.

    Returns:
        The paths of the files.

    Raises:
        ValueError: If the pictures can't be drawn, an argument is out of range, or metadata are
            not as many as pictures or nothing that JSON can hold, or the format has no room for
            pictures of that size.
        OSError: If a file can't be written.

    Example:
        ```python
        import tempfile

        import imagegen
        import numpy as np

        images = np.zeros((2, 8, 8, 3), "uint8")
        told = {"prompt": ["a rose", "a lily"], "seed": 1}
        first, _ = imagegen.save_images(images, tempfile.mkdtemp(), metadata=told)
        assert imagegen.read_metadata(first) == {"prompt": "a rose", "seed": 1}
        ```
    """
    pictures = as_pictures(images, "images")
    check_choice(format, "format", _FORMATS)
    check_sides(pictures.shape[1:3], format)
    check_integer(quality, "quality", minimum=1, maximum=100)
    if not name or Path(name).name != name:
        raise ValueError(f"`name` must be the beginning of a file's name. Received: {name!r}")
    texts = [_text(each) for each in _of_each(metadata, len(pictures))]
    folder = Path(folder)
    first = _next_number(folder, name)
    paths = []
    for number, (picture, text) in enumerate(zip(pictures, texts, strict=True), first):
        path = folder / f"{name}_{number:04d}.{format}"
        with whole_file(path) as partial:
            _write(Image.fromarray(picture), partial, format, quality, text)
        paths.append(path)
    return paths


@checked
def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads how a picture was made.

    Args:
        path: A file that `save_images` wrote.

    Returns:
        What was kept with it; nothing when nothing was.

    Raises:
        ValueError: If the file is no picture, or its metadata are damaged.
        OSError: If it can't be read.

    Example:
        ```python
        import tempfile

        import imagegen
        import numpy as np

        (path,) = imagegen.save_images(np.zeros((8, 8)), tempfile.mkdtemp(), format="webp")
        assert imagegen.read_metadata(path) == {}
        ```
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"`path` must be a file that is there. Received: {str(path)!r}")
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                text = getattr(image, "text", {}).get(_KEY, "")
            else:
                exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
                comment = exif.get(ExifTags.Base.UserComment, b"")
                text = bytes(comment).removeprefix(_UNICODE).decode("utf-8") if comment else ""
        if len(text) > _MAX_METADATA:
            raise ValueError(f"there are more than {_MAX_METADATA} characters")
        found = json.loads(text) if text else {}
        if not isinstance(found, dict):
            raise ValueError("they are no JSON object")
    except Exception as error:  # A hostile file has its own ways to be wrong.
        raise ValueError(
            f"{path} must be a picture with metadata that can be read: {error}"
        ) from error
    return found


# How the standard says that a comment is Unicode; what follows is UTF-8, as most programs have it.
_UNICODE = b"UNICODE\x00"


def _write(image: Image.Image, path: Path, format: str, quality: int, text: str) -> None:
    if format == "png":
        info = PngImagePlugin.PngInfo()
        if text:
            info.add_itxt(_KEY, text)
        image.save(path, "PNG", pnginfo=info)
        return
    exif = Image.Exif()
    if text:
        comment = _UNICODE + text.encode()
        if len(comment) > 65_000:
            raise ValueError(
                f"`metadata` must fit 65,000 bytes in a {format} file; a PNG holds more. "
                f"Received: {len(comment)} bytes"
            )
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    options = {"lossless": True} if format == "webp" else {"quality": quality, "subsampling": 0}
    image.save(path, _FORMATS[format], exif=exif, **options)


def _of_each(metadata: Any, count: int) -> list[Mapping[str, Any]]:
    """The metadata of each picture."""
    if metadata is None:
        return [{}] * count
    if isinstance(metadata, Mapping):
        return [
            {
                key: value[i] if isinstance(value, list | tuple) and len(value) == count else value
                for key, value in metadata.items()
            }
            for i in range(count)
        ]
    if len(metadata) != count or not all(isinstance(each, Mapping) for each in metadata):
        raise ValueError(
            f"`metadata` must be a mapping, or one for each of {count} pictures. "
            f"Received: {type(metadata).__name__} of {len(metadata)}"
        )
    return list(metadata)


def _text(metadata: Mapping[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):  # NumPy's numbers and arrays
            return value.tolist()
        if hasattr(value, "get_config") or callable(value):
            return repr(value)
        raise TypeError(f"it has a {type(value).__name__}")

    try:
        return json.dumps(dict(metadata), default=plain, allow_nan=False) if metadata else ""
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`metadata` must be what JSON can hold: {error}. Received: {metadata!r}"
        ) from error


def _next_number(folder: Path, name: str) -> int:
    """One more than the highest number of a file of this name."""
    found = [0]
    for path in folder.glob(f"{name}_*.*") if folder.is_dir() else ():
        number = path.stem.removeprefix(f"{name}_")
        found += [int(number)] if number.isascii() and number.isdigit() else []
    return max(found) + 1
