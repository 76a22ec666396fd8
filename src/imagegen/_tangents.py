"""Derivatives along a direction, on each backend."""

from collections.abc import Callable, Sequence
from typing import Any

from imagegen.typing import Tensor

import keras


def value_and_slope(
    function: Callable[..., Tensor], place: Sequence[Tensor], direction: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns what a function is at a place, and how fast it changes from there in a direction.

    Args:
        function: A function of tensors.
        place: Its arguments.
        direction: How fast each of them moves: tensors of their shapes.

    Returns:
        Its value, and a tensor of the same shape: the product of its Jacobian with `direction`,
        by differentiation forwards.
    """
    backend: Any = _BACKENDS[keras.backend.backend()]
    value, slope = backend(function, tuple(place), tuple(direction))
    return value, slope


def _by_jax(function: Any, place: Any, direction: Any) -> Any:
    import jax

    return jax.jvp(function, place, direction)


def _by_tensorflow(function: Any, place: Any, direction: Any) -> Any:
    import tensorflow

    with tensorflow.autodiff.ForwardAccumulator(place, direction) as accumulator:
        value = function(*place)
    return value, accumulator.jvp(value)


def _by_torch(function: Any, place: Any, direction: Any) -> Any:
    import torch

    return torch.func.jvp(function, place, direction)


_BACKENDS = {"jax": _by_jax, "tensorflow": _by_tensorflow, "torch": _by_torch}
