"""The chapters of the course, and what came of running them: `.cache/chapters/<name>/<key>`.

A folder holds `page.md`, plain Markdown, and the pictures beside it. Whatever builds the site reads
from here, and whatever runs chapters writes here, so several may do so at once.
"""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dependencies
from dependencies import ROOT

CACHE = ROOT / ".cache" / "chapters"
# So many results of a chapter are kept: with and without photographs, before and after a change.
KEPT = 4
# How long a chapter takes that has never run here, in seconds on two cores.
GUESS = 40.0


@dataclass(frozen=True)
class Chapter:
    """A chapter, in the state that it and what it depends on have now.

    Args:
        path: The Python file.
        key: What tells this state from others.
    """

    path: Path
    key: str

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def title(self) -> str:
        heading = re.search(r"^# # (.*)$", self.path.read_text("utf-8"), re.MULTILINE)
        return heading[1] if heading else self.name

    @property
    def folder(self) -> Path:
        """Where the result is, or will be."""
        return CACHE / self.name / self.key

    @property
    def log(self) -> Path:
        """What the process that ran the chapter last had to complain about."""
        return CACHE / self.name / "log"

    @property
    def is_done(self) -> bool:
        return (self.folder / "page.md").is_file() and not self.failure

    @property
    def failure(self) -> dict | None:
        """The line that failed, and its error; or None."""
        path = self.folder / "failure.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    @property
    def complaint(self) -> str:
        """The failure in a sentence: where, in which chapter, and the error."""
        place = f"{self.path.relative_to(ROOT)}:{self.failure['line']}"
        return f"{place}: {self.title} failed: {self.failure['error']}"

    @property
    def seconds(self) -> float:
        """How long the chapter took when it last ran, here or where the project was measured."""
        path = CACHE / self.name / "seconds"
        known = json.loads(Path(__file__).with_name("seconds.json").read_text("utf-8"))
        # A build that was killed while it noted that leaves an empty file.
        with suppress(OSError, ValueError):
            return float(path.read_text())
        return known.get(self.name, GUESS)

    def took(self, seconds: float) -> None:
        """Notes how long the chapter took, and forgets its oldest results."""
        folder = CACHE / self.name
        (folder / "seconds").write_text(f"{seconds:.1f}")
        os.utime(self.folder)
        results = [path for path in folder.iterdir() if path.is_dir()]
        results = [path for path in results if not path.name.startswith("partial-")]
        for old in sorted(results, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def forget(self) -> None:
        """Forgets the result, so that the chapter runs again."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find(path: Path) -> Chapter:
    """The chapter in a file, as it is now."""
    return Chapter(path, dependencies.key(path))


def all_chapters() -> list[Chapter]:
    """All chapters, in reading order: that of their pages in `mkdocs.yml`."""
    pages = re.findall(r"learn/\w+\.py", (ROOT / "mkdocs.yml").read_text("utf-8"))
    return [find(ROOT / "docs" / page) for page in dict.fromkeys(pages)]
