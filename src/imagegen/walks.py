"""Ways from prompt to prompt under one noise, and through noise: animations and grids."""

from collections.abc import Sequence
from typing import Any, Unpack

from imagegen._checks import check_integer
from imagegen._contracts import check_kind, checked, renamed, shortened
from imagegen.conditioning import Conditions
from imagegen.generation import ImageGenerator
from imagegen.interpolation import slerp, walk
from imagegen.samplers import checked_seed, initial_noise
from imagegen.sampling import SamplingOptions

import numpy as np
from tqdm import tqdm


@checked
def prompt_walk(
    model: ImageGenerator,
    prompts: str | Sequence[Any],
    num_frames: int,
    *,
    closed: bool = False,
    between: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 8,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    """Walks from prompt to prompt through what the model takes them for.

    The prompts are encoded, and the way between two codes is that of [slerp][imagegen.slerp],
    along a great circle.

    All frames begin with the same noise, so that only the prompt changes from one to the next.

    Args:
        model: A model that takes prompts.
        prompts: Two prompts or more.
        num_frames: How many frames there are in all.
        closed: Whether to walk back to the first prompt. The frame that would repeat the first one
            is left out.
        between: The part of the way to walk, from 0 to 1: `(0.5, 0.6)` is a tenth of it, in which
            one thing becomes another.
        batch_size: Frames that are painted at a time.
        **options: How to sample, by the names of `SamplingOptions`: one seed, and of negative
            prompts one for all.

    Returns:
        uint8 pictures `(num_frames, height, width, channels)`.

    Raises:
        ValueError: If an argument is out of range or the model doesn't know a prompt.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64-species")
        frames = imagegen.prompt_walk(model, ["sunflower", "rose"], 3, num_steps=4, seed=0)
        assert frames.shape == (3, 64, 64, 3)
        ```

    Reference:
        Shoemake, [Animating Rotation with Quaternion
        Curves](https://doi.org/10.1145/325165.325242), 1985, for the way along a great circle.
    """
    check_integer(num_frames, "num_frames", minimum=2)
    ends = model.encode_prompts(_listed(prompts, 2))
    frames = [walk(end, num_frames, closed=closed, between=between) for end in ends]
    return _paint(model, frames, batch_size, options)


@checked
def noise_walk(
    model: ImageGenerator,
    prompt: Any,
    num_frames: int,
    *,
    batch_size: int = 8,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    r"""Walks in a circle through noise, under one prompt: an animation that closes.

    With two noises $\epsilon_1$ and $\epsilon_2$, frame $i$ of $n$ begins with

    $$\cos\!\left(2 \pi \tfrac{i}{n}\right) \epsilon_1
    + \sin\!\left(2 \pi \tfrac{i}{n}\right) \epsilon_2,$$

    which is standard normal noise all the way around.

    Args:
        model: A model that takes prompts.
        prompt: A prompt.
        num_frames: How many frames there are. The last one is followed by the first.
        batch_size: Frames that are painted at a time.
        **options: How to sample, by the names of `SamplingOptions`: one seed, and of negative
            prompts one for all.

    Returns:
        uint8 pictures `(num_frames, height, width, channels)`.

    Raises:
        ValueError: If an argument is out of range or the model doesn't know the prompt.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64-species")
        frames = imagegen.noise_walk(model, "rose", 4, num_steps=4, seed=0)
        assert frames.shape == (4, 64, 64, 3)
        ```
    """
    check_integer(num_frames, "num_frames", minimum=2)
    (prompt,) = _listed(prompt, 1, exactly=True, name="prompt")
    with renamed("prompts", "prompt"):
        encoded = model.encode_prompts([prompt])
    frames = [np.repeat(end, num_frames, axis=0) for end in encoded]
    seed = _one_seed(options)
    angles = 2 * np.pi * np.arange(num_frames) / num_frames
    first, second = initial_noise(2, model.sample_shape, seed)
    noise = np.multiply.outer(np.cos(angles), first) + np.multiply.outer(np.sin(angles), second)
    return _paint(model, frames, batch_size, options | {"seed": seed}, noise)


@checked
def prompt_grid(
    model: ImageGenerator,
    prompts: str | Sequence[Any],
    size: int,
    *,
    batch_size: int = 8,
    **options: Unpack[SamplingOptions],
) -> np.ndarray:
    """Spreads four prompts over a square, one in each corner.

    Rows go from the left prompts to the right ones, and columns from the upper to the lower ones,
    both along great circles, as in `prompt_walk`: first along the row, above and below, and then
    down between the two. All pictures begin with the same noise.

    Args:
        model: A model that takes prompts.
        prompts: Four prompts: upper left, upper right, lower left, lower right.
        size: Pictures along a side, at least 2.
        batch_size: Pictures that are painted at a time.
        **options: How to sample, by the names of `SamplingOptions`: one seed, and of negative
            prompts one for all.

    Returns:
        uint8 pictures `(size * size, height, width, channels)`, row by row: `imagegen.grid` shows
        them as a square.

    Raises:
        ValueError: If an argument is out of range or the model doesn't know a prompt.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64-species")
        names = ["sunflower", "rose", "hibiscus", "passion flower"]
        images = imagegen.prompt_grid(model, names, 2, num_steps=4, seed=0)
        assert images.shape == (4, 64, 64, 3)
        ```
    """
    check_integer(size, "size", minimum=2)
    corners = model.encode_prompts(_listed(prompts, 4, exactly=True))
    steps = np.linspace(0, 1, size)
    rows, columns = np.repeat(steps, size), np.tile(steps, size)
    cells = []
    for corner in corners:
        four = [np.repeat(one[None], size * size, axis=0) for one in corner]
        cells.append(slerp(rows, slerp(columns, *four[:2]), slerp(columns, *four[2:])))
    return _paint(model, cells, batch_size, options)


def _paint(
    model: ImageGenerator,
    conditions: list[np.ndarray],
    batch_size: int,
    options: SamplingOptions,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Pictures in batches of one size, so that one program serves all; under one noise at first."""
    count = len(conditions[0])
    batch_size = min(check_integer(batch_size, "batch_size", minimum=1), count)
    seed = _one_seed(options)
    options = options | {"seed": seed}
    if noise is None:
        noise = np.repeat(initial_noise(1, model.sample_shape, seed), count, axis=0)
    pictures = []
    for start in tqdm(range(0, count, batch_size), desc="frames", delay=1, leave=False):
        rows = np.minimum(np.arange(start, start + batch_size), count - 1)
        some = Conditions(*(array[rows] for array in conditions))
        pictures.append(model.generate(some, noise=noise[rows], **options))
    return np.concatenate(pictures)[:count]


def _one_seed(options: SamplingOptions) -> int:
    seed = options.get("seed")
    if seed is not None and np.ndim(seed) > 0:
        raise ValueError(f"`seed` must be one for all frames. Received: seed={seed!r}")
    return checked_seed(seed)  # type: ignore[arg-type]


def _listed(prompts: Any, count: int, *, exactly: bool = False, name: str = "prompts") -> list[Any]:
    if not isinstance(prompts, str):
        # In an order, whatever a prompt is.
        prompts = check_kind(prompts, name, Sequence[Any])
    given = [prompts] if isinstance(prompts, str) else list(prompts)
    if len(given) < count or (exactly and len(given) != count):
        at_least = "" if exactly else "at least "
        raise ValueError(
            f"`{name}` must be {at_least}{count} prompts. Received: {shortened(prompts)}"
        )
    return given
