"""Trains the preset `captioned-64-autoencoder`: a VAE of drawn flowers, 64 x 64 pixels.

    KERAS_BACKEND=tensorflow python recipes/flower_autoencoder.py --preset autoencoder.keras

Its latents have 16 x 16 places with 8 numbers each, a sixth of the numbers of a picture. A
diffusion model learns from them in the place of pixels: see `imagegen.LatentDiffusion`.

After every epoch a checkpoint is written to the folder of the run, and a line to its `log.csv`.
Kill the program at any moment: the same command goes on from there, and ends with the same weights.
TensorFlow is the fastest backend on a CPU, and the weights serve every backend.

The last lines report how near the reconstructions of fresh drawings come, and save some of them as
a picture: originals above, reconstructions below.
"""

import argparse
import pathlib

import imagegen

import keras
import numpy as np

SEED, TEST_SEED = 31, 32
IMAGE_SIZE = 64
NUM_IMAGES, NUM_TEST_IMAGES = 8000, 1000
WIDTHS, LATENT_CHANNELS = (32, 64), 8
# As much regularization as a deviation of 4 levels in every pixel would ask for: enough to keep
# neighbouring latents alike, and too little to blur a petal's edge.
BETA = 1e-3
# Many small steps: after 1,600 drawings, batches of 8 had come nearer than 32 after 9,600.
BATCH_SIZE = 8
PEAK_LEARNING_RATE = 3e-3
WARMUP_STEPS = 200


def build_model(num_steps: int) -> imagegen.VAE:
    sizes = {"widths": WIDTHS, "latent_channels": LATENT_CHANNELS}
    vae = imagegen.VAE(
        imagegen.image_encoder(IMAGE_SIZE, **sizes),
        imagegen.image_decoder(IMAGE_SIZE, **sizes),
        beta=BETA,
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=num_steps - WARMUP_STEPS,
        warmup_target=PEAK_LEARNING_RATE,
        warmup_steps=WARMUP_STEPS,
    )
    # The variance is the exponential of what the encoder gives: without a limit, one batch in a
    # thousand sent the weights to infinity.
    vae.compile(keras.optimizers.Adam(learning_rate, clipnorm=1.0))
    return vae


def report(vae: imagegen.VAE, images: np.ndarray, path: pathlib.Path) -> None:
    means, _ = vae.encode(images)
    decoded = imagegen.to_uint8(vae.decode(means))
    errors = decoded.astype("float64") - images
    peak_ratio = 10 * np.log10(255**2 / np.mean(errors**2))
    print(f"Fresh drawings: off by {abs(errors).mean():.2f} levels, {peak_ratio:.1f} dB")
    pairs = np.concatenate([images[:8], decoded[:8]])
    keras.utils.save_img(path, imagegen.grid(pairs, columns=8), scale=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--folder", type=pathlib.Path, default="runs/flower-autoencoder")
    parser.add_argument("--preset", type=pathlib.Path, help="where to write the preset")
    options = parser.parse_args()

    drawn = imagegen.datasets.captioned_flowers(NUM_IMAGES, image_size=IMAGE_SIZE, seed=SEED)
    test = imagegen.datasets.captioned_flowers(
        NUM_TEST_IMAGES, image_size=IMAGE_SIZE, seed=TEST_SEED
    )
    keras.utils.set_random_seed(SEED)
    batches = imagegen.ShuffledBatches(drawn.images, batch_size=BATCH_SIZE, seed=SEED)
    vae = build_model(options.epochs * len(batches))
    checkpoint = imagegen.Checkpoint(options.folder, batches)
    epochs_done = checkpoint.restore(vae)
    options.folder.mkdir(parents=True, exist_ok=True)
    vae.fit(
        batches,
        shuffle=False,
        epochs=options.epochs,
        initial_epoch=epochs_done,
        verbose=2,
        callbacks=[keras.callbacks.CSVLogger(options.folder / "log.csv", append=True), checkpoint],
    )
    if options.preset:
        imagegen.save_preset(vae, options.preset)
    report(vae, test.images, options.folder / "reconstructions.png")


if __name__ == "__main__":
    main()
