"""Stable Diffusion 3, with KerasHub's networks and this package's own loop.

Nothing heavy is loaded before a model is.
"""

from pathlib import Path

from imagegen._checks import check_integer
from imagegen._contracts import check_kind, checked
from imagegen.sd3.concepts import add_concept as add_concept
from imagegen.sd3.concepts import learn_concept as learn_concept
from imagegen.sd3.concepts import read_concept as read_concept
from imagegen.sd3.loading import checked_dtype, checked_image_shape, load_task
from imagegen.sd3.loading import weight_bytes as weight_bytes
from imagegen.sd3.model import StableDiffusion3 as StableDiffusion3
from imagegen.sd3.schedule import SD3Schedule as SD3Schedule
from imagegen.sd3.toy import tiny_task


def load(
    preset: str | Path,
    *,
    image_size: int | tuple[int, int] = 512,
    dtype: str | None = None,
) -> StableDiffusion3:
    """Loads Stable Diffusion 3 or 3.5.

    The weights are downloaded once and kept. Before that it is seen to it that they fit into
    memory. Those of the names below are behind a licence that has to be accepted on Kaggle.

    Args:
        preset: A name that KerasHub knows, `"stable_diffusion_3_medium"`,
            `"stable_diffusion_3.5_medium"`, `"stable_diffusion_3.5_large"` or
            `"stable_diffusion_3.5_large_turbo"`; the folder of a saved preset; or an address that
            begins with `kaggle://` or `hf://`.
        image_size: Pixels of a side, or height and width, divisible by 16.
        dtype: What the network computes in: `"bfloat16"`, `"float16"` or `"float32"`. By default
            float32 on a CPU and bfloat16 elsewhere. float16 is refused on a CPU.

    Returns:
        The model.

    Raises:
        ValueError: If an argument is out of range, or the preset is none of Stable Diffusion 3.
        MemoryError: If the weights don't fit into memory.
        PermissionError: If credentials are missing or the licence is not accepted.
        ConnectionError: If the weights have to be downloaded and can't be.
        ImportError: If KerasHub is not installed.

    Example:
        ```python
        import tempfile
        from imagegen import sd3

        folder = tempfile.mkdtemp()
        sd3.tiny().task.save_to_preset(folder)
        model = sd3.load(folder, image_size=64)
        assert model.image_shape == (64, 64, 3)
        ```
    """
    # Not by `checked`: what goes wrong while weights are loaded is seldom the arguments' fault.
    check_kind(preset, "preset", str | Path)
    check_kind(image_size, "image_size", int | tuple[int, int])
    check_kind(dtype, "dtype", str | None)
    return StableDiffusion3(
        load_task(preset, checked_image_shape(image_size), checked_dtype(dtype))
    )


@checked
def tiny(
    *,
    seed: int = 0,
    image_size: int | tuple[int, int] = 64,
    dtype: str | None = None,
    hidden_dim: int = 16,
    num_layers: int = 1,
) -> StableDiffusion3:
    """Builds a Stable Diffusion 3 of 404,667 random weights, for which nothing is downloaded.

    It has every part of the real one, the tokenizer included, and every shape but the widths. So
    what runs with it runs with the real one. What it paints is noise.

    Args:
        seed: A non-negative integer. The same seed gives the same weights.
        image_size: Pixels of a side, or height and width, divisible by 16.
        dtype: What it computes in, as for `load`.
        hidden_dim: The width of the transformer, an even number.
        num_layers: Its depth.

    Returns:
        The model.

    Example:
        ```python
        from imagegen import sd3

        model = sd3.tiny()
        assert model.backbone.count_params() < 1_000_000
        ```
    """
    return StableDiffusion3(
        tiny_task(
            check_integer(seed, "seed", minimum=0),
            checked_image_shape(image_size),
            checked_dtype(dtype),
            check_integer(hidden_dim, "hidden_dim", minimum=2),
            check_integer(num_layers, "num_layers", minimum=1),
        )
    )
