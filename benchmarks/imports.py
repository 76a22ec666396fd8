"""What `import imagegen` costs beyond `import keras`.

    python benchmarks/imports.py

Claim: at most 0.3 s. Every import is a fresh process; the two take turns, so that a busy machine
slows both.
"""

import os
import statistics
import subprocess
import sys
import time

from report import report

ROUNDS = 9


def seconds_to_import(module: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    for module in ("keras", "imagegen"):  # Fills the file cache.
        seconds_to_import(module)
    pairs = [(seconds_to_import("keras"), seconds_to_import("imagegen")) for _ in range(ROUNDS)]
    keras_seconds, imagegen_seconds = map(statistics.median, zip(*pairs, strict=True))
    print(f"import keras     {keras_seconds:.2f} s")
    print(f"import imagegen  {imagegen_seconds:.2f} s")
    more = imagegen_seconds - keras_seconds
    report("at most 0.3 s more than Keras", f"{more:.2f} s more", "keras", "jax")


if __name__ == "__main__":
    main()
