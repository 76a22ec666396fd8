"""Laws of the shared layers."""

from imagegen.layers import (
    DepthToSpace,
    GroupNormalization,
    LatentSampler,
    LogSNREmbedding,
    PositionEmbedding,
    SinusoidalEmbedding,
    SubPixelConv2DTranspose,
)

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import ops


def _array(rng, *shape):
    return rng.uniform(-1, 1, shape).astype("float32")


def _transposed_convolution(images, kernel, bias):
    """The definition, scattered in float64: each input pixel stamps the kernel on the output."""
    batch, height, width, _ = images.shape
    rows, columns, filters, _ = kernel.shape
    canvas = np.zeros((batch, 2 * height + rows, 2 * width + columns, filters))
    for row in range(height):
        for column in range(width):
            stamp = np.einsum("bc,rsfc->brsf", images[:, row, column].astype("float64"), kernel)
            canvas[:, 2 * row : 2 * row + rows, 2 * column : 2 * column + columns] += stamp
    top, left = max(rows - 2, 0) // 2, max(columns - 2, 0) // 2
    return canvas[:, top : top + 2 * height, left : left + 2 * width] + bias


@settings(max_examples=6, deadline=None)
@given(
    kernel_size=st.tuples(st.sampled_from([3, 5, 7]), st.sampled_from([3, 5, 7])),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.integers(1, 4),
    filters=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_sub_pixel_layer_is_a_transposed_convolution(kernel_size, size, channels, filters, seed):
    rng = np.random.default_rng(seed)
    images = _array(rng, 2, *size, channels)
    fast = SubPixelConv2DTranspose(filters, kernel_size)
    fast.build(images.shape)
    kernel, bias = _array(rng, *kernel_size, filters, channels), _array(rng, filters)
    fast.set_weights([kernel, bias])
    result = ops.convert_to_numpy(fast(images))
    np.testing.assert_allclose(
        result, _transposed_convolution(images, kernel, bias), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_gradient_equals_that_of_keras(kernel_size):
    # The two layers differ only in how they compute, so an SGD step moves both to the same
    # weights: the gradients of kernel, bias and (through the layer below) of the input agree.
    rng = np.random.default_rng(0)
    images, targets = _array(rng, 4, 5, 6, 3), _array(rng, 4, 10, 12, 2)
    results = []
    for layer in (
        SubPixelConv2DTranspose(2, kernel_size, activation="tanh"),
        keras.layers.Conv2DTranspose(2, kernel_size, strides=2, padding="same", activation="tanh"),
    ):
        model = keras.Sequential([keras.Input((5, 6, 3)), keras.layers.Conv2D(3, 1), layer])
        weights = np.random.default_rng(1)
        model.set_weights([_array(weights, *weight.shape) for weight in model.weights])
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        model.train_on_batch(images, targets)
        results.append([old - new for old, new in zip(before, model.get_weights(), strict=True)])
    for ours, theirs in zip(*results, strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_sub_pixel_layer_and_its_weights_survive_serialization():
    layer = SubPixelConv2DTranspose(3, (3, 5), activation="relu", use_bias=False)
    restored = SubPixelConv2DTranspose.from_config(layer.get_config())
    peer = keras.layers.Conv2DTranspose.from_config(layer.get_config())
    images = _array(np.random.default_rng(0), 1, 4, 4, 2)
    expected = ops.convert_to_numpy(layer(images))
    for other in (restored, peer):
        other.build(images.shape)
        other.set_weights(layer.get_weights())
        np.testing.assert_allclose(ops.convert_to_numpy(other(images)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strides", 1),
        ("padding", "valid"),
        ("data_format", "channels_first"),
        ("output_padding", 1),
        ("kernel_size", 4),
        ("kernel_size", (3, 1)),
    ],
)
def test_sub_pixel_layer_refuses_other_functions(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}="):
        SubPixelConv2DTranspose(**{"filters": 3, "kernel_size": 3, name: value})


def test_latent_sampler_has_the_mean_and_variance_it_is_told():
    mean = np.array([-3.0, 0.0, 2.0], "float32")
    variance = np.array([0.01, 1.0, 9.0], "float32")
    rows = 40_000
    samples = ops.convert_to_numpy(
        LatentSampler(seed=0)(np.tile(mean, (rows, 1)), np.tile(np.log(variance), (rows, 1)))
    )
    # Five standard errors of a mean, and of a variance, of that many normal samples.
    np.testing.assert_array_less(np.abs(samples.mean(0) - mean), 5 * np.sqrt(variance / rows))
    np.testing.assert_array_less(np.abs(samples.var(0) / variance - 1), 5 * np.sqrt(2 / rows))
    assert np.abs(np.corrcoef(samples, rowvar=False) - np.eye(3)).max() < 5 / np.sqrt(rows)


def test_latent_sampler_draws_anew_and_repeats_by_seed():
    zeros = np.zeros((3, 2), "float32")
    first, second = LatentSampler(seed=7), LatentSampler.from_config({"seed": 7})
    draws = [ops.convert_to_numpy(sampler(zeros, zeros)) for sampler in (first, first, second)]
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])


def test_latent_sampler_without_variance_returns_the_mean():
    mean = np.array([[1.0, -2.0]], "float32")
    sample = LatentSampler()(mean, np.full_like(mean, -200.0))
    np.testing.assert_array_equal(ops.convert_to_numpy(sample), mean)


@given(rate=st.floats(0, 1, width=32), limit=st.floats(1, 30))
@example(rate=float(np.float32(0.9999)), limit=15)  # Where 1 - n^2 cancels.
def test_log_snr_is_its_formula(rate, limit):
    with np.errstate(divide="ignore"):
        log_snr = np.log(1 - np.float64(rate) ** 2) - np.log(np.float64(rate) ** 2)
    expected = np.clip(log_snr, -limit, limit) / limit
    result = ops.convert_to_numpy(LogSNREmbedding(limit=limit)(np.float32([rate])))
    assert result.dtype == "float32"
    np.testing.assert_allclose(result, [expected], atol=1e-6)


def test_log_snr_is_1_without_noise_and_minus_1_without_signal():
    # A rate may be a rounding error above 1: the models divide by a root.
    rates = np.float32([0, 1e-30, 0.5**0.5, np.nextafter(np.float32(1), 2), 1])
    result = ops.convert_to_numpy(LogSNREmbedding()(rates))
    np.testing.assert_allclose(result, [1, 1, 0, -1, -1], atol=1e-7)


def test_log_snr_tells_near_rates_apart_under_a_policy_of_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rate = keras.Input((1,))
        model = keras.Model(rate, LogSNREmbedding()(rate))
    finally:
        keras.config.set_dtype_policy(policy)
    one, other = ops.convert_to_numpy(model(np.float32([[0.9985], [0.9995]])))
    assert one - other > 0.05


@settings(max_examples=20, deadline=None)
@given(
    factor=st.integers(1, 4),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    channels=st.integers(1, 3),
)
def test_depth_to_space_moves_channels_to_pixels(factor, size, channels):
    height, width = size
    inputs = np.arange(2 * height * width * factor**2 * channels, dtype="float32")
    inputs = inputs.reshape(2, height, width, factor**2 * channels)
    result = ops.convert_to_numpy(DepthToSpace(factor)(inputs))
    assert result.shape == (2, height * factor, width * factor, channels)
    for row, column, channel in np.ndindex(result.shape[1:]):
        depth = ((row % factor) * factor + column % factor) * channels + channel
        expected = inputs[:, row // factor, column // factor, depth]
        np.testing.assert_array_equal(result[:, row, column, channel], expected)


def test_depth_to_space_takes_pictures_of_any_size():
    inputs = keras.Input((None, None, 12))
    outputs = DepthToSpace(2)(inputs)
    assert outputs.shape == (None, None, None, 3)
    assert keras.Model(inputs, outputs)(np.zeros((1, 3, 5, 12))).shape == (1, 6, 10, 3)


def test_depth_to_space_refuses_channels_that_do_not_divide():
    with pytest.raises(ValueError, match=r"`inputs` must have a multiple of 4.*Received"):
        DepthToSpace(2)(np.zeros((1, 2, 2, 6)))


def test_a_position_adds_what_it_learned_and_nothing_before():
    inputs = _array(np.random.default_rng(0), 2, 3, 5, 4)
    layer = PositionEmbedding()
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(inputs)), inputs)
    positions = _array(np.random.default_rng(1), 3, 5, 4)
    layer.set_weights([positions])
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(inputs)), inputs + positions)


@pytest.mark.parametrize(("layer", "name"), [(LogSNREmbedding, "limit"), (DepthToSpace, "factor")])
def test_impossible_arguments_are_refused(layer, name):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}=-1"):
        layer(**{name: -1})


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (LatentSampler(seed=3), [(2,), (2,)]),
        (SubPixelConv2DTranspose(4, 3, activation="relu"), [(4, 4, 3)]),
        (SinusoidalEmbedding(8, max_frequency=50.0), [(1,)]),
        (LogSNREmbedding(limit=1.5), [(1,)]),
        (DepthToSpace(2), [(4, 3, 8)]),
        (PositionEmbedding(), [(4, 3, 8)]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.Layer) else "",
)
def test_every_layer_survives_a_file(layer, shapes, tmp_path):
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, layer(*inputs))
    for number, variable in enumerate(layer.trainable_variables):
        variable.assign(_array(np.random.default_rng(number), *variable.shape))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    values = [np.full((1, *shape), 0.3, "float32") for shape in shapes]
    # Two samplers of one seed draw the same first noise.
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(one(values)) for one in (model, restored))
    )


def test_only_pictures_have_depth_for_space():
    with pytest.raises(ValueError, match="expected ndim=4"):
        DepthToSpace(2)(np.zeros((2, 8, 4)))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from([(1, 4), (2, 6), (3, 6), (4, 4)]), st.floats(-20, 20))
def test_group_normalization_is_that_of_keras(seed, sizes, offset):
    groups, channels = sizes
    x = np.random.default_rng(seed).normal(offset, 2, (2, 5, 3, channels)).astype("float32")
    theirs = keras.layers.GroupNormalization(groups, center=False, scale=False)
    ours = GroupNormalization(groups)
    np.testing.assert_allclose(ops.convert_to_numpy(ours(x)), theirs(x), atol=1e-3)


def test_group_normalization_takes_half_precision():
    x = np.full((1, 4, 4, 2), 300, "float16") + np.arange(4, dtype="float16")[:, None, None]
    y = ops.convert_to_numpy(GroupNormalization(1, dtype="float16")(x))
    assert y.dtype == np.float16
    assert abs(float(y.std()) - 1) < 1e-2


def test_group_normalization_wants_a_divisor():
    with pytest.raises(ValueError, match="`groups` must divide"):
        GroupNormalization(4)(np.zeros((1, 2, 2, 6), "float32"))
