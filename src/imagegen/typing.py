"""Types of what goes in and out: tensors, arrays of pictures, configurations."""

from typing import Any, Protocol, TypeAlias

from numpy.typing import ArrayLike


class Tensor(Protocol):
    """What all backends' tensors, Keras's symbolic ones and NumPy's arrays have in common.

    JAX, TensorFlow and PyTorch have no class in common, and `keras.ops` takes and returns any of
    theirs. So this says what a tensor can do, and not what it is.

    Example:
        ```python
        import imagegen
        import numpy as np

        def halved(images: imagegen.typing.Tensor) -> imagegen.typing.Tensor:
            return images * 0.5

        assert halved(np.ones((2, 2))).shape == (2, 2)
        ```
    """

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...
    def __int__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


Array: TypeAlias = ArrayLike | Tensor
"""Numbers as an argument: an array, a tensor of any backend, nested lists."""

Images: TypeAlias = Array
"""Pictures as an argument: what the argument's description says of shape and range."""

Size: TypeAlias = int | tuple[int, int]
"""The size of pictures in pixels: `(height, width)`, or one number for a square."""

# Keras hands on what `fit` was given, in its own nesting.
Batch: TypeAlias = Any
"""What `compute_loss` is given: a batch of what `fit` was given, or what `call` returned."""

# It is a sampler's own: a seed, what it has seen before, or nothing.
State: TypeAlias = Any
"""What a sampler carries from step to step."""

Config: TypeAlias = dict[str, Any]
"""What `get_config` returns and `from_config` takes: what JSON can hold, by name."""

Logs: TypeAlias = dict[str, Any] | None
"""What `fit` tells a callback: losses and metrics by name."""
