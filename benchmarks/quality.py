"""Seconds to equal quality: how soon each way of sampling gets as near to the limit as the book's.

    python benchmarks/quality.py

All have the weights of `flowers-64`, without autoguidance, and the same noise. The limit
is what 250 steps of DPM-Solver++ paint. The error is the mean distance to it, in levels of 255. The
book's loop calls the network from Python, at even times. How exact it is after some steps, and how
soon, is what the others have to reach: the table of steps, errors and seconds says how.

Claim: at least 4 times faster than the book's loop of 20 steps, at an error no larger.
"""

import imagegen

import numpy as np
from keras import ops
from listings import eager_loop
from report import report
from turns import median_seconds

NUM_PICTURES, ROUNDS, REFERENCE_STEPS, BOOK_STEPS = 16, 3, 250, 20
SAMPLERS = {
    "DDIM": imagegen.DDIM(),
    "Heun": imagegen.Heun(),
    "DPM-Solver++(2M)": imagegen.DPMSolver2M(),
}
STEPS = (3, 4, 5, 6, 8, 10, 15, 20)


def main() -> None:
    model = imagegen.DiffusionModel.from_preset("flowers-64")
    model.autoguidance_scale = 1.0
    model.value_range = None  # Nothing is clipped on the way, as in the book.
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((NUM_PICTURES, *model.sample_shape), "float32")
    even = model.schedule.evenly()

    def ours(sampler, num_steps):
        return model.sample(NUM_PICTURES, noise=noise, sampler=sampler, num_steps=num_steps)

    find = finder(model)

    def book(num_steps):
        pictures = eager_loop(find, ops.convert_to_tensor(noise), num_steps, even)
        return ops.convert_to_numpy(pictures)

    limit = ours(imagegen.DPMSolver2M(), REFERENCE_STEPS)
    contenders = {("the book's loop", BOOK_STEPS): lambda: book(BOOK_STEPS)}
    for name, sampler in SAMPLERS.items():
        for steps in STEPS:
            contenders[name, steps] = lambda sampler=sampler, steps=steps: ours(sampler, steps)
    deviation = float(np.sqrt(np.mean(model.normalizer.variance)))
    errors = {
        key: float(np.abs(run() - limit).mean()) * deviation for key, run in contenders.items()
    }
    seconds = median_seconds(contenders, ROUNDS)
    for (name, steps), error in errors.items():
        print(f"{name:17} {steps:3} steps: {error:6.2f} levels in {seconds[name, steps]:.3f} s")

    reference = ("the book's loop", BOOK_STEPS)
    results = []
    for name in SAMPLERS:
        enough = [key for key in errors if key[0] == name and errors[key] <= errors[reference]]
        if enough:
            best = min(enough, key=seconds.__getitem__)
            faster = seconds[reference] / seconds[best]
            results.append(f"{faster:.2f} times by {best[1]} steps of {name}")
    report(
        f"at least 4 times faster than the book's loop of {BOOK_STEPS} steps to equal error",
        f"{errors[reference]:.2f} levels: " + (", ".join(results) or "none reaches it"),
    )


def finder(model):
    """Noise and picture as `model` sees them, called from Python."""
    network = model.averaged
    # Keras takes no tensors and arrays together.
    conditions = list(map(ops.convert_to_tensor, model.encode_prompts([""] * NUM_PICTURES)))

    def denoise(noisy, noise_rates, signal_rates):
        output = network([noisy, noise_rates, *conditions], training=False)
        clean = model.prediction.denoised(noisy, output, noise_rates, signal_rates)
        return (noisy - signal_rates * clean) / noise_rates, clean

    return denoise


if __name__ == "__main__":
    main()
