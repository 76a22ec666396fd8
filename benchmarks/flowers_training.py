"""How good a flower model gets by how much training: the book's recipe and the preset's.

    KERAS_BACKEND=tensorflow python benchmarks/flowers_training.py book --epochs 16
    KERAS_BACKEND=tensorflow python benchmarks/flowers_training.py preset --epochs 64

Both train on the same photographs of 64 x 64 pixels, mirrored too, without species and without
guidance. Training is counted in multiply-adds, three forward passes for a step. After 1, 2, 4, ...
epochs a row is added to the table: KID between 500 generated pictures and the 500 photographs that
are held out, in the features of `species-64`, in 20 steps of DPM-Solver++ at even log
signal-to-noise ratios.

Kill the program at any moment; the same command goes on. Without arguments it prints the table.

Claim: at equal arithmetic, the preset's recipe has at most a third of the book's distance.
"""

import argparse
import csv
from pathlib import Path

import imagegen

import keras
import numpy as np
from flowers_ablation import multiply_adds

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("recipe", "epochs", "pictures", "tera_multiply_adds", "kid", "standard_error")
SEED = 17


def book() -> imagegen.DiffusionModel:
    """The package's defaults are the book's network, schedule, prediction and loss."""
    model = imagegen.DiffusionModel(imagegen.UNet(64, [32, 64, 96, 128], 2))
    learning_rate = keras.optimizers.schedules.InverseTimeDecay(1e-3, 1000, 0.1)
    model.compile(keras.optimizers.AdamW(learning_rate))
    return model


def preset() -> imagegen.DiffusionModel:
    """The network, schedule, prediction and loss of `recipes/flowers_64.py`, without species."""
    model = imagegen.DiffusionModel(
        imagegen.UNet(
            64,
            [32, 64, 112, 128],
            2,
            patch_size=2,
            norm="group",
            embedding_dim=64,
            attention_resolutions=[8],
        ),
        schedule=imagegen.CosineSchedule(max_signal_rate=0.999),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
    )
    learning_rate = keras.optimizers.schedules.InverseTimeDecay(1e-3, 3000, 1.0)
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    return model


class Measure(keras.callbacks.Callback):
    """Adds a row to the table after 1, 2, 4, ... epochs, and after the last."""

    def __init__(self, recipe: str, last_epoch: int, pictures: int, held_out: np.ndarray):
        super().__init__()
        self.recipe, self.last_epoch, self.pictures = recipe, last_epoch, pictures
        self.features = imagegen.feature_model("species-64")
        self.held_out = imagegen.extract_features(held_out, self.features)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        epochs = epoch + 1
        known = {(row["recipe"], int(row["epochs"])) for row in read()}
        is_due = epochs & (epochs - 1) == 0 or epochs == self.last_epoch
        if not is_due or (self.recipe, epochs) in known:
            return
        # A copy: the schedule that sampling visits is no part of the training.
        model = imagegen.DiffusionModel(
            self.model.averaged,
            schedule=imagegen.EvenLogSNR(self.model.schedule),
            prediction=self.model.prediction,
        )
        model.normalizer.set_weights(self.model.normalizer.get_weights())
        generated = np.concatenate(
            [
                model.generate(50, num_steps=20, sampler=imagegen.DPMSolver2M(), seed=seed)
                for seed in range(10)
            ]
        )
        features = imagegen.extract_features(generated, self.features)
        kid = imagegen.kernel_inception_distance(features, self.held_out)
        pictures = epochs * self.pictures
        tera = 3 * pictures * multiply_adds(self.model.network) / 1e12
        row = (self.recipe, epochs, pictures, f"{tera:.1f}", *(f"{number:.4f}" for number in kid))
        is_new = not TABLE.exists()
        with TABLE.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, row] if is_new else [row])
        print(*row)


def read() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", choices=["book", "preset"])
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("runs/flowers-training"))
    options = parser.parse_args()
    if options.recipe is not None:
        train(options.recipe, options.epochs, options.folder / options.recipe)
    for row in read():
        print(*row.values())


def train(recipe: str, epochs: int, folder: Path) -> None:
    images = imagegen.datasets.flowers("oxford", 64, split="train").images
    images = np.concatenate([images, images[:, :, ::-1]])
    held_out = imagegen.datasets.flowers("oxford", 64, split="test").images
    keras.utils.set_random_seed(SEED)
    model = {"book": book, "preset": preset}[recipe]()
    model.normalizer.adapt(images)
    batches = imagegen.ShuffledBatches(images, batch_size=32, seed=SEED)
    checkpoint = imagegen.Checkpoint(folder, batches)
    epochs_done = checkpoint.restore(model)
    model.fit(
        batches,
        shuffle=False,
        epochs=epochs,
        initial_epoch=epochs_done,
        verbose=2,
        callbacks=[Measure(recipe, epochs, len(images), held_out), checkpoint],
    )


if __name__ == "__main__":
    main()
