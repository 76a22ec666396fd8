import imagegen

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cosine_schedules, times


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


@settings(max_examples=15)  # Every number of times is a shape of its own to compile.
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


@settings(max_examples=15)  # Every number of times is a shape of its own to compile.
@given(cosine_schedules(), st.integers(1, 1000))
def test_sampling_goes_down_from_pure_noise_and_stops_short_of_time_zero(schedule, num_steps):
    visited = schedule.sampling_times(num_steps)
    assert visited.shape == (num_steps,)
    assert visited[0] == 1
    assert (np.diff(visited) < 0).all()
    assert visited[-1] == pytest.approx(1 / num_steps, rel=1e-4)
    assert evaluated(schedule, visited)[1].min() >= 1e-3 - 1e-6


@pytest.mark.parametrize(
    ("minimum", "maximum"), [(0.0, 0.95), (0.02, 1.01), (0.9, 0.5), (0.5, 0.5), (np.nan, 0.9)]
)
def test_impossible_signal_rates_are_refused(minimum, maximum):
    with pytest.raises(ValueError, match=r"signal_rate.*Received"):
        imagegen.CosineSchedule(minimum, maximum)


# The shifted cosine, flow and EDM


@given(st.integers(8, 1024), st.integers(8, 1024), times)
def test_the_shift_multiplies_noise_over_signal_by_the_ratio_of_sizes(size, base_size, time):
    shifted = evaluated(imagegen.ShiftedCosineSchedule(size, base_size), time)
    plain = evaluated(imagegen.ShiftedCosineSchedule(base_size, base_size), time)
    ratio = (shifted[0] / shifted[1]) / (plain[0] / plain[1])
    assert ratio == pytest.approx(size / base_size, rel=1e-3)
    assert shifted[0] ** 2 + shifted[1] ** 2 == pytest.approx(1, abs=1e-6)


@given(st.floats(0.1, 10), times)
def test_flow_rates_sum_to_one_and_the_shift_is_the_papers(shift, time):
    noise_rate, signal_rate = evaluated(imagegen.FlowSchedule(shift), time)
    assert noise_rate + signal_rate == pytest.approx(1, abs=1e-6)
    assert noise_rate == pytest.approx(shift * time / (1 + (shift - 1) * time), abs=1e-6)


@settings(max_examples=15)  # Every number of times is a shape of its own to compile.
@given(st.floats(0.1, 10), st.integers(1, 1000))
def test_flow_never_samples_where_no_signal_is_left(shift, num_steps):
    schedule = imagegen.FlowSchedule(shift)
    visited = schedule.sampling_times(num_steps)
    assert (np.diff(visited) < 0).all()
    assert evaluated(schedule, visited)[1].min() >= 0.99e-3


@settings(max_examples=15)  # Every number of times is a shape of its own to compile.
@given(st.integers(2, 100))
def test_edm_visits_the_papers_sigmas(num_steps):
    """Equation 5: the last sigma before the clean sample is the lowest."""
    schedule = imagegen.EDMSchedule()
    sigmas, signal_rates = evaluated(schedule, schedule.sampling_times(num_steps))
    steps = np.arange(num_steps) / (num_steps - 1)
    expected = (80 ** (1 / 7) + steps * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(sigmas, expected, rtol=2e-3)
    assert (signal_rates == 1).all()


@pytest.mark.parametrize("deviations", [-1, 0, 1])
def test_edm_trains_at_the_noise_of_the_paper(deviations):
    """Whose data deviate by 0.5, and these by 1. There ln(sigma) is normal: -1.2 and 1.2."""
    schedule = imagegen.EDMSchedule()
    quantile = np.float32(scipy.stats.norm.cdf([deviations]))
    time = keras.ops.convert_to_numpy(schedule.training_times(quantile))
    (sigma,), _ = evaluated(schedule, time)
    assert 0.5 * sigma == pytest.approx(np.exp(-1.2 + 1.2 * deviations), rel=1e-3)


def test_edm_trains_on_log_normal_sigmas():
    schedule = imagegen.EDMSchedule(log_sigma_mean=-1.0, log_sigma_deviation=1.2)
    uniform = np.float32((np.arange(20000) + 0.5) / 20000)
    times = keras.ops.convert_to_numpy(schedule.training_times(uniform))
    logs = np.log(evaluated(schedule, times)[0])
    assert logs.mean() == pytest.approx(-1.0, abs=0.01)
    assert logs.std() == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(
    "schedule",
    [
        imagegen.CosineSchedule(),
        imagegen.CosineSchedule(0.001, 0.9999),
        imagegen.ShiftedCosineSchedule(128),
        imagegen.FlowSchedule(3),
        imagegen.EDMSchedule(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 50])
def test_even_log_ratios_are_even_and_span_what_the_schedule_spans(schedule, num_steps):
    even = imagegen.EvenLogSNRSchedule(schedule)
    times = even.sampling_times(num_steps)
    assert times.dtype == np.float32
    noise_rates, signal_rates = evaluated(even, times)
    ratios = np.log(signal_rates / noise_rates)
    ends = np.subtract(*map(np.log, evaluated(schedule, schedule.sampling_times(1000))[::-1]))
    assert ratios[0] == pytest.approx(ends[0], abs=1e-3)
    if num_steps > 1:
        assert ratios[-1] == pytest.approx(ends[-1], abs=2e-3)
        np.testing.assert_allclose(np.diff(ratios), np.ptp(ends) / (num_steps - 1), atol=0.1)
        assert (np.diff(times) < 0).all()


@given(cosine_schedules(), times)
def test_even_log_ratios_change_neither_rates_nor_training(schedule, time):
    even = imagegen.EvenLogSNRSchedule(schedule)
    np.testing.assert_array_equal(evaluated(even, time), evaluated(schedule, time))
    assert even.training_times(time) == schedule.training_times(time)


def test_only_a_schedule_has_log_ratios():
    with pytest.raises(ValueError, match="`schedule` must be a Schedule"):
        imagegen.EvenLogSNRSchedule("cosine")


@given(
    st.one_of(
        cosine_schedules(),
        st.builds(imagegen.ShiftedCosineSchedule, st.integers(8, 512)),
        st.builds(imagegen.FlowSchedule, st.floats(0.1, 10)),
        st.just(imagegen.EDMSchedule()),
        st.just(imagegen.DiscreteSchedule(imagegen.linear_betas(100, 1e-3, 0.1))),
        st.builds(imagegen.EvenLogSNRSchedule, cosine_schedules()),
        st.just(imagegen.EvenLogSNRSchedule(imagegen.EDMSchedule(sigma_max=50))),
    )
)
def test_every_schedule_survives_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert keras.saving.deserialize_keras_object(config) == schedule


@given(
    st.sampled_from(
        [
            imagegen.CosineSchedule(),
            imagegen.ShiftedCosineSchedule(128),
            imagegen.FlowSchedule(3),
            imagegen.EDMSchedule(),
            imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule()),
        ]
    ),
    st.floats(0.02, 0.98),
)
def test_the_time_of_a_ratio_is_the_time_that_has_it(schedule, time):
    noise_rate, signal_rate = evaluated(schedule, time)
    found = float(schedule.time_of(noise_rate / signal_rate))
    assert found == pytest.approx(time, abs=1e-4)


@given(st.integers(2, 60), st.floats(0.01, 0.99))
@settings(max_examples=30)
def test_an_edit_begins_as_noisy_wherever_sampling_stops(num_steps, strength):
    """At the stop that is nearest in time to where an edit of the plain schedule begins."""
    plain = imagegen.CosineSchedule(max_signal_rate=0.999)
    even = imagegen.EvenLogSNRSchedule(plain)
    begun = even.first_step(num_steps, strength)
    assert 1 <= begun <= num_steps - 1
    times = even.sampling_times(num_steps)
    if 1 < begun < num_steps - 1:
        distance = abs(times[begun] - strength)
        assert distance <= min(abs(times - strength)) + 2e-3
    assert (even.first_step(num_steps, 0), even.first_step(num_steps, 1)) == (num_steps, 0)


@pytest.mark.parametrize(
    ("renamed", "name"),
    [(imagegen.EvenLogSNRSchedule, "EvenLogSNR"), (imagegen.LogSNREmbedding, "LogSNR")],
)
def test_what_was_renamed_is_found_by_its_name_in_older_files(renamed, name):
    assert keras.saving.get_registered_object(f"imagegen>{name}") is renamed


@given(st.floats(0.1, 10))
def test_flow_begins_where_the_signal_is_a_thousandth_whatever_the_shift(shift):
    schedule = imagegen.FlowSchedule(shift)
    assert evaluated(schedule, schedule.sampling_times(7)[0])[1] == pytest.approx(1e-3, rel=2e-3)


@given(st.floats(-13, -1), st.floats(0.5, 12), st.integers(8, 512))
def test_log_ratios_of_the_shifted_cosine_end_where_they_are_told_to(low, high, size):
    schedule = imagegen.ShiftedCosineSchedule(size, size, (low, high))
    noise_rates, signal_rates = evaluated(schedule, [0, 1])
    np.testing.assert_allclose(2 * np.log(signal_rates / noise_rates), [high, low], atol=1e-2)


def test_the_shift_counts_pixels_whatever_the_shape_of_the_picture():
    square, wide = (imagegen.ShiftedCosineSchedule(size) for size in (128, (64, 256)))
    np.testing.assert_array_equal(evaluated(square, 0.4), evaluated(wide, 0.4))


@given(st.floats(1e-3, 0.1), st.floats(1, 200), st.floats(1, 10), times)
def test_the_rho_th_root_of_edms_sigma_is_linear_in_time(low, high, rho, time):
    schedule = imagegen.EDMSchedule(low, high, rho)
    sigma, signal_rate = evaluated(schedule, time)
    root = time * high ** (1 / rho) + (1 - time) * low ** (1 / rho)
    # Near the lowest sigma, what is left of the highest one's root is rounding.
    rounding = 2e-6 * high ** (1 / rho)
    assert sigma ** (1 / rho) == pytest.approx(root, rel=1e-5, abs=rounding)
    assert signal_rate == 1
    assert float(schedule.time_of(np.float32(sigma))) == pytest.approx(time, abs=1e-3)


@pytest.mark.parametrize("probability", [0.0, 1e-5, 0.1, 0.5, 0.9, 1 - 1e-5])
def test_edms_training_times_are_quantiles_cut_off_at_the_ends(probability):
    schedule = imagegen.EDMSchedule(0.01, 50, 5, log_sigma_mean=0.3, log_sigma_deviation=2.0)
    time = np.float64(schedule.training_times(np.float32(probability)))
    log_sigma = 0.3 + 2.0 * scipy.stats.norm.ppf(probability)
    expected = np.clip(log_sigma, np.log(0.01), np.log(50))
    assert 0 <= time <= 1
    assert np.log(evaluated(schedule, time)[0]) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(
    ("schedule", "options", "name"),
    [
        (imagegen.ShiftedCosineSchedule, {"image_size": 0}, "image_size"),
        (imagegen.ShiftedCosineSchedule, {"image_size": 8, "base_size": 0}, "base_size"),
        *(
            (imagegen.ShiftedCosineSchedule, {"image_size": 8, "log_snr_range": ends}, "log_snr")
            for ends in [(-14.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
        ),
        (imagegen.FlowSchedule, {"shift": 0.0}, "shift"),
        (imagegen.FlowSchedule, {"shift": 1001.0}, "shift"),
        (imagegen.EDMSchedule, {"sigma_min": 0.0}, "sigma_min"),
        (imagegen.EDMSchedule, {"sigma_min": 1001.0, "sigma_max": 1002.0}, "sigma_min"),
        (imagegen.EDMSchedule, {"sigma_min": 2.0, "sigma_max": 2.0}, "sigma_max"),
        (imagegen.EDMSchedule, {"sigma_max": 1001.0}, "sigma_max"),
        (imagegen.EDMSchedule, {"rho": 0.9}, "rho"),
        (imagegen.EDMSchedule, {"log_sigma_mean": np.inf}, "log_sigma_mean"),
        (imagegen.EDMSchedule, {"log_sigma_deviation": 0.0}, "log_sigma_deviation"),
    ],
)
def test_schedules_out_of_range_are_refused_by_name(schedule, options, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        schedule(**options)


def test_schedules_at_the_limits_of_their_ranges_are_schedules():
    for schedule in (
        imagegen.CosineSchedule(0.001, 1.0),
        imagegen.ShiftedCosineSchedule(1, 1, (-13.0, -12.9)),
        imagegen.FlowSchedule(1e-3),
        imagegen.FlowSchedule(1e3),
        imagegen.EDMSchedule(1e-4, 1e3, 1.0, 0.0, 1e-6),
    ):
        rates = evaluated(schedule, schedule.sampling_times(3))
        assert np.isfinite(rates).all()


SCHEDULES = [
    imagegen.CosineSchedule(),
    imagegen.FlowSchedule(2),
    imagegen.EDMSchedule(),
    imagegen.EvenLogSNRSchedule(imagegen.CosineSchedule()),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("num_steps", [0, -1, 1_000_001, 2.5])
def test_no_schedule_visits_an_impossible_number_of_times(schedule, num_steps):
    with pytest.raises((TypeError, ValueError), match="`num_steps`"):
        schedule.sampling_times(num_steps)


def test_a_ratio_that_no_time_has_is_at_one_of_the_ends():
    schedule = imagegen.CosineSchedule()
    assert float(schedule.time_of(1e-6)) == pytest.approx(0, abs=1e-6)
    assert float(schedule.time_of(1e6)) == pytest.approx(1, abs=1e-6)


@given(st.integers(1, 100), st.floats(0, 1))
def test_an_edit_takes_its_share_of_the_steps_and_leaves_some(num_steps, strength):
    start = imagegen.CosineSchedule().first_step(num_steps, strength)
    nearest = abs(num_steps - start - strength * num_steps) <= 0.5 + 1e-9
    if 0 < strength < 1 < num_steps:
        assert 1 <= start <= num_steps - 1
        assert nearest or start in (1, num_steps - 1)
    else:
        assert nearest
    if strength in (0, 1):
        assert start == num_steps * (1 - strength)


def test_an_edit_with_few_steps_takes_one_and_leaves_one():
    for schedule in (SCHEDULES[0], SCHEDULES[-1]):
        starts = [schedule.first_step(10, strength) for strength in (0.001, 0.999)]
        assert starts == [9, 1]
        assert [schedule.first_step(1, strength) for strength in (0.4, 0.6)] == [1, 0]


@given(times)
def test_training_draws_times_uniformly_unless_a_schedule_says_otherwise(time):
    assert imagegen.CosineSchedule().training_times(time) == time
