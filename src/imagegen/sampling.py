"""What is asked of a model that generates: prompts, a count, and the options of sampling."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, get_type_hints

from imagegen._checks import check_integer
from imagegen._contracts import check_kind, shortened
from imagegen.conditioning import Conditions
from imagegen.samplers import DDIM, MAX_STEPS, Sampler

import numpy as np

Prompts = str | Sequence[Any] | np.ndarray | Conditions
"""A prompt, several, or what `encode_prompts` made of them."""


class SamplingOptions(TypedDict, total=False):
    """How pictures are sampled: all that samples takes these options, by name.

    What is left out is the model's own: its attribute `sampling` says what measured best for it,
    and what that leaves out is as below.

    Attributes:
        negative_prompts: What the pictures should not show: one prompt for all, one a picture, or
            what `encode_prompts` returned. `None` is the empty prompt, and the default.
        guidance_scale: How far sampling moves away from the negative prompts, at least 0. At 1 the
            model paints what it learned; above, it follows the prompts more firmly, and its
            pictures are less varied. It is not used without prompts. `None` paints as 1 does, in
            half of the time. 3 by default.
        guidance_rescale: How much of the contrast that guidance adds is taken back, from 0 to 1. It
            keeps strongly guided pictures from burning out. 0 by default.
        num_steps: Steps from noise to picture, from 1 to 1000. The work grows with it. 20 by
            default.
        sampler: How a step is taken: an object, such as `imagegen.DPMSolver2M()`.
            `imagegen.DDIM()` by default.
        seed: A non-negative integer, or one for each picture, which then is the picture that its
            seed gives alone. `None`, the default, draws one from Keras's global random state. Only
            then does that move. Samplers that draw noise on the way draw it from the backend's
            generator, so that their pictures differ from backend to backend.

    Example:
        ```python
        import imagegen

        options = imagegen.SamplingOptions(num_steps=5, sampler=imagegen.Heun(), seed=1)
        model = imagegen.DiffusionModel.from_preset("flowers-64")
        images = model.generate(2, **options)
        ```
    """

    negative_prompts: Prompts | None
    guidance_scale: float | None
    guidance_rescale: float
    num_steps: int
    sampler: Sampler
    seed: int | Sequence[int] | None


DEFAULTS: SamplingOptions = {
    "negative_prompts": None,
    "guidance_scale": 3.0,
    "guidance_rescale": 0.0,
    "num_steps": 20,
    "sampler": DDIM(),
    "seed": None,
}


def checked_sampling(options: Mapping[str, Any]) -> SamplingOptions:
    """Returns sampling options whose names are known and whose values are in range."""
    for name in options:
        if name not in DEFAULTS:
            raise TypeError(
                f"`{name}` is no sampling option. There are {', '.join(map(repr, DEFAULTS))}. "
                f"Received: {name}={shortened(options[name])}"
            )
    checked = SamplingOptions(**dict(options))  # type: ignore[typeddict-item]
    for name, kind in get_type_hints(SamplingOptions).items():
        if name in checked and checked[name] is not DEFAULTS[name]:  # type: ignore[literal-required]
            checked[name] = check_kind(checked[name], name, kind)  # type: ignore[literal-required]
    if "num_steps" in checked:
        checked["num_steps"] = check_integer(
            checked["num_steps"], "num_steps", minimum=1, maximum=MAX_STEPS
        )
    return checked


def subjects(
    prompts: Any, num_images: int | None, options: Mapping[str, Any]
) -> tuple[Any, int | None, Mapping[str, Any]]:
    """What to paint, how many times, and the options, from all ways of saying so."""
    if isinstance(prompts, Mapping):
        unknown = prompts.keys() - {"prompts", "negative_prompts"}
        if unknown or "prompts" not in prompts or "negative_prompts" in options:
            raise ValueError(
                "`prompts` must be a mapping with the keys 'prompts' and 'negative_prompts', when "
                f"it is one. Received: {prompts!r}"
            )
        options = {"negative_prompts": prompts.get("negative_prompts"), **options}
        prompts = prompts["prompts"]
    if isinstance(prompts, int | np.integer) and not isinstance(prompts, bool):
        if num_images is not None:
            raise ValueError(
                "`num_images` must be left out where the first argument is a number. "
                f"Received: {prompts!r} and num_images={num_images!r}"
            )
        prompts, num_images = None, int(prompts)
    if num_images is not None:
        num_images = check_integer(num_images, "num_images", minimum=1)
    if prompts is None and num_images is None:
        raise ValueError("`prompts` or `num_images` must be given. Received: neither")
    if prompts is not None and not isinstance(prompts, str | Sequence | np.ndarray):
        raise ValueError(
            "`prompts` must be a number of pictures, a prompt or several, or Conditions. "
            f"Received: {prompts!r}"
        )
    return prompts, num_images, options
