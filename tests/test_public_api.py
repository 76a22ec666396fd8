"""The public names and their arguments: a change of them shows in review."""

import ast
import inspect
import re
from pathlib import Path

import imagegen
from imagegen import datasets, drawn, sd3

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def members(holder, prefix):
    """A line for every public name: a function's arguments, a class's and those of its methods."""
    for name in public(holder):
        thing = getattr(holder, name)
        yield f"{prefix}{name}{arguments(thing)}"
        if inspect.isclass(thing):
            for member, value in sorted(vars(thing).items()):
                value = getattr(value, "__func__", value)
                if inspect.isfunction(value) and not member.startswith("_"):
                    yield f"{prefix}{name}.{member}{arguments(value)}"
                elif isinstance(value, property) and not member.startswith("_"):
                    yield f"{prefix}{name}.{member}"


def public(holder):
    """What a module defines, and what it hands on by `X as X`."""
    names = set()
    for node in ast.parse(inspect.getsource(holder)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names if alias.asname == alias.name}
    things = {name: getattr(holder, name) for name in names if not name.startswith("_")}
    return sorted(name for name, thing in things.items() if not inspect.ismodule(thing))


def arguments(thing):
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    parameters = (
        parameter.replace(annotation=parameter.empty, default=default(parameter))
        for parameter in signature.parameters.values()
    )
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def default(parameter):
    """Objects by their type: the names and plain values of an interface are what is compared."""
    value = parameter.default
    plain = value is parameter.empty or isinstance(value, str | int | float | tuple | None)
    return value if plain else type(value)


def test_the_public_interface_is_the_one_that_was_agreed(request):
    lines = [
        line
        for prefix, holder in (
            ("", imagegen),
            ("datasets.", datasets),
            ("drawn.", drawn),
            ("sd3.", sd3),
        )
        for line in members(holder, prefix)
    ]
    if request.config.getoption("--record"):
        SNAPSHOT.write_text("\n".join(lines) + "\n", "utf-8")
    assert SNAPSHOT.read_text("utf-8").splitlines() == lines


def test_no_private_parameter_is_shown():
    lines = SNAPSHOT.read_text("utf-8").splitlines()
    assert [line for line in lines if re.search(r"[(, ]_[a-z]\w*[,)=]", line)] == []
