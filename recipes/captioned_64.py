"""Trains the preset `captioned-64`: text to image by latent diffusion, 64 x 64 pixels.

    KERAS_BACKEND=tensorflow python recipes/captioned_64.py --preset captioned-64.keras

The latents of `captioned-64-autoencoder` have 16 x 16 places, as many as `captioned-32` has
patches. So the same network does, and it need not learn again what words mean and how petals lie:
it begins with the weights of `captioned-32`, and only what reads and writes the 8 channels of a
latent is new. Pictures are drawn, captioned and held out as in `captioned_32.py`, from other seeds.

After every epoch a checkpoint is written to the folder of the run, a line to its `log.csv`, and
pictures of the first eighteen captions.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.
On two CPU cores that had other work too, 5 epochs took 32 minutes.
`benchmarks/prompt_adherence.py captioned-64` measures the result.

To compare, `--pixels` trains a twin on pixels. It sees patches of 4 x 4 of them in the place of
latents, as many as latents have places, so that a step costs the same. All else is as above. It
took 15 minutes on two CPU cores, and its pictures are grainy:

    KERAS_BACKEND=tensorflow python recipes/captioned_64.py --pixels --folder runs/pixels-64 \
        --preset pixels-64.keras
"""

import argparse
import pathlib

import imagegen

import keras
from captioned_32 import drawings, train

SEED = 6
NUM_DRAWINGS = 30_000
EPOCHS = 5
BATCH_SIZE = 16
PEAK_LEARNING_RATE = 6e-4


def build_model(
    painter: imagegen.DiffusionModel, sample_shape: tuple[int, int, int], steps: int
) -> imagegen.DiffusionModel:
    """A model that has learned from `painter` what doesn't depend on the samples."""
    config = painter.network.get_config()
    size, _, channels = sample_shape
    patch_size = size // (config["image_size"] // config["patch_size"])
    network = imagegen.UNet.from_config(
        {**config, "image_size": size, "channels": channels, "patch_size": patch_size}
    )
    for layer, source in zip(with_weights(network), with_weights(painter.averaged), strict=True):
        if layer.name not in ("stem", "head"):
            layer.set_weights(source.get_weights())
    encoder = imagegen.TextEncoder.from_config(painter.averaged_encoder.get_config())
    encoder.set_weights(painter.averaged_encoder.get_weights())
    encoder.trainable = True
    model = imagegen.DiffusionModel(
        network,
        encoder=encoder,
        schedule=painter.schedule,
        prediction=painter.prediction,
        loss="mean_squared_error",
        averaging=0.999,
        # Latents have no bounds.
        value_range=None if patch_size == 1 else (0, 255),
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-5, decay_steps=steps - 200, warmup_target=PEAK_LEARNING_RATE, warmup_steps=200
    )
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=1e-4, clipnorm=1.0))
    return model


def with_weights(network: keras.Model) -> list[keras.Layer]:
    return [layer for layer in network.layers if layer.weights]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--painter", default="captioned-32", help="the preset to begin with")
    parser.add_argument("--pixels", action="store_true", help="in the place of latents")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/captioned-64"))
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    images, captions = drawings(NUM_DRAWINGS, 64, SEED)
    autoencoder = imagegen.VAE.from_preset("captioned-64-autoencoder")
    samples = images if options.pixels else autoencoder.encode(images)[0]
    painter = imagegen.DiffusionModel.from_preset(options.painter)
    steps = options.epochs * (NUM_DRAWINGS // BATCH_SIZE)
    model = build_model(painter, samples.shape[1:], steps)
    model.normalizer.adapt(samples)
    batches = imagegen.ShuffledBatches(
        (samples, model.encoder.tokens(captions)), batch_size=BATCH_SIZE, seed=SEED
    )
    whole = model if options.pixels else imagegen.LatentDiffusion(model, autoencoder)
    pictures = imagegen.ShowGenerated(
        prompts=captions[:18], generator=whole, folder=options.folder / "pictures"
    )
    train(model, batches, options.epochs, options.folder, pictures)
    if options.preset:
        print(whole.save_preset(options.preset))


if __name__ == "__main__":
    main()
