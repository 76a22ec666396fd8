"""The VAE's training step, batch 128: ours against Keras's transposed convolutions.

    python benchmarks/vae_step.py

Claims, on a CPU: at least 3 times faster than with `keras.layers.Conv2DTranspose` on JAX, and at
most 2.5 times the step of Keras on TensorFlow. Each contender is a process of its own, because a
backend is chosen once a process; they take turns, so that a busy machine slows all of them.
"""

import os
import subprocess
import sys

from report import report
from turns import asks, median_seconds

BATCH_SIZE = 128
STEPS = 4
ROUNDS = 7
CONTENDERS = {  # Backend, and whether the decoder's layers are Keras's own.
    "imagegen on JAX": ("jax", False),
    "Conv2DTranspose on JAX": ("jax", True),
    "Conv2DTranspose on TensorFlow": ("tensorflow", True),
}


def serve(name: str) -> None:
    """Times `STEPS` training steps for each line that comes in, and answers when they are done."""
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
    vae.fit(images, batch_size=BATCH_SIZE, verbose=0)
    for _ in sys.stdin:
        vae.fit(images, batch_size=BATCH_SIZE, verbose=0)
        print("done", flush=True)


def main() -> None:
    processes = {
        name: subprocess.Popen(
            [sys.executable, __file__, name],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, (backend, _) in CONTENDERS.items()
    }
    medians = median_seconds({name: asks(each) for name, each in processes.items()}, ROUNDS)
    for process in processes.values():
        process.stdin.close()
        process.wait()
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
        serve(sys.argv[1])
    else:
        main()
