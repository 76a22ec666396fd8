"""What a diffusion model is told beside the noise: the names of classes, and how firmly."""

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from imagegen._checks import check_integer

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("imagegen")
class LabelEncoder(keras.layers.Layer):
    """Turns the names of classes into vectors that a network can be conditioned on.

    Every name has a vector, and so has the empty name `""`, which stands for "anything". The
    vectors are learned together with the denoising network. This is the simplest encoder that a
    `DiffusionModel` takes. Any other has the same three parts: `tokens`, `empty` and `call`.

    Args:
        names: The names of the classes, all different. Class i has the i-th name.
        dim: Length of a vector.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Attributes:
        names: The names, as a tuple.
        empty: The tokens of the empty prompt: an int32 array without axes.

    Raises:
        ValueError: If names are missing, empty or twice there, or `dim` is below 1.

    Example:
        ```python
        import imagegen

        encoder = imagegen.LabelEncoder(["daisy", "rose"], dim=8)
        tokens = encoder.tokens(["rose", ""])
        assert tokens.tolist() == [1, 2]
        assert encoder(tokens).shape == (2, 8)
        ```

    Reference:
        The vector of "no class" is that of Ho and Salimans, [Classifier-Free Diffusion
        Guidance](https://arxiv.org/abs/2207.12598), 2022, section 3.2.
    """

    def __init__(self, names: Sequence[str], dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.names = tuple(names)
        if not self.names or not all(isinstance(name, str) and name for name in self.names):
            raise ValueError(f"`names` must be one non-empty string or more. Received: {names!r}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"`names` must all be different. Received: {names!r}")
        self.dim = check_integer(dim, "dim", minimum=1)
        self.empty = np.array(len(self.names), "int32")
        # Vectors of length about sqrt(dim): what multiplies them first may start at 0.
        self.vectors = self.add_weight(
            shape=(len(self.names) + 1, self.dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="vectors",
        )
        self.built = True

    def tokens(self, prompts: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Returns the number of each class.

        Args:
            prompts: Names of classes, or their numbers. `""` is no class.

        Returns:
            int32 array `(num_prompts,)`.

        Raises:
            ValueError: If a name is unknown or a number is out of range.
        """
        return np.array([self._token(prompt) for prompt in prompts], "int32")

    def _token(self, prompt: Any) -> int:
        if prompt == "":
            return len(self.names)
        if isinstance(prompt, str):
            if prompt in self.names:
                return self.names.index(prompt)
            close = difflib.get_close_matches(prompt, self.names, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
            raise ValueError(
                f"`prompts` must be names of the encoder's {len(self.names)} classes. {hint}"
                f"Received: {prompt!r}"
            )
        return check_integer(prompt, "prompts", minimum=0, maximum=len(self.names) - 1)

    def call(self, tokens: Any) -> Any:
        """Returns the vectors of classes.

        Args:
            tokens: Numbers of classes `(batch,)`, integers.

        Returns:
            Vectors `(batch, dim)`.
        """
        return ops.take(self.vectors, ops.cast(tokens, "int32"), axis=0)

    def compute_output_shape(self, tokens_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*tokens_shape, self.dim)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"names": list(self.names), "dim": self.dim}


class Guidance(NamedTuple):
    """What pictures shall show, and what not.

    Attributes:
        positive: What the encoder made of the prompts, tensors `(num_images, ...)`, one for each
            further input of the network.
        negative: The same of the negative prompts, or `None` where nothing is moved away from.
        scale: The guidance scale, a scalar tensor.
        rescale: How much of the contrast that guidance adds is taken back, a scalar tensor.
    """

    positive: tuple[Any, ...]
    negative: tuple[Any, ...] | None = None
    scale: Any = None
    rescale: Any = None


def guide(positive: Any, negative: Any, scale: Any) -> Any:
    r"""Moves an estimate away from another one: classifier-free guidance, and autoguidance.

    $$\hat x = \hat x_+ + (w - 1) (\hat x_+ - \hat x_-)$$

    At $w = 1$ that is the first estimate exactly, whatever the second one is.

    Args:
        positive: Clean samples, estimated under what the picture shall show.
        negative: Clean samples of the same shape, estimated under nothing, under what the picture
            shall not show, or by a poorer network.
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


def rescaled(guided: Any, positive: Any, amount: Any) -> Any:
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
