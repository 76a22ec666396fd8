"""What helps a small flower model most, when every variant may do the same arithmetic.

    KERAS_BACKEND=tensorflow python benchmarks/flowers_ablation.py

Each variant changes one thing of a base: the recipe of the preset `flowers-64`, made smaller, for
photographs of 32 x 32 pixels. All train until they have spent the same number of multiply-adds,
counted from the layers' shapes, three forward passes for a training step. So a network of half
the work sees twice the pictures. What is measured:

- KID between 500 generated pictures and the 500 photographs that are held out of every training,
  in the features of `species-64`. All variants start from the same noise and take 20 steps of
  DPM-Solver++ at even log signal-to-noise ratios of their own schedule.
- The squared error of the velocity on the held-out photographs, at the noise rates of the book's
  schedule, through which all have trained. It follows from any prediction's clean picture.

A row is written to the table as soon as it is measured, and what the table has is not measured
again. So the program goes on after an interruption, and beside a full table it only prints.
"""

import argparse
import csv
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import imagegen

import keras
import numpy as np
from keras import layers

BASE_NETWORK = {
    "image_size": 32,
    "widths": [32, 64, 96],
    "block_depth": 1,
    "patch_size": 2,
    "norm": "group",
    "embedding_dim": 64,
    "attention_resolutions": [8],
}
BASE_MODEL = {
    "schedule": imagegen.CosineSchedule(max_signal_rate=0.999),
    "prediction": imagegen.VelocityPrediction(),
    "loss": "mean_squared_error",
    "weighting": imagegen.PlainWeighting(),
}
NUM_GENERATED, NUM_STEPS = 500, 20
# Of the budget, for the variant that trains an autoencoder first.
AUTOENCODER_SHARE = 0.2
LATENT_CHANNELS = 6


@dataclasses.dataclass(frozen=True)
class Variant:
    """One training: what it changes of the base."""

    network: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    flips: bool = True
    latent: bool = False
    batch_size: int = 32
    learning_rate: float = 2e-3
    # The rate falls as 1 / (1 + decay * progress): to a third at the end, as in the recipe.
    decay: float = 2.25
    seed: int = 17


VARIANTS = {
    "base": Variant(),
    "base, another seed": Variant(seed=18),
    "noise prediction": Variant(model={"prediction": imagegen.NoisePrediction()}),
    "image prediction": Variant(model={"prediction": imagegen.ImagePrediction()}),
    "no attention": Variant(network={"attention_resolutions": []}),
    "patches of 1 pixel": Variant(network={"patch_size": 1}),
    "min-SNR weighting, gamma 5": Variant(model={"weighting": imagegen.MinSNRWeighting(5.0)}),
    "schedule shifted to less noise": Variant(
        model={"schedule": imagegen.ShiftedCosineSchedule(32, base_size=64)}
    ),
    "EDM prediction and schedule": Variant(
        model={"prediction": imagegen.EDMPrediction(), "schedule": imagegen.EDMSchedule()}
    ),
    # Channels instead of pixels: the network works on as many places as with patches of 2 pixels.
    "latent space": Variant(
        network={"image_size": 16, "patch_size": 1, "channels": LATENT_CHANNELS},
        model={"value_range": None},
        latent=True,
    ),
    "the book's recipe": Variant(
        network={
            "widths": [32, 64, 96, 128],
            "block_depth": 2,
            "patch_size": 1,
            "norm": "batch",
            "embedding_dim": None,
            "attention_resolutions": [],
        },
        model={
            "schedule": imagegen.CosineSchedule(),
            "prediction": imagegen.NoisePrediction(),
            "loss": "mean_absolute_error",
        },
        flips=False,
        batch_size=64,
        learning_rate=1e-3,
        decay=0.0,
    ),
    "schedule shifted to more noise": Variant(
        model={"schedule": imagegen.ShiftedCosineSchedule(64, base_size=32)}
    ),
    "no flips": Variant(flips=False),
}

# Averages of other lengths, all taken in the base's training: how much survives a step n at most,
# and the offset in the (1 + n) / (offset + n) that it rises along. The package's offset is 10,
# which keeps 0.999 out of reach for 9,000 steps.
AVERAGES = {
    "no averaging": (0.0, 10),
    "averaging 0.9": (0.9, 10),
    "averaging 0.99": (0.99, 10),
    "averaging 0.999 from the first step": (0.999, 1),
    "averaging over the last quarter": (1.0, 4),
}


class Row(NamedTuple):
    """One line of the table, as text."""

    name: str
    budget: str  # Tera multiply-adds.
    forward: str  # Mega multiply-adds a picture.
    pictures: str  # That training saw.
    kid: str
    standard_error: str
    loss: str


class Photographs(NamedTuple):
    training: np.ndarray
    held_out: np.ndarray
    held_out_features: np.ndarray


class Averages(keras.callbacks.Callback):
    """Moves more averages of the learning weights, as the model moves its own."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.weights = {name: self.model.network.get_weights() for name in AVERAGES}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        live = self.model.network.get_weights()
        for name, (most, offset) in AVERAGES.items():
            kept = min(most, (1 + batch) / (offset + batch))
            for averaged, weight in zip(self.weights[name], live, strict=True):
                averaged += (1 - kept) * (weight - averaged)


def multiply_adds(network: keras.Model) -> int:
    """The multiply-adds of one picture in convolutions, dense layers and attention."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            total += int(np.prod(layer.output.shape[1:-1])) * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, layers.MultiHeadAttention):
            tokens, channels = layer.output.shape[1:]
            total += 4 * tokens * channels**2 + 2 * tokens**2 * channels
    return total


def drawn(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """As many pictures as training sees: whole passes in random order, the last one cut."""
    random = np.random.default_rng(seed)
    passes = [random.permutation(len(images)) for _ in range(-(-count // len(images)))]
    return images[np.concatenate(passes)[:count]]


def optimizer(variant: Variant, steps: int) -> keras.optimizers.Optimizer:
    learning_rate = keras.optimizers.schedules.InverseTimeDecay(
        variant.learning_rate, decay_steps=steps, decay_rate=variant.decay
    )
    return keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0)


def build_autoencoder() -> tuple[keras.Model, keras.Model]:
    """An encoder from pictures in [-1, 1] to latents of half their side, and its decoder."""
    images = keras.Input((32, 32, 3))
    x = layers.Conv2D(32, 4, strides=2, padding="same", activation="swish")(images)
    x = layers.Conv2D(64, 3, padding="same", activation="swish")(x)
    encoder = keras.Model(images, layers.Conv2D(LATENT_CHANNELS, 1)(x))
    latents = keras.Input(encoder.output_shape[1:])
    x = layers.Conv2D(64, 3, padding="same", activation="swish")(latents)
    x = layers.Conv2D(64, 3, padding="same", activation="swish")(x)
    x = layers.Conv2D(12, 3, padding="same")(x)
    return encoder, keras.Model(latents, imagegen.DepthToSpace(2)(x))


def train_autoencoder(
    images: np.ndarray, variant: Variant, budget: float
) -> tuple[keras.Model, keras.Model]:
    encoder, decoder = build_autoencoder()
    images = (images / 127.5 - 1).astype("float32")
    # What is left of its share when it has encoded all pictures once.
    budget -= len(images) * multiply_adds(encoder)
    count = int(budget / 3 / (multiply_adds(encoder) + multiply_adds(decoder)))
    autoencoder = keras.Sequential([encoder, decoder])
    autoencoder.compile(optimizer(variant, count // variant.batch_size), loss="mse")
    seen = drawn(images, count, variant.seed)
    history = autoencoder.fit(seen, seen, batch_size=variant.batch_size, verbose=0)
    print(f"autoencoder: {count} pictures, mean squared error {history.history['loss'][-1]:.4f}")
    return encoder, decoder


def decoded(decoder: keras.Model, latents: np.ndarray) -> np.ndarray:
    images = decoder.predict(latents, batch_size=100, verbose=0)
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype("uint8")


def distance(generated: np.ndarray, photographs: Photographs) -> tuple[str, str]:
    features = imagegen.extract_features(generated, imagegen.feature_model("species-64"))
    kid = imagegen.kernel_inception_distance(features, photographs.held_out_features)
    return f"{kid.distance:.4f}", f"{kid.standard_error:.4f}"


def held_out_loss(model: imagegen.DiffusionModel, photographs: Photographs) -> str:
    """The mean squared error of the velocity, from the clean pictures that the model believes in.

    Where the squares of the rates sum to 1, the velocity's error is the clean picture's error
    divided by the noise rate.
    """
    clean = model.to_samples(photographs.held_out)
    random = np.random.default_rng(0)
    # A network knows the noise rate and no time, so it can follow another schedule.
    own_schedule, model.schedule = model.schedule, imagegen.CosineSchedule()
    errors = []
    for draw in range(4):
        # Even over all draws, so that the mean over times is nearly exact.
        times = (random.permutation(len(clean)) + (draw + 0.5) / 4) / len(clean)
        rates = [np.reshape(rate, (-1, 1, 1, 1)) for rate in model.schedule(times)]
        noisy = rates[1] * clean + rates[0] * random.standard_normal(clean.shape)
        estimate = keras.ops.convert_to_numpy(model.denoise(noisy, times))
        errors.append(np.mean(((estimate - clean) / rates[0]) ** 2))
    model.schedule = own_schedule
    return f"{np.mean(errors):.4f}"


def measured(
    name: str, variant: Variant, photographs: Photographs, budget: float, folder: Path | None
) -> Iterator[Row]:
    """Trains a variant and yields its row; of the base, the rows of its averages too."""
    keras.utils.set_random_seed(variant.seed)
    images = photographs.training
    if variant.flips:
        images = np.concatenate([images, images[:, :, ::-1]])
    left, decoder = budget, None
    if variant.latent:
        encoder, decoder = train_autoencoder(images, variant, AUTOENCODER_SHARE * budget)
        left *= 1 - AUTOENCODER_SHARE
        images = np.concatenate(
            [
                encoder.predict_on_batch((part / 127.5 - 1).astype("float32"))
                for part in np.array_split(images, 90)
            ]
        )
        known = decoded(decoder, encoder.predict_on_batch(photographs.held_out / 127.5 - 1))
        label = "held-out photographs, encoded and decoded"
        yield Row(label, f"{budget / 1e12:g}", "", "", *distance(known, photographs), "")

    network = imagegen.UNet(**(BASE_NETWORK | variant.network))
    forward = multiply_adds(network)
    count = int(left / 3 / forward)
    model = imagegen.DiffusionModel(network, **(BASE_MODEL | variant.model))
    model.normalizer.adapt(images)
    model.compile(optimizer(variant, count // variant.batch_size))
    averages = Averages()
    model.fit(
        drawn(images, count, variant.seed),
        batch_size=variant.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[averages] if name == "base" else [],
    )
    others = averages.weights if name == "base" else {}
    model.schedule = imagegen.EvenLogSNRSchedule(model.schedule)
    # Its own row comes last: a variant that has it is complete.
    for label, weights in {**others, name: model.averaged.get_weights()}.items():
        model.averaged.set_weights(weights)
        generated = model.generate(
            NUM_GENERATED, num_steps=NUM_STEPS, sampler=imagegen.DPMSolver2M(), seed=0
        )
        if decoder is not None:
            generated = decoded(decoder, generated)
        if folder is not None:
            keras.utils.save_img(folder / f"{label}.png", imagegen.grid(generated[:48], columns=12))
        loss = "" if variant.latent else held_out_loss(model, photographs)
        size = f"{forward / 1e6:.1f}"
        yield Row(
            label, f"{budget / 1e12:g}", size, str(count), *distance(generated, photographs), loss
        )


def load_photographs() -> Photographs:
    training, held_out = (
        imagegen.datasets.flowers("oxford", 32, split=split).images for split in ("train", "test")
    )
    features = imagegen.extract_features(held_out, imagegen.feature_model("species-64"))
    return Photographs(training, held_out, features)


def read(table: Path) -> list[Row]:
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(itertools.starmap(Row, itertools.islice(csv.reader(file), 1, None)))


def append(table: Path, row: Row) -> None:
    is_new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Row._fields, row] if is_new else [row])
    show(row)


def show(row: Row) -> None:
    kid = f"{row.kid:>8} ± {row.standard_error}"
    print(f"{row.name:42} {row.forward:>8} {row.pictures:>8} {kid} {row.loss:>8}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=VARIANTS, help="measure one variant alone")
    parser.add_argument("--budget", type=float, default=1.5, help="tera multiply-adds of each")
    parser.add_argument("--table", type=Path, default=Path(__file__).with_suffix(".csv"))
    parser.add_argument("--pictures", type=Path, help="a folder for generated pictures")
    options = parser.parse_args()

    show(Row("variant", "", "M adds", "pictures", "KID", "error", "loss"))
    rows = read(options.table)
    for row in rows:
        show(row)
    known = {row.name for row in rows if row.budget in ("", f"{options.budget:g}")}
    missing = [name for name in VARIANTS if name not in known and options.only in (None, name)]
    if not missing:
        return
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    photographs = load_photographs()
    floor = "photographs of the training split"
    if floor not in known:
        some = photographs.training[:: len(photographs.training) // NUM_GENERATED][:NUM_GENERATED]
        append(options.table, Row(floor, *[""] * 3, *distance(some, photographs), ""))
    for name in missing:
        budget = options.budget * 1e12
        for row in measured(name, VARIANTS[name], photographs, budget, options.pictures):
            if row.name not in known:
                append(options.table, row)


if __name__ == "__main__":
    main()
