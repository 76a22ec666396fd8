import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import normal

EVERY_OPTION = {
    "patch_size": 2,
    "norm": "group",
    "embedding_dim": 8,
    "attention_resolutions": [4],
    "position_embedding": True,
    "dropout": 0.1,
}


def small(**options) -> imagegen.UNet:
    return imagegen.UNet(16, [8, 16], block_depth=1, **options)


def with_random_head(network: imagegen.UNet) -> imagegen.UNet:
    """The last kernel is 0 at first, so that nothing could be seen behind it."""
    head = network.get_layer("head")
    head.kernel.assign(normal(9, *head.kernel.shape))
    return network


def layers_of(network, kind) -> list[keras.layers.Layer]:
    return [layer for layer in network.layers if isinstance(layer, kind)]


def predicted(network, noisy, noise_rates, **options):
    return keras.ops.convert_to_numpy(network([noisy, noise_rates], **options))


def test_the_books_network_has_the_books_size():
    assert imagegen.UNet(64, [32, 64, 96, 128], block_depth=2).count_params() == 1_943_525


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_the_first_guess_is_no_noise(options):
    output = predicted(small(**options), normal(0, 2, 16, 16, 3), np.full((2, 1, 1, 1), 0.5))
    assert output.shape == (2, 16, 16, 3)
    assert not output.any()


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_the_noise_rate_matters(options):
    network = with_random_head(small(**options))
    noisy = normal(0, 1, 16, 16, 3)
    low, high = (predicted(network, noisy, np.full((1, 1, 1, 1), rate)) for rate in (0.1, 0.9))
    assert np.abs(low - high).max() > 1e-3


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_pictures_of_a_batch_are_independent(options):
    network = with_random_head(small(**options))
    noisy, noise_rates = normal(0, 3, 16, 16, 3), np.float32([0.2, 0.5, 0.9]).reshape(3, 1, 1, 1)
    together = predicted(network, noisy, noise_rates)
    for i in range(3):
        alone = predicted(network, noisy[i : i + 1], noise_rates[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_a_copy_from_the_configuration_computes_the_same(options):
    network = with_random_head(small(**options))
    copy = imagegen.UNet.from_config(network.get_config())
    copy.set_weights(network.get_weights())
    inputs = normal(0, 2, 16, 16, 3), np.full((2, 1, 1, 1), 0.5)
    np.testing.assert_array_equal(predicted(network, *inputs), predicted(copy, *inputs))


def test_pictures_can_be_wider_than_high():
    options = {"block_depth": 1, "patch_size": 2, "embedding_dim": 8}
    options |= {"context_shape": (3, 4), "attention_resolutions": [4], "position_embedding": True}
    network = imagegen.UNet((8, 24), [8, 8], **options)
    assert network.output_shape == (None, 8, 24, 3)
    assert imagegen.UNet.from_config(network.get_config()).get_config() == network.get_config()
    inputs = [np.zeros((1, 8, 24, 3)), np.ones((1, 1, 1, 1)), np.ones((1, 3, 4))]
    maps = network.attention_maps(inputs)
    assert {each.shape for each in maps} == {(1, 4, 12, 3)}
    with pytest.raises(ValueError, match="multiple of 4"):
        imagegen.UNet((8, 18), [8, 8], block_depth=1, patch_size=2)
    with pytest.raises(ValueError, match="`image_size` must be"):
        imagegen.UNet((8, 16, 3), [8, 8], block_depth=1)


def test_a_map_is_seen_place_by_place():
    network = with_random_head(imagegen.UNet(16, [8], block_depth=1, map_channels=2, patch_size=2))
    noisy, rate, maps = normal(0, 1, 16, 16, 3), np.full((1, 1, 1, 1), 0.5), normal(1, 1, 16, 16, 2)
    before = keras.ops.convert_to_numpy(network([noisy, rate, maps]))
    maps[:, 3, 12] += 1
    changed = np.abs(keras.ops.convert_to_numpy(network([noisy, rate, maps])) - before).max(-1)[0]
    rows, columns = np.nonzero(changed > 1e-6)
    assert changed[3, 12] > 1e-3
    # Two convolutions of 3 x 3 patches reach two patches far.
    assert rows.max() <= 7
    assert columns.min() >= 8
    assert imagegen.UNet.from_config(network.get_config()).get_config() == network.get_config()


def test_a_patch_moves_with_its_pixels():
    """With patches, shifting the input by whole patches shifts the patches, not their insides."""
    from imagegen.unet import _to_patches

    picture = keras.Input((8, 8, 3))
    patches = keras.Model(picture, _to_patches(picture, 2))
    pixels = normal(0, 1, 8, 8, 3)
    expected = pixels.reshape(1, 4, 2, 4, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(1, 4, 4, 12)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(patches(pixels)), expected)
    there_and_back = keras.Model(picture, imagegen.DepthToSpace(2)(_to_patches(picture, 2)))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(there_and_back(pixels)), pixels)


def test_with_an_embedding_the_noise_rate_reaches_every_block():
    """Even where the first convolutions stop looking at its channel."""
    network = with_random_head(small(embedding_dim=8))
    stem_width = network.get_layer("stem").filters
    for layer in layers_of(network, keras.layers.Conv2D):
        kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
        if kernel.shape[2] == stem_width + 1:  # The rate is the last of these channels.
            kernel[:, :, -1] = 0
            layer.kernel.assign(kernel)
    noisy = normal(0, 1, 16, 16, 3)
    low, high = (predicted(network, noisy, np.full((1, 1, 1, 1), rate)) for rate in (0.1, 0.9))
    assert np.abs(low - high).max() > 1e-3


def test_options_bring_the_layers_they_name():
    plain, full = small(), small(**EVERY_OPTION)
    batch, group = keras.layers.BatchNormalization, imagegen.GroupNormalization
    assert layers_of(plain, batch)
    assert not layers_of(plain, group)
    assert layers_of(full, group)
    assert not layers_of(full, batch)
    attention = layers_of(full, keras.layers.MultiHeadAttention)
    # Height 4 is the middle of 16 / 2: one block there, and none in the stage above.
    assert [layer.output.shape[1] for layer in attention] == [4 * 4]
    positions = layers_of(full, imagegen.PositionEmbedding)
    assert [layer.positions.shape for layer in positions] == [(4, 4, 16)]
    assert not layers_of(plain, keras.layers.MultiHeadAttention)
    assert not layers_of(plain, imagegen.PositionEmbedding)


def test_dropout_works_in_training_only():
    network = with_random_head(small(**EVERY_OPTION))
    inputs = normal(0, 2, 16, 16, 3), np.full((2, 1, 1, 1), 0.5)
    calm = [predicted(network, *inputs, training=False) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert not np.array_equal(*[predicted(network, *inputs, training=True) for _ in range(2)])


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_a_saved_network_computes_the_same(options, tmp_path):
    network = with_random_head(small(**options))
    network.save(tmp_path / "network.keras")
    restored = keras.saving.load_model(tmp_path / "network.keras")
    inputs = normal(0, 2, 16, 16, 3), np.full((2, 1, 1, 1), 0.5)
    np.testing.assert_array_equal(predicted(network, *inputs), predicted(restored, *inputs))


@pytest.mark.parametrize("options", [{}, EVERY_OPTION])
def test_the_prediction_is_float32_under_a_policy_of_half_precision(options):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = small(**options)
    finally:
        keras.config.set_dtype_policy(policy)
    output = network([normal(0, 1, 16, 16, 3), np.full((1, 1, 1, 1), 0.5)])
    assert keras.backend.standardize_dtype(output.dtype) == "float32"


def test_near_noise_rates_differ_under_a_policy_of_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rate = keras.Input((1,))
        model = keras.Model(rate, imagegen.SinusoidalEmbedding(8)(rate))
    finally:
        keras.config.set_dtype_policy(policy)
    one, other = keras.ops.convert_to_numpy(model(np.float32([[0.901], [0.902]])))
    assert np.abs(one - other).max() > 0.1


def test_patches_quarter_the_work():
    plain, patched = (imagegen.UNet(32, [8, 16], block_depth=1, patch_size=size) for size in (1, 2))
    assert plain.get_layer("stem").output.shape[1:3] == (32, 32)
    assert patched.get_layer("stem").output.shape[1:3] == (16, 16)


@given(st.floats(0, 1, width=32))
def test_the_sinusoidal_embedding_is_its_formula(rate):
    embedding = keras.ops.convert_to_numpy(imagegen.SinusoidalEmbedding(8)(np.float32([[rate]])))[0]
    angles = 2 * np.pi * np.float64(rate) * 1000 ** np.linspace(0, 1, 4)
    np.testing.assert_allclose(embedding, [*np.sin(angles), *np.cos(angles)], atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"image_size": 15}, "image_size"),
        ({"image_size": 0}, "image_size"),
        ({"widths": []}, "widths"),
        ({"widths": [8, 0]}, "widths"),
        ({"block_depth": 0}, "block_depth"),
        ({"norm": "layer"}, "norm"),
        ({"dropout": 1.5}, "dropout"),
        ({"patch_size": 3}, "image_size"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"attention_resolutions": [5]}, "attention_resolutions"),
    ],
)
def test_impossible_arguments_are_refused(arguments, name):
    arguments = {"image_size": 16, "widths": [8, 16], "block_depth": 1} | arguments
    with pytest.raises(ValueError, match=rf"`{name}`.*Received"):
        imagegen.UNet(**arguments)
