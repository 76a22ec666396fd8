"""Derivatives along a direction, on each backend."""

from collections.abc import Callable, Sequence
from typing import Any

from imagegen.typing import Tensor

import keras


def value_and_slope(
    function: Callable[..., Tensor], place: Sequence[Tensor], direction: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns what a function is at a place, and how fast it changes from there in a direction.

    What it assigns to variables, such as the statistics that layers keep, is assigned.

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


class _Assignments(keras.StatelessScope):
    """Collects what is assigned within. What nobody assigned is what it is in the scope around."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[int, tuple[keras.Variable, Tensor]] = {}

    def add_update(self, update: tuple[keras.Variable, Tensor]) -> None:
        super().add_update(update)
        self.latest[id(update[0])] = update

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        own = super().get_current_value(variable)
        around = self.original_scope
        return around.get_current_value(variable) if own is None and around is not None else own


def _assigning_later(jvp: Any, function: Any, place: Any, direction: Any) -> Any:
    """Differentiates a function that assigns: values that are being traced must not get out."""
    variables: list[keras.Variable] = []

    def collecting(*place: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        with _Assignments() as scope:
            value = function(*place)
        latest = scope.latest.values()
        variables[:] = [variable for variable, _ in latest]
        return value, tuple(assigned for _, assigned in latest)

    value, slope, assigned = jvp(collecting, place, direction, has_aux=True)
    for variable, its_value in zip(variables, assigned, strict=True):
        variable.assign(its_value)
    return value, slope


def _by_jax(function: Any, place: Any, direction: Any) -> Any:
    import jax

    return _assigning_later(jax.jvp, function, place, direction)


def _by_tensorflow(function: Any, place: Any, direction: Any) -> Any:
    import tensorflow

    with tensorflow.autodiff.ForwardAccumulator(place, direction) as accumulator:
        value = function(*place)
    return value, accumulator.jvp(value)


def _by_torch(function: Any, place: Any, direction: Any) -> Any:
    import torch

    return _assigning_later(torch.func.jvp, function, place, direction)


_BACKENDS = {"jax": _by_jax, "tensorflow": _by_tensorflow, "torch": _by_torch}
