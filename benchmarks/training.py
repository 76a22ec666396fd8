"""Training the book's U-Net, 32 pictures of 64 x 64 a step, on each backend.

    python benchmarks/training.py

Contenders: `fit` on JAX, TensorFlow and PyTorch; the same step under a bare `jax.jit`, the limit
for `fit`; Keras's DDIM example, in the TensorFlow that it is written for. `peers.py` has the
training loops of other packages. A backend is chosen once a process, so each has one of its own.
They take turns. A backend that isn't installed is left out.

Claim: `fit` takes at most 3% more than the bare step.
"""

import sys
from collections.abc import Callable
from importlib import util

from report import report
from turns import median_seconds, processes, serve

SIZE, WIDTHS, DEPTH, BATCH_SIZE, STEPS, ROUNDS = 64, (32, 64, 96, 128), 2, 32, 2, 5
CONTENDERS = {
    "fit on JAX": "jax",
    "bare jax.jit": "jax",
    "fit on TensorFlow": "tensorflow",
    "Keras's example on TensorFlow": "tensorflow",
    "fit on PyTorch": "torch",
}


def contender(name: str) -> Callable[[], object]:
    """What takes `STEPS` training steps."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (STEPS * BATCH_SIZE, SIZE, SIZE, 3), "uint8")
    return example(images) if name.startswith("Keras's") else ours(images, name.startswith("bare"))


def ours(images, bare: bool):
    import imagegen

    import keras

    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, WIDTHS, block_depth=DEPTH))
    model.normalizer.adapt(images)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4))
    if not bare:
        return lambda: model.fit(images, batch_size=BATCH_SIZE, verbose=0)
    from fit import bare_steps

    model.fit(images[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    return bare_steps(model, images, BATCH_SIZE)


def example(images):
    import keras
    from listings import example_network, example_step

    network = example_network(SIZE, WIDTHS, DEPTH)
    step = example_step(network, keras.optimizers.AdamW(1e-3, weight_decay=1e-4))
    batches = (images.astype("float32") / 127.5 - 1).reshape(STEPS, BATCH_SIZE, SIZE, SIZE, 3)

    def run() -> None:
        for batch in batches:
            loss, _ = step(batch)
        loss.numpy()

    return run


def main() -> None:
    backends = {name: backend for name, backend in CONTENDERS.items() if util.find_spec(backend)}
    with processes(__file__, backends) as contenders:
        medians = median_seconds(contenders, ROUNDS)
    for name, median in medians.items():
        print(f"{name:30} {median / STEPS:7.3f} s a step")
    fit, bare = medians["fit on JAX"], medians["bare jax.jit"]
    others = [name for name in medians if name != "fit on JAX"]
    report(
        "`fit` at most 1.03 times the bare step",
        f"{fit / bare:.3f} times; beside `fit` on JAX, "
        + ", ".join(f"{name} takes {medians[name] / fit:.2f} times as long" for name in others[1:]),
        "keras",
        *set(backends.values()),
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(contender(sys.argv[1]))
    else:
        main()
