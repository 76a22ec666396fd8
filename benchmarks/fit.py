"""What `fit` costs beyond the mathematics, on a network so small that little else is left.

    python benchmarks/fit.py

Claim: at most 3 ms a step over the same training step under a bare `jax.jit`, averages and all.
The two take turns, so that a busy machine slows both.
"""

from collections.abc import Callable

import imagegen

import jax
import keras
import numpy as np
from report import report
from turns import median_seconds

BATCH_SIZE, STEPS, ROUNDS = 16, 200, 7


def main() -> None:
    images = np.random.default_rng(0).integers(0, 256, (STEPS * BATCH_SIZE, 8, 8, 3), "uint8")
    model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1))
    model.normalizer.adapt(images)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3))
    model.fit(images, batch_size=BATCH_SIZE, verbose=0)

    contenders = {
        "fit": lambda: model.fit(images, batch_size=BATCH_SIZE, verbose=0),
        "bare jax.jit": bare_steps(model, images, BATCH_SIZE),
    }
    medians = {
        name: seconds / STEPS for name, seconds in median_seconds(contenders, ROUNDS).items()
    }
    for name, median in medians.items():
        print(f"{name:14} {1000 * median:7.2f} ms a step")
    overhead = medians["fit"] - medians["bare jax.jit"]
    report("at most 3 ms a step over bare `jax.jit`", f"{1000 * overhead:.2f} ms over")


def bare_steps(
    model: imagegen.DiffusionModel, images: np.ndarray, batch_size: int
) -> Callable[[], None]:
    """Returns an epoch of the steps that `fit` takes, with a bare `jax.jit` around each."""

    def loss_and_updates(trainable, non_trainable, batch):
        outputs, non_trainable = model.stateless_call(
            trainable, non_trainable, batch, training=True
        )
        loss, (_, non_trainable, *_) = model.stateless_compute_loss(
            trainable, non_trainable, [], x=batch, y_pred=outputs, training=True
        )
        return loss, non_trainable

    gradient = jax.value_and_grad(loss_and_updates, has_aux=True)

    @jax.jit
    def train_step(trainable, non_trainable, optimizer, batch):
        (loss, non_trainable), gradients = gradient(trainable, non_trainable, batch)
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return loss, trainable, non_trainable, optimizer

    def values(variables):
        return [variable.value for variable in variables]

    def run() -> None:
        state = (
            values(model.trainable_variables),
            values(model.non_trainable_variables),
            values(model.optimizer.variables),
        )
        for start in range(0, len(images), batch_size):
            loss, *state = train_step(*state, images[start : start + batch_size])
        loss.block_until_ready()

    return run


if __name__ == "__main__":
    main()
