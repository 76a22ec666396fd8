"""Every example runs as written: Python in the README, pages and docstrings, and commands."""

import ast
import re
import runpy
import shlex
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / name
    for pattern in ("*.md", "docs/**/*.md", "src/**/*.py")
    for name in sorted(ROOT.glob(pattern))
]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# Path, line, language and code of every block.
BLOCKS = [
    (path, text.count("\n", 0, match.start(3)), match[2], textwrap.dedent(match[3]))
    for path in SOURCES
    for text in [path.read_text("utf-8")]
    for match in FENCE.finditer(text)
]
EXAMPLES = [(path, line, code) for path, line, language, code in BLOCKS if language == "python"]
COMMANDS = [(path, line, code) for path, line, language, code in BLOCKS if language == "bash"]


def name_of(example):
    return f"{example[0].relative_to(ROOT).as_posix()}:{example[1]}"


@pytest.mark.parametrize(("path", "line", "code"), EXAMPLES, ids=map(name_of, EXAMPLES))
def test_example_runs_as_written(path, line, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    # The empty lines let a traceback name the line in the file.
    program = compile("\n" * line + code, path, "exec")
    exec(program, {"__name__": "__main__"})


def sessions():
    """The names of the sessions of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


def run_command(words):
    """Runs a command of the package, and sees that what CI runs is there by that name."""
    while "=" in words[0]:
        words = words[1:]
    program, *arguments = words
    if words[:3] == ["python", "-m", "imagegen"]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["imagegen", *arguments[2:]])
            with pytest.raises(SystemExit) as end:
                runpy.run_module("imagegen", run_name="__main__")
        assert not end.value.code
    elif program == "python":
        script, chapter = arguments
        assert (ROOT / script).is_file()
        assert (ROOT / "docs/learn" / f"{chapter}.py").is_file()
    elif Path(program).name == "nox":
        assert arguments[:1] in ([], ["-s"])
        assert {*arguments[1:]} <= sessions()
    else:
        # The environment that nox needs, as CI makes it; and the package, where it lies.
        environment = (["python3", "-m", "venv", ".venv"], [".venv/bin/pip", "install", "nox"])
        assert words in (*environment, ["pip", "install", "."])


@pytest.mark.parametrize(("path", "line", "code"), COMMANDS, ids=map(name_of, COMMANDS))
def test_commands_run_as_written(path, line, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in code.splitlines():
        for part in command.split(" && "):
            run_command(shlex.split(part))


def test_no_section_of_a_docstring_is_cut_off_from_its_heading():
    # The reference would show it as plain text, and its code with the fence around it.
    cut_off = re.compile(r"^ +(Args|Attributes|Example|Raises|Reference|Returns|Yields):\n\n", re.M)
    assert [str(path) for path in SOURCES if cut_off.search(path.read_text("utf-8"))] == []


def test_no_example_is_overlooked():
    fences = sum(len(re.findall(r"^ *```", path.read_text("utf-8"), re.M)) for path in SOURCES)
    assert fences == 2 * len(BLOCKS)
    # Without a language stands a formula, which nobody runs.
    formulas = [code for _, _, language, code in BLOCKS if not language]
    assert all(" = " in formula and formula.count("\n") == 1 for formula in formulas)
    assert len(BLOCKS) == len(EXAMPLES) + len(COMMANDS) + len(formulas)
    assert any(path.name == "README.md" for path, _, _ in EXAMPLES)
