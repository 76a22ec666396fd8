"""Train a small diffusion model for a few steps on a GPU: `python tests/gpu_smoke.py`.

It needs no data and no package index, and takes the package from this checkout if it is not
installed. The loss must fall, and the device must have been used. Where KerasHub is installed, a
Stable Diffusion 3 of random weights paints too, in both kinds of half precision.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "src"))
os.environ.setdefault("KERAS_BACKEND", "jax")

import imagegen
from imagegen import sd3

import keras
import numpy as np


def device_memory() -> int:
    """The most bytes that were in use on the first GPU so far, 0 where there is no GPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return device.memory_stats()["peak_bytes_in_use"] if device.platform == "gpu" else 0
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else 0


def paint_with_stable_diffusion_3(image_size: int, **sizes: int) -> None:
    """Print how long random weights take in half precision, and stop at a blank picture."""
    for dtype in ("bfloat16", "float16"):
        model = sd3.tiny(image_size=image_size, dtype=dtype, **sizes)
        model.generate("a photo of a dog", num_steps=1, seed=0)  # It compiles.
        start = time.perf_counter()
        pictures = model.generate("a photo of a dog", num_steps=28, seed=0)
        seconds = time.perf_counter() - start
        count = model.backbone.count_params()
        print(f"Stable Diffusion 3, {count:,} random weights, {dtype}: 28 steps, {seconds:.2f} s")
        if pictures.std() < 5:
            sys.exit("The generated pictures are empty.")


def main() -> None:
    """Train, generate, and print what was seen."""
    images = imagegen.datasets.captioned_flowers(256, image_size=32, seed=0).images
    keras.utils.set_random_seed(0)
    model = imagegen.DiffusionModel(imagegen.UNet(32, [32, 64, 96], block_depth=2))
    model.normalizer.adapt(images)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3))
    losses = model.fit(images, batch_size=32, epochs=6, verbose=0).history["loss"]
    pictures = model.generate(8, num_steps=10, seed=0)

    parameter_bytes = 4 * model.network.count_params()
    print(f"backend {keras.backend.backend()}, peak device memory {device_memory():,} bytes")
    print("loss by epoch:", ", ".join(f"{loss:.3f}" for loss in losses))
    if device_memory() < parameter_bytes:
        sys.exit("No GPU was used.")
    if not losses[-1] < 0.8 * losses[0]:
        sys.exit("The loss did not fall.")
    if pictures.shape != (8, 32, 32, 3) or np.ptp(pictures) == 0:
        sys.exit("The generated pictures are empty.")
    print("The GPU was used and the loss fell.")
    if importlib.util.find_spec("keras_hub") is not None:
        paint_with_stable_diffusion_3(512, hidden_dim=1024, num_layers=12)


if __name__ == "__main__":
    main()
