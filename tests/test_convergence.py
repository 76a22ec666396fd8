"""Samplers against distributions whose perfect denoiser is known in closed form."""

import itertools

import imagegen
from imagegen.samplers import advance, levels

import numpy as np
import pytest
from keras import ops
from strategies import normal

SCHEDULES = {
    "cosine": imagegen.CosineSchedule(0.02, 0.999),
    "shifted cosine": imagegen.ShiftedCosineSchedule(128),
    "flow": imagegen.FlowSchedule(),
    "EDM": imagegen.EDMSchedule(),
    "linear betas": imagegen.DiscreteSchedule(imagegen.linear_betas(1000)),
    "cosine betas": imagegen.DiscreteSchedule(imagegen.cosine_betas(1000)),
    "even log SNR": imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule(0.02, 0.999)),
}
PREDICTIONS = [
    imagegen.NoisePrediction(),
    imagegen.ImagePrediction(),
    imagegen.VelocityPrediction(),
    imagegen.FlowPrediction(),
    imagegen.EDMPrediction(),
]
SAMPLERS = {
    "DDIM": imagegen.DDIM(),
    "DDIM, half the noise new": imagegen.DDIM(eta=0.5),
    "DDPM": imagegen.DDPM(),
    "Euler": imagegen.Euler(),
    "Heun": imagegen.Heun(),
    "EDM": imagegen.EDMSampler(),
    "DPM-Solver++(2M)": imagegen.DPMSolver2M(),
}
# What edits take their steps with: samplers around others, and one that goes backwards.
AROUND_OTHERS = {imagegen.RePaint, imagegen.WithBlockMeans, imagegen.InverseDDIM}
MEAN, DEVIATION = 0.4, 0.5


@pytest.mark.parametrize(
    ("base", "tried", "left_out"),
    [
        (imagegen.Sampler, SAMPLERS.values(), AROUND_OTHERS),
        (imagegen.Schedule, SCHEDULES.values(), set()),
        (imagegen.Prediction, PREDICTIONS, set()),
    ],
)
def test_every_one_that_the_package_has_is_tried_here(base, tried, left_out):
    classes = (thing for thing in vars(imagegen).values() if isinstance(thing, type))
    known = {one for one in classes if issubclass(one, base) and one is not base}
    assert {type(one) for one in tried} == known - left_out


def gaussian_denoiser(schedule, prediction):
    """The perfect denoiser of N(MEAN, DEVIATION^2), by way of what a network would predict."""

    def denoise(noisy, time):
        noise_rate, signal_rate = schedule(time)
        power = (signal_rate * DEVIATION) ** 2 + noise_rate**2
        clean = MEAN + signal_rate * DEVIATION**2 / power * (noisy - signal_rate * MEAN)
        noise = (noisy - signal_rate * clean) / noise_rate
        output = prediction.target(clean, noise, noise_rate, signal_rate)
        return prediction.denoised(noisy, output, noise_rate, signal_rate)

    return denoise


def sample(schedule, sampler, prediction, noise, num_steps, stop=None, seed=0):
    table = levels(schedule, num_steps)
    noisy = ops.convert_to_tensor(noise * np.hypot(*table[0, 1:]))
    state = sampler.init(noisy, ops.convert_to_tensor(seed, "int32"))
    noisy, _, _ = advance(
        sampler,
        gaussian_denoiser(schedule, prediction),
        noisy,
        state,
        ops.convert_to_tensor(table),
        0,
        num_steps if stop is None else stop,
    )
    return ops.convert_to_numpy(noisy).astype("float64")


@pytest.mark.parametrize(
    ("schedule", "sampler", "prediction"), list(itertools.product(SCHEDULES, SAMPLERS, PREDICTIONS))
)
def test_every_sampler_reaches_the_gaussian_on_every_schedule(schedule, sampler, prediction):
    noise = normal(0, 4000, 1)
    samples = sample(SCHEDULES[schedule], SAMPLERS[sampler], prediction, noise, 60)
    assert samples.mean() == pytest.approx(MEAN, abs=0.04)
    # The posterior that ancestral sampling draws from is too narrow where steps are long.
    assert samples.std() == pytest.approx(DEVIATION, abs=0.07 if sampler == "DDPM" else 0.04)


def exact(schedule, noise, time):
    """Where the probability flow takes `noise`: N(MEAN, DEVIATION^2) noised to `time`."""
    noise_rate, signal_rate = (np.float64(ops.convert_to_numpy(rate)) for rate in schedule(time))
    return signal_rate * MEAN + np.hypot(signal_rate * DEVIATION, noise_rate) * noise


def measured_order(schedule, sampler, stop_time=0.5):
    """The slope of log error over log step, from the first level to `stop_time`."""
    noise, errors, counts = normal(1, 64).astype("float64"), [], (40, 80, 160)
    denoise = gaussian_denoiser(schedule, imagegen.NoisePrediction())
    for num_steps in counts:
        table = levels(schedule, num_steps)
        noisy = ops.convert_to_tensor(exact(schedule, noise, table[0, 0]).astype("float32"))
        state = sampler.init(noisy, ops.convert_to_tensor(0, "int32"))
        stop = round(num_steps * (1 - stop_time))
        reached, _, _ = advance(
            sampler, denoise, noisy, state, ops.convert_to_tensor(table), 0, stop
        )
        difference = ops.convert_to_numpy(reached) - exact(schedule, noise, table[stop, 0])
        errors.append(np.abs(difference).mean())
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.parametrize("schedule", ["cosine", "flow", "EDM"])
@pytest.mark.parametrize("sampler", ["DDIM", "Euler"])
def test_first_order_methods_are_of_first_order(schedule, sampler):
    assert measured_order(SCHEDULES[schedule], SAMPLERS[sampler]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("schedule", ["cosine", "flow", "EDM"])
@pytest.mark.parametrize("sampler", ["Heun", "EDM", "DPM-Solver++(2M)"])
def test_second_order_methods_are_of_second_order(schedule, sampler):
    assert measured_order(SCHEDULES[schedule], SAMPLERS[sampler]) >= 1.8


def test_even_log_ratios_serve_the_multistep_method_best_when_steps_are_few():
    """Ten evaluations end nearer to the exact picture than twenty of DDIM at even times."""
    plain = imagegen.CosineSchedule(max_signal_rate=0.999)
    noise = normal(2, 500).astype("float32")
    exact_end = exact(plain, noise.astype("float64"), 0.0)

    def error(schedule, sampler, num_steps):
        samples = sample(schedule, sampler, imagegen.NoisePrediction(), noise, num_steps)
        return np.abs(samples - exact_end).mean()

    few = error(imagegen.EvenLogSNRSchedule(plain), imagegen.DPMSolver2M(), 10)
    assert few < error(plain, imagegen.DDIM(), 20)
    assert few < error(plain, imagegen.DPMSolver2M(), 10) / 2
