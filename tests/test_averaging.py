import imagegen
from imagegen.averaging import averaged_weights, freeze, frozen_copy

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import normal


def dense(seed: int, dtype: str = "float32") -> keras.layers.Dense:
    layer = keras.layers.Dense(3, dtype=dtype)
    layer.build((None, 2))
    layer.set_weights([normal(seed, 2, 3), normal(seed + 1, 3)])
    return layer


def values(layer) -> np.ndarray:
    return np.concatenate([np.float64(weight).ravel() for weight in layer.get_weights()])


@given(st.integers(0, 100_000), st.floats(0, 1))
@settings(max_examples=30)
def test_an_average_keeps_its_share_and_takes_the_rest_from_what_learns(num_steps, longest):
    live, average = dense(0), dense(10)
    before, seen = values(average), values(live)
    steps = keras.Variable(float(num_steps))
    imagegen.move_averages([(live, average)], steps, longest)
    kept = min(longest, (1 + num_steps) / (10 + num_steps))
    np.testing.assert_allclose(values(average), kept * before + (1 - kept) * seen, atol=1e-5)
    np.testing.assert_array_equal(values(live), seen)
    assert float(steps.value) == num_steps + 1


def test_a_short_training_is_averaged_over_its_last_tenth():
    """Without a limit the share of a step falls off as the ninth power of how early it was."""
    live, average, steps = dense(0), dense(10), keras.Variable(0.0)
    live.set_weights([np.zeros((2, 3)), np.zeros(3)])
    average.set_weights([np.ones((2, 3)), np.ones(3)])
    for _ in range(20):
        imagegen.move_averages([(live, average)], steps, 1.0)
    shares = [(1 + step) / (10 + step) for step in range(20)]
    np.testing.assert_allclose(values(average), np.prod(shares), rtol=1e-4)


def test_averages_have_a_precision_of_their_own():
    live, average = dense(0, "bfloat16"), dense(10)
    before = values(average)
    imagegen.move_averages([(live, average)], keras.Variable(0.0), 0.5)
    live = np.concatenate([np.ravel(keras.ops.cast(weight, "float32")) for weight in live.weights])
    np.testing.assert_allclose(values(average), 0.1 * before + 0.9 * live, rtol=1e-5)


@pytest.mark.parametrize("longest", [-0.1, 1.1, np.nan])
def test_a_share_that_is_none_is_refused(longest):
    with pytest.raises(ValueError, match="`longest`"):
        imagegen.move_averages([], keras.Variable(0.0), longest)


def test_averages_have_as_many_weights_as_what_learns():
    live, average = dense(0), keras.layers.Dense(3, use_bias=False)
    average.build((None, 2))
    with pytest.raises(ValueError, match="zip"):
        imagegen.move_averages([(live, average)], keras.Variable(0.0), 0.5)


def test_averaged_weights_are_lent_and_given_back_whatever_happens():
    pairs = [(dense(0), dense(10)), (dense(20), dense(30))]
    own, averages = ([values(pair[side]) for pair in pairs] for side in (0, 1))

    def fail():
        with averaged_weights(pairs):
            np.testing.assert_array_equal([values(live) for live, _ in pairs], averages)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    np.testing.assert_array_equal([values(live) for live, _ in pairs], own)
    np.testing.assert_array_equal([values(average) for _, average in pairs], averages)


def test_a_frozen_copy_equals_what_it_copies_and_learns_nothing():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    copy = frozen_copy(network)
    np.testing.assert_array_equal(values(copy), values(network))
    assert not copy.trainable_weights
    assert not any(layer.trainable for layer in copy.layers)
    assert len(network.trainable_weights) == 4
    network.layers[0].set_weights([np.zeros((2, 3)), np.zeros(3)])
    assert values(copy).any()
    assert not np.array_equal(values(copy), values(network))


def test_freezing_reaches_layers_that_thaw_within_what_is_frozen():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    network.trainable = False
    network.layers[0].trainable = True
    freeze(network)
    assert not network.layers[0].trainable
