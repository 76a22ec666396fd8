"""Trains the preset `flowers-64-species`, which is also `flowers-64`, on the Oxford flowers.

    KERAS_BACKEND=tensorflow python recipes/flowers_64.py --preset flowers-64-species.keras

The data are all photographs but the 500 that are held out of every training, each also mirrored
left to right. The preset in the package learned from 4,500 of a part of 5,000, whose shorter sides
had been reduced to 128 pixels; the whole set has 8,189. One network learns it all: first without
species, then with them, and now and then with the empty prompt in their place. So it paints what it
is told, or any flower when it is told nothing. A small second network, trained for a short time, is
the poorer one that sampling moves away from where nothing is told.

After every epoch a checkpoint is written to the folder of the run, and a line to `log.csv`; after
every fifth, pictures. Kill the program at any moment: the same command goes on from there, and ends
with the same weights. On a GPU the networks compute in bfloat16, and their weights stay float32. On
a CPU, `KERAS_BACKEND=tensorflow` is the fastest, and the weights serve every backend.

On two CPU cores that had other work too, an epoch of the large network took 1.5 to 6.5 minutes, and
one of the small network 1 to 2. The preset in the package had as many epochs as the stages below,
but in shorter sittings: the first 24 and the first 6 with species in batches of 32, at learning
rates between 1e-3 and 3e-4; the last 28 without a new warmup, at a learning rate that fell in a
line from 6e-4 to nothing. This program was run whole on few pictures only, and never on a GPU.

The large network is the U-Net of the chapters with four changes that make a short training go far:
patches of 2 x 2 pixels, group normalization, the noise rate brought to every block, and attention
at 8 x 8. It predicts the velocity, under a mean squared error.
"""

import argparse
import pathlib
from typing import NamedTuple

import imagegen

import keras
import numpy as np

SPECIES_DIM = 64
# With fewer photographs of a species, asking for it could only bring back those.
FEWEST_PHOTOGRAPHS = 20


class Stage(NamedTuple):
    """A stretch of training, which begins with the averaged weights of the one before."""

    name: str
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    decays: bool
    averaging: float
    prompt_dropout: float


POORER = Stage("poorer", 23, 6, 16, 1e-3, 300, True, 0.999, 1.0)
# The first two stages keep their learning rate to the end: averaging calms the weights, and the
# next stage can go on from there. The last one's falls to nothing. From the second on batches are
# smaller: after 2 epochs a like network had learnt as much from batches of 16 as after 4 from
# batches of 64.
STAGES = (
    Stage("flowers", 18, 31, 32, 5e-4, 500, False, 0.9995, 1.0),
    Stage("species", 22, 28, 16, 6e-4, 1000, False, 0.9997, 0.15),
    Stage("rest", 24, 28, 16, 6e-4, 500, True, 0.999, 0.15),
)


def has_gpu() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        return bool(tensorflow.config.list_physical_devices("GPU"))
    import torch

    return torch.cuda.is_available()


def large_network(condition_dim: int | None = SPECIES_DIM) -> imagegen.UNet:
    return imagegen.UNet(
        64,
        [32, 64, 112, 128],
        block_depth=2,
        patch_size=2,
        norm="group",
        embedding_dim=64,
        condition_dim=condition_dim,
        attention_resolutions=[8],
    )


def small_network() -> imagegen.UNet:
    return imagegen.UNet(
        64,
        [16, 32, 48, 64],
        block_depth=1,
        patch_size=2,
        norm="group",
        embedding_dim=32,
        attention_resolutions=[8],
    )


def diffusion_model(network: keras.Model, images: np.ndarray, **options) -> imagegen.DiffusionModel:
    model = imagegen.DiffusionModel(
        network,
        # What measured best for few steps: see the docstring of `flowers_quality.py`.
        schedule=imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule(max_signal_rate=0.999)),
        sampling=imagegen.SamplingOptions(num_steps=15, sampler=imagegen.DPMSolver2M()),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
        **options,
    )
    model.normalizer.adapt(images)
    return model


def train(
    model: imagegen.DiffusionModel,
    stage: Stage,
    arrays: np.ndarray | tuple[np.ndarray, ...],
    held_out: np.ndarray | tuple[np.ndarray, ...],
    folder: pathlib.Path,
) -> None:
    """Trains a model for one stage, or for what is left of it."""
    batches = imagegen.ShuffledBatches(arrays, batch_size=stage.batch_size, seed=stage.seed)
    decay_steps = stage.epochs * len(batches) - stage.warmup_steps
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5,
        decay_steps=decay_steps,
        # How much of the rate is left in the end.
        alpha=0.0 if stage.decays else 1.0,
        warmup_target=stage.learning_rate,
        warmup_steps=stage.warmup_steps,
    )
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    checkpoint = imagegen.Checkpoint(folder / stage.name, batches)
    epochs_done = checkpoint.restore(model)
    checkpoint.path.parent.mkdir(parents=True, exist_ok=True)
    model.fit(
        batches,
        shuffle=False,
        epochs=stage.epochs,
        initial_epoch=epochs_done,
        validation_data=(held_out,),
        verbose=2,
        callbacks=[
            imagegen.ShowGenerated(folder=folder / stage.name / "pictures", every=5),
            keras.callbacks.CSVLogger(folder / stage.name / "log.csv", append=True),
            checkpoint,
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/flowers-64"))
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    flowers = imagegen.datasets.flowers("oxford", 64, split="train")
    images = np.concatenate([flowers.images, flowers.images[:, :, ::-1]])
    held_out = imagegen.datasets.flowers("oxford", 64, split="test")
    counts = np.bincount(flowers.labels, minlength=len(flowers.names))
    species = np.flatnonzero(counts >= FEWEST_PHOTOGRAPHS)
    # Photographs of any other species go with the empty prompt, whose number is behind the last.
    tokens = np.full(len(flowers.names), len(species), "int32")
    tokens[species] = np.arange(len(species))

    if has_gpu():
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    keras.utils.set_random_seed(POORER.seed)
    poorer = diffusion_model(small_network(), images, averaging=POORER.averaging)
    train(poorer, POORER, images, held_out.images, options.folder)

    weights = None
    for stage in STAGES:
        keras.utils.set_random_seed(stage.seed)
        names = [flowers.names[label] for label in species]
        encoder = imagegen.LabelEncoder(names, SPECIES_DIM, dtype="float32")
        model = diffusion_model(
            large_network(),
            images,
            encoder=encoder,
            prompt_dropout=stage.prompt_dropout,
            averaging=stage.averaging,
        )
        for (learning, averaged), values in zip(_pairs(model), weights or [], strict=False):
            learning.set_weights(values)
            averaged.set_weights(values)
        train(
            model,
            stage,
            (images, np.tile(tokens[flowers.labels], 2)),
            (held_out.images, tokens[held_out.labels]),
            options.folder,
        )
        weights = [averaged.get_weights() for _, averaged in _pairs(model)]

    if options.preset:
        keras.mixed_precision.set_global_policy("float32")
        print(preset(model, poorer, images).save_preset(options.preset))


def _pairs(model: imagegen.DiffusionModel) -> list[tuple[keras.Layer, keras.Layer]]:
    return [(model.network, model.averaged), (model.encoder, model.averaged_encoder)]


def preset(
    model: imagegen.DiffusionModel, poorer: imagegen.DiffusionModel, images: np.ndarray
) -> imagegen.DiffusionModel:
    # Built anew, because the ones that were trained on a GPU compute in bfloat16.
    guiding_network, network = small_network(), large_network()
    guiding_network.set_weights(poorer.averaged.get_weights())
    network.set_weights(model.averaged.get_weights())
    return diffusion_model(
        network,
        images,
        encoder=model.averaged_encoder,
        prompt_dropout=0.15,
        guiding_network=guiding_network,
        autoguidance_scale=1.5,
    )


if __name__ == "__main__":
    main()
