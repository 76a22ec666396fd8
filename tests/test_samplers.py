import dataclasses
import itertools

import imagegen
from imagegen.samplers import (
    Level,
    advance,
    checked_seed,
    checked_seeds,
    initial_noise,
    levels,
    step_noise,
)

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from strategies import cosine_schedules, normal, seeds


def sample(schedule, denoise, noisy, num_steps, stops=None, sampler=imagegen.DDIM()):
    """Runs all steps, in one call or stopping at `stops` on the way."""
    table = ops.convert_to_tensor(levels(schedule, num_steps))
    noisy = ops.convert_to_tensor(noisy)
    state = sampler.init(noisy, ops.convert_to_tensor(0, "int32"))
    stops = [0, *(stops or []), num_steps]
    for start, stop in itertools.pairwise(stops):
        noisy, clean, state = advance(sampler, denoise, noisy, state, table, start, stop)
    return ops.convert_to_numpy(noisy), ops.convert_to_numpy(clean)


def gaussian_denoiser(schedule, mean, deviation):
    """E[x | noisy] where x is normal: what a perfect network would give."""

    def denoise(noisy, time):
        noise_rate, signal_rate = schedule(time)
        gain = signal_rate * deviation**2 / ((signal_rate * deviation) ** 2 + noise_rate**2)
        return mean + gain * (noisy - signal_rate * mean)

    return denoise


@settings(max_examples=25)
@given(
    cosine_schedules(),
    st.integers(1, 40),
    st.floats(-2, 2),
    st.floats(0.1, 2),
    seeds,
)
def test_ddim_on_a_gaussian_is_the_float64_recursion(schedule, num_steps, mean, deviation, seed):
    noisy = normal(seed, 8, 2)
    generated, _ = sample(schedule, gaussian_denoiser(schedule, mean, deviation), noisy, num_steps)

    # Everything is linear, so a step only moves mean and deviation of the sample's distribution.
    start, end = np.arccos(np.float64([schedule.max_signal_rate, schedule.min_signal_rate]))
    times = np.append(1 - np.arange(num_steps) / num_steps, np.nan)
    angles = (1 - times) * start + times * end
    noise_rates, signal_rates = np.sin(angles), np.cos(angles)
    noise_rates[-1], signal_rates[-1] = 0, 1
    expected = noisy.astype("float64")
    for step in range(num_steps):
        noise_rate, signal_rate = noise_rates[step], signal_rates[step]
        gain = signal_rate * deviation**2 / ((signal_rate * deviation) ** 2 + noise_rate**2)
        clean = mean + gain * (expected - signal_rate * mean)
        noise = (expected - signal_rate * clean) / noise_rate
        expected = signal_rates[step + 1] * clean + noise_rates[step + 1] * noise
    np.testing.assert_allclose(generated, expected, atol=2e-4, rtol=1e-3)


def test_ddim_with_many_steps_reaches_the_gaussian_itself():
    schedule, mean, deviation = imagegen.CosineSchedule(0.001, 1.0), 0.7, 0.3
    noisy = normal(0, 1000, 1)
    generated, _ = sample(schedule, gaussian_denoiser(schedule, mean, deviation), noisy, 500)
    np.testing.assert_allclose(generated, mean + deviation * noisy, atol=0.02)


@given(st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=15)
def test_stopping_on_the_way_changes_nothing(stops):
    schedule = imagegen.CosineSchedule()
    denoise = gaussian_denoiser(schedule, 0.5, 0.5)
    noisy = normal(1, 3, 4)
    whole, _ = sample(schedule, denoise, noisy, 12)
    in_parts, _ = sample(schedule, denoise, noisy, 12, sorted(stops))
    np.testing.assert_array_equal(whole, in_parts)


def test_the_last_step_returns_the_clean_sample():
    schedule = imagegen.CosineSchedule()
    generated, clean = sample(schedule, gaussian_denoiser(schedule, 0, 1), normal(2, 5, 3), 7)
    np.testing.assert_array_equal(generated, clean)


@given(cosine_schedules(), st.integers(1, 1000))
def test_every_table_has_the_same_length_and_ends_clean(schedule, num_steps):
    table = levels(schedule, num_steps)
    assert table.shape == (1001, 3)
    assert (table[:num_steps, 1] > 0).all()
    np.testing.assert_array_equal(table[num_steps:], np.float32([[0, 0, 1]] * (1001 - num_steps)))


@pytest.mark.parametrize("num_steps", [0, -1, 1001, 2.5, True, "20"])
def test_an_impossible_number_of_steps_is_refused(num_steps):
    with pytest.raises(ValueError, match=r"`num_steps`.*Received"):
        levels(imagegen.CosineSchedule(), num_steps)


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_sample_i_of_the_initial_noise_is_the_same_in_any_batch(seed, count, other_count):
    noise, other = (initial_noise(n, (2, 3), seed) for n in (count, other_count))
    shared = min(count, other_count)
    np.testing.assert_array_equal(noise[:shared], other[:shared])


def test_initial_noise_is_standard_normal_and_independent():
    noise = initial_noise(200, (500,), seed=3).astype("float64")
    assert noise.mean() == pytest.approx(0, abs=0.015)
    assert noise.std() == pytest.approx(1, abs=0.015)
    correlations = np.corrcoef(noise)[~np.eye(200, dtype=bool)]
    assert np.abs(correlations).max() < 0.25
    assert not np.array_equal(noise, initial_noise(200, (500,), seed=4))


def test_a_level_is_what_the_schedule_says():
    schedule = imagegen.CosineSchedule()
    time, noise_rate, signal_rate = levels(schedule, 4)[1]
    assert time == 0.75
    expected = [float(keras.ops.convert_to_numpy(rate)) for rate in schedule(0.75)]
    np.testing.assert_allclose([noise_rate, signal_rate], expected, rtol=1e-6)


@given(st.integers(2, 40), st.floats(-2, 2), seeds)
@settings(max_examples=25)
def test_ddpms_step_has_the_mean_and_variance_of_the_posterior(step, clean, seed):
    """With the true clean sample, against the posterior written out from the paper's formula."""
    num_steps = 40
    schedule = imagegen.DiscreteSchedule(imagegen.linear_betas(num_steps, 1e-3, 0.2))
    alphas = 1 - np.linspace(1e-3, 0.2, num_steps)
    now, before = np.prod(alphas[:step]), np.prod(alphas[: step - 1])
    noisy = 0.7
    mean = np.sqrt(before) * (1 - alphas[step - 1]) / (1 - now) * clean
    mean += np.sqrt(alphas[step - 1]) * (1 - before) / (1 - now) * noisy
    variance = (1 - before) / (1 - now) * (1 - alphas[step - 1])

    table = ops.convert_to_tensor(levels(schedule, num_steps))
    samples = ops.full((4, 1000), noisy)
    state = imagegen.DDPM().init(samples, ops.convert_to_tensor(seed, "int32"))
    denoise = lambda noisy, time: ops.full_like(noisy, clean)  # noqa: E731
    index = num_steps - step
    now_level, after = (imagegen.Level(*table[row]) for row in (index, index + 1))
    drawn, _, _ = imagegen.DDPM().step(denoise, samples, now_level, after, state)
    drawn = ops.convert_to_numpy(drawn).astype("float64")
    assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / 4000))
    assert drawn.var() == pytest.approx(variance, rel=0.15)


def test_noise_on_the_way_depends_on_seed_step_and_sample_alone():
    def draw(count, seed, index):
        like = ops.zeros((count, 3))
        tensors = (ops.convert_to_tensor(number, "int32") for number in (seed, index))
        return ops.convert_to_numpy(step_noise(like, *tensors))

    few, many = draw(2, 5, 7), draw(4, 5, 7)
    np.testing.assert_array_equal(few, many[:2])
    for other in (draw(2, 6, 7), draw(2, 5, 8), many[2:]):
        assert np.abs(few - other).min() > 0


def test_samples_with_their_own_seeds_get_the_noise_of_first_samples():
    first = initial_noise(2, (3,), [5, 9])
    like = ops.zeros((2, 3))
    seeds, index = (ops.convert_to_tensor(number, "int32") for number in ([5, 9], 7))
    later = ops.convert_to_numpy(step_noise(like, seeds, index))
    for number, seed in enumerate((5, 9)):
        np.testing.assert_array_equal(first[number], initial_noise(1, (3,), seed)[0])
        alone = step_noise(like[:1], ops.convert_to_tensor(seed, "int32"), index)
        np.testing.assert_array_equal(later[number], ops.convert_to_numpy(alone)[0])


def test_euler_and_ddim_are_the_same_step():
    schedule = imagegen.FlowSchedule()
    denoise, noisy = gaussian_denoiser(schedule, 0.5, 0.4), normal(0, 20, 2)
    ddim, euler = (
        sample(schedule, denoise, noisy, 15, sampler=sampler)[0]
        for sampler in (imagegen.DDIM(), imagegen.Euler())
    )
    np.testing.assert_allclose(ddim, euler, atol=1e-4)


@pytest.mark.parametrize("eta", [-0.1, 1.1, np.nan])
def test_an_impossible_eta_is_refused(eta):
    with pytest.raises(ValueError, match=r"`eta`.*Received"):
        imagegen.DDIM(eta)


@given(
    st.one_of(
        st.builds(imagegen.DDIM, st.floats(0, 1)),
        st.sampled_from([imagegen.Euler(), imagegen.Heun(), imagegen.DPMSolver2M()]),
    )
)
def test_every_sampler_survives_serialization(sampler):
    config = keras.saving.serialize_keras_object(sampler)
    assert keras.saving.deserialize_keras_object(config) == sampler


def test_the_noise_of_a_step_is_not_the_noise_in_the_beginning():
    first = initial_noise(6, (400,), seed=7)
    for index in range(6):
        seed, step = (ops.convert_to_tensor(number, "int32") for number in (7, index))
        later = ops.convert_to_numpy(step_noise(ops.convert_to_tensor(first), seed, step))
        correlations = np.corrcoef(first, later)[:6, 6:]
        assert np.abs(correlations).max() < 0.25


# EDM's own sampler


def mixture_denoiser(x, sigma):
    """E[x_0 | x] for two normal distributions, in double precision and in EDM's coordinates."""
    means, deviation = np.array([[-0.7], [0.9]]), 0.25
    variance = deviation**2 + sigma**2
    logits = -((x[:, 0] - means) ** 2) / (2 * variance)
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    kinds = means + deviation**2 / variance * (x[:, 0] - means)
    return (shares * kinds).sum(axis=0)[:, None]


def edm_reference(x, sigmas, churn, sigma_range, noise_scale, draw):
    """Algorithm 2 of the paper, line by line; algorithm 1 where `churn` is 0."""
    count = len(sigmas) - 1
    for i in range(count):
        inside = sigma_range[0] <= sigmas[i] <= sigma_range[1]
        gamma = min(churn / count, np.sqrt(2) - 1) if inside else 0.0
        raised = sigmas[i] + gamma * sigmas[i]
        x_hat = x + np.sqrt(raised**2 - sigmas[i] ** 2) * noise_scale * draw(i)
        d = (x_hat - mixture_denoiser(x_hat, raised)) / raised
        x = x_hat + (sigmas[i + 1] - raised) * d
        if sigmas[i + 1] != 0:
            d_after = (x - mixture_denoiser(x, sigmas[i + 1])) / sigmas[i + 1]
            x = x_hat + (sigmas[i + 1] - raised) * (d / 2 + d_after / 2)
    return x


@pytest.mark.parametrize("num_steps", [5, 18])
@pytest.mark.parametrize("churn", [0.0, 2.0, 80.0])
def test_edms_sampler_is_the_papers_algorithm(num_steps, churn):
    schedule = imagegen.EDMSchedule()
    sampler = imagegen.EDMSampler(
        churn / num_steps, sigma_range=(0.05, 50.0), noise_scale=1.003, schedule=schedule
    )
    noisy = 80 * normal(0, 200, 1)

    def denoise(noisy, time):
        sigma, _ = schedule(time)
        means, deviation = ops.convert_to_tensor([[-0.7], [0.9]], "float32"), 0.25
        variance = deviation**2 + sigma**2
        shares = ops.softmax(-((noisy[:, 0] - means) ** 2) / (2 * variance), axis=0)
        kinds = means + deviation**2 / variance * (noisy[:, 0] - means)
        return ops.sum(shares * kinds, axis=0)[:, None]

    def draw(index):
        seed, index = (ops.convert_to_tensor(number, "int32") for number in (0, index))
        return np.float64(ops.convert_to_numpy(step_noise(noisy, seed, index)))

    painted, _ = sample(schedule, denoise, noisy, num_steps, sampler=sampler)
    steps = np.arange(num_steps) / (num_steps - 1)
    sigmas = (80 ** (1 / 7) + steps * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    wanted = edm_reference(
        noisy.astype("float64"), np.append(sigmas, 0), churn, (0.05, 50.0), 1.003, draw
    )
    np.testing.assert_allclose(painted, wanted, atol=2e-3)
    assert 0.3 < (painted > 0).mean() < 0.9


@pytest.mark.parametrize("churn", [1e-7, 1e-4, 0.1])
@pytest.mark.parametrize("low", [0.5, 0.9])
def test_the_noise_that_edm_adds_has_the_deviation_of_the_raised_level(churn, low):
    """Not as the difference of two squares, which rounds, and to below zero where they are equal.

    Compiled code then took the root of it, and pictures were NaN outside of `sigma_range`.
    """
    schedule = imagegen.CosineSchedule()
    sampler = imagegen.EDMSampler(churn, sigma_range=(low, 9.0), noise_scale=1.1, schedule=schedule)
    now, after = (
        Level(*map(ops.convert_to_tensor, np.float32(level)))
        for level in ((0.4, 0.6, 0.8), (0.3, 0.48, 0.877))
    )
    nothing, seed = ops.zeros((2, 3)), ops.convert_to_tensor(4, "int32")
    seen = []

    def denoise(noisy, time):
        seen.append(noisy)
        return noisy

    sampler.step(denoise, nothing, now, after, sampler.init(nothing, seed))
    noise = ops.convert_to_numpy(step_noise(nothing, seed, ops.convert_to_tensor(0, "int32")))
    sigma = np.float64(0.75)
    raised = sigma * (1 + churn) if low < sigma else sigma
    signal_rate = 1 / np.hypot(1, raised)
    expected = signal_rate * 1.1 * np.sqrt(raised**2 - sigma**2) * noise
    np.testing.assert_allclose(ops.convert_to_numpy(seen[0]), expected, rtol=2e-3)


def test_edms_sampler_survives_saving():
    sampler = imagegen.EDMSampler(0.1, sigma_range=(0.1, 9.0), schedule=imagegen.CosineSchedule())
    config = keras.saving.serialize_keras_object(sampler)
    assert keras.saving.deserialize_keras_object(config) == sampler


@pytest.mark.parametrize(
    ("sampler", "straight", "drawing"),
    [
        (imagegen.DDIM(), True, False),
        (imagegen.DDIM(0.3), False, True),
        (imagegen.DDPM(), False, True),
        (imagegen.Euler(), True, False),
        (imagegen.Heun(), False, False),
        (imagegen.DPMSolver2M(), False, False),
        (imagegen.EDMSampler(), False, False),
        (imagegen.EDMSampler(0.1), False, True),
    ],
    ids=repr,
)
def test_samplers_say_whether_they_go_straight_and_draw_noise(sampler, straight, drawing):
    assert sampler.goes_straight() is straight
    assert sampler.draws_noise() is drawing


@pytest.mark.parametrize("eta", [0.3, 0.7, 1.0])
def test_a_step_of_ddim_keeps_the_marginals_and_renews_its_share_of_the_noise(eta):
    """q(x_t' | x_0) is the schedule's for every eta; what is left of the noise is equation 16's."""
    clean, noise = 1.5, normal(0, 40, 1000)
    now, after = imagegen.Level(0.7, 0.8, 0.6), imagegen.Level(0.4, 0.6, 0.8)
    sampler = imagegen.DDIM(eta)
    noisy = ops.convert_to_tensor(now.signal_rate * clean + now.noise_rate * noise)
    state = sampler.init(noisy, ops.convert_to_tensor(1, "int32"))
    stepped, estimate, (_, index, _) = sampler.step(
        lambda noisy, time: ops.full_like(noisy, clean), noisy, now, after, state
    )
    left = ops.convert_to_numpy(stepped).astype("float64") - 0.8 * clean
    assert left.mean() == pytest.approx(0, abs=0.015)
    assert left.std() == pytest.approx(0.6, rel=0.02)
    sigma = eta * 0.6 / 0.8 * np.sqrt(0.8**2 - (0.6 / 0.8 * 0.6) ** 2)
    kept = np.mean(left * noise) / np.mean(noise.astype("float64") ** 2)
    assert kept == pytest.approx(np.sqrt(0.6**2 - sigma**2), abs=0.015)
    assert float(estimate[0, 0]) == clean
    assert int(index) == 1


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"churn": -0.1}, "churn"),
        ({"noise_scale": -0.1}, "noise_scale"),
        ({"sigma_range": (-1.0, 1.0)}, "sigma_range"),
    ],
)
def test_an_impossible_churn_is_refused_by_name(options, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        imagegen.EDMSampler(**options)
    assert imagegen.EDMSampler(0.1, (0.0, 0.5), 0.0).noise_scale == 0


def test_seeds_travel_as_positive_int32():
    assert checked_seed(2**31 - 1) == 2**31 - 1
    assert checked_seeds([0, 2**31 - 1], 2) == [0, 2**31 - 1]
    assert checked_seeds(7, 2) == 7
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match="`seed`"):
            checked_seed(seed)
        with pytest.raises(ValueError, match="`seed`"):
            checked_seeds([0, seed], 2)
    with pytest.raises(ValueError, match=r"`seed` must be one for all 3.*Received: 2"):
        checked_seeds([1, 2], 3)
    drawn = [checked_seed(None), checked_seeds(None, 2)]
    assert drawn[0] != drawn[1]
    assert all(0 <= seed < 2**31 for seed in drawn)


def test_a_pair_of_seed_and_number_names_a_sample_of_a_batch():
    whole = initial_noise(3, (4,), 5)
    np.testing.assert_array_equal(initial_noise(2, (4,), [(5, 2), (5, 0)]), whole[[2, 0]])
    pairs, index = ops.convert_to_tensor([[5, 2], [5, 0]], "int32"), ops.convert_to_tensor(4)
    noise, picked = (
        ops.convert_to_numpy(step_noise(ops.zeros((count, 4)), seed, index))
        for count, seed in ((3, ops.convert_to_tensor(5, "int32")), (2, pairs))
    )
    np.testing.assert_array_equal(picked, noise[[2, 0]])


def test_noise_on_the_way_is_standard_normal():
    seed, index = (ops.convert_to_tensor(number, "int32") for number in (3, 2))
    noise = ops.convert_to_numpy(step_noise(ops.zeros((20, 2000)), seed, index)).astype("float64")
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)


# Two levels whose rates sum neither to 1 nor to the same.
NOW, AFTER = imagegen.Level(0.9, 0.8, 0.6), imagegen.Level(0.4, 0.28, 0.96)


def bent(noisy, time):
    """A denoiser that bends the path, for tensors and in double precision."""
    return 0.3 * noisy**2 - time


def test_heuns_step_is_the_mean_of_the_slopes_at_both_ends():
    x = np.float64(normal(0, 50))
    taken, clean, _ = imagegen.Heun().step(
        bent, ops.convert_to_tensor(x, "float32"), NOW, AFTER, ()
    )
    y, u, u_after = x / 1.4, 0.8 / 1.4, 0.28 / 1.24
    slope = (y - bent(x, 0.9)) / u
    there = y + (u_after - u) * slope
    slope_there = (there - bent(1.24 * there, 0.4)) / u_after
    expected = 1.24 * (y + (u_after - u) * (slope + slope_there) / 2)
    np.testing.assert_allclose(ops.convert_to_numpy(taken), expected, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(clean), bent(x, 0.9), atol=1e-5)


def test_three_steps_of_dpm_solver_are_the_papers():
    """Algorithm 2 of DPM-Solver++, with its first step of first order and its last one, too."""
    solver, x = imagegen.DPMSolver2M(), np.float64(normal(0, 50))
    way = [NOW, AFTER, imagegen.Level(0.2, 0.1, 0.99), imagegen.Level(0.0, 0.0, 1.0)]
    taken = ops.convert_to_tensor(x, "float32")
    state = solver.init(taken, ops.convert_to_tensor(0, "int32"))
    lambdas = [np.log(level.signal_rate / level.noise_rate) for level in way[:3]]
    before = None
    for i in range(3):
        taken, _, state = solver.step(bent, taken, way[i], way[i + 1], state)
        clean = estimate = bent(x, way[i].time)
        if i == 1:
            ratio = (lambdas[1] - lambdas[0]) / (lambdas[2] - lambdas[1])
            estimate = (1 + 1 / (2 * ratio)) * clean - 1 / (2 * ratio) * before
        before = clean
        decay = np.exp(lambdas[i] - lambdas[i + 1]) if i < 2 else 0.0
        kept = way[i + 1].noise_rate / way[i].noise_rate
        x = kept * x - way[i + 1].signal_rate * (decay - 1) * estimate
        np.testing.assert_allclose(ops.convert_to_numpy(taken), x, atol=1e-4)


def test_edms_step_is_heuns_method_in_the_ratio_of_the_rates():
    noisy = np.float64(normal(0, 50))
    tensor = ops.convert_to_tensor(noisy, "float32")
    taken, clean, _ = imagegen.EDMSampler().step(bent, tensor, NOW, AFTER, ())
    x, sigma, sigma_after = noisy / 0.6, 0.8 / 0.6, 0.28 / 0.96
    slope = (x - bent(noisy, 0.9)) / sigma
    there = x + (sigma_after - sigma) * slope
    slope_there = (there - bent(0.96 * there, 0.4)) / sigma_after
    expected = 0.96 * (x + (sigma_after - sigma) * (slope + slope_there) / 2)
    np.testing.assert_allclose(ops.convert_to_numpy(taken), expected, atol=2e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(clean), bent(noisy, 0.9), atol=1e-5)


@pytest.mark.parametrize(
    "sampler",
    [imagegen.DDIM(), imagegen.Euler(), imagegen.Heun(), imagegen.EDMSampler()],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_step_to_no_noise_ends_in_the_clean_sample(sampler):
    tensor = ops.convert_to_tensor(normal(0, 50))
    end = imagegen.Level(0.0, 0.0, 1.0)
    taken, clean, _ = sampler.step(bent, tensor, NOW, end, ())
    np.testing.assert_allclose(
        ops.convert_to_numpy(taken), ops.convert_to_numpy(clean), rtol=1e-5, atol=1e-6
    )


@dataclasses.dataclass(frozen=True)
class Late(imagegen.DDIM):
    """Has a state of another kind than DDIM's, which its number shapes."""

    def init(self, noisy, seed):
        return (self.eta * noisy, seed)


@dataclasses.dataclass(frozen=True)
class Twice(imagegen.EDMSampler):
    """Begins where its base class doesn't."""

    def init(self, noisy, seed):
        return (2 * seed, *super().init(noisy, seed)[1:])


@pytest.mark.parametrize(
    "sampler",
    [
        imagegen.DDIM(),
        imagegen.DDIM(0.3),
        imagegen.DPMSolver2M(),
        imagegen.EDMSampler(),
        imagegen.EDMSampler(0.1, sigma_range=(0.1, 9.0), noise_scale=1.1),
        Late(0.3),
        Twice(0.2),
    ],
    ids=repr,
)
def test_beginning_again_forgets_all_but_the_numbers(sampler):
    noisy, other = (ops.convert_to_tensor(normal(seed, 3, 2)) for seed in (0, 1))
    seeds = (ops.convert_to_tensor(seed, "int32") for seed in (5, 6))
    first, second = (sampler.init(*pair) for pair in zip((noisy, other), seeds, strict=True))
    times = ops.convert_to_tensor(np.float32([[0.9, 0.8, 0.6], [0.8, 0.6, 0.8]]))
    used = first
    if type(sampler) not in (Late, Twice):
        now, after = (Level(*ops.unstack(row, 3)) for row in times)
        _, _, used = sampler.step(lambda noisy, time: 0 * noisy, noisy, now, after, first)
    again = sampler._again(used, other, ops.convert_to_tensor(6, "int32"))
    for one, expected in zip(again, second, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, expected)))
