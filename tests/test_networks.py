"""Laws of the small networks."""

import imagegen

import keras
import numpy as np
import pytest
from keras import ops
from strategies import normal

TIME_EMBEDDINGS = {
    "rate": lambda: None,
    "log_snr": imagegen.LogSNREmbedding,
    "sinusoidal": lambda: imagegen.SinusoidalEmbedding(16, max_frequency=10),
}
every_time_embedding = pytest.mark.parametrize(
    "time_embedding", TIME_EMBEDDINGS.values(), ids=TIME_EMBEDDINGS
)


def with_random_head(network: keras.Model) -> keras.Model:
    """The last kernel is 0 at first, so that nothing could be seen behind it."""
    kernels = [weight for weight in network.weights if weight.path.endswith("kernel")]
    kernels[-1].assign(normal(9, *kernels[-1].shape))
    return network


def predicted(network, *inputs):
    return ops.convert_to_numpy(network(inputs if len(inputs) > 1 else inputs[0]))


def point_model(time_embedding, width=64) -> imagegen.DiffusionModel:
    keras.utils.set_random_seed(0)
    network = imagegen.point_mlp(2, width=width, depth=2, time_embedding=time_embedding)
    model = imagegen.DiffusionModel(
        network,
        schedule=imagegen.CosineSchedule(0.02, 0.999),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
        averaging=0.95,
        value_range=None,
    )
    return model


@every_time_embedding
def test_the_first_guess_is_no_noise(time_embedding):
    network = imagegen.point_mlp(3, time_embedding=time_embedding())
    assert not predicted(network, normal(0, 4, 3), np.full((4, 1), 0.5, "float32")).any()


@every_time_embedding
def test_points_of_a_batch_are_independent_and_see_their_own_noise_rate(time_embedding):
    network = with_random_head(imagegen.point_mlp(2, time_embedding=time_embedding()))
    points, rates = np.tile(normal(0, 1, 2), (3, 1)), np.float32([[0.1], [0.5], [0.9]])
    together = predicted(network, points, rates)
    assert np.abs(np.diff(together, axis=0)).max(axis=1).min() > 1e-3
    for i in range(3):
        alone = predicted(network, points[i : i + 1], rates[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


@every_time_embedding
def test_a_model_of_points_trains_and_samples_however_time_is_told(time_embedding):
    model = point_model(time_embedding(), width=8)
    model.compile("adam")
    history = model.fit(normal(0, 256, 2), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.generate(5, num_steps=3, seed=0).shape == (5, 2)


def test_samples_of_a_trained_model_come_near_the_data():
    # Two clusters, one of three points in four: centres, spread and shares are known.
    centres = np.array([[1, 2], [5, -2]])
    light = np.random.default_rng(0).random(6400) < 0.25
    points = centres[light.astype(int)] + 0.2 * normal(1, 6400, 2)
    model = point_model(imagegen.LogSNREmbedding())
    model.normalizer.adapt(points)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(points, batch_size=256, epochs=16, verbose=0)
    samples = model.generate(2000, num_steps=25, seed=0)
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
    # Within three deviations there are 98.9 of 100 points of a normal distribution in the plane.
    assert (distances.min(axis=1) < 3 * 0.2).mean() > 0.9
    for cluster, (centre, share) in enumerate(zip(centres, (0.75, 0.25), strict=True)):
        own = samples[distances.argmin(axis=1) == cluster]
        assert abs(len(own) / 2000 - share) < 0.06
        np.testing.assert_allclose(np.median(own, axis=0), centre, atol=0.1)


def test_a_saved_model_of_points_generates_the_same(tmp_path):
    model = point_model(imagegen.LogSNREmbedding(), width=8)
    with_random_head(model.averaged)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    samples = [each.generate(4, num_steps=3, seed=1) for each in (model, restored)]
    np.testing.assert_array_equal(*samples)


def test_an_autoencoder_learns_to_take_noise_out():
    keras.utils.set_random_seed(0)
    clean = np.repeat(np.repeat(normal(0, 128, 2, 2, 1) > 0, 4, axis=1), 4, axis=2)
    noisy = clean + 0.5 * normal(1, *clean.shape)
    network = imagegen.denoising_autoencoder((8, 8, 1), widths=(16,))
    network.compile(keras.optimizers.Adam(1e-2), loss="mean_squared_error")
    network.fit(noisy, clean.astype("float32"), batch_size=16, epochs=15, verbose=0)
    error = np.square(predicted(network, noisy) - clean).mean()
    assert error < 0.2 * np.square(noisy - clean).mean()


def test_espcn_starts_from_repeated_pixels():
    small = normal(0, 2, 5, 7, 3)
    expected = small.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(predicted(imagegen.espcn(3), small), expected)


@pytest.mark.parametrize(("factor", "widths", "reach"), [(2, (8, 4), 4), (3, (4,), 3)])
def test_a_large_pixel_depends_on_its_surroundings_alone(factor, widths, reach):
    # Of one changed pixel, just the squares that the 5 x 5 and 3 x 3 kernels reach may change.
    network = with_random_head(imagegen.espcn(factor, widths=widths))
    before = normal(0, 1, 13, 13, 3)
    after = before.copy()
    after[0, 6, 6] += 1
    change = np.abs(predicted(network, after) - predicted(network, before)).max(axis=(0, 3))
    changed = np.zeros((13, 13), bool)
    changed[6 - reach : 7 + reach, 6 - reach : 7 + reach] = True
    np.testing.assert_array_equal(change[~changed.repeat(factor, 0).repeat(factor, 1)], 0)
    # And the farthest of them do: none of the kernels is smaller.
    assert change[factor * (6 - reach) : factor * (7 - reach)].max() > 0


def test_espcn_learns_what_repeated_pixels_lack():
    # Smooth waves, of which a larger copy is known.
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    phases, angles = rng.uniform(0, 2 * np.pi, (2, 64, 1, 1))
    rows, columns = np.mgrid[:16, :16] / 4
    large = 0.5 + 0.5 * np.sin(np.cos(angles) * rows + np.sin(angles) * columns + phases)
    large = large[..., None].astype("float32")
    small = large.reshape(64, 8, 2, 8, 2, 1).mean(axis=(2, 4))
    network = imagegen.espcn(2, channels=1, widths=(16,))
    repeated = np.square(predicted(network, small[:8]) - large[:8]).mean()
    network.compile(keras.optimizers.Adam(3e-3), loss="mean_squared_error")
    network.fit(small[8:], large[8:], batch_size=8, epochs=10, verbose=0)
    assert np.square(predicted(network, small[:8]) - large[:8]).mean() < 0.2 * repeated


def build(name):
    return {
        "point_mlp": lambda: imagegen.point_mlp(2, time_embedding=imagegen.LogSNREmbedding()),
        "denoising_autoencoder": lambda: imagegen.denoising_autoencoder((8, 12, 3)),
        "espcn": lambda: imagegen.espcn(2),
    }[name]()


INPUTS = {
    "point_mlp": (normal(0, 2, 2), np.float32([[0.3], [0.8]])),
    "denoising_autoencoder": (normal(0, 2, 8, 12, 3),),
    "espcn": (normal(0, 2, 5, 4, 3),),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_network_survives_a_file(name, tmp_path):
    network = with_random_head(build(name))
    network.save(tmp_path / "network.keras")
    restored = keras.saving.load_model(tmp_path / "network.keras")
    outputs = [predicted(each, *INPUTS[name]) for each in (network, restored)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("name", INPUTS)
def test_outputs_are_float32_under_a_policy_of_half_precision(name):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert build(name).output.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(
    ("builder", "arguments", "name"),
    [
        (imagegen.point_mlp, {"dim": 0}, "dim"),
        (imagegen.point_mlp, {"width": 0}, "width"),
        (imagegen.point_mlp, {"depth": 0}, "depth"),
        (imagegen.denoising_autoencoder, {"image_shape": (28, 28)}, "image_shape"),
        (imagegen.denoising_autoencoder, {"image_shape": (28, 30, 1)}, "image_shape"),
        (imagegen.denoising_autoencoder, {"widths": (0,)}, "widths"),
        (imagegen.denoising_autoencoder, {"widths": ()}, "widths"),
        (imagegen.espcn, {"factor": 1}, "factor"),
        (imagegen.espcn, {"factor": 2, "channels": 0}, "channels"),
        (imagegen.espcn, {"factor": 2, "widths": ()}, "widths"),
    ],
)
def test_impossible_arguments_are_refused(builder, arguments, name):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received"):
        builder(**arguments)


PICTURE_NETWORKS = {
    "unet": lambda: imagegen.UNet((8, 16), [4, 8], block_depth=1),
    "digit_encoder": imagegen.digit_encoder,
    "digit_decoder": imagegen.digit_decoder,
    "image_encoder": lambda: imagegen.image_encoder((8, 16), [4], block_depth=1),
    "image_decoder": lambda: imagegen.image_decoder((8, 16), [4], block_depth=1),
    "clip_image_encoder": lambda: imagegen.clip_image_encoder((8, 16), [4, 8], 6),
    "denoising_autoencoder": lambda: imagegen.denoising_autoencoder((8, 12, 3)),
    "espcn": lambda: imagegen.espcn(2),
}


@pytest.mark.parametrize("name", PICTURE_NETWORKS)
def test_channels_come_last_whatever_keras_json_says(name):
    outputs = []
    for data_format in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(data_format)
        try:
            keras.utils.set_random_seed(0)
            network = with_random_head(PICTURE_NETWORKS[name]())
            inputs = [
                normal(i, 2, *(8 if side is None else side for side in tensor.shape[1:]))
                for i, tensor in enumerate(network.inputs)
            ]
            outputs.append(network(inputs[0] if len(inputs) == 1 else inputs))
        finally:
            keras.config.set_image_data_format("channels_last")
    for first, second in zip(*map(keras.tree.flatten, outputs), strict=True):
        np.testing.assert_array_equal(first, second)


def test_presets_load_whatever_keras_json_says():
    keras.config.set_image_data_format("channels_first")
    try:
        for name in ("flowers-64-species", "clip-flowers-32"):
            assert imagegen.DiffusionModel.from_preset(name).sample_shape[-1] == 3
    finally:
        keras.config.set_image_data_format("channels_last")
