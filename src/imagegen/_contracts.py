"""Contracts: the callers of a function are held to the types that it is annotated with."""

import collections.abc
import contextlib
import functools
import inspect
import math
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from numbers import Number
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from imagegen._checks import PACKAGE
from imagegen.typing import Array, Tensor

import numpy as np

ARRAY = Array

Function = TypeVar("Function", bound=Callable[..., Any])


def checked(function: Function) -> Function:
    """Holds the callers of a function, or of a class, to the types that it is annotated with.

    A wrong argument is refused by name before anything is computed, so that no backend speaks of
    what it was given. What an annotation can't say, ranges and shapes, the function itself checks.

    Arrays come in native byte order, and finite: what is masked, ragged, NaN or no number at all
    is refused. Tensors that are traced have no values yet, and pass.
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)

    @functools.cache
    def kinds() -> dict[str, Any]:
        hints = get_type_hints(function)
        return {
            name: hints[name]
            for name, parameter in signature.parameters.items()
            if name in hints and parameter.kind not in (parameter.VAR_KEYWORD,)
        }

    @functools.wraps(function)
    def careful(*args: Any, **options: Any) -> Any:
        try:
            bound = signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}(): {error}") from None
        given = bound.arguments
        for name, kind in kinds().items():
            if name not in given or _is_default(given[name], signature.parameters[name].default):
                continue
            if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                given[name] = tuple(check_kind(value, name, kind) for value in given[name])
            else:
                given[name] = check_kind(given[name], name, kind)
        if inspect.isgeneratorfunction(function):
            return _steps(function, bound)
        with _in_terms_of(function, given):
            return _finite(function(*bound.args, **bound.kwargs), function, given)

    # Keras reads a layer's arguments without a look behind wrappers.
    careful.__signature__ = signature  # type: ignore[attr-defined]
    return careful  # type: ignore[return-value]


def _steps(function: Callable[..., Any], bound: inspect.BoundArguments) -> Iterator[Any]:
    """What a generator yields, whose errors come when it is asked for more."""
    with _in_terms_of(function, bound.arguments):
        for step in function(*bound.args, **bound.kwargs):
            yield _finite(step, function, bound.arguments)


@contextlib.contextmanager
def _in_terms_of(function: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[None]:
    """Lets errors from within speak of the arguments that a function was given.

    What doesn't fit together, shapes above all, shows only when it is computed with.
    """
    try:
        yield
    except _FROM_WITHIN as error:
        if isinstance(error, FloatingPointError) or _is_ours(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{function.__qualname__} can't use these arguments: {error}. "
            f"Received: {_listed(given)}"
        ) from error


def _finite(result: Any, function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    if _has_nan(result) and not any(map(_is_backends, given.values())):
        raise FloatingPointError(
            f"{function.__qualname__} gives NaN for these arguments: its result is not finite. "
            f"Received: {_listed(given)}"
        )
    return result


# What a wrong argument raises from inside a backend, which knows nothing of our arguments.
_FROM_WITHIN = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by this package, and says what was received."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    inside = trace is not None and trace.tb_frame.f_code.co_filename.startswith(PACKAGE)
    return inside and "Received: " in str(error)


@contextlib.contextmanager
def renamed(inner: str, outer: str) -> Iterator[None]:
    """Lets an error speak of the argument `outer` where a function within calls it `inner`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(f"`{inner}`", f"`{outer}`")) from error


def _listed(given: Mapping[str, Any]) -> str:
    """Arguments by name, as errors show them."""
    return ", ".join(
        f"{name}={shortened(value, 80)}" for name, value in given.items() if name != "self"
    )


def _is_backends(value: Any) -> bool:
    """Whether a value is a backend's tensor: to look into one can mean to wait for a device."""
    tensor = hasattr(value, "dtype") and hasattr(value, "shape")
    return tensor and not _is_numpy(value)


def _has_nan(result: Any) -> bool:
    """Whether there is NaN in an array, a tensor, or one of several. Traced ones can't be read."""
    if type(result) is tuple:
        return any(map(_has_nan, result))
    if isinstance(result, float):
        return math.isnan(result)
    if not hasattr(result, "dtype") or not hasattr(result, "shape"):
        return False
    try:
        array = np.asarray(result)
    except Exception:  # Each backend has its own for what is traced, symbolic or on a device.
        return False
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _is_default(value: Any, default: Any) -> bool:
    return value is default


def check_kind(value: Any, name: str, kind: Any) -> Any:
    """Returns `value` as what the annotation `kind` asks for, or raises a ValueError.

    Only arrays of another byte order are changed, and paths that begin with `~`.
    """
    problem = _Refused("")
    alternatives = _alternatives(kind)
    if isinstance(value, str | Path) and any(map(_is_path, alternatives)):
        value = _expanded(value, name)
    if isinstance(value, str) and any(map(_is_path, alternatives)) and not _can_be_path(value):
        alternatives = ()
        problem = _Refused(", without a null character and not empty")
    for alternative in alternatives:
        try:
            return _as(value, name, alternative)
        except _Refused as refused:
            # What is nearly right says best what is wrong.
            problem = max(problem, refused, key=lambda one: one.nearness)
    if problem.instead:
        raise ValueError(f"`{name}` {problem.instead}. Received: {name}={shortened(value)}")
    wanted = " or ".join(dict.fromkeys(_described(one) for one in _alternatives(kind)))
    if not isinstance(value, type | str):
        wanted = wanted.replace(_OBJECT, "")
    raise ValueError(
        f"`{name}` must be {wanted}{problem.rule}. Received: {name}={shortened(value)}"
    )


# What helps whoever has given `DDIM` or `"ddim"` where `DDIM()` is meant.
_OBJECT = " (an object, and not its class or name)"


def _is_path(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, os.PathLike)


def _expanded(path: str | Path, name: str) -> str | Path:
    """A path with a user's folder for `~`, as in a shell; `~x` may also be the name of a file."""
    found = os.path.expanduser(path)
    if found == str(path) and found.startswith("~") and os.sep in found:
        raise ValueError(
            f"`{name}` must begin with the folder of a user that there is, or with ./ where ~ is "
            f"part of a name. Received: {name}={str(path)!r}"
        )
    return path if found == str(path) else type(path)(found)


def _can_be_path(text: str) -> bool:
    return bool(text) and "\0" not in text


class _Refused(Exception):
    """A value that is not what an annotation asks for, and what else would have to hold."""

    def __init__(self, rule: str, nearness: int = 0, instead: str = "") -> None:
        super().__init__(rule)
        self.rule, self.nearness, self.instead = rule, nearness, instead


def shortened(value: Any, length: int = 200) -> str:
    """Returns how a value looks in an error: in few characters, and of arrays only the shape."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    try:
        text = repr(value)
    except Exception as error:  # Whatever somebody's `__repr__` raises.
        text = f"an object of the type {type(value).__name__}, whose repr raises {error!r:.50}"
    return text if len(text) <= length else text[: length - 3] + "..."


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union, arrays as one of them."""
    if kind is ARRAY:
        return (ARRAY,)
    if get_origin(kind) in (Union, types.UnionType):
        members = get_args(kind)
        # `ArrayLike` is a union of its own, whose members disappear in other unions.
        inner = set(get_args(ARRAY))
        if inner <= set(members):
            members = (ARRAY, *(member for member in members if member not in inner))
        return tuple(one for member in members for one in _alternatives(member))
    if isinstance(kind, TypeVar):
        members = kind.__constraints__ or (kind.__bound__ or Any,)
        return tuple(one for member in members for one in _alternatives(member))
    return (kind,)


def _described(kind: Any) -> str:
    origin = get_origin(kind) or kind
    plain = {
        int: "an integer",
        float: "a finite number",
        bool: "True or False",
        str: "a string",
        type(None): "None",
        ARRAY: "an array of finite numbers",
        Tensor: "a tensor of finite numbers",
    }
    for known, words in plain.items():
        if kind is known:
            return words
    if isinstance(origin, type):
        if issubclass(origin, os.PathLike):
            return "a path"
        if issubclass(origin, Mapping):
            return "a mapping"
        if origin is tuple and Ellipsis not in get_args(kind):
            items = [_described(one) for one in get_args(kind)]
            return f"a tuple of {len(items)}: {', '.join(items)}"
        if origin is not np.ndarray and issubclass(origin, Iterable) and get_args(kind):
            inner = ", or ".join(
                dict.fromkeys(_described(one) for one in _alternatives(get_args(kind)[0]))
            )
            each = f"a list or another sequence, each of which is {inner}"
            return "a list or another sequence" if get_args(kind)[0] is Any else each
        module = "PIL." if origin.__module__ == "PIL.Image" else ""
        article = "an" if f"{module}{origin.__name__}"[0] in "AEIOU" else "a"
        return f"{article} {module}{origin.__name__}{_OBJECT}"
    return "a function" if origin is Callable else str(kind)


def _as(value: Any, name: str, kind: Any) -> Any:
    """Returns `value` as one alternative of an annotation, or raises `_Refused`."""
    origin = get_origin(kind) or kind
    if kind is Any:
        return value
    if kind is type(None):
        return _when(value is None, value)
    if kind is ARRAY:
        return _as_array(value)
    if kind is Tensor:
        return _as_tensor(value)
    if kind is np.ndarray and isinstance(value, np.ndarray):
        # Of strings, too, where it holds prompts; but not of anything, and never one alone.
        _when(value.ndim > 0 and value.dtype.kind in "biufUO", value)
        return value if value.dtype.kind in "UO" else _as_array(value)
    if kind is bool:
        return _when(isinstance(value, bool | np.bool_), value)
    if kind is int:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        _when(whole, value)
        if not -(2**63) <= value < 2**63:
            raise _Refused(" of 64 bits", 1)
        return value
    if kind is float:
        return _as_number(value)
    if not isinstance(origin, type):
        return _when(callable(value) and not isinstance(value, type), value)
    if origin is Callable or origin is collections.abc.Callable:
        return _when(callable(value) and not isinstance(value, type), value)
    if is_typeddict(origin):
        return _when(isinstance(value, Mapping), value)
    if issubclass(origin, Mapping):
        return _as_mapping(value, name, kind, origin)
    ordered = origin is tuple or (issubclass(origin, Iterable) and bool(get_args(kind)))
    if ordered and origin is not np.ndarray:
        return _as_sequence(value, name, kind, origin)
    if getattr(origin, "_is_protocol", False):
        parts = [part for part in (*vars(origin), *origin.__annotations__) if part[0] != "_"]
        whole = all(hasattr(value, part) for part in parts) and not isinstance(value, type)
        return _when(whole, value)
    return _when(isinstance(value, origin), value)


def _when(right: bool, value: Any) -> Any:
    if not right:
        raise _Refused("")
    return value


def _as_number(value: Any) -> Any:
    """A real, finite number, or a scalar tensor."""
    if isinstance(value, str | bytes | bytearray | bool | np.bool_ | type):
        raise _Refused("")
    if hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic):
        return _when(tuple(value.shape) == (), value)
    if np.ma.is_masked(value):
        raise _Refused("")
    try:
        number = float(value)
    except Exception as error:
        raise _Refused("") from error
    _when(math.isfinite(number), value)
    # Of larger integers NumPy makes objects.
    return number if isinstance(value, int) and abs(value) > 2**53 else value


def _as_array(value: Any) -> Any:
    """Finite numbers in native byte order, or a tensor, which may be traced."""
    if value is None or isinstance(value, str | bytes | bytearray | Set | Mapping | type):
        raise _Refused("")
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise _Refused(", without masked values", 1)
        value = value.data
    if hasattr(value, "dtype") and hasattr(value, "shape") and not _is_numpy(value):
        return value
    # Data frames, pictures of Pillow, and all that NumPy can read by a protocol.
    readable = any(hasattr(value, name) for name in ("__array__", "__array_interface__"))
    _when(readable or isinstance(value, Number | Sequence), value)
    try:
        array = np.asarray(value)
    except Exception as error:  # Ragged lists, or what somebody's `__array__` raises.
        instead = "must all have the same shape" if isinstance(value, Sequence) else ""
        raise _Refused("", 1, instead) from error
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise _Refused("", 1, "must hold real numbers")
    numbers = array.astype("float32") if array.dtype.name == "bfloat16" else array
    if array.dtype.kind not in "biu":
        if not np.isfinite(numbers).all():
            raise _Refused("", 1, "must be finite everywhere")
        # Networks compute in single precision.
        if array.size and max(-numbers.min(), numbers.max()) > np.finfo("float32").max:
            raise _Refused(f", of a size up to {np.finfo('float32').max:.2g}", 1)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return value


def _as_tensor(value: Any) -> Any:
    """What arithmetic goes with: numbers, arrays and tensors, and lists as arrays."""
    value = _as_array(value)
    if not isinstance(value, Sequence):
        return value
    array = np.asarray(value)
    return array.astype("float32") if array.dtype == "float64" else array


def _is_numpy(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _as_mapping(value: Any, name: str, kind: Any, origin: type) -> Any:
    _when(isinstance(value, origin), value)
    for which, inner in enumerate(get_args(kind)):
        for one in (value.keys, value.values)[which]():
            _inner(one, name, inner)
    return value


def _as_sequence(value: Any, name: str, kind: Any, origin: type) -> Any:
    """Items in an order: no set, no dictionary, and no string, whose items are letters."""
    if isinstance(value, str | bytes | bytearray | Set | Mapping | type):
        raise _Refused(", in an order" if isinstance(value, Set) else "", 1)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        raise _Refused("")
    if not hasattr(value, "__len__"):
        # Only what asks for no more than an iterable takes a generator.
        _when(origin is collections.abc.Iterable and isinstance(value, Iterable), value)
        return _looked_at(value, name, get_args(kind))
    if not isinstance(value, Sequence | np.ndarray) and not hasattr(value, "__getitem__"):
        raise _Refused("")
    kinds = get_args(kind)
    if origin is tuple and kinds and Ellipsis not in kinds and len(value) != len(kinds):
        raise _Refused("", 1)
    if not kinds or kinds[0] is Any:
        return value
    repeated = [kinds[0]] * len(value) if origin is not tuple or Ellipsis in kinds else kinds
    # Not an array, whose truth isn't that it holds something, and whose strings are NumPy's.
    value = value.tolist() if isinstance(value, np.ndarray) else value
    for one, inner in zip(value, repeated, strict=True):
        _inner(one, name, inner)
    return value


def _looked_at(values: Iterable[Any], name: str, kinds: tuple[Any, ...]) -> Iterator[Any]:
    """Items of what can be looked at once only, each checked when its turn comes."""
    return (check_kind(value, name, kinds[0]) if kinds else value for value in values)


def _inner(value: Any, name: str, kind: Any) -> None:
    for alternative in _alternatives(kind):
        with contextlib.suppress(_Refused):
            _as(value, name, alternative)
            return
    raise _Refused(f", not {shortened(value, 60)} in it", 1)
