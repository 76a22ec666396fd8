"""Guidance: how firmly sampling follows what it is told, and keeps away from what is worse.

Guidance is one more `denoise`, around another one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from imagegen._contracts import checked, shortened
from imagegen.samplers import Denoise
from imagegen.typing import Array, Tensor

import numpy as np
from keras import ops


class Guidance(NamedTuple):
    """Classifier-free guidance: what pictures should show, what not, and how firmly.

    Everything in it is a tensor, and an argument of the compiled loop: another prompt or another
    scale compiles nothing.

    Attributes:
        positive: What the prompts became, tensors `(num_images, ...)`, one for each further input
            of the network.
        negative: The same of the negative prompts, or `None` where nothing is moved away from.
        scale: The guidance scale, a scalar tensor.
        rescale: How much of the contrast that guidance adds is taken back, a scalar tensor.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64-species")
        guidance = model.guidance(["rose", "sunflower"], guidance_scale=2.0)
        assert guidance.positive[0].shape == guidance.negative[0].shape
        ```
    """

    positive: tuple[Tensor, ...]
    negative: tuple[Tensor, ...] | None = None
    scale: Tensor | float = 1.0
    rescale: Tensor | float = 0.0

    @checked
    def at(self, rows: Array) -> "Guidance":
        """Returns the guidance of some of the pictures.

        Args:
            rows: Their numbers, integers `(num_images,)`.
        """
        rows = np.asarray(rows)
        count = len(self.positive[0])
        whole = rows.dtype.kind in "iu" and rows.ndim == 1
        if not whole or ((rows < 0) | (rows >= count)).any():
            raise ValueError(
                f"`rows` must be integers (num_images,), from 0 to {count - 1}. "
                f"Received: rows={shortened(rows)}"
            )
        positive, negative = (
            None if parts is None else tuple(ops.take(part, rows, axis=0) for part in parts)
            for parts in (self.positive, self.negative)
        )
        assert positive is not None
        return self._replace(positive=positive, negative=negative)

    @checked
    def around(self, denoise: Callable[..., Any]) -> Callable[..., Tensor]:
        """Returns a `denoise` that follows the prompts.

        Args:
            denoise: From noisy samples, their time and conditions to clean samples.
        """

        def guided(noisy: Tensor, time: Tensor, **until: Any) -> Tensor:
            if self.negative is None:
                return denoise(noisy, time, self.positive, **until)
            pairs = zip(self.positive, self.negative, strict=True)
            conditions = tuple(ops.concatenate(pair) for pair in pairs)
            # Both estimates in one call of the network.
            both = denoise(ops.concatenate([noisy, noisy]), time, conditions, **until)
            positive, negative = ops.split(both, 2)
            return rescaled(guide(positive, negative, self.scale), positive, self.rescale)

        return guided


class Autoguidance(NamedTuple):
    """Guidance without prompts: away from what a poorer network believes in.

    Attributes:
        poorer: The `denoise` of the poorer network.
        scale: The scale, a number or a scalar tensor. At 1 nothing is moved.

    Example:
        ```python
        import imagegen
        import numpy as np

        autoguidance = imagegen.Autoguidance(lambda noisy, time: 0 * noisy, scale=1.5)
        guided = autoguidance.around(lambda noisy, time: noisy)
        assert guided(np.float32([2.0]), 0.5) == 3
        ```
    """

    poorer: Denoise
    scale: Tensor | float

    @checked
    def around(self, denoise: Callable[..., Any]) -> Callable[..., Tensor]:
        """Returns a `denoise` that moves away from `poorer`.

        Args:
            denoise: From noisy samples and their time to clean samples.
        """

        def guided(noisy: Tensor, time: Tensor, **until: Any) -> Tensor:
            return guide(denoise(noisy, time, **until), self.poorer(noisy, time), self.scale)

        return guided


@checked
def guide(positive: Tensor, negative: Tensor, scale: Tensor | float) -> Tensor:
    r"""Moves an estimate away from another one: classifier-free guidance, and autoguidance.

    $$\hat x = \hat x_+ + (w - 1) (\hat x_+ - \hat x_-)$$

    At $w = 1$ that is the first estimate exactly, whatever the second one is.

    Args:
        positive: Clean samples, estimated under what the picture should show.
        negative: Clean samples of the same shape, estimated under nothing, under what the picture
            should not show, or by a poorer network.
        scale: The guidance scale $w$.

    Returns:
        Clean samples of the same shape.

    Example:
        ```python
        import imagegen
        import numpy as np

        assert imagegen.guide(np.float32(3), np.float32(1), 2.0) == 5
        ```

    Reference:
        Ho and Salimans, [Classifier-Free Diffusion Guidance](https://arxiv.org/abs/2207.12598),
        2022, equation 6, whose $w$ is less by 1. A poorer network in the place of no prompt: Karras
        et al., [Guiding a Diffusion Model with a Bad Version of
        Itself](https://arxiv.org/abs/2406.02507), 2024, equation 4.
    """
    return positive + (scale - 1) * (positive - negative)


@checked
def rescaled(guided: Tensor, positive: Tensor, amount: Tensor | float) -> Tensor:
    r"""Takes back contrast that guidance added.

    $$\phi\, \frac{\operatorname{std}(\hat x_+)}{\operatorname{std}(\hat x)}\, \hat x
    + (1 - \phi)\, \hat x$$

    The standard deviations are those of each sample. At $\phi = 0$ nothing changes, exactly.

    Args:
        guided: Guided estimates $\hat x$ of clean samples, `(batch, ...)`.
        positive: The estimates $\hat x_+$ before guidance, of the same shape.
        amount: $\phi$, from 0 to 1.

    Returns:
        Clean samples of the same shape.

    Example:
        ```python
        import numpy as np
        from imagegen import rescaled

        positive = np.array([[1.0, -1.0]], "float32")
        assert np.allclose(rescaled(3 * positive, positive, 1.0), positive)
        ```

    Reference:
        Lin et al., [Common Diffusion Noise Schedules and Sample Steps are
        Flawed](https://arxiv.org/abs/2305.08891), 2024, equations 15 and 16.
    """
    axes = tuple(range(1, len(guided.shape)))
    ratio = ops.std(positive, axes, keepdims=True) / (ops.std(guided, axes, keepdims=True) + 1e-8)
    return guided * (1 + amount * (ratio - 1))
