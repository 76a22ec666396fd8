"""A training step of a denoiser in pixels and in latents: the same U-Net, and what it looks at.

    python benchmarks/latent_step.py

Claim: at least 4 times cheaper in latents of a quarter of the height and the width, at the same
widths and depth, with a step's share of encoding each picture once. Patches of 2 x 2 pixels, which
the flower presets work on, are shown too. All take turns, so that a busy machine slows each.
"""

import imagegen

import numpy as np
from report import report
from turns import median_seconds

IMAGE_SIZE = 64
WIDTHS, BLOCK_DEPTH = (32, 64, 96, 128), 1
BATCH_SIZE, STEPS, ROUNDS = 16, 2, 5
# A picture is encoded once, and seen in every epoch.
EPOCHS = 20


def denoiser(samples: np.ndarray, patch_size: int = 1, **options) -> imagegen.DiffusionModel:
    network = imagegen.UNet(
        samples.shape[1],
        WIDTHS,
        block_depth=BLOCK_DEPTH,
        channels=samples.shape[-1],
        patch_size=patch_size,
        norm="group",
        embedding_dim=64,
    )
    model = imagegen.DiffusionModel(network, **options)
    model.normalizer.adapt(samples)
    model.compile(optimizer="adamw")
    return model


def main() -> None:
    count = STEPS * BATCH_SIZE
    images = imagegen.datasets.captioned_flowers(count, image_size=IMAGE_SIZE).images
    autoencoder = imagegen.VAE.from_preset("captioned-64-autoencoder")
    latents, _ = autoencoder.encode(images)
    pixel_model, patch_model = denoiser(images), denoiser(images, patch_size=2)
    latent_model = denoiser(latents, value_range=None)

    contenders = {
        "pixels": lambda: pixel_model.fit(images, batch_size=BATCH_SIZE, verbose=0),
        "patches of 2 x 2": lambda: patch_model.fit(images, batch_size=BATCH_SIZE, verbose=0),
        "latents": lambda: latent_model.fit(latents, batch_size=BATCH_SIZE, verbose=0),
        "encoding, once": lambda: autoencoder.encode(images),
    }
    medians = {
        name: seconds / STEPS for name, seconds in median_seconds(contenders, ROUNDS).items()
    }
    for name, median in medians.items():
        print(f"{name:17} {1000 * median:7.1f} ms a batch of {BATCH_SIZE}")
    pixels, patches, in_latents, encoding = medians.values()
    whole = in_latents + encoding / EPOCHS
    report(
        "at least 4 times cheaper than pixels",
        f"{pixels / whole:.1f} times; {patches / whole:.1f} times cheaper than patches of 2 x 2",
    )


if __name__ == "__main__":
    main()
