"""What building the site costs: from nothing, after no change, and after a change.

    python benchmarks/docs_build.py

Claims: at most 20 minutes from nothing and 20 s where nothing changed; no page over 200 KB of HTML;
a change of one page's prose runs that page alone, and a change of the package runs all pages. The
site is built in a copy of the repository, with caches of its own. Without `IMAGEGEN_DATA`, the
first build downloads the data, too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    """Builds the site; returns how long that took, and how many pages were run."""
    # What came out of a page is kept in a file, under a name that knows what the page depends on.
    kept = set(copy.glob(".cache/chapters/*/*.json"))
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet"],
        cwd=copy,
        check=True,
        env={
            **os.environ,
            "IMAGEGEN_CACHE": str(copy / ".cache" / "data"),
            "NO_MKDOCS_2_WARNING": "1",
            # Pages import the copy, whatever is installed.
            "PYTHONPATH": str(copy / "src"),
        },
    )
    seconds = time.perf_counter() - start
    num_executed = len(set(copy.glob(".cache/chapters/*/*.json")) - kept)
    return f"{seconds:6.1f} s, {num_executed} pages run"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        pages = sorted(copy.glob("docs/learn/*.py"))
        print(f"from nothing         {build(copy)} (claim: at most 1200 s, {len(pages)} pages)")
        print(f"nothing changed      {build(copy)} (claim: at most 20 s, 0 pages)")
        append(pages[0], "\n# %% [markdown]\n# One more sentence.\n")
        print(f"one page's prose     {build(copy)} (claim: 1 page)")
        append(copy / "src" / "imagegen" / "__init__.py", "# One more comment.\n")
        print(f"the package changed  {build(copy)} (claim: {len(pages)} pages)")
        size = max(path.stat().st_size for path in copy.glob("site/**/*.html"))
        print(f"largest page         {size / 1000:6.1f} KB of HTML (claim: at most 200)")


if __name__ == "__main__":
    main()
