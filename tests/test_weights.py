"""Initial weights: Glorot's law, without a compiler."""

import math

import imagegen
from imagegen._weights import GlorotUniform

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SIZES = st.integers(1, 40)


@given(st.lists(st.integers(1, 3), max_size=2), SIZES, SIZES, st.integers(0, 2**31 - 1))
def test_weights_fill_the_range_of_keras_initializer(window, fan_in, fan_out, seed):
    shape = (*window, fan_in, fan_out)
    limit = math.sqrt(6 / (math.prod(window) * (fan_in + fan_out)))
    weights = keras.ops.convert_to_numpy(GlorotUniform(seed)(shape))
    assert weights.shape == shape
    assert weights.dtype == "float32"
    assert np.abs(weights).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 40, 70), (300, 100), (64, 4, 16)])
def test_weights_have_the_moments_of_keras_initializer(shape):
    keras.utils.set_random_seed(3)
    ours = keras.ops.convert_to_numpy(GlorotUniform()(shape))
    theirs = keras.ops.convert_to_numpy(keras.initializers.GlorotUniform()(shape))
    deviation = theirs.std()
    assert ours.std() == pytest.approx(deviation, rel=0.05)
    assert abs(ours.mean()) < 4 * deviation / math.sqrt(ours.size)


def test_layers_of_one_network_begin_differently():
    network = imagegen.UNet(8, [8], block_depth=2)
    kernels = [layer.get_weights()[0] for layer in network.layers if layer.name.startswith("conv")]
    first, second = [kernel for kernel in kernels if kernel.shape == (3, 3, 8, 8)][:2]
    assert not np.allclose(first, second)


def test_one_seed_gives_one_network():
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        networks.append(imagegen.UNet(8, [8], block_depth=1).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))


def test_the_initializer_survives_saving():
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(GlorotUniform(7))
    )
    assert np.array_equal(copy((4, 5)), GlorotUniform(7)((4, 5)))
