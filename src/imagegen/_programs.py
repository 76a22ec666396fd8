"""Compiled programs are kept: what one process has compiled, the next one loads."""

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path

from imagegen._cache import cache_folder

import keras

# So much room the programs may take, in bytes, and each of them takes so much at least: there must
# not be too many small ones. The oldest go first.
_ROOM, _LEAST = 1 << 30, 1 << 16
_SETTINGS = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


def keep_programs() -> None:
    """Lets JAX keep compiled programs in the user's cache folder, unless the user has decided.

    A program's key is JAX's own: a digest of what it computes, of the versions and of the flags of
    the compiler. So a changed function or network is another program. Processors differ even where
    all that is equal, and machines may share a home folder, so each kind has a folder.

    `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE=false`
    switches the cache off, as everywhere in JAX.
    """
    if keras.backend.backend() != "jax" or any(name in os.environ for name in _SETTINGS):
        return
    import jax

    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = cache_folder() / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # A home that can't be written to: programs are compiled anew, as without a cache.
    if not os.access(folder, os.W_OK):
        return
    remove_oldest(folder, _ROOM)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # To load a preset, thirty programs are compiled that each do nearly nothing.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def remove_oldest(folder: Path, room: int) -> None:
    """Removes those files of a folder that were written or read longest ago, down to `room` bytes.

    Args:
        folder: A folder of files.
        room: How many bytes may stay.
    """
    found = []
    for path in folder.glob("*"):
        with suppress(OSError):  # Another process may be at it, too.
            status = path.stat()
            found.append((max(status.st_mtime, status.st_atime), status.st_size, path))
    for _, size, path in sorted(found, reverse=True):
        room -= max(size, _LEAST)
        if room < 0:
            with suppress(OSError):
                path.unlink()


def _processor() -> str:
    """A short digest of what this machine's processor can do."""
    known = platform.machine() + platform.processor()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known += next(line for line in lines if line.startswith(("flags", "Features")))
    return hashlib.sha256(known.encode()).hexdigest()[:12]
