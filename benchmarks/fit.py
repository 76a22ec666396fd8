"""What `fit` costs beyond the mathematics, on a network so small that little else is left.

    python benchmarks/fit.py

Claim: at most 3 ms a step over the same training step under a bare `jax.jit`, averages and all.
The two take turns, so that a busy machine slows both.
"""

import statistics
import time

import imagegen

import jax
import keras
import numpy as np

BATCH_SIZE, STEPS, ROUNDS = 16, 200, 7


def main() -> None:
    images = np.random.default_rng(0).integers(0, 256, (STEPS * BATCH_SIZE, 8, 8, 3), "uint8")
    model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1))
    model.normalizer.adapt(images)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3))
    model.fit(images, batch_size=BATCH_SIZE, verbose=0)

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

    def bare_steps() -> None:
        state = (
            values(model.trainable_variables),
            values(model.non_trainable_variables),
            values(model.optimizer.variables),
        )
        for start in range(0, len(images), BATCH_SIZE):
            loss, *state = train_step(*state, images[start : start + BATCH_SIZE])
        loss.block_until_ready()

    contenders = {
        "fit": lambda: model.fit(images, batch_size=BATCH_SIZE, verbose=0),
        "bare jax.jit": bare_steps,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(ROUNDS + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if round_number:  # The first round compiles.
                seconds[name].append((time.perf_counter() - start) / STEPS)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:14} {1000 * median:7.2f} ms a step")
    overhead = medians["fit"] - medians["bare jax.jit"]
    print(f"{1000 * overhead:.2f} ms a step more than the bare step (claim: at most 3)")


if __name__ == "__main__":
    main()
