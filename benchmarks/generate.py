"""Sampling 16 pictures of 64 x 64 in 20 steps, against the network alone and against eager steps.

    python benchmarks/generate.py

Claims: at most 1.05 times 20 compiled forward passes of the network, faster than the same network
stepped eagerly, and one compilation for 4, 20 and 50 steps. The contenders take turns, so that a
busy machine slows all of them.
"""

import itertools

import imagegen

import jax
import numpy as np
from report import report
from turns import median_seconds

NUM_IMAGES, NUM_STEPS, ROUNDS = 16, 20, 7


def main() -> None:
    model = imagegen.DiffusionModel(imagegen.UNet(64, [32, 64, 96, 128], block_depth=2))
    model.normalizer.adapt(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), "uint8"))
    noisy = np.random.default_rng(1).standard_normal((NUM_IMAGES, 64, 64, 3)).astype("float32")
    noise_rates = np.full((NUM_IMAGES, 1, 1, 1), 0.5, "float32")
    network = model.averaged

    @jax.jit
    def forward(trainable, frozen, noisy, noise_rates):
        inputs = [noisy, noise_rates]
        return network.stateless_call(trainable, frozen, inputs, training=False)[0]

    weights = (
        [weight.value for weight in network.trainable_variables],
        [weight.value for weight in network.non_trainable_variables],
    )

    def forward_passes() -> None:
        for _ in range(NUM_STEPS):
            forward(*weights, noisy, noise_rates).block_until_ready()

    def eager_steps() -> None:
        step, table = imagegen.DDIM().step, levels(model.schedule)
        samples = jax.numpy.asarray(noisy)
        for now, after in itertools.pairwise(table):
            samples, _, _ = step(model.denoise, samples, now, after, ())
        samples.block_until_ready()

    medians = median_seconds(
        {
            "generate": lambda: model.generate(NUM_IMAGES, num_steps=NUM_STEPS, seed=0),
            f"{NUM_STEPS} compiled forward passes": forward_passes,
            "eager steps": eager_steps,
        },
        ROUNDS,
    )
    for name, median in medians.items():
        print(f"{name:30} {median:7.3f} s")
    ours, passes, eager = medians.values()
    report(f"at most 1.05 times {NUM_STEPS} forward passes", f"{ours / passes:.3f} times")
    report("faster than eager steps", f"{eager / ours:.2f} times faster")
    report("1 compilation for 4, 20 and 50 steps", str(compilations(model)))


def levels(schedule: imagegen.Schedule) -> list[imagegen.Level]:
    times = schedule.sampling_times(NUM_STEPS)
    rates = zip(times, *(np.asarray(rates) for rates in schedule(times)), strict=True)
    return [*(imagegen.Level(*rate) for rate in rates), imagegen.Level(0.0, 0.0, 1.0)]


def compilations(model: imagegen.DiffusionModel) -> int:
    """How often `generate` traces its step for three numbers of steps."""
    traces = []

    class Counting(imagegen.DDIM):
        def step(self, *arguments):
            traces.append(1)
            return super().step(*arguments)

    counts = []
    for num_steps in (4, 20, 50):
        model.generate(1, num_steps=num_steps, seed=0, sampler=Counting())
        counts.append(len(traces))
    # A compilation may trace a loop's body more than once; a second one would trace it again.
    return sum(now > before for before, now in zip([0, *counts], counts, strict=False))


if __name__ == "__main__":
    main()
