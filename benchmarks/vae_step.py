"""The VAE's training step, batch 128: ours against Keras's transposed convolutions.

    python benchmarks/vae_step.py

Claims, on a CPU: at least 3 times faster than with `keras.layers.Conv2DTranspose` on JAX, and at
most 2.5 times the step of Keras on TensorFlow. Each contender is a process of its own, because a
backend is chosen once a process; they take turns, so that a busy machine slows all of them.
"""

import sys
from collections.abc import Callable

from report import report
from turns import median_seconds, processes, serve

BATCH_SIZE = 128
STEPS = 4
ROUNDS = 7
CONTENDERS = {  # Backend, and whether the decoder's layers are Keras's own.
    "imagegen on JAX": ("jax", False),
    "Conv2DTranspose on JAX": ("jax", True),
    "Conv2DTranspose on TensorFlow": ("tensorflow", True),
}


def contender(name: str) -> Callable[[], object]:
    """What takes `STEPS` training steps."""
    import imagegen

    import keras
    import numpy as np

    def plain(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, imagegen.SubPixelConv2DTranspose):
            return keras.layers.Conv2DTranspose.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    decoder = imagegen.digit_decoder()
    if CONTENDERS[name][1]:
        decoder = keras.models.clone_model(decoder, clone_function=plain)
    vae = imagegen.VAE(imagegen.digit_encoder(), decoder)
    vae.compile("adam")
    images = np.random.default_rng(0).uniform(size=(STEPS * BATCH_SIZE, 28, 28, 1))
    images = images.astype("float32")
    return lambda: vae.fit(images, batch_size=BATCH_SIZE, verbose=0)


def main() -> None:
    backends = {name: backend for name, (backend, _) in CONTENDERS.items()}
    with processes(__file__, backends) as contenders:
        medians = median_seconds(contenders, ROUNDS)
    for name, median in medians.items():
        print(f"{name:30} {1000 * median / STEPS:7.1f} ms a step")
    ours, plain, tensorflow = medians.values()
    report(
        "at least 3 times faster than `Conv2DTranspose`",
        f"{plain / ours:.2f} times",
        "keras",
        "jax",
    )
    report(
        "at most 2.5 times Keras on TensorFlow",
        f"{ours / tensorflow:.2f} times",
        *("keras", "jax", "tensorflow"),
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(contender(sys.argv[1]))
    else:
        main()
