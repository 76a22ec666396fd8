"""Trains the autoencoder of `flowers-128`: a VAE of photographs of flowers, 128 x 128 pixels.

    KERAS_BACKEND=tensorflow python recipes/flowers_128_autoencoder.py --preset autoencoder.keras

Its latents have 16 x 16 places with 12 numbers each, a sixteenth of the numbers of a picture. A
diffusion model learns from them in the place of pixels: see `flowers_128.py`.

The data are all photographs but the 500 that are held out of every training, each also mirrored
left to right. Pixels alone would make petals smooth: of all the veins that a latent could stand
for, their mean costs least. So the loss has a third term, which compares a photograph with its
reconstruction in what the classifier `species-64` sees, layer by layer.

An epoch is a quarter of the pictures, drawn anew. After each, a checkpoint is written to the folder
of the run, a line to its `log.csv`, and a picture of held-out photographs above their
reconstructions.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.

Nothing was registered from it yet. After 2 passes over all pictures, at a learning rate that had
not fallen, reconstructions of the held-out photographs were off by 8.5 of 255 levels, 26.2 dB: like
photographs, but soft, with a faint grid in even petals. The best linear map of each 8 x 8 pixels
reaches 23.2 dB with 8 numbers, and 25.9 with 16. A step of 8 pictures took 0.23 seconds on two idle
CPU cores in bfloat16, and 0.35 in float32.
"""

import argparse
import pathlib
from typing import Any

import imagegen

import keras
import numpy as np
from keras import ops

SEED = 41
IMAGE_SIZE = 128
WIDTHS, LATENT_CHANNELS = (32, 64, 128), 12
# The decoder draws what the latents leave out, which takes more than to leave it out.
ENCODER_DEPTH, DECODER_DEPTH = 1, 2
BETA = 3e-3
# What the classifier has seen after its stages of 64, 32 and 16 places a side.
PERCEPTUAL_LAYERS = ("add_32", "add_64", "add_128")
# In nats for a squared distance of 1 between unit vectors, the mean over places.
PERCEPTUAL_WEIGHT = 600.0
BATCH_SIZE = 8
PEAK_LEARNING_RATE = 2e-3
WARMUP_STEPS = 300


class PerceptualVAE(imagegen.VAE):
    r"""A VAE that also compares pictures in the features of a trained network.

    To the loss it adds

    $$w \sum_l \frac{1}{P_l} \sum_p \left\lVert \frac{f_{lp}(x)}{\lVert f_{lp}(x) \rVert}
    - \frac{f_{lp}(\hat x)}{\lVert f_{lp}(\hat x) \rVert} \right\rVert^2$$

    with $f_{lp}$ the vector of layer $l$ at one of its $P_l$ places.

    Args:
        encoder: As of a VAE.
        decoder: As of a VAE.
        features: A network from pictures, floats from 0 to 255, to a list of feature maps. It
            stays as it is.
        perceptual_weight: The weight $w$.
        **options: Those of a VAE.

    Reference:
        Zhang et al., [The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric](https://arxiv.org/abs/1801.03924), 2018, equation 1, with equal weights.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        features: keras.Model,
        perceptual_weight: float,
        **options: Any,
    ):
        super().__init__(encoder, decoder, **options)
        features.trainable = False
        self.features = features
        self.perceptual_weight = perceptual_weight
        self.perceptual_tracker = keras.metrics.Mean(name="perceptual_loss")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        seen = self.features(ops.cast(x, "float32"), training=False)
        drawn = self.features(255 * ops.cast(y_pred[0], "float32"), training=False)
        distances = sum(
            ops.mean(ops.sum(ops.square(_unit(one) - _unit(other)), axis=-1), axis=(1, 2))
            for one, other in zip(seen, drawn, strict=True)
        )
        self.perceptual_tracker.update_state(distances)
        return loss + self.perceptual_weight * ops.mean(distances)


def _unit(features: Any) -> Any:
    features = ops.cast(features, "float32")
    return features * ops.rsqrt(ops.sum(ops.square(features), axis=-1, keepdims=True) + 1e-6)


def perceptual_features() -> keras.Model:
    """The first layers of `species-64`, which take pictures of any size, being convolutions."""
    classifier = imagegen.presets.load("species-64", keras.Model)
    outputs = [classifier.get_layer(name).output for name in PERCEPTUAL_LAYERS]
    first_layers = keras.Model(classifier.input, outputs)
    photographs = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), name="photographs")
    features = keras.models.clone_model(
        first_layers,
        input_tensors=photographs,
        # They were saved in float32, whatever the policy is here.
        clone_function=lambda layer: layer.from_config(
            {**layer.get_config(), "dtype": keras.config.dtype_policy().name}
        ),
    )
    features.set_weights(first_layers.get_weights())
    return features


def build_networks() -> tuple[keras.Model, keras.Model]:
    sizes = {"widths": WIDTHS, "latent_channels": LATENT_CHANNELS}
    return (
        imagegen.image_encoder(IMAGE_SIZE, block_depth=ENCODER_DEPTH, **sizes),
        imagegen.image_decoder(IMAGE_SIZE, block_depth=DECODER_DEPTH, **sizes),
    )


def build_model(num_steps: int) -> PerceptualVAE:
    vae = PerceptualVAE(
        *build_networks(),
        features=perceptual_features(),
        perceptual_weight=PERCEPTUAL_WEIGHT,
        beta=BETA,
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=num_steps - WARMUP_STEPS,
        warmup_target=PEAK_LEARNING_RATE,
        warmup_steps=WARMUP_STEPS,
    )
    vae.compile(keras.optimizers.Adam(learning_rate, clipnorm=1.0))
    return vae


def in_float32(vae: PerceptualVAE) -> imagegen.VAE:
    """The trained model as it is kept: without what only the training needs."""
    keras.mixed_precision.set_global_policy("float32")
    networks = build_networks()
    for network, trained in zip(networks, (vae.encoder, vae.decoder), strict=True):
        network.set_weights(trained.get_weights())
    return imagegen.VAE(*networks, beta=BETA)


class SomeBatches(imagegen.ShuffledBatches):
    """A quarter of the samples in every epoch, so that a killed program has lost little."""

    def __len__(self) -> int:
        return super().__len__() // 4


class ShowReconstructions(keras.callbacks.Callback):
    """Saves pictures above their reconstructions after every epoch."""

    def __init__(self, images: np.ndarray, folder: pathlib.Path):
        super().__init__()
        self.images, self.folder = images, folder

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        pairs = np.concatenate([self.images, reconstructions(self.model, self.images)])
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = imagegen.grid(pairs, columns=len(self.images))
        keras.utils.save_img(self.folder / f"epoch-{epoch + 1:03}.png", picture, scale=False)


def reconstructions(vae: imagegen.VAE, images: np.ndarray) -> np.ndarray:
    means, _ = vae.encode(images)
    return imagegen.to_uint8(vae.decode(means))


def report(vae: imagegen.VAE, photographs: np.ndarray) -> None:
    decoded = reconstructions(vae, photographs)
    errors = decoded.astype("float64") - photographs
    peak_ratio = 10 * np.log10(255**2 / np.mean(errors**2))
    print(f"Held-out photographs: off by {abs(errors).mean():.2f} levels, {peak_ratio:.2f} dB")
    # The whole in half the size shows shapes and colours, and a part in full size the grain.
    quarter = slice(IMAGE_SIZE // 4, 3 * IMAGE_SIZE // 4)
    for name, part in (("whole", slice(None)), ("middle", quarter)):
        seen, drawn = (
            imagegen.extract_features(
                np.ascontiguousarray(images[:, part, part]), imagegen.feature_model("species-64")
            )
            for images in (photographs, decoded)
        )
        print(f"KID of {name}s of reconstructions: {_distance(drawn, seen)}")
        print(f"KID of {name}s of photographs:     {_distance(seen, seen)}")


def _distance(some: np.ndarray, photographs: np.ndarray) -> str:
    """The distance of each half of one set to the other half of the other: no picture to itself."""
    half = len(some) // 2
    one = imagegen.kernel_inception_distance(some[:half], photographs[half:])
    other = imagegen.kernel_inception_distance(some[half:], photographs[:half])
    return f"{(one.distance + other.distance) / 2:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--folder", type=pathlib.Path, default="runs/flowers-128-autoencoder")
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    photographs = imagegen.datasets.flowers("oxford", IMAGE_SIZE, split="train").images
    held_out = imagegen.datasets.flowers("oxford", IMAGE_SIZE, split="test").images
    images = np.concatenate([photographs, photographs[:, :, ::-1]])
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    keras.utils.set_random_seed(SEED)
    batches = SomeBatches(images, batch_size=BATCH_SIZE, seed=SEED)
    vae = build_model(options.epochs * len(batches))
    checkpoint = imagegen.Checkpoint(options.folder, batches)
    epochs_done = checkpoint.restore(vae)
    options.folder.mkdir(parents=True, exist_ok=True)
    vae.fit(
        batches,
        shuffle=False,
        epochs=options.epochs,
        initial_epoch=epochs_done,
        validation_data=(held_out,),
        validation_batch_size=50,
        verbose=2,
        callbacks=[
            ShowReconstructions(held_out[::60][:8], options.folder / "pictures"),
            keras.callbacks.CSVLogger(options.folder / "log.csv", append=True),
            checkpoint,
        ],
    )
    plain = in_float32(vae)
    if options.preset:
        print(imagegen.save_preset(plain, options.preset))
    report(plain, held_out)


if __name__ == "__main__":
    main()
