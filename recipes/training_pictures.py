"""Keeps what a training drew after some of its epochs, for the chapter *Training on flowers*.

    python recipes/training_pictures.py runs/flowers-128/pictures

The folder is the one that `flowers_128.py` drew into. What the site has came of that recipe with
`--epochs 80`, asked to draw after 60 epochs, too, and stopped after 65.
"""

import argparse
import pathlib

from PIL import Image

ASSETS = pathlib.Path(__file__).parents[1] / "docs" / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    for path in sorted(options.folder.glob("epoch_*.png")):
        target = ASSETS / f"training-{path.stem}.webp"
        Image.open(path).save(target, quality=80, method=6)
        print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
