"""Files and folders that are there whole, or as they were before."""

import functools
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ORPHAN_SECONDS = 120.0
"""What nobody has written to for so long was left by a program that was killed."""

_PARTIAL = re.compile(r"\.imagegen-\d+-.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which takes the place of `path` when all went well.

    Its folder is made. When the disk is full or the program is killed, what was at `path` is there
    still. The names end alike, because some writers go by that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(path.parent)
    partial = path.with_name(f".imagegen-{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a path where a folder can be written, whose files go to `path` when all went well.

    What else is in the folder at `path` stays there. A program that is killed while files are moved
    leaves some of the earlier ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(path.parent)
    partial = path.with_name(f".imagegen-{os.getpid()}-{path.name}")
    try:
        yield partial
        if not path.exists():
            partial.rename(path)
        for part in [part for part in partial.rglob("*") if part.is_file()]:
            target = path / part.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# Once for each folder: those who save thousands of pictures would else read it as many times.
@functools.lru_cache(maxsize=64)
def remove_orphans(folder: Path) -> None:
    """Removes what was begun in a folder as above in programs that were killed."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if (
                not _PARTIAL.match(entry.name)
                or _last_written(entry) > time.time() - ORPHAN_SECONDS
            ):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry)
            else:
                os.unlink(entry)


def _last_written(entry: os.DirEntry[str]) -> float:
    """When a file was written to, or what is in a folder."""
    inside = (os.path.join(at, name) for at, _, names in os.walk(entry) for name in names)
    times = (os.lstat(path).st_mtime for path in inside)
    return max(times, default=entry.stat(follow_symlinks=False).st_mtime)
