"""A MkDocs hook: a chapter shows the package's own source, as it is when the site is built.

A fence of the kind `source` with a dotted name in it, such as `imagegen.DDIM.step`, becomes the
listing of that function: without docstring, types and checks of its arguments, which hide the lines
that matter, and with a link to the reference, which has them.
"""

import ast
import functools
import itertools
import re
import subprocess
import sys
import textwrap

import dependencies
from dependencies import Package
from mkdocs.exceptions import PluginError

FENCE = re.compile(r"^```source\n(\S+)\n```$", re.MULTILINE)
LISTING = """\
<div class="listing" markdown="1">

```python
{code}
```

<p class="caption" markdown="span">{caption}</p>

</div>"""
CAPTION = "From the package, without documentation, types and checks: [`{name}`][{reference}]"
PRIVATE = "From the package, without documentation, types and checks: `{name}`"
WIDTH = 80
COMMENT = re.compile(r"^( *)# .*(?:\n\1# .*)*", re.MULTILINE)


def on_page_markdown(markdown, page, config, files):
    """Fill in what a page shows of the package."""
    return filled(markdown, dependencies.package())


def filled(markdown: str, package: Package) -> str:
    """A page's Markdown with all listings, as the site shows them."""
    return FENCE.sub(lambda match: listing(match[1], package), markdown)


def listing(name: str, package: Package) -> str:
    """The listing of a function and its caption."""
    public = name.split(".")[1]
    caption = CAPTION if public in package.exports else PRIVATE
    short = name.removeprefix(f"{package.name}.")
    caption = caption.format(name=short, reference=f"{package.name}.{public}")
    return LISTING.format(code=code(name, package), caption=caption)


def code(name: str, package: Package) -> str:
    """The lines of a function that matter."""
    node, text = found(name, package)
    node, text = untyped(node, text)
    lines = text.splitlines()
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    left_out = {
        number
        for statement in ast.walk(node)
        if isinstance(statement, ast.stmt) and checks(statement, node)
        for number in range(statement.lineno, statement.end_lineno + 1)
    }
    # What holds callers to the types, which aren't shown either.
    left_out |= {one.lineno for one in node.decorator_list if ast.unparse(one) == "checked"}
    kept = [
        line
        for number, line in enumerate(lines[first - 1 : node.end_lineno], first)
        if number not in left_out
    ]
    return wrapped(textwrap.dedent("\n".join(kept)))


def untyped(node: ast.FunctionDef, text: str) -> tuple[ast.FunctionDef, str]:
    """A function and its module without the types of arguments and results."""
    lines = text.splitlines(keepends=True)
    starts = [0, *itertools.accumulate(len(line.encode()) for line in lines)]
    source = text.encode()

    def place(line: int, column: int) -> int:
        return starts[line - 1] + column

    spans = []
    for function in [one for one in ast.walk(node) if isinstance(one, ast.FunctionDef)]:
        every = function.args
        named = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
        for one in [one for one in named if one and one.annotation]:
            begin = place(one.lineno, one.col_offset) + len(one.arg)
            spans.append((begin, place(one.end_lineno, one.end_col_offset)))
        if types := function.returns:
            end = place(types.end_lineno, types.end_col_offset)
            spans.append((source.rindex(b"->", 0, place(types.lineno, types.col_offset)), end))
    for begin, end in sorted(spans, reverse=True):
        # Lines stay where they were, since what is left out is known by its lines.
        source = source[:begin] + b"\n" * source[begin:end].count(b"\n") + source[end:]
    text = source.decode()
    tree = ast.parse(text)
    return next(
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef) and (one.name, one.lineno) == (node.name, node.lineno)
    ), text


@functools.cache
def wrapped(code: str) -> str:
    """Code with lines as short as those of the chapters, by the rules that hold for both."""
    rules = ["--config", dependencies.ROOT / "docs" / "learn" / "ruff.toml"]
    rules += ["--config", "format.skip-magic-trailing-comma=true"]
    command = [sys.executable, "-m", "ruff", "format", *rules, "-"]
    result = subprocess.run(command, input=code, capture_output=True, check=True, text=True)

    def refilled(match: re.Match[str]) -> str:
        if max(map(len, match[0].splitlines())) <= WIDTH:
            return match[0]
        words = " ".join(line.strip().removeprefix("# ") for line in match[0].splitlines())
        indent = f"{match[1]}# "
        return textwrap.fill(words, WIDTH, initial_indent=indent, subsequent_indent=indent)

    return COMMENT.sub(refilled, result.stdout.rstrip())


def checks(statement: ast.stmt, function: ast.FunctionDef) -> bool:
    """Whether a statement is the docstring, or checks an argument and does nothing else."""
    if isinstance(statement, ast.If):
        return not statement.orelse and all(isinstance(one, ast.Raise) for one in statement.body)
    value = getattr(statement, "value", None)
    if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant):
        return statement is function.body[0]
    if not isinstance(statement, ast.Expr | ast.Assign) or not isinstance(value, ast.Call):
        return False
    if not ast.unparse(value.func).rpartition(".")[2].lstrip("_").startswith("check"):
        return False
    # A name that stays the name of what was checked.
    targets = getattr(statement, "targets", [])
    return not targets or ast.unparse(targets[0]) == ast.unparse(value.args[0])


def found(name: str, package: Package) -> tuple[ast.FunctionDef, str]:
    """A function's tree, and the text of the module that it stands in."""
    _, *parts = name.split(".")
    module = package.module(".".join([package.name, parts[0]]))
    if parts[0] not in package.exports:
        parts = parts[1:]
    text = package.files[module].read_text("utf-8")
    scope: ast.AST = ast.parse(text)
    for part in parts:
        scope, text = _member(scope, part, text, package)
    if not isinstance(scope, ast.FunctionDef):
        raise PluginError(f"No function to show: {name}")
    return scope, text


def _member(scope, part: str, text: str, package: Package) -> tuple[ast.AST | None, str]:
    """What a scope has under a name, itself or from a class that it inherits from."""
    for node in getattr(scope, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part:
            return node, text
    for base in map(ast.unparse, getattr(scope, "bases", [])):
        module = package.classes.get(base.rpartition(".")[2])
        if module:
            inherited = package.files[module].read_text("utf-8")
            parent, _ = _member(ast.parse(inherited), base.rpartition(".")[2], inherited, package)
            node, where = _member(parent, part, inherited, package)
            if node is not None:
                return node, where
    return None, text
