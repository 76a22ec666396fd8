"""Presets: trained models by name, small enough to travel in the package.

A preset is an ordinary `.keras` file that `keras.saving.load_model` opens. Its matrices and kernels
are stored in half precision, equal arrays once, everything compressed, and without the optimizer.
One whose matrices take a byte a number is smaller still, and `from_preset` alone opens it.
"""

import hashlib
import io
import json
import random
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from imagegen import _download
from imagegen._cache import cache_folder
from imagegen._contracts import checked
from imagegen._files import whole_file

import h5py
import keras
import numpy as np

_FOLDER = Path(__file__).parent / "weights"
# What a preset may unpack to: any small file to this, and a large one to so many times its size.
# Weights hardly shrink, so that what shrinks to a hundredth isn't weights.
_ANY_BYTES, _LARGEST_RATIO = 1 << 26, 100
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # The earliest that a zip file can hold.
_LARGEST_HALF = float(np.finfo("float16").max)
# Keras's name for the weights, and the one under which Keras doesn't find what it would misread.
_WEIGHTS, _BYTES = "model.weights.h5", "model.weights.8bit.h5"
# Smaller matrices stay in half precision: there is nothing to save.
_LEAST_BYTES = 1024

Model = TypeVar("Model", bound=keras.Model)
# An array as it lies in a file, and the scale by which its bytes are to be multiplied.
_Stored = tuple[np.ndarray, np.ndarray | None]


@checked
@dataclass(frozen=True, kw_only=True)
class Preset:
    """What the package knows about one trained model.

    Attributes:
        name: What `from_preset` takes.
        description: What the model makes, in one sentence.
        data: What it was trained on.
        licence: The licence of that data.
        training: What its training cost: epochs, hardware and time, in one sentence.
        metrics: What was measured on data that training never saw, in one sentence.
        recipe: The script that made it, a path in the repository.
        sha256: The file's checksum, 64 hexadecimal digits.
        url: Where the file is, or an empty string when it travels in the package.
        file: The name of the preset whose file it is, or an empty string for one of its own.
        part: The attribute of the model in that file that the preset is, or an empty string where
            it is the whole.

    Example:
        ```python
        import imagegen

        preset = imagegen.preset_info("digits-2d")
        print(preset.description, preset.metrics)
        ```
    """

    name: str
    description: str
    data: str
    licence: str
    training: str
    metrics: str
    recipe: str
    sha256: str
    url: str = ""
    file: str = ""
    part: str = ""


def list_presets() -> list[str]:
    """Lists the trained models that come with the package.

    Returns:
        Their names, in alphabetical order.

    Example:
        ```python
        import imagegen

        for name in imagegen.list_presets():
            print(name, imagegen.preset_info(name).description)
        ```
    """
    return list(_presets())


@checked
def preset_info(name: str) -> Preset:
    """Says what the package knows about a trained model.

    Args:
        name: A name that `list_presets` gives.

    Returns:
        What the model makes, what it was trained on, what was measured, and where its file is.

    Raises:
        ValueError: If there is no preset of that name.

    Example:
        ```python
        import imagegen

        print(imagegen.preset_info("digits-2d").metrics)
        ```
    """
    presets = _presets()
    if name not in presets:
        raise ValueError(f"`name` must be one of {list_presets()}. Received: {name!r}")
    return presets[name]


@cache
def _presets() -> dict[str, Preset]:
    entries = json.loads((_FOLDER / "presets.json").read_text(encoding="utf-8"))
    return {name: Preset(name=name, **entry) for name, entry in sorted(entries.items())}


@checked
def save_preset(model: keras.Model, path: str | Path, *, bits: int = 16) -> str:
    r"""Writes a model as a small `.keras` file that any backend loads into float32 variables.

    Floating-point arrays of two or more axes are stored as float16. Biases, statistics and
    integers keep their type. Arrays that are equal after that, like a network and its averaged
    clone, are stored once. The optimizer is left out. Equal models give equal bytes.

    With `bits=8`, a matrix or kernel $w$ of a thousand numbers or more is stored as one byte each,
    and a scale for each output channel $c$, so that nothing is off by more than half a scale:

    $$w_{\ldots c} \approx s_c\, q_{\ldots c}, \qquad s_c = \max_{\ldots} |w_{\ldots c}| / 127.$$

    The file is half as large. `from_preset` reads it; `keras.saving.load_model` refuses it.

    Args:
        model: A built model.
        path: Where the file goes; it ends in `.keras`.
        bits: 16 or 8.

    Returns:
        The file's SHA-256 digest, which its entry in the list of presets needs.

    Raises:
        ValueError: If `path` has another ending, `bits` is another number, or a weight is NaN or
            infinite.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import keras
        from imagegen import VAE, digit_decoder, digit_encoder, save_preset

        path = Path(tempfile.mkdtemp()) / "untrained.keras"
        save_preset(VAE(digit_encoder(), digit_decoder()), path)
        assert isinstance(keras.saving.load_model(path), VAE)
        ```

    Reference:
        Eight bits: Jacob et al., [Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference](https://arxiv.org/abs/1712.05877), 2018, section 2.1,
        symmetric and for each channel.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
    if bits not in (8, 16):
        raise ValueError(f"`bits` must be 16 or 8. Received: bits={bits!r}")
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "model.keras"
        model.save(full)
        with zipfile.ZipFile(full) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
    members["metadata.json"] = json.dumps({"keras_version": keras.__version__}).encode()
    config = _reproducible(json.loads(members["config.json"]), {})
    members["config.json"] = json.dumps(config).encode()
    weights = members.pop(_WEIGHTS)
    if bits == 8:
        members[_BYTES] = _rewritten(weights, _quantize)
    else:
        members[_WEIGHTS] = _rewritten(weights, _halve)

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=_FIXED_DATE)
            archive.writestr(member, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    with whole_file(path) as partial:
        partial.write_bytes(buffer.getvalue())
    return _download.file_sha256(path)


@checked
def load(name: str | Path, model_class: type[Model]) -> Model:
    """Loads a trained model: what the models' `from_preset` methods do.

    Args:
        name: A name that `list_presets` gives; the path of a `.keras` file; or the address of one,
            followed by its checksum: `https://.../model.keras#sha256=<64 hexadecimal digits>`.
        model_class: What the file has to hold.

    Returns:
        The model, not compiled for training.

    Raises:
        ValueError: If there is no such preset, its checksum is wrong, the file cannot be read,
            or it holds a model of another class.
        DownloadError: If the network fails.

    Example:
        ```python
        import keras
        from imagegen import presets

        # Whichever class it is.
        vae = presets.load("digits-2d", keras.Model)
        assert type(vae).__name__ == "VAE"
        ```
    """
    path = _find(str(name))
    # New layers draw seeds from Python's random state, though their weights are replaced.
    state = random.getstate()
    try:
        with tempfile.TemporaryDirectory() as folder:
            widened = _widened(path, Path(folder) / path.name)
            # The safe mode, Keras's default, refuses files that carry code.
            model = keras.saving.load_model(widened, compile=False, safe_mode=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be loaded: it is damaged, or no model of this package. "
            f"Received: name={str(name)!r}. {error}"
        ) from error
    finally:
        random.setstate(state)
    if name in _presets() and (part := preset_info(str(name)).part):
        model = getattr(model, part)
    if not isinstance(model, model_class):
        raise ValueError(
            f"`name` must be a preset of {model_class.__name__}. "
            f"Received: {str(name)!r}, a {type(model).__name__}"
        )
    return model


def _find(name: str) -> Path:
    """Returns the verified file behind a name, an address or a path."""
    preset = _presets().get(name)
    if preset is not None and not preset.url:
        path = _FOLDER / f"{preset.file or name}.keras"
        if not path.is_file() or _download.file_sha256(path) != preset.sha256:
            raise ValueError(
                f"The preset {name!r} is missing or damaged: {path} does not have the checksum "
                f"{preset.sha256}. Install imagegen again."
            )
        return path
    address = name if preset is None else f"{preset.url}#sha256={preset.sha256}"
    if re.match(r"https?://", address):
        url, _, sha256 = address.partition("#sha256=")
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(
                "An address of a preset must end in its checksum, #sha256=<64 hexadecimal "
                f"digits>. Received: name={name!r}"
            )
        return _download.fetch(url, cache_folder() / "presets" / f"{sha256}.keras", sha256=sha256)
    if not Path(name).is_file():
        known = ", ".join(map(repr, list_presets()))
        raise ValueError(
            f"`name` must be the path of a .keras file or one of {known}. Received: name={name!r}"
        )
    return Path(name)


def _widened(path: Path, copy: Path) -> Path:
    """Writes a preset with its arrays in single precision.

    Keras would convert them, by a program that JAX compiles anew for every shape: half of the time
    in which a preset was loaded.
    """
    room = _room_of(path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        room.take(sum(member.file_size for member in source.infolist()))
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".h5"):
                content = _rewritten(content, _widen, _room_of(path))
            target.writestr(_WEIGHTS if name == _BYTES else name, content)
    return copy


class _Room:
    """How many bytes may still be unpacked, because the file says so and not because there are."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {self.size} bytes")


def _room_of(path: Path) -> _Room:
    return _Room(_ANY_BYTES + _LARGEST_RATIO * path.stat().st_size)


def _widen(dataset: h5py.Dataset) -> _Stored:
    array, scale = dataset[()], dataset.attrs.get("scale")
    if scale is None:
        return (array.astype("float32") if array.dtype == "float16" else array), None
    if array.dtype != "int8" or np.shape(scale) != array.shape[-1:]:
        raise ValueError(f"{dataset.name} does not fit its scale")
    return array * scale.astype("float32"), None


def _reproducible(config: Any, numbers: dict[int, int]) -> Any:
    """Returns a model's configuration without what differs from run to run."""
    if isinstance(config, list):
        return [_reproducible(item, numbers) for item in config]
    if not isinstance(config, dict):
        return config
    kept = {key: value for key, value in config.items() if key != "compile_config"}
    if "shared_object_id" in kept:
        # Keras writes the object's address in memory; only which ones are equal matters.
        address = kept["shared_object_id"]
        kept["shared_object_id"] = numbers.setdefault(address, len(numbers))
    return {key: _reproducible(value, numbers) for key, value in kept.items()}


def _rewritten(
    weights: bytes, change: Callable[[h5py.Dataset], _Stored], room: "_Room | None" = None
) -> bytes:
    """Returns a Keras weights file without optimizers and with its arrays changed, equal ones once.

    Args:
        weights: The content of the file.
        change: A function that returns what is to be stored of an array.
        room: What the arrays may take, of a stranger's file: they are compressed within it, too.
    """
    buffer = io.BytesIO()
    stored: dict[tuple[str, tuple[int, ...], bytes], h5py.Dataset] = {}

    def copy(source: h5py.Group, target: h5py.Group) -> None:
        target.attrs.update(source.attrs)
        # Not `visititems`, which passes over second names of an array.
        for name in source:
            # Of the model itself, or of a compiled one within it.
            if name == "optimizer":
                continue
            # Keras refuses what leads out of the file, and must find it refused here.
            if not isinstance(source.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link to somewhere else")
            item = source[name]
            if isinstance(item, h5py.Group):
                copy(item, target.require_group(name))
                continue
            if item.external or item.is_virtual:
                raise ValueError(f"{item.name} is kept in another file")
            if room is not None:
                room.take(item.size * item.dtype.itemsize)
            array, scale = change(item)
            digest = hashlib.sha256(array.tobytes())
            digest.update(b"" if scale is None else scale.tobytes())
            key = (array.dtype.str, array.shape, digest.digest())
            if key in stored:
                target[name] = stored[key]  # A hard link: a second name of the same array.
                continue
            stored[key] = target.create_dataset(name, data=array)
            kept = {key: value for key, value in item.attrs.items() if key != "scale"}
            stored[key].attrs.update(kept if scale is None else {**kept, "scale": scale})

    with h5py.File(io.BytesIO(weights)) as source, h5py.File(buffer, "w") as target:
        copy(source, target)
    return buffer.getvalue()


def _halve(dataset: h5py.Dataset) -> _Stored:
    """Returns a kernel or matrix as float16 where it fits, and anything else as it is."""
    array = dataset[()]
    if array.dtype.kind != "f":
        return array, None
    if not np.isfinite(array).all():
        raise ValueError(f"The weights must be finite. Received: NaN or infinity in {dataset.name}")
    # Vectors and scalars hold biases and statistics: tiny files, large effects.
    fits = array.ndim >= 2 and np.abs(array).max(initial=0) <= _LARGEST_HALF
    return (array.astype("float16") if fits else array), None


def _quantize(dataset: h5py.Dataset) -> _Stored:
    """Returns a kernel or matrix as bytes and a scale for each of its last axis."""
    array, _ = _halve(dataset)
    if array.dtype.kind != "f" or array.ndim < 2 or array.size < _LEAST_BYTES:
        return array, None
    array = dataset[()]
    largest = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
    scale = np.where(largest > 0, largest / 127, 1).astype("float32")
    return np.round(array / scale).astype("int8"), scale
