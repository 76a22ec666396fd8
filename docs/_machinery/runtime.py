"""What runs exported networks in the browser: ONNX Runtime Web, of the npm registry.

It comes while the site is built, and is served by the site itself.
Where the registry can't be reached the site is built without it, and says so.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import npm_package
from npm_package import MissingError as MissingError

VERSION = "1.30.0"
# `npm view onnxruntime-web@1.30.0 dist.integrity`
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
PACKAGE = f"onnxruntime-web@{VERSION}"
# Of each build its script and its program. The first is a quarter smaller on the wire.
BUILDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}


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
        unpack(npm_package.download(PACKAGE, INTEGRITY), partial)
        if not done.is_dir():  # Another process was quicker.
            partial.rename(done)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


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
