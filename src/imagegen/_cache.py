"""Where downloads and compiled programs are kept."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Returns the folder for downloads: `IMAGEGEN_CACHE`, or the user's cache on this platform."""
    if chosen := os.environ.get("IMAGEGEN_CACHE"):
        return expanded(chosen, "IMAGEGEN_CACHE")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "imagegen"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "imagegen"
    # The standard says that a relative one is ignored: where it leads depends on the program.
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(chosen) if os.path.isabs(chosen) else Path.home() / ".cache") / "imagegen"


def expanded(folder: str, variable: str) -> Path:
    """Returns the folder that an environment variable names, with the user's for `~`."""
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{variable} must name a folder, of a user that there is. "
            f"Received: {variable}={folder!r}"
        ) from error
