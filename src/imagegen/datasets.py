"""Data sets as NumPy arrays: digits, flowers, captioned flowers, and points on an S-curve."""

import hashlib
import os
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

from imagegen._checks import check_choice, check_integer, check_number
from imagegen._download import DownloadError, cache_folder, fetch, reading
from imagegen._oxford import FLOWER_NAMES as FLOWER_NAMES
from imagegen._oxford import decoded_photographs, species_labels
from imagegen.captioned import COLORS as _CAPTIONED_COLORS
from imagegen.captioned import captioned_flowers as captioned_flowers

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
_SPLITS = ("train", "test")
_NUM_TEST_FLOWERS = 500
_NUM_CAPTIONED_FLOWERS = 2500
_NUM_UCI_TRAINING_DIGITS = 1500
# What is beyond this is no set of digits, but an attempt to fill the memory.
_MAX_DIGITS_BYTES = 1 << 28


class Digits(NamedTuple):
    """Handwritten digits.

    Attributes:
        images: uint8 of shape `(num_images, 28, 28, 1)`, white ink on black.
        labels: int64 of shape `(num_images,)`, 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


class Flowers(NamedTuple):
    """Flowers and their species.

    Attributes:
        images: uint8 of shape `(num_images, image_size, image_size, 3)`.
        labels: int64 of shape `(num_images,)`, each an index into `names`.
        names: The names of the classes.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]


def digits(source: str = "auto", split: str | None = None) -> Digits:
    """Loads handwritten digits, 28 x 28 pixels.

    The source `"mnist"` has 60,000 digits for training and 10,000 for tests. It is read from the
    folder that the environment variable `IMAGEGEN_DATA` names, where that is set; else it is
    downloaded once, checked and kept. The source `"uci"` is scikit-learn's 1,797 digits, which need
    no network: 8 x 8 pixels, enlarged to 20 x 20 inside MNIST's margin of 4. `"auto"` takes MNIST,
    and the small set, with a warning, where MNIST can't be had.

    Args:
        source: `"auto"`, `"mnist"` or `"uci"`.
        split: `"train"`, `"test"`, or None for all digits, those for training first. Of the small
            set, the first 1,500 digits are for training.

    Returns:
        `Digits(images, labels)`: uint8 of shape `(num_images, 28, 28, 1)`, int64 of shape
        `(num_images,)`.

    Raises:
        ValueError: When an argument is none of these, or a file is damaged.
        FileNotFoundError: When `IMAGEGEN_DATA` is set and the file isn't there.
        OSError: When the source is `"mnist"` and can't be downloaded.

    Example:

        ```python
        from imagegen import datasets

        images, labels = datasets.digits("uci", split="test")
        assert images.shape == (297, 28, 28, 1)
        ```

    Reference:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", 1998 (MNIST). Alpaydin and Kaynak, "Optical recognition of handwritten
        digits", 1998 (UCI).
    """
    check_choice(source, "source", ("auto", "mnist", "uci"))
    _check_split(split)
    if source != "uci":
        try:
            return _mnist(split)
        except DownloadError as error:
            _explain_or_warn(
                source, error, "scikit-learn's 1,797 small digits", "mnist.npz", embedded="uci"
            )
    return _uci(split)


def flowers(source: str = "auto", image_size: int = 64, split: str | None = None) -> Flowers:
    """Loads photographs of flowers of 102 species.

    The source `"oxford"` is Oxford Flowers 102, 8,189 photographs, read from the folder that the
    environment variable `IMAGEGEN_DATA` names, where that is set; else it is downloaded once,
    checked and kept. Of each photograph the largest centred square is resized with antialiasing, so
    that flowers keep their shape. The source `"captioned"` is 2,500 flowers drawn by
    `captioned_flowers`, whose classes are the petals' colours. `"auto"` takes the photographs, and
    the drawings, with a warning, where the photographs can't be had.

    The 500 photographs of the test split are those whose file numbers have the smallest SHA-256
    digests. That depends on no machine and no random generator, and a photograph that is in the
    full collection's test split is in that of every part of the collection.

    Args:
        source: `"auto"`, `"oxford"` or `"captioned"`.
        image_size: Height and width of the images, in pixels, at least 1.
        split: `"test"` for 500 held-out flowers, `"train"` for all others, or None for all.

    Returns:
        `Flowers(images, labels, names)`: uint8 of shape `(num_images, image_size, image_size, 3)`,
        int64 of shape `(num_images,)`, and a list of names.

    Raises:
        ValueError: When an argument is none of these, or a file is damaged.
        FileNotFoundError: When `IMAGEGEN_DATA` is set and a file isn't there.
        OSError: When the source is `"oxford"` and can't be downloaded.

    Example:

        ```python
        from imagegen import datasets

        images, labels, names = datasets.flowers("captioned", image_size=16, split="test")
        assert images.shape == (500, 16, 16, 3)
        ```

    Reference:
        Nilsback and Zisserman, "Automated flower classification over a large number of classes",
        2008.
    """
    check_choice(source, "source", ("auto", "oxford", "captioned"))
    check_integer(image_size, "image_size", minimum=1)
    _check_split(split)
    if source != "captioned":
        try:
            return _oxford(image_size, split)
        except DownloadError as error:
            _explain_or_warn(
                source, error, "drawn flowers", "102flowers.tgz and imagelabels.mat",
                embedded="captioned",
            )  # fmt: skip
    return _drawn(image_size, split)


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
        ValueError: When an argument is out of range.

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
    warnings.warn(
        f"Using {instead} instead of the original data: {error}. {advice} to use the original, or "
        f"say source={embedded!r} to silence this.",
        UserWarning,
        stacklevel=3,
    )


def _original(name: str, url: str, **checksum: str) -> Path:
    """The path of an original file: in `IMAGEGEN_DATA` where that is set, else downloaded."""
    folder = os.environ.get("IMAGEGEN_DATA")
    if not folder:
        return fetch(url, cache_folder() / name, **checksum)
    path = Path(folder).expanduser() / name
    if not path.is_file():
        raise FileNotFoundError(
            f"IMAGEGEN_DATA must name a folder with the file {name}. "
            f"Received: IMAGEGEN_DATA={folder}. Unset it to download the file."
        )
    return path


# Digits


def _mnist(split: str | None) -> Digits:
    path = _original("mnist.npz", _MNIST_URL, sha256=_MNIST_SHA256)
    with reading(path, "MNIST as a NumPy archive"):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_DIGITS_BYTES:
                raise ValueError(f"it unpacks to more than {_MAX_DIGITS_BYTES} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            parts = [_checked_digits(arrays, part) for part in _SPLITS if split in (None, part)]
    return Digits(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _checked_digits(arrays: "np.lib.npyio.NpzFile", part: str) -> Digits:
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
    return Digits(images[..., None], labels.astype("int64"))


def _uci(split: str | None) -> Digits:
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    images = np.zeros((len(small), 28, 28, 1), "uint8")
    for image, values in zip(images, small.reshape(-1, 8, 8) * (255 / 16), strict=True):
        enlarged = Image.fromarray(values.astype("float32")).resize(
            (20, 20), Image.Resampling.BICUBIC
        )
        image[4:24, 4:24, 0] = np.clip(np.asarray(enlarged), 0, 255).round()
    chosen = {
        None: slice(None),
        "train": slice(_NUM_UCI_TRAINING_DIGITS),
        "test": slice(_NUM_UCI_TRAINING_DIGITS, None),
    }[split]
    return Digits(images[chosen], labels.astype("int64")[chosen])


# Flowers


def _oxford(image_size: int, split: str | None) -> Flowers:
    archive, labels_file = (
        _original(name, _OXFORD_URL + name, md5=md5) for name, md5 in _OXFORD_MD5.items()
    )
    all_labels = species_labels(labels_file)
    images, numbers = decoded_photographs(archive, image_size)
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
    return Flowers(images[chosen], all_labels[numbers - 1][chosen], list(FLOWER_NAMES))


def _position(number: int) -> bytes:
    return hashlib.sha256(b"flower %d" % number).digest()


def _chosen(held_out: np.ndarray, split: str | None) -> np.ndarray | slice:
    return slice(None) if split is None else held_out == (split == "test")


def _drawn(image_size: int, split: str | None) -> Flowers:
    images, _, attributes = captioned_flowers(_NUM_CAPTIONED_FLOWERS, image_size=image_size)
    names = list(_CAPTIONED_COLORS)
    labels = np.array([names.index(flower.petal_color) for flower in attributes])
    chosen = _chosen(np.arange(len(images)) >= len(images) - _NUM_TEST_FLOWERS, split)
    return Flowers(images[chosen], labels[chosen], [f"{name} flower" for name in names])
