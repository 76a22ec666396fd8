"""From a fresh Python to 16 flowers in a PNG file, with nothing compiled before and with all.

    python benchmarks/first_pictures.py

Claims, on two idle cores: at most 15 s the first time; at most 5 s from then on, when compiled
programs are kept; the preset is loaded at most 1 s after the import; 16 further flowers take at
most 3 s. Each round is a process of its own, with a cache of its own that the second one finds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from report import report

ROUNDS = 3
PROGRAM = """
import sys, time
import imagegen
from PIL import Image

def paint(path):
    Image.fromarray(imagegen.grid(model.generate(16, seed=0))).save(path)

times = [time.perf_counter()]
model = imagegen.DiffusionModel.from_preset("flowers-64")
times.append(time.perf_counter())
paint(sys.argv[1])
times.append(time.perf_counter())
paint(sys.argv[1])
times.append(time.perf_counter())
print(*times)
"""


def seconds(folder: str) -> tuple[float, float, float]:
    """Seconds from Python's start to the first file; for loading; and for the second file."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, os.path.join(folder, "flowers.png")],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_COMPILATION_CACHE_DIR": folder},
        stdout=subprocess.PIPE,
        check=True,
    )
    whole = time.perf_counter() - start
    imported, loaded, first, second = map(float, process.stdout.split())
    return whole - (second - first), loaded - imported, second - first


def round_of_two() -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        cold, _, _ = seconds(folder)
        return cold, *seconds(folder)


def main() -> None:
    rounds = zip(*(round_of_two() for _ in range(ROUNDS)), strict=True)
    cold, warm, loading, again = map(statistics.median, rounds)
    report("first pictures in at most 15 s", f"{cold:.1f} s", "keras", "jax")
    report("first pictures, programs kept, in at most 5 s", f"{warm:.1f} s", "keras", "jax")
    report("a preset loaded in at most 1 s", f"{loading:.2f} s", "keras", "jax")
    report("16 more in at most 3 s", f"{again:.1f} s", "keras", "jax")


if __name__ == "__main__":
    main()
