"""Trains the preset `clip-32`: drawn flowers and their captions in one space.

    KERAS_BACKEND=tensorflow python recipes/clip_32.py --preset clip-32.keras

Every batch is drawn anew, so that no picture is seen twice and nothing can be learnt by heart. Half
of the captions name all that captions name, a fifth leave out the centre, and the others leave some
of it open, as prompts do.

After every epoch a checkpoint is written to the folder of the run, and a line to its `log.csv`.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.
`benchmarks/clip_retrieval.py` measures the result.
"""

import argparse
import pathlib

import imagegen

import keras
import numpy as np
from captioned_32 import train

SEED = 11
BATCH_SIZE = 128
EPOCHS, STEPS_PER_EPOCH = 15, 100
PEAK_LEARNING_RATE = 2e-3


class Drawings(keras.utils.PyDataset):
    """Endless flowers: batch i of an epoch depends on the seed, the epoch and i alone.

    The checkpoint sets the epoch when one begins.
    """

    def __init__(self, tokenizer: imagegen.WordTokenizer) -> None:
        super().__init__()
        self.tokenizer, self.epoch = tokenizer, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def __getitem__(self, index: int) -> tuple:
        rng = np.random.default_rng([SEED, self.epoch, index])
        images, captions = drawings(BATCH_SIZE, rng)
        return ((images, self.tokenizer.tokens(captions)),)


def drawings(num_images: int, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Flowers and captions of every kind."""
    attributes = [imagegen.drawn.sample_attributes(rng) for _ in range(num_images)]
    captions = []
    for drawn in attributes:
        kind = rng.random()
        if kind < 0.3:
            captions.append(imagegen.drawn.partial_caption(drawn, rng))
        else:
            captions.append(imagegen.drawn.caption(drawn, name_center=bool(kind >= 0.5)))
    return imagegen.drawn.draw_flowers(attributes), captions


def build_model() -> imagegen.CLIP:
    _, captions = drawings(10_000, np.random.default_rng(SEED))
    clip = imagegen.CLIP(
        imagegen.clip_image_encoder(32, [32, 64, 128], dim=64),
        imagegen.TextEncoder(imagegen.WordTokenizer.fit(captions), dim=64),
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5,
        decay_steps=EPOCHS * STEPS_PER_EPOCH - 100,
        warmup_target=PEAK_LEARNING_RATE,
        warmup_steps=100,
    )
    clip.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    return clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/clip-32"))
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    clip = build_model()
    flowers = Drawings(clip.text_tower.text_encoder.tokenizer)
    train(clip, flowers, options.epochs, options.folder)
    print(f"temperature {clip.temperature:.4f}")
    if options.preset:
        print(imagegen.save_preset(clip, options.preset))


if __name__ == "__main__":
    main()
