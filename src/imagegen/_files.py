"""Files that are there whole, or as they were before."""

import functools
import os
import re
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


# Once for each folder: those who save thousands of pictures would else read it as many times.
@functools.lru_cache(maxsize=64)
def remove_orphans(folder: Path) -> None:
    """Removes what `whole_file` had begun in a folder in programs that were killed."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            old = time.time() - ORPHAN_SECONDS
            if _PARTIAL.match(entry.name) and entry.stat(follow_symlinks=False).st_mtime < old:
                os.unlink(entry)
