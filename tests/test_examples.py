"""Every Python example in the README, the pages and the docstrings runs as written."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    ROOT / name
    for pattern in ("README.md", "docs/**/*.md", "src/**/*.py")
    for name in sorted(ROOT.glob(pattern))
]
FENCE = re.compile(r"^( *)```python\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# Path, line and code of every example.
EXAMPLES = [
    (path, text.count("\n", 0, match.start(2)), textwrap.dedent(match[2]))
    for path in SOURCES
    for text in [path.read_text("utf-8")]
    for match in FENCE.finditer(text)
]


@pytest.mark.parametrize(
    ("path", "line", "code"),
    EXAMPLES,
    ids=[f"{path.relative_to(ROOT).as_posix()}:{line}" for path, line, _ in EXAMPLES],
)
def test_example_runs_as_written(path, line, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    # The empty lines let a traceback name the line in the file.
    program = compile("\n" * line + code, path, "exec")
    exec(program, {"__name__": "__main__"})


def test_no_example_is_overlooked():
    fences = sum(path.read_text("utf-8").count("```python") for path in SOURCES)
    assert len(EXAMPLES) == fences
    assert any(path.name == "README.md" for path, _, _ in EXAMPLES)
