"""What building the site costs: from nothing, after no change, and after a change.

    python benchmarks/docs_build.py

Claims, on two idle cores: all chapters at most 800 s from nothing; a build in which nothing has
changed at most 10 s; after a change of one chapter's prose that chapter alone is run, and after a
change of one module those that use it; no page over 200 KB of HTML. The site is built in a copy of
the repository, with caches of its own. Without `IMAGEGEN_DATA`, the first build downloads the data,
too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import report

ROOT = Path(__file__).parents[1]


def copy_repository(target: Path) -> None:
    """Copies what git tracks, or would if it were added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def build(copy: Path) -> str:
    """Builds the site; returns how long that took, and how many chapters were run."""
    kept = set(copy.glob(".cache/chapters/*/*/page.md"))
    start = time.perf_counter()
    for command in ([copy / "docs" / "_machinery" / "execute.py"], ["-m", "mkdocs", "build", "-q"]):
        subprocess.run(
            [sys.executable, *command],
            cwd=copy,
            check=True,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "IMAGEGEN_CACHE": str(copy / ".cache" / "data"),
                "NO_MKDOCS_2_WARNING": "1",
                # Chapters import the copy, whatever is installed.
                "PYTHONPATH": str(copy / "src"),
            },
        )
    seconds = time.perf_counter() - start
    num_executed = len(set(copy.glob(".cache/chapters/*/*/page.md")) - kept)
    return f"{seconds:.1f} s, {num_executed} chapters run"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        pages = sorted(copy.glob("docs/learn/*.py"))
        report(f"from nothing at most 800 s, {len(pages)} chapters", build(copy))
        report("nothing changed: at most 10 s, no chapter", build(copy))
        append(pages[0], "\n# %% [markdown]\n# One more sentence.\n")
        report("one chapter's prose changed: that chapter", build(copy))
        append(copy / "src" / "imagegen" / "interpolation.py", "# One more comment.\n")
        report(f"one module changed: fewer than {len(pages)} chapters", build(copy))
        size = max(path.stat().st_size for path in copy.glob("site/**/*.html"))
        report("largest page at most 200 KB of HTML", f"{size / 1000:.1f} KB")


if __name__ == "__main__":
    main()
