"""Argument checks, one sentence each: the argument, the rule, and what was received."""

import os
import sys
import warnings
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

# Where this package lies.
PACKAGE = os.path.dirname(os.path.abspath(__file__))


def check_integer(value: Any, name: str, *, minimum: int, maximum: int | None = None) -> int:
    """Returns `value` as an int, or raises when it is no integer in `[minimum, maximum]`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        rule = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"`{name}` must be an integer, {rule}. Received: {name}={value!r}")
    return int(value)


def check_widths(widths: Iterable[Any]) -> list[int]:
    """Returns the channels of a network's stages, or raises when there is none, or no number."""
    checked = [check_integer(width, "widths", minimum=1) for width in widths]
    if not checked:
        raise ValueError(f"`widths` must name at least one width. Received: widths={widths!r}")
    return checked


def check_size(size: Any, name: str) -> tuple[int, int]:
    """Returns height and width of a `size`, which is one number for a square, or both."""
    if not isinstance(size, tuple | list):
        size = (size, size)
    if len(size) != 2:
        raise ValueError(f"`{name}` must be a number or (height, width). Received: {name}={size!r}")
    height, width = (check_integer(side, name, minimum=1) for side in size)
    return height, width


def check_halvings(size: Any, name: str, widths: Collection[int]) -> tuple[int, int]:
    """Returns height and width, or raises when they can't be halved once for each of `widths`."""
    divisor = 2 ** len(widths)
    sides = check_size(size, name)
    if any(side % divisor for side in sides):
        raise ValueError(
            f"`{name}` must be a multiple of {divisor}, which is 2 ** (number of widths). "
            f"Received: {name}={size}"
        )
    return sides


def check_number(
    value: Any, name: str, *, minimum: float = -np.inf, maximum: float = np.inf
) -> float:
    """Returns `value` as a float, or raises when it is no finite number in the range."""
    try:
        # What can be read as a number is none yet: "3" is a string.
        number = np.nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number) or not minimum <= number <= maximum:
        raise ValueError(
            f"`{name}` must be a finite number from {minimum:g} to {maximum:g}. "
            f"Received: {name}={value!r}"
        )
    return number


def check_choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Returns `value`, or raises when it is not one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}")
    return value


def check_finite(values: Any, name: str) -> np.ndarray:
    """Returns `values` as a NumPy array of real numbers, or raises on NaN and infinity.

    An array of the other byte order is converted: no backend takes one. What is masked is refused,
    because it would lose its mask.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"`{name}` must have no masked values. Received: a masked array")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"`{name}` must hold real numbers. Received: dtype {array.dtype}")
    # bfloat16 is no type of NumPy's own, and `isfinite` doesn't know it.
    numbers = array.astype("float32") if array.dtype.name == "bfloat16" else array
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"`{name}` must be finite everywhere. Received: an array of shape {array.shape} "
            "with NaN or infinity in it"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_rank(array: np.ndarray, name: str, rank: int, axes: str) -> np.ndarray:
    """Returns `array`, or raises when it has not `rank` axes, which `axes` names."""
    if array.ndim != rank:
        raise ValueError(f"`{name}` must have the shape {axes}. Received: shape {array.shape}")
    return array


def warn(message: str) -> None:
    """Warns whoever called the package, however many of its functions lie between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
