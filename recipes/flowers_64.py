"""Trains the preset `flowers-64` on the Oxford flowers.

    python recipes/flowers_64.py --preset flowers-64.keras

The data are all photographs but the 500 that are held out of every training, each also mirrored
left to right. After every epoch the model and its optimizer are saved in the folder of the run;
the same command goes on from there. On two CPU cores that had other work too, the 24 epochs took
1.4 hours, and ended with a loss of 0.221 on the photographs that were held out. On a CPU,
`KERAS_BACKEND=tensorflow` is the fastest, and the weights serve every backend.

The network is the U-Net of the chapters with four changes that make a short training go far:
patches of 2 x 2 pixels, group normalization, the noise rate brought to every block, and attention
at 8 x 8. It predicts the velocity, under a mean squared error.
"""

import argparse
import csv
import pathlib
import time

import imagegen

import keras
import numpy as np

SEED = 17


def build_model(images: np.ndarray) -> imagegen.DiffusionModel:
    network = imagegen.UNet(
        64,
        [32, 64, 112, 128],
        2,
        patch_size=2,
        norm="group",
        embedding_dim=64,
        attention_resolutions=[8],
    )
    model = imagegen.DiffusionModel(
        network,
        schedule=imagegen.CosineSchedule(max_signal_rate=0.999),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
    )
    model.normalizer.adapt(images)
    learning_rate = keras.optimizers.schedules.InverseTimeDecay(
        1e-3, decay_steps=3000, decay_rate=1.0
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0),
    )
    return model


class Backup(keras.callbacks.Callback):
    """Saves the model, a line of the log and a grid of pictures after each epoch."""

    def __init__(self, folder: pathlib.Path, hours: float):
        super().__init__()
        self.folder = folder
        self.deadline = time.monotonic() + hours * 3600

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        unfinished = self.folder / "unfinished.keras"
        self.model.save(unfinished)
        unfinished.replace(self.folder / "checkpoint.keras")
        with open(self.folder / "log.csv", "a", newline="") as file:
            seconds = round(time.monotonic() - self.began, 1)
            csv.writer(file).writerow([epoch + 1, seconds, logs["loss"], logs["val_loss"]])
        if time.monotonic() > self.deadline:
            self.model.stop_training = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--hours", type=float, default=100, help="stop after the epoch that ends")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/flowers-64"))
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    images = imagegen.datasets.flowers("oxford", 64, split="train").images
    images = np.concatenate([images, images[:, :, ::-1]])
    held_out = imagegen.datasets.flowers("oxford", 64, split="test").images

    keras.utils.set_random_seed(SEED)
    checkpoint, log = options.folder / "checkpoint.keras", options.folder / "log.csv"
    model = keras.saving.load_model(checkpoint) if checkpoint.exists() else build_model(images)
    epochs_done = len(log.read_text().splitlines()) if log.exists() else 0
    model.fit(
        images,
        batch_size=32,
        epochs=options.epochs,
        initial_epoch=epochs_done,
        validation_data=(held_out,),
        verbose=2,
        callbacks=[
            imagegen.ShowGenerated(folder=options.folder / "pictures", every=5),
            Backup(options.folder, options.hours),
        ],
    )
    if options.preset:
        model.save_preset(options.preset)


if __name__ == "__main__":
    main()
