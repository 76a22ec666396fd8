"""Trains the preset `clip-flowers-32`: the painter of `captioned-32`, told by CLIP what to paint.

    KERAS_BACKEND=tensorflow python recipes/clip_flowers_32.py --preset clip-flowers-32.keras

In the place of words, the network gets the one vector that `clip-32` makes of a caption. The
painting itself need not be learnt again: all weights that fit come from `captioned-32`. The vectors
are moved by noise in training, about as far as a picture's vector is from its caption's once the
mean gap between the two is closed. So a picture can be put in the place of the caption.

After every epoch a checkpoint is written to the folder of the run, a line to its `log.csv`, and
pictures of the first eighteen captions.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.
`benchmarks/clip_retrieval.py` measures the result.
"""

import argparse
import pathlib

import imagegen

import keras
import numpy as np
from captioned_32 import train

SEED = 12
NUM_DRAWINGS = 24_000
EPOCHS, BATCH_SIZE = 2, 16
PEAK_LEARNING_RATE = 1e-3
NOISE = 0.3


def build_model(painter: imagegen.DiffusionModel, clip: imagegen.CLIP) -> imagegen.DiffusionModel:
    tower = imagegen.TextTower(clip.text_tower.text_encoder, clip.dim, noise=NOISE)
    tower.set_weights(clip.text_tower.get_weights())
    tower.trainable = False
    config = painter.network.get_config()
    network = imagegen.UNet.from_config(
        {**config, "condition_dim": clip.dim, "context_shape": None}
    )
    copy_weights(painter.averaged, network)
    # Not zeros, from which the network took 600 steps without learning a single colour: numbers of
    # a vector of length 1 are small. Times this kernel they are about 1.
    size = config["embedding_dim"]
    kernel = np.random.default_rng(SEED).standard_normal((clip.dim, size)).astype("float32")
    network.get_layer("condition_in").set_weights([kernel, np.zeros(size, "float32")])
    return imagegen.DiffusionModel(
        network,
        encoder=tower,
        schedule=painter.schedule,
        prediction=painter.prediction,
        loss="mean_squared_error",
        averaging=0.998,
    )


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies all but the layers that looked at words, and what the sentence's vector went through.

    Both networks have their layers in the same order; those that only `source` has differ in the
    shapes of their weights.
    """
    layers = iter([layer for layer in source.layers if layer.weights])
    for layer in target.layers:
        shapes = [weight.shape for weight in layer.weights]
        if not shapes:
            continue
        twin = next(one for one in layers if [weight.shape for weight in one.weights] == shapes)
        if layer.name != "condition_in":
            layer.set_weights(twin.get_weights())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--painter", default="captioned-32", help="the preset to begin with")
    parser.add_argument("--clip", default="clip-32")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/clip-flowers-32"))
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    images, _, attributes = imagegen.datasets.captioned_flowers(
        NUM_DRAWINGS, seed=SEED, upright=True
    )
    captions = [imagegen.drawn.caption(flower, name_center=True) for flower in attributes]
    painter = imagegen.DiffusionModel.from_preset(options.painter)
    model = build_model(painter, imagegen.CLIP.from_preset(options.clip))
    model.normalizer.adapt(images)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5,
        decay_steps=options.epochs * (NUM_DRAWINGS // BATCH_SIZE) - 100,
        warmup_target=PEAK_LEARNING_RATE,
        warmup_steps=100,
    )
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    batches = imagegen.ShuffledBatches(
        (images, model.encoder.tokens(captions)), batch_size=BATCH_SIZE, seed=SEED
    )
    pictures = imagegen.ShowGenerated(prompts=captions[:18], folder=options.folder / "pictures")
    train(model, batches, options.epochs, options.folder, pictures)
    if options.preset:
        print(model.save_preset(options.preset, bits=8))


if __name__ == "__main__":
    main()
