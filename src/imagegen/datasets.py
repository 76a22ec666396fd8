"""Data sets as NumPy arrays: digits, flowers, points on an S-curve, and pictures of your own."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen._cache import cache_folder, expanded
from imagegen._checks import check_choice, check_integer, check_number, check_size, warn
from imagegen._contracts import checked
from imagegen._download import DownloadError, fetch, reading
from imagegen._oxford import FLOWER_NAMES as FLOWER_NAMES
from imagegen._oxford import decoded_photographs, species_labels
from imagegen.drawn.captioned import captioned_flowers as captioned_flowers
from imagegen.folders import ImageFolder as ImageFolder
from imagegen.folders import folder as folder
from imagegen.images import fitted
from imagegen.typing import Size

import numpy as np
from PIL import Image

_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_OXFORD_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
# The university publishes no digests. These are the ones that other libraries check, too.
_OXFORD_MD5 = {
    "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
}
# SHA-256 of what they hold, in whatever file: of MNIST's four files in their own format, IDX, and
# of the flowers' labels, one byte each.
_CONTENT_SHA256 = {
    "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "labels": "35338d1fe6387a6c1e9146518329d01803f030202313bb86d5c34b62479d60ff",
}
# The magic number of an IDX file of bytes; the number of its axes is added.
_IDX_OF_BYTES = 0x0800
# What travels in the package, for machines without a network.
_EMBEDDED = Path(__file__).parent / "data"
_SPLITS = ("train", "test")
_NUM_TEST_FLOWERS = 500
_PAINTED_SIZE = 64
# What is beyond this is no set of digits, but an attempt to fill the memory.
_MAX_DIGITS_BYTES = 1 << 28


# Without equality, which is not defined for whole arrays.
@checked
@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits: `images, labels = digits`, and where they are from.

    Attributes:
        images: uint8 of shape `(num_images, 28, 28, 1)`, white ink on black.
        labels: int64 of shape `(num_images,)`, 0 to 9.
        source: `"mnist"`, all of MNIST, or `"mnist-sample"`, the part that travels in the package.

    Example:
        ```python
        from imagegen import datasets

        images, labels = digits = datasets.digits("mnist-sample")
        assert digits.source == "mnist-sample"
        ```
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __iter__(self) -> Iterator[Any]:
        yield from (self.images, self.labels)


@checked
@dataclass(frozen=True, eq=False)
class Flowers:
    """Flowers and their species: `images, labels, names = flowers`, and where they are from.

    Attributes:
        images: uint8 of shape `(num_images, height, width, 3)`.
        labels: int64 of shape `(num_images,)`, each an index into `names`.
        names: The names of the 102 species, from either source.
        source: `"oxford"`, photographs, or `"painted"`, pictures by one of the package's models.

    Example:
        ```python
        from imagegen import datasets

        images, labels, names = flowers = datasets.flowers("painted", image_size=32)
        assert flowers.source == "painted"
        ```
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]
    source: str

    def __iter__(self) -> Iterator[Any]:
        yield from (self.images, self.labels, self.names)


@checked
def digits(source: str = "auto", split: str | None = None) -> Digits:
    """Loads handwritten digits, 28 x 28 pixels.

    The source `"mnist"` has 60,000 digits for training and 10,000 for tests. It is read from the
    folder that the environment variable `IMAGEGEN_DATA` names, where that is set; else it is
    downloaded once, checked and kept. Digits in that folder that are not MNIST's, to the last
    pixel, are loaded with a warning. The source `"mnist-sample"` travels in the package and needs
    no network: the first 5,000 and the first 1,000 of them. `"auto"` takes MNIST, and the sample,
    with a warning, where MNIST can't be had.

    Args:
        source: `"auto"`, `"mnist"` or `"mnist-sample"`.
        split: `"train"`, `"test"`, or None for all digits, those for training first.

    Returns:
        `Digits(images, labels, source)`, of which `images, labels = digits()` takes two: uint8 of
        shape `(num_images, 28, 28, 1)`, int64 of shape `(num_images,)`, and the name of the source.

    Raises:
        ValueError: If an argument is none of these, or a file is damaged.
        FileNotFoundError: If `IMAGEGEN_DATA` is set and the file isn't there.
        OSError: If the source is `"mnist"` and can't be downloaded.

    Example:
        ```python
        from imagegen import datasets

        images, labels = datasets.digits("mnist-sample", split="test")
        assert images.shape == (1000, 28, 28, 1)
        assert labels[:4].tolist() == [7, 2, 1, 0]
        ```

    Reference:
        LeCun et al., [Gradient-Based Learning Applied to Document
        Recognition](https://doi.org/10.1109/5.726791), 1998.
    """
    check_choice(source, "source", ("auto", "mnist", "mnist-sample"))
    _check_split(split)
    if source != "mnist-sample":
        try:
            path = _original("mnist.npz", _MNIST_URL, sha256=_MNIST_SHA256)
            return _mnist(path, split, "mnist")
        except DownloadError as error:
            _explain_or_warn(
                source, error, "the 6,000 digits of MNIST that travel in the package", "mnist.npz",
                embedded="mnist-sample",
            )  # fmt: skip
    return _mnist(_EMBEDDED / "mnist-sample.npz", split, "mnist-sample")


@checked
def flowers(source: str = "auto", image_size: Size = 64, split: str | None = None) -> Flowers:
    """Loads pictures of flowers and their species, of which there are 102.

    The source `"oxford"` is Oxford Flowers 102, 8,189 photographs, read from the folder that the
    environment variable `IMAGEGEN_DATA` names, where that is set; else it is downloaded once,
    checked and kept. In that folder the archive may hold any part of the photographs, and labels
    that are not the published ones are used with a warning. Of each photograph the largest centred
    part of the size's proportions is resized with antialiasing, so that flowers keep their shape.
    `"auto"` takes the photographs, and painted flowers, with a warning, where the photographs can't
    be had.

    The source `"painted"` travels in the package and needs no network. None of it is a photograph:
    the preset `flowers-64-species` painted every picture, 40 of each of the 89 species that it
    knows, 3,560 in all. Some show no clear flower. What learns from them learns from that model,
    its mistakes included. They were painted at 64 x 64 pixels; other sizes are resized from these.

    The 500 photographs of the test split are those whose file numbers have the smallest SHA-256
    digests. That depends on no machine and no random generator, and a photograph that is in the
    full collection's test split is in that of every part of the collection. Of the painted flowers,
    the last 500 are for tests.

    Args:
        source: `"auto"`, `"oxford"` or `"painted"`.
        image_size: `(height, width)` of the pictures, or one number for squares, in pixels.
        split: `"test"` for 500 held-out flowers, `"train"` for all others, or None for all.

    Returns:
        `Flowers(images, labels, names, source)`, of which `images, labels, names = flowers()` takes
        three: uint8 of shape `(num_images, height, width, 3)`, int64 of shape
        `(num_images,)`, the list of the species' names, and the name of the source.

    Raises:
        ValueError: If an argument is none of these, or a file is damaged.
        FileNotFoundError: If `IMAGEGEN_DATA` is set and a file isn't there.
        OSError: If the source is `"oxford"` and can't be downloaded.

    Example:
        ```python
        from imagegen import datasets

        images, labels, names = datasets.flowers("painted", image_size=16, split="test")
        assert images.shape == (500, 16, 16, 3)
        assert names[53] == "sunflower"
        ```

    Reference:
        Nilsback and Zisserman, [Automated Flower Classification over a Large Number of
        Classes](https://doi.org/10.1109/ICVGIP.2008.47), 2008.
    """
    check_choice(source, "source", ("auto", "oxford", "painted"))
    size = check_size(image_size, "image_size")
    _check_split(split)
    if source != "painted":
        try:
            return _oxford(size, split)
        except DownloadError as error:
            _explain_or_warn(
                source,
                error,
                "flowers that the preset flowers-64-species painted, none of them a photograph,",
                "102flowers.tgz and imagelabels.mat",
                embedded="painted",
            )
    return _painted(size, split)


@checked
def s_curve(num_points: int, *, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    """Draws points near an S-shaped curve in the plane.

    They are scikit-learn's S-curve seen from the side, its coordinates 0 and 2 divided by 10.

    Args:
        num_points: How many, at least 1.
        noise: Standard deviation of the Gaussian noise, before the division; at least 0.
        seed: The same seed gives the same points; at least 0.

    Returns:
        float32 of shape `(num_points, 2)`, about -0.1 to 0.1 and -0.2 to 0.2.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        ```python
        from imagegen import datasets

        points = datasets.s_curve(1000)
        assert points.shape == (1000, 2)
        ```
    """
    check_integer(num_points, "num_points", minimum=1)
    check_number(noise, "noise", minimum=0)
    check_integer(seed, "seed", minimum=0)
    from sklearn.datasets import make_s_curve

    points, _ = make_s_curve(num_points, noise=noise, random_state=seed)
    return (points[:, [0, 2]] / 10).astype("float32")


def _check_split(split: str | None) -> None:
    if split is not None:
        check_choice(split, "split", _SPLITS)


def _explain_or_warn(
    source: str, error: DownloadError, instead: str, files: str, *, embedded: str
) -> None:
    """Says what to do about a failed download: as an error if `source` insisted on the original."""
    advice = f"Set IMAGEGEN_DATA to a folder with {files}"
    if source != "auto":
        raise DownloadError(f"{error}. {advice}, or use source={embedded!r}.") from error
    warn(
        f"Using {instead} instead of the original data: {error}. {advice} to use the original, or "
        f"say source={embedded!r} to silence this.",
    )


def _original(name: str, url: str, **checksum: str) -> Path:
    """The path of an original file: in `IMAGEGEN_DATA` where that is set, else downloaded."""
    folder = os.environ.get("IMAGEGEN_DATA")
    if not folder:
        return fetch(url, cache_folder() / name, **checksum)
    path = expanded(folder, "IMAGEGEN_DATA") / name
    if not path.is_file():
        raise FileNotFoundError(
            f"IMAGEGEN_DATA must name a folder with the file {name}. "
            f"Received: IMAGEGEN_DATA={folder}. Unset it to download the file."
        )
    return path


def _warn_of_others(path: Path, name: str, content: bytes) -> None:
    """Says so if what was read is not what was published; a part or another set may be meant."""
    if hashlib.sha256(content).hexdigest() != _CONTENT_SHA256[name]:
        warn(f"{name} in {path} are not the ones that were published. They are used as they are.")


# Digits


def _mnist(path: Path, split: str | None, source: str) -> Digits:
    """Reads MNIST, or a part of it in the same layout."""
    names = [name for name in _SPLITS if split in (None, name)]
    with reading(path, "MNIST as a NumPy archive"):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_DIGITS_BYTES:
                raise ValueError(f"it unpacks to more than {_MAX_DIGITS_BYTES} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            parts = [_checked_digits(arrays, name) for name in names]
    if source == "mnist":
        for name, (images, labels) in zip(names, parts, strict=True):
            _warn_of_others(path, f"x_{name}", _idx(images[..., 0]))
            _warn_of_others(path, f"y_{name}", _idx(labels))
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Digits(images, labels, source)


def _idx(array: np.ndarray) -> bytes:
    """The array as an IDX file of bytes: a magic number, the shape, the values."""
    header = np.array([_IDX_OF_BYTES + array.ndim, *array.shape], ">i4")
    return header.tobytes() + array.astype("uint8").tobytes()


def _checked_digits(arrays: "np.lib.npyio.NpzFile", part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"x_{part} must be uint8 of shape (num_images, 28, 28). "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(
            f"y_{part} must hold one integer for each image. "
            f"Received: {labels.dtype} of shape {labels.shape} for {len(images)} images"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"y_{part} must be 0 to 9. Received: {labels.min()} to {labels.max()}")
    return images[..., None], labels.astype("int64")


# Flowers


def _oxford(size: tuple[int, int], split: str | None) -> Flowers:
    archive, labels_file = (
        _original(name, _OXFORD_URL + name, md5=md5) for name, md5 in _OXFORD_MD5.items()
    )
    all_labels = species_labels(labels_file)
    _warn_of_others(labels_file, "labels", (all_labels + 1).astype("uint8").tobytes())
    images, numbers = decoded_photographs(archive, *size)
    if numbers.max() > len(all_labels):
        raise ValueError(
            f"{archive} has a photograph {numbers.max()}, and {labels_file} only "
            f"{len(all_labels)} labels"
        )
    if split is not None and len(numbers) <= _NUM_TEST_FLOWERS:
        raise ValueError(
            f"{archive} must hold more than {_NUM_TEST_FLOWERS} photographs to be split. "
            f"Received: {len(numbers)}"
        )
    held_out = np.isin(numbers, sorted(numbers, key=_position)[:_NUM_TEST_FLOWERS])
    chosen = _chosen(held_out, split)
    labels = all_labels[numbers - 1]
    return Flowers(images[chosen], labels[chosen], list(FLOWER_NAMES), "oxford")


def _position(number: int) -> bytes:
    return hashlib.sha256(b"flower %d" % number).digest()


def _chosen(held_out: np.ndarray, split: str | None) -> np.ndarray | slice:
    return slice(None) if split is None else held_out == (split == "test")


def _painted(size: tuple[int, int], split: str | None) -> Flowers:
    images, labels = _embedded_flowers()
    chosen = _chosen(np.arange(len(images)) >= len(images) - _NUM_TEST_FLOWERS, split)
    images = fitted(images[chosen], *size)
    return Flowers(images, labels[chosen], list(FLOWER_NAMES), "painted")


def _embedded_flowers() -> tuple[np.ndarray, np.ndarray]:
    """Cuts the sheet of painted flowers into its pictures, row by row."""
    path, size = _EMBEDDED / "painted-flowers.webp", _PAINTED_SIZE
    what = f"the sheet of painted flowers, as imagegen installs it with {path.stem}.json beside it"
    with reading(path, what):
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        # A damaged picture is a picture, too: nothing but a checksum tells.
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise ValueError(f"its SHA-256 digest is not {about['sha256']}")
        species = [FLOWER_NAMES.index(name) for name in about["columns"]]
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
        rows = pixels.reshape(-1, size, len(species), size, 3)
    images = rows.swapaxes(1, 2).reshape(-1, size, size, 3)
    return images, np.tile(np.array(species, "int64"), len(rows))
