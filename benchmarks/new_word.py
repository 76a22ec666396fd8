"""Does a word that `learn_concept` teaches do what it should, and nothing else?

    python benchmarks/new_word.py

No flower that `captioned-32` learned from was teal, and no caption has a word for it. From five
pictures the model learns one. Then it paints 100 flowers whose prompts have the word.

A flower counts as teal when the tint of its petals is nearer to that of the five pictures than to
all eight colours that the model has words for.

Claims: 90 of 100 flowers are teal; pictures of prompts without the word stay the same, bit for bit;
learning takes less than 5 minutes on two cores.
"""

import collections
import dataclasses
import time

import imagegen

import numpy as np

NUM_PICTURES = 100
WORD, PARENTS = "<teal>", ("blue", "green")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")


def draw(flowers: list[imagegen.FlowerAttributes], *colors: str) -> np.ndarray:
    """Flowers with petals of one colour, or between two, but those with more of that colour."""
    flowers = [f for f in flowers if not {f.center_color, f.background_color} & set(colors)]
    drawn = [
        imagegen.draw_flowers([dataclasses.replace(f, petal_color=color) for f in flowers])
        for color in colors
    ]
    return np.mean(drawn, axis=0).round().astype("uint8")


def captions(flowers: list[imagegen.FlowerAttributes]) -> list[str]:
    blue = [dataclasses.replace(flower, petal_color="blue") for flower in flowers]
    return [imagegen.caption(flower, name_center=True) for flower in blue]


def flowers(count: int, seed: int) -> list[imagegen.FlowerAttributes]:
    """Flowers on grounds that petals of blue, green and what is between stand out from."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        flower = imagegen.sample_attributes(rng, upright=True)
        if not {flower.center_color, flower.background_color} & {*PARENTS, "purple"}:
            found.append(dataclasses.replace(flower, num_petals=int(rng.integers(3, 9))))
    return found


def petal_tints(images: np.ndarray) -> np.ndarray:
    """The median colour of the petals, each scaled to a largest channel of 1."""
    axis = (np.arange(images.shape[1]) + 0.5) * 2 / images.shape[1] - 1
    ring = abs(np.hypot(axis, axis[:, None]) - 0.5) < 0.18
    tints = []
    for image in images.astype("float64"):
        ground = np.median(image[[0, 1, -2, -1]], axis=(0, 1))
        pixels = image[ring]
        petals = pixels[abs(pixels - ground).sum(axis=1) > 90]
        color = np.median(petals, axis=0) if len(petals) else ground
        tints.append(color / color.max())
    return np.array(tints)


def main() -> None:
    model = imagegen.DiffusionModel.from_preset("captioned-32")
    pupils = flowers(5, seed=1)
    pictures = draw(pupils, *PARENTS)
    names = [*COLORS, WORD]
    means = [petal_tints(draw(flowers(50, seed=2), color)).mean(axis=0) for color in COLORS]
    means.append(petal_tints(pictures).mean(axis=0))

    def count(images: np.ndarray) -> str:
        distances = np.linalg.norm(petal_tints(images)[:, None] - means, axis=2)
        found = collections.Counter(names[index] for index in distances.argmin(axis=1))
        return ", ".join(f"{number} {name}" for name, number in found.most_common())

    prompts = captions(flowers(NUM_PICTURES, seed=3))
    before = model.generate(prompts, seed=0)
    start = time.perf_counter()
    imagegen.learn_concept(
        model,
        pictures,
        WORD,
        initial_word="blue",
        prompts=[caption.replace("blue", WORD) for caption in captions(pupils)],
    )
    seconds = time.perf_counter() - start
    after = model.generate(prompts, seed=0)
    painted = model.generate([prompt.replace("blue", WORD) for prompt in prompts], seed=0)
    print(f"drawn between blue and green: {count(draw(flowers(100, seed=4), *PARENTS))}")
    print(f"painted as blue:              {count(before)}")
    print(f"painted as {WORD}:           {count(painted)} (claim: at least 90 {WORD})")
    print(f"learned in {seconds:.0f} s (claim: less than 300)")
    print(f"without the word the pictures are the same: {np.array_equal(before, after)}")


if __name__ == "__main__":
    main()
