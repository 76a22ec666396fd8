"""Makes the embedded digits: the first 5,000 training and the first 1,000 test digits of MNIST.

    python recipes/embedded_digits.py

They are for those who can't download all 70,000. The file has the layout of the original,
`mnist.npz`, and loses nothing of its digits. Making it again gives the same bytes where NumPy and
zlib are the same.
"""

import argparse
from pathlib import Path

import imagegen

import numpy as np

OUTPUT = Path(__file__).parents[1] / "src" / "imagegen" / "data" / "mnist-sample.npz"
COUNTS = {"train": 5000, "test": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    arrays = {}
    for split, count in COUNTS.items():
        images, labels = imagegen.datasets.digits("mnist", split)
        arrays[f"x_{split}"] = images[:count, ..., 0]
        arrays[f"y_{split}"] = labels[:count].astype("uint8")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output, **arrays)
    print(f"{options.output} has {options.output.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
