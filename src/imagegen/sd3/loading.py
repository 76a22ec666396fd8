"""Loading Stable Diffusion 3: what fits, and what to do where weights can't be had."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagegen._checks import check_choice, check_integer
from imagegen._contracts import checked

import keras

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_ADDRESSES = ("kaggle://", "hf://", "modelscope://", "gs://")


def checked_image_shape(image_size: int | tuple[int, int]) -> tuple[int, int, int]:
    """Returns `(height, width, 3)`."""
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(check_integer(side, "image_size", minimum=16) % 16 for side in sides):
        raise ValueError(
            "`image_size` must be one number or height and width, divisible by 16. "
            f"Received: image_size={image_size!r}"
        )
    return (*sides, 3)  # type: ignore[return-value]


def checked_dtype(dtype: str | None) -> str:
    """Returns what to compute in, on the device that there is."""
    on_cpu = "cpu" in keras.distribution.list_devices()[0].lower()
    if dtype is None:
        return "float32" if on_cpu else "bfloat16"
    check_choice(dtype, "dtype", tuple(_BYTES))
    if dtype == "float16" and on_cpu:
        raise ValueError(
            "`dtype` must not be 'float16' on a CPU, which has no matrix product that takes "
            "float16 and adds up in float32, as attention does. Take 'bfloat16', of the same size, "
            "or 'float32', which is faster there. Received: dtype='float16'"
        )
    return dtype


@checked
def weight_bytes(preset: str | Path, dtype: str = "bfloat16") -> int | None:
    """Returns how much memory the weights of a preset take, before anything is downloaded.

    Pictures in the making come on top of it: some gigabytes at 1024 x 1024 pixels.

    Args:
        preset: A name that KerasHub knows, or the folder of a saved preset.
        dtype: What the weights are kept in.

    Returns:
        The number of weights times the bytes of each; `None` for an address, of which nothing is
        known.

    Raises:
        ValueError: If the preset is unknown.

    Example:
        ```python
        from imagegen import sd3

        gigabytes = sd3.weight_bytes("stable_diffusion_3_medium") / 1e9
        assert round(gigabytes, 1) == 6.0
        ```
    """
    check_choice(dtype, "dtype", tuple(_BYTES))
    preset = str(preset)
    if preset.startswith(_ADDRESSES):
        return None
    known = _keras_hub().models.StableDiffusion3TextToImage.presets
    if preset in known:
        return known[preset]["metadata"]["params"] * _BYTES[dtype]
    metadata = Path(preset) / "metadata.json"
    if not metadata.is_file():
        names = ", ".join(map(repr, sorted(known)))
        raise ValueError(
            f"`preset` must be one of {names}, the folder of a saved preset, or an address that "
            f"begins with one of {', '.join(_ADDRESSES)}. Received: preset={preset!r}"
        )
    return json.loads(metadata.read_text("utf-8"))["parameter_count"] * _BYTES[dtype]


def load_task(preset: str | Path, image_shape: tuple[int, int, int], dtype: str) -> Any:
    """Returns KerasHub's text-to-image task, or says what to do to get it."""
    needed, available = weight_bytes(preset, dtype), _memory()
    if needed is not None and available is not None and needed > available:
        raise MemoryError(
            f"The weights of {str(preset)!r} take {needed / 1e9:.1f} GB in {dtype}, and this "
            f"machine has {available / 1e9:.1f} GB. Take a smaller preset, dtype='bfloat16', or a "
            "larger machine."
        )
    try:
        return _keras_hub().models.StableDiffusion3TextToImage.from_preset(
            str(preset), image_shape=image_shape, dtype=dtype
        )
    except Exception as error:
        raise _explained(error, str(preset)) from error


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            "Stable Diffusion 3 needs KerasHub and TensorFlow, which reads its prompts: "
            "pip install 'imagegen[sd3]'."
        ) from error
    return keras_hub


def _memory() -> int | None:
    """The bytes that the device has in all, where they can be found out."""
    if "cpu" in keras.distribution.list_devices()[0].lower():
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None
    if keras.backend.backend() != "jax":
        return None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit")


def _explained(error: Exception, preset: str) -> Exception:
    """An error that says what to do, in the place of one from deep inside a download."""
    causes = list(_causes(error))
    text = " ".join(map(str, causes)).lower()
    refusals = ("401 client", "403 client", "forbidden", "unauthorized", "permission", "gated")
    if any(type(cause).__name__ == "UnauthenticatedError" for cause in causes) or any(
        word in text for word in refusals
    ):
        return PermissionError(
            f"The weights of {preset!r} are given to those alone who accepted their licence. Sign "
            "in on kaggle.com, accept the licence on the model's page there (Models, 'Stable "
            "Diffusion 3'), make an API token in the account's settings, and save it as "
            "~/.kaggle/kaggle.json or set KAGGLE_USERNAME and KAGGLE_KEY. For an address that "
            "begins with hf://, do the same on huggingface.co and set HF_TOKEN."
        )
    if any(isinstance(cause, ConnectionError | TimeoutError) for cause in causes) or any(
        type(cause).__name__ in ("ConnectionError", "Timeout", "ReadTimeout", "MaxRetryError")
        for cause in causes
    ):
        return ConnectionError(
            f"The weights of {preset!r} are not on this machine yet, and their server could not be "
            "reached. Try again with a network. Or load them once on another machine, save them "
            "with `model.task.save_to_preset(folder)`, copy the folder, and give its path to "
            "`sd3.load`. `sd3.tiny()` needs no weights."
        )
    return error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
