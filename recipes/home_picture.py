"""Draws the pictures of the home page and the README: flowers and digits from the presets.

    python recipes/home_picture.py

The flowers are the first that a seed gives, not a selection: one of each of the thirty species that
training had the most photographs of. The other picture is what the home page's own lines paint.
"""

import re
from pathlib import Path

import imagegen

import numpy as np
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
COLUMNS, FLOWER, DIGIT, FIRST = 10, 128, 64, 256


def enlarged(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[-1] == 1:
        images = images.repeat(3, axis=-1)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.BICUBIC)) for image in images]
    )


def write(pixels: np.ndarray, name: str) -> None:
    Image.fromarray(pixels).save(DOCS / "assets" / name, quality=85, method=6)


def painted_at_home() -> np.ndarray:
    """What the lines on the home page paint."""
    code = re.search(r"```python\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    return imagegen.grid(enlarged(names["flowers"], FIRST), columns=3, padding=0)


def main() -> None:
    photographs = imagegen.datasets.flowers("oxford", 64, split="train")
    species = np.bincount(photographs.labels).argsort()[::-1][: 3 * COLUMNS]
    gardener = imagegen.DiffusionModel.from_preset("flowers-64-species")
    flowers = gardener.generate(
        [photographs.names[label] for label in species], guidance_scale=3.0, num_steps=50, seed=0
    )
    codes = imagegen.walk(
        [[-2.0, 0.5], [1.0, 1.0], [1.5, -1.0]], 2 * COLUMNS, interpolation=imagegen.lerp
    )
    digits = imagegen.to_uint8(imagegen.VAE.from_preset("digits-2d").decode(codes))
    rows = [
        imagegen.grid(enlarged(flowers, FLOWER), columns=COLUMNS, padding=0),
        imagegen.grid(enlarged(digits, DIGIT), columns=2 * COLUMNS, padding=0),
    ]
    write(np.concatenate(rows), "home.webp")
    write(painted_at_home(), "first.webp")


if __name__ == "__main__":
    main()
