import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


def rates(schedule, times) -> tuple[np.ndarray, np.ndarray]:
    noise_rates, signal_rates = map(keras.ops.convert_to_numpy, schedule(np.float32(times)))
    return noise_rates.astype("float64"), signal_rates.astype("float64")


BETAS = {
    "constant": imagegen.constant_betas(100, 0.02),
    "linear": imagegen.linear_betas(100, 1e-3, 0.1),
    "quadratic": imagegen.quadratic_betas(100, 1e-3, 0.1),
    "sigmoid": imagegen.sigmoid_betas(100, 1e-3, 0.1),
    "cosine": imagegen.cosine_betas(100),
}


@pytest.mark.parametrize("name", ["linear", "quadratic", "sigmoid"])
def test_betas_rise_from_start_to_end(name):
    betas = np.array(BETAS[name])
    assert (np.diff(betas) > 0).all()
    assert betas[0] == pytest.approx(1e-3, rel=0.3)
    assert betas[-1] == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("name", BETAS)
def test_one_jump_is_the_whole_chain(name):
    """Signal and noise power after k single steps, against the rates of the jump."""
    schedule, signal, noise = imagegen.DiscreteSchedule(BETAS[name]), 1.0, 0.0
    for step, beta in enumerate(schedule.betas, start=1):
        signal, noise = signal * (1 - beta), noise * (1 - beta) + beta
        noise_rate, signal_rate = rates(schedule, step / schedule.num_steps)
        assert signal_rate**2 == pytest.approx(signal, rel=1e-4)
        assert noise_rate**2 == pytest.approx(noise, rel=1e-4)


def test_the_chain_begins_clean_and_never_turns_back():
    schedule = imagegen.DiscreteSchedule(BETAS["linear"])
    noise_rates, signal_rates = rates(schedule, np.linspace(0, 1, 301))
    assert (noise_rates[0], signal_rates[0]) == (0, 1)
    assert (np.diff(noise_rates) > 0).all()


def test_the_discrete_cosine_has_the_continuous_one_as_its_limit():
    """Without the offset, the signal rate of the chain at k / T is cos(pi / 2 * k / T)."""
    times = np.linspace(0.05, 0.95, 19)
    errors = []
    for num_steps in (20, 200, 2000):
        betas = imagegen.cosine_betas(num_steps, offset=1e-9)[: round(0.96 * num_steps)]
        chain = imagegen.DiscreteSchedule(betas)
        scale = num_steps / len(betas)
        _, signal_rates = rates(chain, times * scale)
        errors.append(np.abs(signal_rates - np.cos(np.pi / 2 * times)).max())
    assert errors[2] < 1e-5
    assert errors[0] > errors[1] > errors[2] or errors[0] < 1e-3


@given(st.integers(1, 200))
def test_sampling_visits_whole_steps_of_the_chain(num_steps):
    visited = imagegen.DiscreteSchedule(BETAS["linear"]).sampling_times(num_steps) * 100
    assert visited[0] == pytest.approx(100)
    assert (np.diff(visited) < 0).all()
    if num_steps <= 100:
        np.testing.assert_allclose(visited, np.round(visited), atol=1e-4)


def test_sampling_begins_where_signal_is_left():
    """The cosine's last variances leave none."""
    chain = imagegen.DiscreteSchedule(imagegen.cosine_betas(1000))
    assert chain.alphas_cumprod[-1] < 1e-6
    signal_rates = rates(chain, chain.sampling_times(50))[1]
    assert 1e-3 <= signal_rates[0] < 4e-3


@given(st.floats(0, 1, exclude_max=True, width=32))
def test_training_visits_the_steps_one_to_t(uniform):
    time = float(imagegen.DiscreteSchedule(BETAS["linear"]).training_times(uniform))
    assert 0.01 - 1e-6 <= time <= 1 + 1e-6
    assert time * 100 == pytest.approx(round(time * 100), abs=1e-3)


@given(st.integers(2, 100), st.floats(-2, 2), st.floats(-2, 2))
def test_the_posterior_is_bayes_rule(step, clean, noisy):
    """q(x_{k-1} | x_k, x_0) is the product of the Gaussians q(x_k | x_{k-1}) q(x_{k-1} | x_0)."""
    schedule = imagegen.DiscreteSchedule(BETAS["sigmoid"])
    beta = schedule.betas[step - 1]
    before = np.prod(1 - np.array(schedule.betas[: step - 1]))
    precision = (1 - beta) / beta + 1 / (1 - before)
    mean = (np.sqrt(1 - beta) / beta * noisy + np.sqrt(before) / (1 - before) * clean) / precision
    posterior_mean, variance = schedule.posterior(clean, noisy, step)
    assert posterior_mean == pytest.approx(mean, rel=1e-6, abs=1e-9)
    assert variance == pytest.approx(1 / precision, rel=1e-6)


def test_the_first_step_of_the_chain_leads_back_to_the_clean_sample():
    mean, variance = imagegen.DiscreteSchedule(BETAS["linear"]).posterior(0.3, 0.9, 1)
    assert mean == pytest.approx(0.3)
    assert variance == 0


@pytest.mark.parametrize("kind", BETAS)
def test_the_shortest_chain_has_one_step(kind):
    betas = getattr(imagegen, f"{kind}_betas")(1)
    assert len(betas) == 1
    assert 0 < betas[0] < 1
    with pytest.raises(ValueError, match="`num_steps`"):
        getattr(imagegen, f"{kind}_betas")(0)


@pytest.mark.parametrize("betas", [(), (0.0,), (0.5, 1.0), (np.nan,)])
def test_impossible_betas_are_refused(betas):
    with pytest.raises(ValueError, match=r"`betas`.*Received"):
        imagegen.DiscreteSchedule(betas)


@pytest.mark.parametrize("num_steps", [2, 7, 100])
def test_betas_are_even_in_themselves_their_roots_or_their_logits(num_steps):
    """What names each kind: the scale in which it is a straight line from start to end."""
    start, end = 1e-3, 0.1
    linear, quadratic, sigmoid = (
        np.array(kind(num_steps, start, end))
        for kind in (imagegen.linear_betas, imagegen.quadratic_betas, imagegen.sigmoid_betas)
    )
    np.testing.assert_allclose(linear, np.linspace(start, end, num_steps))
    np.testing.assert_allclose(
        np.sqrt(quadratic), np.linspace(start**0.5, end**0.5, num_steps), rtol=1e-12
    )
    shares = (sigmoid - start) / (end - start)
    np.testing.assert_allclose(
        np.log(shares / (1 - shares)), np.linspace(-6, 6, num_steps), atol=1e-9
    )


def test_the_cosine_chain_is_the_papers_until_a_variance_meets_its_limit():
    """Equation 17: the product of the alphas is f(k) / f(0)."""
    betas = np.array(imagegen.cosine_betas(50, offset=0.1, max_beta=0.5))
    assert len(betas) == 50
    curve = np.cos((np.arange(51) / 50 + 0.1) / 1.1 * np.pi / 2) ** 2
    free = int((betas < 0.5).sum())
    assert 40 < free < 50
    np.testing.assert_allclose(np.cumprod(1 - betas[:free]), (curve / curve[0])[1 : free + 1])
    np.testing.assert_array_equal(betas[free:], 0.5)


def test_between_two_steps_the_log_of_the_signal_is_linear():
    schedule = imagegen.DiscreteSchedule(BETAS["cosine"])
    logs = np.append(0, np.cumsum(np.log1p(-np.array(schedule.betas))))
    steps = np.linspace(0, 100, 333)
    noise_rates, signal_rates = rates(schedule, steps / 100)
    np.testing.assert_allclose(
        2 * np.log(signal_rates), np.interp(steps, np.arange(101), logs), rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(noise_rates**2 + signal_rates**2, 1, atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 3, 50, 96, 120])
def test_sampling_spreads_its_steps_evenly_below_the_last_with_signal(num_steps):
    chain = imagegen.DiscreteSchedule(imagegen.cosine_betas(100, max_beta=0.9999))
    last = int((np.cumprod(1 - np.array(chain.betas)) >= 1e-6).sum())
    assert last == 99
    left = np.arange(num_steps, 0, -1)
    # Rounded up, to a whole step, while there are as many.
    steps = -(-left * last // num_steps) if num_steps <= last else left * last / num_steps
    np.testing.assert_allclose(100 * chain.sampling_times(num_steps), steps, rtol=1e-5)


def test_a_chain_without_signal_is_sampled_from_its_first_step():
    chain = imagegen.DiscreteSchedule((0.9999999, 0.5))
    np.testing.assert_array_equal(chain.sampling_times(1), [0.5])


def test_training_visits_each_step_as_often():
    schedule = imagegen.DiscreteSchedule(imagegen.constant_betas(8, 0.1))
    uniform = (np.arange(24, dtype="float32") + 0.5) / 24
    times = keras.ops.convert_to_numpy(schedule.training_times(uniform))
    np.testing.assert_allclose(8 * times, np.repeat(np.arange(1, 9), 3))


@pytest.mark.parametrize("step", [0, 101, 2.5])
def test_there_is_no_posterior_outside_of_the_chain(step):
    with pytest.raises((TypeError, ValueError), match="`step`"):
        imagegen.DiscreteSchedule(BETAS["linear"]).posterior(0.3, 0.9, step)


def test_the_posterior_reaches_the_end_of_the_chain():
    schedule = imagegen.DiscreteSchedule(BETAS["linear"])
    assert schedule.posterior(0.3, 0.9, 100)[1] < schedule.betas[-1]


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        *((f"{kind}_betas", {"num_steps": 0}, "num_steps") for kind in BETAS),
        ("cosine_betas", {"offset": -0.1}, "offset"),
        ("cosine_betas", {"max_beta": -0.1}, "max_beta"),
        ("cosine_betas", {"max_beta": 1.1}, "max_beta"),
    ],
)
def test_impossible_chains_are_refused_by_name(kind, options, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        getattr(imagegen, kind)(**options)


def test_the_variances_of_any_sequence_are_kept_as_a_tuple_of_floats():
    chain = imagegen.DiscreteSchedule(np.float32([0.25, 0.5]).tolist())
    assert chain.betas == (0.25, 0.5)
    assert chain == imagegen.DiscreteSchedule((0.25, 0.5))
    assert hash(chain) == hash(imagegen.DiscreteSchedule((0.25, 0.5)))
