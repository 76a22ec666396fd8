import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from strategies import normal, predictions, rates, seeds, times


@given(predictions, seeds, rates, rates)
def test_noising_then_exact_denoising_returns_the_image(prediction, seed, noise_rate, signal_rate):
    clean, noise = normal(seed, 2, 4, 4, 3, 2).transpose(4, 0, 1, 2, 3)
    noisy = signal_rate * clean + noise_rate * noise
    exact = prediction.target(clean, noise, noise_rate, signal_rate)
    returned = prediction.denoised(noisy, exact, noise_rate, signal_rate)
    # The clean sample is divided by the signal rate, and rounding errors with it.
    np.testing.assert_allclose(returned, clean, atol=1e-5 / signal_rate)


@given(seeds, times)
def test_an_error_of_the_velocity_is_never_magnified(seed, time):
    """An error of the network reaches the clean sample times the noise rate, so at most whole."""
    noise_rate, signal_rate = map(float, imagegen.CosineSchedule()(time))
    noisy, output, error = normal(seed, 3, 10)
    denoised = imagegen.VelocityPrediction().denoised
    difference = denoised(noisy, output + error, noise_rate, signal_rate) - denoised(
        noisy, output, noise_rate, signal_rate
    )
    np.testing.assert_allclose(difference, -noise_rate * error, atol=1e-5)


@given(predictions, seeds, rates, rates)
def test_the_gain_is_the_slope_of_the_clean_sample(prediction, seed, noise_rate, signal_rate):
    noisy, output, error = normal(seed, 3, 10)
    noise_rate, signal_rate = np.float32(noise_rate), np.float32(signal_rate)
    change = prediction.denoised(noisy, output + error, noise_rate, signal_rate)
    change = change - prediction.denoised(noisy, output, noise_rate, signal_rate)
    gain = float(prediction.gain(noise_rate, signal_rate))
    np.testing.assert_allclose(np.abs(change), gain * np.abs(error), rtol=1e-2, atol=1e-3 * gain)


@given(st.floats(0.05, 0.999))
def test_edm_is_the_velocity_with_its_sign_changed(noise_rate):
    signal_rate = np.sqrt(1 - noise_rate**2)
    clean, noise = normal(0, 2, 10).astype("float64")
    edm, velocity = imagegen.EDMPrediction(), imagegen.VelocityPrediction()
    np.testing.assert_allclose(
        edm.target(clean, noise, noise_rate, signal_rate),
        -velocity.target(clean, noise, noise_rate, signal_rate),
        atol=1e-9,
    )


@given(st.floats(0.05, 20), st.floats(0.2, 3))
def test_edms_target_has_unit_variance_at_every_noise_rate(sigma, deviation):
    clean, noise = np.random.default_rng(0).standard_normal((2, 20000))
    target = imagegen.EDMPrediction(deviation).target(deviation * clean, noise, sigma, 1.0)
    assert target.std() == pytest.approx(1, abs=0.03)


@given(st.floats(0.02, 0.999), st.floats(0.5, 10))
def test_min_snr_weights_are_the_papers(noise_rate, gamma):
    signal_rate = np.float32(np.sqrt(1 - noise_rate**2))
    noise_rate = np.float32(noise_rate)
    snr = (signal_rate / noise_rate) ** 2
    weighting = imagegen.MinSNRWeighting(gamma)
    for prediction, expected in {
        imagegen.ImagePrediction(): min(snr, gamma),
        imagegen.NoisePrediction(): min(snr, gamma) / snr,
        imagegen.VelocityPrediction(): min(snr, gamma) / (snr + 1),
    }.items():
        weight = float(weighting(prediction, noise_rate, signal_rate))
        assert weight == pytest.approx(expected, rel=1e-3)


def test_the_plain_weight_is_the_same_at_every_noise_rate():
    rates = np.linspace(0.01, 1, 5, dtype="float32")
    weights = imagegen.PlainWeighting()(imagegen.NoisePrediction(), rates, rates[::-1])
    np.testing.assert_array_equal(weights, 1)


def test_min_snr_weights_are_finite_where_there_is_no_noise():
    noise_rates, signal_rates = ops.convert_to_tensor([0.0, 1e-4]), ops.ones(2)
    weights = imagegen.MinSNRWeighting(5.0)(imagegen.ImagePrediction(), noise_rates, signal_rates)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights), 5)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
@pytest.mark.parametrize(
    ("part", "name"),
    [(imagegen.EDMPrediction, "data_deviation"), (imagegen.MinSNRWeighting, "gamma")],
)
def test_a_deviation_and_a_limit_that_are_not_positive_are_refused(part, name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        part(value)
    assert getattr(part(1e-6), name) == 1e-6


@given(st.one_of(predictions, st.builds(imagegen.MinSNRWeighting, st.floats(0.5, 10))))
def test_every_part_survives_serialization(part):
    config = keras.saving.serialize_keras_object(part)
    assert keras.saving.deserialize_keras_object(config) == part
