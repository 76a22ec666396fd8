"""Presets: trained models by name, small enough to travel in the package.

A preset is an ordinary `.keras` file that `keras.saving.load_model` opens. Its matrices and kernels
are stored in half precision, equal arrays once, everything compressed, and without the optimizer.
"""

import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from imagegen import _download
from imagegen._files import whole_file

import h5py
import keras
import numpy as np

_FOLDER = Path(__file__).parent / "weights"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # The earliest that a zip file can hold.
_LARGEST_HALF = float(np.finfo("float16").max)

Model = TypeVar("Model", bound=keras.Model)


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


def save_preset(model: keras.Model, path: str | Path) -> str:
    """Writes a model as a small `.keras` file that any backend loads into float32 variables.

    Floating-point arrays of two or more axes are stored as float16. Biases, statistics and
    integers keep their type. Arrays that are equal after that, like a network and its averaged
    clone, are stored once. The optimizer is left out. Equal models give equal bytes.

    Args:
        model: A built model.
        path: Where the file shall be; it ends in `.keras`.

    Returns:
        The file's SHA-256 digest, which its entry in the list of presets needs.

    Raises:
        ValueError: If `path` has another ending, or a weight is NaN or infinite.

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
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "model.keras"
        model.save(full)
        with zipfile.ZipFile(full) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
    members["metadata.json"] = json.dumps({"keras_version": keras.__version__}).encode()
    config = _reproducible(json.loads(members["config.json"]), {})
    members["config.json"] = json.dumps(config).encode()
    members["model.weights.h5"] = _rewritten(members["model.weights.h5"], _halve)

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=_FIXED_DATE)
            archive.writestr(member, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    with whole_file(path) as partial:
        partial.write_bytes(buffer.getvalue())
    return _download.file_sha256(path)


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
    try:
        with tempfile.TemporaryDirectory() as folder:
            widened = _widened(path, Path(folder) / path.name)
            # The safe mode, Keras's default, refuses files that carry code.
            model = keras.saving.load_model(widened, compile=False, safe_mode=True)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be loaded: it is damaged, or no model of this package. {error}"
        ) from error
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
        return _download.fetch(
            url, _download.cache_folder() / "presets" / f"{sha256}.keras", sha256=sha256
        )
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
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, _rewritten(content, _widen) if name.endswith(".h5") else content)
    return copy


def _widen(array: np.ndarray, path: str) -> np.ndarray:
    return array.astype("float32") if array.dtype == "float16" else array


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


def _rewritten(weights: bytes, change: Callable[[np.ndarray, str], np.ndarray]) -> bytes:
    """Returns a Keras weights file without optimizers and with its arrays changed, equal ones once.

    Args:
        weights: The content of the file.
        change: A function of an array and its path in the file.
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
            array = change(item[()], item.name)
            digest = hashlib.sha256(array.tobytes()).digest()
            key = (array.dtype.str, array.shape, digest)
            if key in stored:
                target[name] = stored[key]  # A hard link: a second name of the same array.
                continue
            stored[key] = target.create_dataset(name, data=array)
            stored[key].attrs.update(item.attrs)

    with h5py.File(io.BytesIO(weights)) as source, h5py.File(buffer, "w") as target:
        copy(source, target)
    return buffer.getvalue()


def _halve(array: np.ndarray, path: str) -> np.ndarray:
    """Returns a kernel or matrix as float16 where it fits, and anything else as it is."""
    if array.dtype.kind != "f":
        return array
    if not np.isfinite(array).all():
        raise ValueError(f"The weights must be finite. Received: NaN or infinity in {path}")
    # Vectors and scalars hold biases and statistics: tiny files, large effects.
    fits = array.ndim >= 2 and np.abs(array).max(initial=0) <= _LARGEST_HALF
    return array.astype("float16") if fits else array
