"""What a diffusion model is told beside the noise, such as the names of classes."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self

from imagegen._checks import check_integer
from imagegen._contracts import checked, renamed
from imagegen._weights import RandomNormal, config_of
from imagegen.typing import Config, Tensor

import keras
import numpy as np
from keras import ops


class Conditions(tuple[Any, ...]):
    """What prompts become before a network sees them.

    It is a tuple of arrays `(num_prompts, ...)`, one for each further input of the network, and is
    made of them, one by one. What takes prompts takes it, too: that is how prompts are mixed.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64-species")
        (vectors,) = model.encode_prompts(["rose", "sunflower"])
        between = imagegen.Conditions(vectors.mean(axis=0, keepdims=True))
        image = model.generate(between, num_steps=4, seed=0)
        ```
    """

    def __new__(cls, *arrays: Any) -> Self:
        return super().__new__(cls, arrays)


class PromptEncoder(Protocol):
    """What turns prompts into conditions: any Keras layer with these three parts.

    A prompt can be a string, a number or a picture: `tokens` alone knows, and says what can't be
    one. What it returns, and the shape and type of that, is the encoder's own affair. It may also
    be a tuple of arrays, for prompts that have several parts.

    Attributes:
        empty: The tokens of the empty prompt, without the batch axis: an array of the shape and
            type of one row of `tokens`, or a tuple of them.

    Example:
        ```python
        import imagegen
        import keras
        import numpy as np

        class SmallPicture(keras.layers.Layer):
            "Tells a network what the picture looks like in small."

            empty = np.zeros((4, 4, 3), "float32")

            def tokens(self, prompts):
                return np.stack([self.empty if isinstance(one, str) else one for one in prompts])

            def call(self, tokens):
                return keras.layers.UpSampling2D(2)(tokens)
        ```
    """

    empty: Any

    @checked
    def tokens(self, prompts: Sequence[Any] | np.ndarray) -> Any:
        """Returns prompts as arrays `(num_prompts, ...)`. `""` is the empty prompt.

        Raises:
            ValueError: If a prompt can't be read.
        """

    def __call__(self, tokens: Tensor, training: bool = False) -> Tensor:
        """Returns what the network is told: a tensor `(batch, ...)`, or a list of them."""


@keras.saving.register_keras_serializable("imagegen")
class LabelEncoder(keras.layers.Layer):
    """Turns the names of classes into vectors that a network can be conditioned on.

    Every name has a vector, and so has the empty name `""`, which stands for "anything". The
    vectors are learned together with the denoising network. This is the simplest encoder that a
    `DiffusionModel` takes. Any other has the parts of `PromptEncoder`.

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

    @checked
    def __init__(self, names: Sequence[str], dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.names = tuple(names)
        if not self.names or not all(isinstance(name, str) and name for name in self.names):
            raise ValueError(f"`names` must be one non-empty string or more. Received: {names!r}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"`names` must all be different. Received: {names!r}")
        self.dim: int = check_integer(dim, "dim", minimum=1)
        self.empty = np.array(len(self.names), "int32")
        # Vectors of length about sqrt(dim): what multiplies them first may start at 0.
        self.vectors = self.add_weight(
            shape=(len(self.names) + 1, self.dim),
            initializer=RandomNormal(stddev=1.0),
            name="vectors",
        )
        self.built = True

    @checked
    def tokens(self, prompts: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Returns the number of each class.

        Args:
            prompts: Names of classes, in upper or lower case, or their numbers. `""` is no class.

        Returns:
            int32 array `(num_prompts,)`.

        Raises:
            ValueError: If a name is unknown or a number is out of range.
        """
        return np.array([self._token(prompt) for prompt in prompts], "int32")

    def _token(self, prompt: Any) -> int:
        if isinstance(prompt, bytes):
            raise ValueError(
                "`prompts` must be names of classes, as texts, or their numbers. "
                f"Received: the bytes {bytes(prompt)!r}"
            )
        if not isinstance(prompt, str):
            return check_integer(prompt, "prompts", minimum=0, maximum=len(self.names) - 1)
        if prompt in self.names:
            return self.names.index(prompt)
        if not prompt.strip():
            return len(self.names)
        meant, folded = prompt.strip().casefold(), [name.casefold() for name in self.names]
        if folded.count(meant) == 1:
            return folded.index(meant)
        close = difflib.get_close_matches(meant, folded, n=3, cutoff=0.5)
        names = dict.fromkeys(
            repr(name) for c in close for name in self.names if name.casefold() == c
        )
        hint = f"Did you mean {' or '.join(names)}? " if names else ""
        raise ValueError(
            f"`prompts` must be names of the encoder's {len(self.names)} classes. {hint}"
            f"Received: {prompt!r}"
        )

    def call(self, tokens: Tensor) -> Tensor:
        """Returns the vectors of classes.

        Args:
            tokens: Numbers of classes `(batch,)`, integers.

        Returns:
            Vectors `(batch, dim)`.
        """
        return ops.take(self.vectors, ops.cast(tokens, "int32"), axis=0)

    def compute_output_shape(self, tokens_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*tokens_shape, self.dim)

    @checked
    def mentions(self, tokens: Tensor, names: Sequence[str]) -> Tensor:
        """Returns which prompts name one of some classes.

        Args:
            tokens: Numbers of classes `(batch,)`.
            names: Classes that the encoder knows.

        Returns:
            Booleans `(batch,)`.
        """
        check_names(names)
        with renamed("prompts", "names"):
            meant = ops.convert_to_tensor(self.tokens(list(names)))
        return ops.any(ops.expand_dims(ops.cast(tokens, "int32"), 1) == meant, axis=1)

    @checked
    def extended(self, names: Sequence[str], like: Mapping[str, str] | None = None) -> Self:
        """Returns an encoder that knows more classes, and the old ones as before.

        Args:
            names: The new classes.
            like: For a new class, the old one whose vector it starts from. Others start from
                vectors of their own, drawn as the old ones are spread.

        Returns:
            The encoder. The new classes come after the old ones.

        Raises:
            ValueError: If a name is there already, or `like` names another.
        """
        like = checked_likeness(like, names, self.names)
        vectors = ops.convert_to_numpy(self.vectors)
        *known, empty = vectors
        drawn = zip(names, new_vectors(np.stack(known), len(names)), strict=True)
        added = [vectors[self.names.index(like[n])] if n in like else own for n, own in drawn]
        wider = type(self)([*self.names, *names], self.dim)
        wider.vectors.assign(np.stack([*known, *added, empty]))
        wider.trainable = self.trainable
        return wider

    def get_config(self) -> Config:
        return config_of(self) | {"names": list(self.names), "dim": self.dim}


def check_names(names: Collection[str]) -> None:
    """Raises where no name is asked for."""
    if not len(names):
        raise ValueError(f"`names` must hold at least one name. Received: names={names!r}")


def new_vectors(known: np.ndarray, count: int) -> np.ndarray:
    """Vectors `(count, dim)` for new names, the same ones in every call, and far from the known.

    From the middle of all, where every class is a little of what is shown, a name has a longer way:
    of 100 pictures `benchmarks/fine_tuning.py` recognized 60 after 800 steps.
    """
    rng = np.random.default_rng(len(known))
    return rng.normal(known.mean(axis=0), known.std(axis=0), (count, known.shape[1]))


def checked_likeness(
    like: Mapping[str, str] | None, new: Collection[str], known: Collection[str]
) -> Mapping[str, str]:
    like = like or {}
    if isinstance(new, str):
        raise ValueError(f"`names` must be a list of names. Received: {new!r}")
    check_names(new)
    wrong = [
        name
        for pair in like.items()
        for name, there in zip(pair, (new, known), strict=True)
        if name not in there
    ]
    if wrong:
        raise ValueError(
            "`like` must be from new names to known ones. "
            f"Received: {dict(like)!r}, of which {wrong[0]!r} is in the wrong place"
        )
    return like
