import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cosine_schedules, normal, predictions, rates, seeds, times


def evaluated(schedule, times) -> tuple[np.ndarray, np.ndarray]:
    noise_rates, signal_rates = schedule(np.float32(times))
    return (
        keras.ops.convert_to_numpy(noise_rates).astype("float64"),
        keras.ops.convert_to_numpy(signal_rates).astype("float64"),
    )


@given(cosine_schedules(), times)
def test_noise_and_signal_power_sum_to_one(schedule, time):
    noise_rate, signal_rate = evaluated(schedule, time)
    assert noise_rate**2 + signal_rate**2 == pytest.approx(1, abs=1e-6)


@given(cosine_schedules(), st.integers(2, 200))
def test_rates_are_monotone_in_time(schedule, count):
    noise_rates, signal_rates = evaluated(schedule, np.linspace(0, 1, count))
    assert (np.diff(noise_rates) > 0).all()
    assert (np.diff(signal_rates) < 0).all()


@given(cosine_schedules())
def test_signal_rates_end_where_they_are_told_to(schedule):
    _, signal_rates = evaluated(schedule, [0, 1])
    assert signal_rates[0] == pytest.approx(schedule.max_signal_rate, abs=1e-6)
    assert signal_rates[1] == pytest.approx(schedule.min_signal_rate, abs=1e-6)


@given(cosine_schedules(), times)
def test_the_angle_grows_linearly_with_time(schedule, time):
    start, end = np.arccos([schedule.max_signal_rate, schedule.min_signal_rate])
    noise_rate, signal_rate = evaluated(schedule, time)
    assert np.arctan2(noise_rate, signal_rate) == pytest.approx(
        (1 - time) * start + time * end, abs=1e-5
    )


@given(cosine_schedules(), st.integers(1, 1000))
def test_sampling_goes_down_from_pure_noise_and_stops_short_of_time_zero(schedule, num_steps):
    visited = schedule.sampling_times(num_steps)
    assert visited.shape == (num_steps,)
    assert visited[0] == 1
    assert (np.diff(visited) < 0).all()
    assert visited[-1] == pytest.approx(1 / num_steps, rel=1e-4)
    assert evaluated(schedule, visited)[1].min() >= 1e-3 - 1e-6


@given(predictions, seeds, rates, rates)
def test_noising_then_exact_denoising_returns_the_image(prediction, seed, noise_rate, signal_rate):
    clean, noise = normal(seed, 2, 4, 4, 3, 2).transpose(4, 0, 1, 2, 3)
    noisy = signal_rate * clean + noise_rate * noise
    exact = prediction.target(clean, noise, noise_rate, signal_rate)
    returned = prediction.denoised(noisy, exact, noise_rate, signal_rate)
    # The clean sample is divided by the signal rate, and rounding errors with it.
    np.testing.assert_allclose(returned, clean, atol=1e-5 / signal_rate)


@given(seeds, times)
def test_a_zero_velocity_error_is_never_amplified(seed, time):
    """An error of the network reaches the clean sample times the noise rate, so at most whole."""
    noise_rate, signal_rate = evaluated(imagegen.CosineSchedule(), time)
    noisy, output, error = normal(seed, 3, 10)
    denoised = imagegen.VelocityPrediction().denoised
    difference = denoised(noisy, output + error, noise_rate, signal_rate) - denoised(
        noisy, output, noise_rate, signal_rate
    )
    np.testing.assert_allclose(difference, -noise_rate * error, atol=1e-5)


@pytest.mark.parametrize(
    ("minimum", "maximum"), [(0.0, 0.95), (0.02, 1.01), (0.9, 0.5), (0.5, 0.5), (np.nan, 0.9)]
)
def test_impossible_signal_rates_are_refused(minimum, maximum):
    with pytest.raises(ValueError, match=r"signal_rate.*Received"):
        imagegen.CosineSchedule(minimum, maximum)


@given(st.one_of(cosine_schedules(), predictions, st.just(imagegen.DDIM())))
def test_every_part_survives_serialization(part):
    config = keras.saving.serialize_keras_object(part)
    assert keras.saving.deserialize_keras_object(config) == part
