"""Does a preset learn a new subject from twelve pictures, and keep what it knew?

    KERAS_BACKEND=tensorflow python benchmarks/fine_tuning.py

`flowers-64-species` saw photographs alone. From twelve drawings of one flower it learns the name
"paper flower". A third of what it sees are drawings, the rest photographs of the first training, so
that they aren't forgotten. With `--rehearsal` it answers to these as it did before.

A picture counts as the new subject when, in the features of `species-64`, the middle of a hundred
further drawings is nearer to it than that of any species. Pictures of the old species are compared
with photographs that no training saw, under the same prompts and noise before and after.

Claims: at least 80 of 100 pictures under the new name are the new subject; the KID of the old
species rises by no more than its standard error; all of it takes less than 20 minutes on two cores.
"""

import argparse
import time

import imagegen

import keras
import numpy as np
from report import report

NAME = "paper flower"
CAPTION = "a blue flower with five petals on a yellow background"
NUM_PUPILS, NUM_STEPS, BATCH_SIZE = 12, 1000, 16
OLD_PICTURES = 445
SAMPLING = {"num_steps": 12, "sampler": imagegen.DPMSolver2M(), "guidance_scale": 2.0}


def drawings(count: int, seed: int) -> np.ndarray:
    """Draws the subject, each time turned and sized otherwise."""
    rng = np.random.default_rng(seed)
    flowers = []
    while len(flowers) < count:
        flower = imagegen.drawn.sample_attributes(rng)
        if imagegen.drawn.caption(flower) == CAPTION:
            flowers.append(flower)
    return imagegen.drawn.draw_flowers(flowers, image_size=64)


def features(images: np.ndarray) -> np.ndarray:
    return imagegen.extract_features(images, imagegen.feature_model("species-64"))


def num_recognized(images: np.ndarray, photographs: imagegen.datasets.Flowers) -> int:
    """How many pictures are nearer to the middle of the subject than to that of any species."""
    known = features(photographs.images)
    middles = [known[photographs.labels == label].mean(axis=0) for label in set(photographs.labels)]
    middles.append(features(drawings(100, seed=1)).mean(axis=0))
    nearest = imagegen.nearest_neighbors(features(images), np.stack(middles)).indices[:, 0]
    return int(np.sum(nearest == len(middles) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate at the beginning")
    parser.add_argument("--rehearsal", action="store_true", help="of the old names")
    parser.add_argument("--pictures", help="where to save what is painted under the new name")
    options = parser.parse_args()
    start = time.perf_counter()
    model = imagegen.DiffusionModel.from_preset("flowers-64-species")
    species = list(model.encoder.names)
    own, labels, known = imagegen.datasets.flowers("oxford", 64, split="train")

    taught = imagegen.with_names(model, [NAME])
    repeats = len(own) // (2 * NUM_PUPILS)
    images = np.concatenate([np.tile(drawings(NUM_PUPILS, seed=0), (repeats, 1, 1, 1)), own])
    # The empty prompt stays what it was, too: guidance moves away from it. So it is left to the
    # old pictures, and no prompt of a new one is dropped.
    old_names = [known[label] if known[label] in species else "" for label in labels]
    old_names = ["" if i % 10 == 0 else name for i, name in enumerate(old_names)]
    names = [NAME] * (repeats * NUM_PUPILS) + old_names
    taught.prompt_dropout = 0.0
    batches = imagegen.ShuffledBatches(
        (images, taught.encoder.tokens(names)), batch_size=BATCH_SIZE, seed=0
    )
    keras.utils.set_random_seed(0)
    epochs = round(options.steps / len(batches))
    rate = keras.optimizers.schedules.CosineDecay(options.rate, epochs * len(batches))
    training = imagegen.Rehearsal(taught, [NAME]) if options.rehearsal else taught
    training.compile(keras.optimizers.Adam(rate, clipnorm=1.0))
    training.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    seconds = time.perf_counter() - start
    report("less than 1,200 s", f"{seconds:.0f} s for {epochs * len(batches)} steps")

    photographs = imagegen.datasets.flowers("oxford", 64, split="train")
    held_out = features(imagegen.datasets.flowers("oxford", 64, split="test").images)
    painted = taught.generate([NAME] * 100, seed=2, **SAMPLING)
    if options.pictures:
        import PIL.Image

        PIL.Image.fromarray(imagegen.grid(painted)).save(options.pictures)
    before = num_recognized(model.generate(100, seed=2, num_steps=12), photographs)
    report(
        "80 of 100 are the new subject",
        f"{num_recognized(painted, photographs)} of 100; {before} before",
    )
    prompts = (species * 5)[:OLD_PICTURES]
    found = []
    for painter in (model, taught):
        distance, error = imagegen.kernel_inception_distance(
            features(painter.generate(prompts, seed=3, **SAMPLING)), held_out
        )
        found.append(f"{distance:.4f} ± {error:.4f}")
    report("the old species' KID rises by no more than its standard error", " to ".join(found))


if __name__ == "__main__":
    main()
