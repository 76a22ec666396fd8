"""Trains the presets `digits-2d` and `digits-16d`: VAEs of the digits, on MNIST's 60,000.

    KERAS_BACKEND=tensorflow python recipes/digits.py --latent-dim 2 --preset digits-2d.keras
    KERAS_BACKEND=tensorflow python recipes/digits.py --latent-dim 16 --preset digits-16d.keras

After every epoch a checkpoint is written to the folder of the run, a line to its `log.csv`, and a
picture of the digits that 36 codes, always the same, are decoded to.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.
TensorFlow is the fastest backend on a CPU, and the weights serve every backend.

The last line reports the mean negative ELBO of the 10,000 test digits, which training never sees.
On two CPU cores that had other work too, the presets of the package took

    digits-2d    20 epochs   33 minutes   142.9 nats
    digits-16d    8 epochs   10 minutes    98.1 nats

To choose between settings, `--held-out 5000` also keeps the last training digits out, and measures
those after each epoch.

The same command serves a GPU. It computes in float32 there, too: in bfloat16, probabilities near 1
come in steps of 1/256, and a white pixel, priced by their logarithm, would notice.
"""

import argparse
import pathlib
from typing import NamedTuple

import imagegen

import keras
import numpy as np

SEED = 0
NOISE_DRAWS = 10


class Training(NamedTuple):
    epochs: int
    batch_size: int
    peak_learning_rate: float


# Two numbers are hard to use well: that takes many small steps.
TRAININGS = {2: Training(20, 32, 1.5e-3), 16: Training(8, 64, 2e-3)}


def build_model(latent_dim: int, epochs: int, steps_per_epoch: int) -> imagegen.VAE:
    vae = imagegen.VAE(imagegen.digit_encoder(latent_dim), imagegen.digit_decoder(latent_dim))
    # The rate rises for an epoch, then falls to 0 along a cosine, so that the noise of single
    # batches averages out over the last epochs.
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=(epochs - 1) * steps_per_epoch,
        warmup_target=TRAININGS[latent_dim].peak_learning_rate,
        warmup_steps=steps_per_epoch,
    )
    vae.compile(keras.optimizers.Adam(learning_rate))
    return vae


class ShowDecoded(keras.callbacks.Callback):
    """Saves what fixed codes are decoded to after each epoch."""

    def __init__(self, latent_dim: int, folder: pathlib.Path):
        super().__init__()
        self.codes = np.random.default_rng(SEED).standard_normal((36, latent_dim), "float32")
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.folder.mkdir(exist_ok=True)
        picture = imagegen.grid(self.model.decode(self.codes), columns=9)
        keras.utils.save_img(self.folder / f"epoch_{epoch + 1:04d}.png", picture, scale=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latent-dim", type=int, choices=TRAININGS, required=True)
    parser.add_argument("--epochs", type=int, help="20 for 2 dimensions, 8 for 16 by default")
    parser.add_argument("--held-out", type=int, default=0, help="training digits to leave out")
    parser.add_argument("--folder", type=pathlib.Path, help="runs/digits-2d or -16d by default")
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()
    training = TRAININGS[options.latent_dim]
    epochs = options.epochs or training.epochs
    folder = options.folder or pathlib.Path(f"runs/digits-{options.latent_dim}d")

    images = imagegen.datasets.digits("mnist", split="train").images
    kept = len(images) - options.held_out
    train, held_out = images[:kept], images[kept:]

    keras.utils.set_random_seed(SEED)
    batches = imagegen.ShuffledBatches(train, batch_size=training.batch_size, seed=SEED)
    vae = build_model(options.latent_dim, epochs, len(batches))
    checkpoint = imagegen.Checkpoint(folder, batches)
    epochs_done = checkpoint.restore(vae)
    folder.mkdir(parents=True, exist_ok=True)
    vae.fit(
        batches,
        shuffle=False,
        epochs=epochs,
        initial_epoch=epochs_done,
        validation_data=(held_out,) if options.held_out else None,
        verbose=2,
        callbacks=[
            ShowDecoded(options.latent_dim, folder / "pictures"),
            keras.callbacks.CSVLogger(folder / "log.csv", append=True),
            checkpoint,
        ],
    )
    if options.preset:
        imagegen.save_preset(vae, options.preset)

    test = imagegen.datasets.digits("mnist", split="test").images
    bound = imagegen.negative_elbo(vae, test, num_draws=NOISE_DRAWS)
    print(f"Test digits, means of {NOISE_DRAWS} draws: {bound}")


if __name__ == "__main__":
    main()
