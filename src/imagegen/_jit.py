"""Compile a function that reads Keras variables, and refuse it what it can't read now."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

# How many programs of sampling a model keeps. One holds some megabytes for as long as it is kept.
MAX_PROGRAMS = 32

# The variables that a `fit` is writing to, by their ids, and in which thread.
_trained: dict[int, int] = {}
# Whether this process has computed, and whether it was forked from one that had.
_used = _forked = False


class Programs:
    """Compiled programs by what they depend on; of many, those that were used last."""

    def __init__(self, size: int = MAX_PROGRAMS) -> None:
        self.size = size
        self.kept: OrderedDict[Hashable, Callable[..., Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Returns the program of a key, which `make` makes where there is none."""
        if key not in self.kept:
            self.kept[key] = make()
            if len(self.kept) > self.size:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]

    def __len__(self) -> int:
        return len(self.kept)


@contextmanager
def training(variables: Sequence[keras.Variable]) -> Iterator[None]:
    """Keeps variables from other threads for as long as a `with` block trains them."""
    check_readable(variables)
    names = [id(variable) for variable in variables if id(variable) not in _trained]
    _trained.update(dict.fromkeys(names, threading.get_ident()))
    try:
        yield
    finally:
        for name in names:
            del _trained[name]


def check_readable(variables: Sequence[keras.Variable]) -> None:
    """Raises a RuntimeError where nothing can be computed with variables now.

    While a model is trained, Keras empties its variables on JAX, and elsewhere they are those of a
    step that is half done. And a process that was forked from one in which the backend had started
    its threads would wait for them without end.
    """
    global _used
    if _forked:
        raise RuntimeError(
            "A process that was forked from one that has computed can't compute: the backend's "
            "threads aren't in it. Start processes with "
            'multiprocessing.get_context("spawn"). Received: a forked process'
        )
    _used = True
    mine = (None, threading.get_ident())
    if _trained and any(_trained.get(id(variable)) not in mine for variable in variables):
        raise RuntimeError(
            "The model can't be used while another thread trains it. Wait for the end of `fit`, or "
            "generate in a callback of it. Received: a call during `fit`"
        )


def _after_fork() -> None:
    global _forked
    _forked = _used


if hasattr(os, "register_at_fork"):  # Windows forks nothing.
    os.register_at_fork(after_in_child=_after_fork)


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

    def careful(*arguments: Any) -> Any:
        check_readable(variables)
        return program([variable.value for variable in variables], *arguments)

    return careful


def _without_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    return torch.no_grad()(function)
