"""Draws the picture of the home page and the README: flowers and digits from the presets.

    python recipes/home_picture.py

The flowers are the first that a seed gives, not a selection: one of each of the thirty species that
training had the most photographs of.
"""

from pathlib import Path

import imagegen

import numpy as np
from PIL import Image

PICTURE = Path(__file__).parents[1] / "docs" / "assets" / "home.webp"
COLUMNS, FLOWER, DIGIT = 10, 128, 64


def enlarged(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[-1] == 1:
        images = images.repeat(3, axis=-1)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.BICUBIC)) for image in images]
    )


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
    PICTURE.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(PICTURE, quality=85, method=6)


if __name__ == "__main__":
    main()
