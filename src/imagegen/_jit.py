"""Compile a function that reads Keras variables."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def compiled(
    function: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., Any]:
    """Returns `function` as one compiled program per shape of its arguments.

    The variables are arguments of the program and are read at every call. Captured as constants,
    they would keep the values that they had when it was compiled.

    Args:
        function: A function of tensors that reads `variables`, and writes none.
        variables: Every Keras variable that it reads.

    Returns:
        A function of the same arguments. Python numbers among them would be compiled in, so pass
        arrays.
    """
    if keras.backend.backend() == "jax":
        return _compiled_by_jax(function, variables)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        # TensorFlow's variables are references: a traced function reads their present values.
        return tensorflow.function(function)
    return _without_gradients(function)


def _compiled_by_jax(
    function: Callable[..., Any], variables: Sequence[keras.Variable]
) -> Callable[..., Any]:
    import jax

    @jax.jit
    def program(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return function(*arguments)

    return lambda *arguments: program([variable.value for variable in variables], *arguments)


def _without_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    return torch.no_grad()(function)
