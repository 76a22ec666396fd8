import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from strategies import normal

SMALL, LARGE = 4, 8


def unet(size: int, seed: int, **options) -> imagegen.UNet:
    network = imagegen.UNet(size, [8], 1, norm="group", embedding_dim=8, **options)
    for weight in network.weights:  # The last kernel is 0 at first.
        weight.assign(0.3 * normal(seed, *weight.shape))
    return network


def both(boundary: float = 0.6, **options) -> imagegen.CoarseToFine:
    return imagegen.CoarseToFine(
        unet(SMALL, 1, **options), unet(LARGE, 2, **options), boundary=boundary
    )


def rates(*values: float) -> np.ndarray:
    return np.reshape(np.float32(values), (-1, 1, 1, 1))


def block_means(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


class Knowing(keras.Model):
    """Predicts the velocity of one clean picture that it knows, from any noisy one."""

    def __init__(self, clean: np.ndarray):
        noisy, noise_rates = keras.Input(clean.shape), keras.Input((1, 1, 1))
        # From noisy = s clean + n noise: v = s noise - n clean = (s noisy - clean) / n.
        velocity = (ops.sqrt(1 - noise_rates**2) * noisy - clean[None]) / noise_rates
        super().__init__([noisy, noise_rates], velocity)


@given(st.floats(0.61, 0.999), st.integers(0, 99))
def test_a_coarse_network_that_knows_the_picture_makes_it_at_full_size(rate, seed):
    clean = normal(seed, SMALL, SMALL, 3)
    network = imagegen.CoarseToFine(Knowing(clean), unet(LARGE, 2), boundary=0.6)
    noisy, noise = normal(seed + 1, 1, LARGE, LARGE, 3), rates(rate)
    signal = np.sqrt(1 - noise**2)
    estimate = imagegen.VelocityPrediction().denoised(noisy, network([noisy, noise]), noise, signal)
    enlarged = keras.layers.UpSampling2D(2, interpolation="bilinear")(clean[None])
    np.testing.assert_allclose(
        ops.convert_to_numpy(estimate), ops.convert_to_numpy(enlarged), atol=1e-4
    )


def test_the_coarse_network_sees_the_rates_that_averaging_leaves():
    # A constant picture stays as it is under averaging, and independent noise of rate n becomes
    # noise of rate n / 2: what the network is told must be what can be measured in what it sees.
    seen = []

    class Recorder(keras.layers.Layer):
        def call(self, noisy, noise_rates):
            seen.append((noisy, noise_rates))
            return 0 * noisy

    size = 128
    small, small_rates = keras.Input((size, size, 1)), keras.Input((1, 1, 1))
    coarse = keras.Model([small, small_rates], Recorder()(small, small_rates))
    fine = imagegen.UNet(2 * size, [1], 1, channels=1)
    network = imagegen.CoarseToFine(coarse, fine, boundary=0.5)
    noise_rate, constant = 0.8, 1.5
    noisy = 0.6 * constant + noise_rate * normal(0, 1, 2 * size, 2 * size, 1)
    seen.clear()
    network([noisy, rates(noise_rate)])
    picture, told = (ops.convert_to_numpy(tensor) for tensor in seen[0])
    assert picture.std() == pytest.approx(told.item(), rel=0.02)
    assert picture.mean() == pytest.approx(constant * np.sqrt(1 - told.item() ** 2), rel=0.02)


def test_each_network_answers_on_its_side_of_the_boundary():
    network = both()
    noisy, noise = normal(3, 4, LARGE, LARGE, 3), rates(0.2, 0.6, 0.61, 0.99)
    before = ops.convert_to_numpy(network([noisy, noise]))
    np.testing.assert_array_equal(
        before[:2], ops.convert_to_numpy(network.fine([noisy, noise]))[:2]
    )
    for expert, changed in ((network.fine, [0, 1]), (network.coarse, [2, 3])):
        expert.get_layer("head").bias.assign(ops.ones(3))
        after = ops.convert_to_numpy(network([noisy, noise]))
        assert [i for i in range(4) if (after[i] != before[i]).any()] == changed
        before = after


def test_no_noise_gives_no_infinity():
    network = both()
    assert np.isfinite(ops.convert_to_numpy(network([normal(0, 1, 8, 8, 3), rates(0)]))).all()


def test_gradients_reach_each_network_from_its_side_alone():
    for rate, expert, other in ((0.2, "fine", "coarse"), (0.9, "coarse", "fine")):
        network = both()
        model = keras.Model(network.inputs, network.outputs)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mean_squared_error")
        before = {name: getattr(network, name).get_weights() for name in (expert, other)}
        noisy = normal(0, 2, LARGE, LARGE, 3)
        model.fit([noisy, rates(rate, rate)], noisy, verbose=0)
        moved = {
            name: any(
                (old != new).any()
                for old, new in zip(weights, getattr(network, name).get_weights(), strict=True)
            )
            for name, weights in before.items()
        }
        assert moved == {expert: True, other: False}


def test_conditions_reach_both_networks():
    network = both(condition_dim=5)
    noisy, noise = normal(3, 2, LARGE, LARGE, 3), rates(0.2, 0.9)
    first, second = (
        ops.convert_to_numpy(network([noisy, noise, normal(seed, 2, 5)])) for seed in (4, 5)
    )
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_a_fine_network_without_conditions_leaves_them_to_the_coarse_one():
    network = imagegen.CoarseToFine(unet(SMALL, 1, condition_dim=5), unet(LARGE, 2), boundary=0.6)
    noisy, noise = normal(3, 2, LARGE, LARGE, 3), rates(0.2, 0.9)
    first, second = (
        ops.convert_to_numpy(network([noisy, noise, normal(seed, 2, 5)])) for seed in (4, 5)
    )
    assert (first != second).any(axis=(1, 2, 3)).tolist() == [False, True]


def test_a_model_of_both_is_saved_and_generates_the_same(tmp_path):
    model = imagegen.DiffusionModel(both(), prediction=imagegen.VelocityPrediction())
    model.normalizer.adapt(np.uint8(127 + 40 * normal(0, 9, LARGE, LARGE, 3).clip(-3, 3)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.network.get_config()["boundary"] == 0.6
    assert len(loaded.network.weights) == len(model.network.weights)
    np.testing.assert_array_equal(
        loaded.generate(2, num_steps=4, seed=0), model.generate(2, num_steps=4, seed=0)
    )


@pytest.mark.parametrize(
    ("coarse", "fine", "boundary", "message"),
    [
        (3, 8, 0.5, "whole factor"),
        (8, 4, 0.5, "whole factor"),
        (4, 8, 1.5, "`boundary`"),
    ],
)
def test_networks_that_do_not_fit_are_refused(coarse, fine, boundary, message):
    with pytest.raises(ValueError, match=message):
        imagegen.CoarseToFine(
            imagegen.UNet(coarse, [4], 1), imagegen.UNet(fine, [4], 1), boundary=boundary
        )


def test_a_fine_network_with_conditions_of_its_own_is_refused():
    with pytest.raises(ValueError, match="same conditions"):
        imagegen.CoarseToFine(unet(SMALL, 1), unet(LARGE, 2, condition_dim=5))
