import imagegen
from imagegen.samplers import initial_noise

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from strategies import normal

SIZE = 8


def pictures(count: int = 20, seed: int = 0) -> np.ndarray:
    """Pictures of two colours, so that mean and variance differ between channels."""
    rng = np.random.default_rng(seed)
    colours = np.uint8([[200, 40, 90], [20, 220, 130]])[rng.integers(0, 2, count)]
    noise = rng.integers(-20, 21, (count, SIZE, SIZE, 3))
    return np.clip(colours[:, None, None] + noise, 0, 255).astype("uint8")


def diffusion_model(widths=(8,), **options) -> imagegen.DiffusionModel:
    keras.utils.set_random_seed(0)
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, widths, block_depth=1), **options)
    model.normalizer.adapt(pictures())
    model.compile(optimizer=keras.optimizers.AdamW(1e-3))
    return model


def with_random_head(model: imagegen.DiffusionModel, scale: float = 1.0):
    """The last kernel is 0 at first, so that nothing could be seen behind it."""
    for network in (model.network, model.averaged):
        head = network.get_layer("head")
        head.kernel.assign(scale * normal(9, *head.kernel.shape))
    return model


def values(variables) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in variables]


def moving_statistics(network) -> list[np.ndarray]:
    return values(weight for weight in network.weights if "moving" in weight.path)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@keras.saving.register_keras_serializable(package="imagegen_tests")
class Scaled(keras.layers.Layer):
    """A network's whole inside: its input times a weight that starts as `factor`."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.scale = self.add_weight(initializer=keras.initializers.Constant(factor))

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


def scaling_network(factor: float) -> keras.Model:
    noisy, noise_rates = keras.Input((4, 4, 3)), keras.Input((1, 1, 1))
    return keras.Model([noisy, noise_rates], Scaled(factor)(noisy) + 0 * noise_rates)


# Training


def test_training_learns_to_denoise():
    model = diffusion_model(prediction=imagegen.VelocityPrediction(), loss="mean_squared_error")
    model.compile(optimizer=keras.optimizers.AdamW(1e-2))
    history = model.fit(pictures(128), batch_size=16, epochs=6, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]


def test_a_last_smaller_batch_a_second_fit_and_a_save_after_evaluate_work(tmp_path):
    model = diffusion_model()
    for _ in range(2):
        model.fit(pictures(10), batch_size=4, verbose=0)
        model.evaluate(pictures(6), batch_size=4, verbose=0)
        model.save(tmp_path / "model.keras")
        model.generate(1, num_steps=2, seed=0)
    restored = keras.saving.load_model(tmp_path / "model.keras")
    restored.fit(pictures(10), batch_size=4, verbose=0)


def test_fit_learns_batch_statistics_and_generate_uses_and_keeps_them():
    model = with_random_head(diffusion_model())
    untrained = moving_statistics(model.network)
    assert untrained
    before = model.generate(2, num_steps=3, seed=0)
    model.fit(pictures(16), batch_size=8, verbose=0)
    for old, new in zip(untrained, moving_statistics(model.network), strict=True):
        assert not np.array_equal(old, new)
    # Averaging takes the statistics along, and sampling reads them.
    everything = values(model.variables)
    with_statistics = model.generate(2, num_steps=3, seed=0)
    assert_same(everything, values(model.variables))
    assert not np.array_equal(before, with_statistics)
    for weight in model.averaged.weights:
        if "moving_variance" in weight.path:
            weight.assign(4 * weight)
    assert not np.array_equal(with_statistics, model.generate(2, num_steps=3, seed=0))


def test_averages_are_the_closed_form_of_the_weights_they_saw():
    model = diffusion_model(averaging=0.5)
    expected, averaged = values(model.averaged.weights), model.averaged

    class Recorder(keras.callbacks.Callback):
        live = (values(model.network.weights),)

        def on_train_batch_end(self, batch, logs=None):
            self.live = (*self.live, values(self.model.network.weights))

    recorder = Recorder()
    model.fit(pictures(24), batch_size=4, verbose=0, shuffle=False, callbacks=[recorder])
    kernel = [weight.path.endswith("head/kernel") for weight in averaged.weights].index(True)
    average = expected[kernel].astype("float64")
    for step in range(6):
        # A step's averages move before its update: they see the weights that it began with.
        kept = min(0.5, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * recorder.live[step][kernel]
    np.testing.assert_allclose(values(averaged.weights)[kernel], average, atol=1e-6)
    assert np.abs(average).max() > 0


@pytest.mark.parametrize("averaging", [0.0, 0.999])
def test_live_and_averaged_weights_never_share_a_buffer(averaging):
    model = diffusion_model(averaging=averaging)
    model.fit(pictures(4), batch_size=4, verbose=0)
    for live, averaged in zip(model.network.weights, model.averaged.weights, strict=True):
        assert live is not averaged
        assert live.value is not averaged.value
    assert not model.averaged.trainable_variables


def test_training_draws_fresh_noise_every_time():
    model = with_random_head(diffusion_model())
    first, second = (model(pictures(4), training=True)[2] for _ in range(2))
    assert not np.array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))


def test_call_returns_estimate_output_and_target_of_one_mixture():
    """For noise: noisy = s x + n e, and the estimate is (noisy - n output) / s."""
    model = with_random_head(diffusion_model(), scale=0.1)
    estimate, output, target, weights = (
        ops.convert_to_numpy(part) for part in model(pictures(6), training=False)
    )
    np.testing.assert_array_equal(weights, np.ones((6, 1, 1, 1)))
    clean = ops.convert_to_numpy(model.normalizer(pictures(6)))
    # estimate - clean = n / s (target - output): one ratio of rates for each picture.
    ratio = (estimate - clean) / (target - output)
    np.testing.assert_allclose(
        ratio, np.broadcast_to(np.median(ratio, (1, 2, 3), keepdims=True), ratio.shape), rtol=0.05
    )


def test_weights_of_the_loss_are_those_of_the_weighting():
    """The loss is the mean over samples of weight times mean error."""
    model = with_random_head(
        diffusion_model(loss="mean_squared_error", weighting=imagegen.MinSNRWeighting(2.0))
    )
    parts = model(pictures(6), training=False)
    _, output, target, weights = (ops.convert_to_numpy(part) for part in parts)
    assert weights.std() > 0
    errors = ((output - target).astype("float64") ** 2).mean(axis=(1, 2, 3))
    loss = model.compute_loss(y_pred=parts, training=False)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(
        (errors * weights.ravel()).mean(), rel=1e-4
    )


@pytest.mark.parametrize(
    "sampler",
    [imagegen.DDPM(), imagegen.Heun(), imagegen.DPMSolver2M()],
    ids=lambda sampler: type(sampler).__name__,
)
def test_every_sampler_runs_in_the_compiled_loop(sampling_model, sampler):
    images = sampling_model.generate(2, num_steps=6, sampler=sampler, seed=1)
    again = sampling_model.generate(3, num_steps=6, sampler=sampler, seed=1).astype(int)
    assert np.abs(again[:2] - images).max() <= 1


@pytest.mark.parametrize("schedule", [imagegen.FlowSchedule(), imagegen.EDMSchedule()])
def test_the_network_sees_unit_variance_on_every_schedule(schedule):
    """A network of zeros that predicts the velocity is perfect for normal data of variance 1."""
    model = imagegen.DiffusionModel(
        scaling_network(0), schedule=schedule, prediction=imagegen.EDMPrediction(), value_range=None
    )
    samples = model.generate(200, num_steps=40, sampler=imagegen.Heun(), seed=0)
    assert samples.mean() == pytest.approx(0, abs=0.05)
    assert samples.std() == pytest.approx(1, abs=0.05)


def test_validation_measures_the_averaged_network():
    model = diffusion_model()
    with_random_head(model)
    model.network.get_layer("head").kernel.assign(
        1e6 * normal(1, *model.network.get_layer("head").kernel.shape)
    )
    assert model.evaluate(pictures(8), verbose=0) < 1e4


def test_callbacks_see_the_model_of_the_moment(tmp_path):
    """The best model is saved by an explicit monitor, and pictures are drawn after each epoch."""
    model = with_random_head(diffusion_model(averaging=0.0))
    callbacks = [
        imagegen.ShowGenerated(2, columns=2, num_steps=2, folder=tmp_path),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", monitor="val_loss", save_best_only=True
        ),
    ]
    model.fit(
        pictures(16),
        batch_size=4,
        epochs=2,
        validation_data=(pictures(4, seed=1),),
        callbacks=callbacks,
        verbose=0,
    )
    first, second = ((tmp_path / f"epoch_{i:04d}.png").read_bytes() for i in (1, 2))
    assert first != second
    assert keras.saving.load_model(tmp_path / "best.keras").generate(1, num_steps=2).shape


def test_training_before_adapting_is_refused():
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    model.compile(optimizer="adamw")
    for use in (lambda: model.fit(pictures(4), verbose=0), lambda: model.generate(1)):
        with pytest.raises(ValueError, match=r"`normalizer`.*adapt"):
            use()


def test_pictures_from_0_to_1_are_refused_unless_the_range_says_so():
    images = imagegen.to_float(pictures(8))
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    model.normalizer.adapt(images)
    with pytest.raises(ValueError, match=r"`value_range`.*Received"):
        model.generate(1, num_steps=2)
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1), value_range=(0, 1))
    model.normalizer.adapt(images)
    generated = model.generate(1, num_steps=2, seed=0)
    assert generated.dtype == np.float32
    assert 0 <= generated.min() < generated.max() <= 1


def test_targets_and_sample_weights_are_refused():
    model = diffusion_model()
    with pytest.raises(ValueError, match="pictures alone"):
        model.fit(pictures(4), np.zeros(4), verbose=0)


def test_another_adapt_reaches_training():
    """A network of zeros that predicts clean samples has their variance, 1, as its loss."""
    model = imagegen.DiffusionModel(
        scaling_network(0),
        prediction=imagegen.ImagePrediction(),
        loss="mean_squared_error",
        value_range=None,
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    for scale in (1, 5):
        data = 3 + scale * normal(0, 64, 4, 4, 3)
        model.normalizer.adapt(data)
        loss = model.fit(data, batch_size=64, verbose=0).history["loss"][0]
        assert loss == pytest.approx(1, abs=0.05)


def test_weights_alone_carry_the_normalizer():
    trained, fresh = (with_random_head(diffusion_model()) for _ in range(2))
    fresh.normalizer.adapt(255 - pictures())
    fresh.set_weights(trained.get_weights())
    np.testing.assert_array_equal(
        *(model.generate(1, num_steps=2, seed=0) for model in (trained, fresh))
    )


def test_a_constant_channel_is_generated_as_it_is():
    images = pictures(8)
    images[..., 2] = 0
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    model.normalizer.adapt(images)
    assert not model.generate(2, num_steps=2, seed=0)[..., 2].any()


def test_regularizers_of_the_network_count():
    model = diffusion_model()
    parts = model(pictures(4), training=False)
    before = float(ops.convert_to_numpy(model.compute_loss(y_pred=parts, training=False)))
    stem = model.network.get_layer("stem")
    stem.kernel.regularizer = keras.regularizers.L2(1.0)
    penalty = float((ops.convert_to_numpy(stem.kernel).astype("float64") ** 2).sum())
    after = float(ops.convert_to_numpy(model.compute_loss(y_pred=parts, training=False)))
    assert after - before == pytest.approx(penalty, rel=1e-3)


# Denoising and generating


def test_denoise_takes_one_time_or_one_a_sample():
    model = with_random_head(diffusion_model())
    noisy, times = normal(0, 3, SIZE, SIZE, 3), [0.2, 0.6, 0.9]
    together = ops.convert_to_numpy(model.denoise(noisy, times))
    for i, time in enumerate(times):
        alone = ops.convert_to_numpy(model.denoise(noisy, time))
        np.testing.assert_allclose(together[i], alone[i], atol=1e-4, rtol=1e-4)


def test_generated_pictures_are_uint8_of_the_shape_asked_for():
    images = diffusion_model().generate(3, num_steps=2, seed=0)
    assert images.dtype == np.uint8
    assert images.shape == (3, SIZE, SIZE, 3)


@settings(max_examples=10)
@given(st.floats(0, 1e30), st.booleans())
def test_pictures_stay_in_range_however_large_the_output(size, negative):
    model = imagegen.DiffusionModel(scaling_network(-size if negative else size))
    model.normalizer.adapt(pictures(4)[:, :4, :4])
    images = model.generate(2, num_steps=3, seed=0)
    assert images.dtype == np.uint8
    if size > 1e6:
        # All is beyond the range, and so at one end of it.
        assert np.isin(images, (0, 255)).all()


def test_estimates_are_clipped_at_every_step():
    """A network that sees a clean sample far out of range is corrected before its next look."""
    model = imagegen.DiffusionModel(scaling_network(100), prediction=imagegen.ImagePrediction())
    model.normalizer.adapt(pictures(4)[:, :4, :4])
    low, high = model.bounds
    for noisy, clean in model.sample_steps(1, num_steps=4, seed=0):
        clean = ops.convert_to_numpy(clean)
        assert (clean >= low - 1e-5).all()
        assert (clean <= high + 1e-5).all()
        assert np.isfinite(ops.convert_to_numpy(noisy)).all()


@pytest.mark.parametrize(("bad", "value_range"), [(np.nan, (0, 255)), (np.inf, None)])
def test_a_network_of_nan_is_an_error(bad, value_range):
    model = diffusion_model(value_range=value_range)
    model.averaged.get_layer("head").bias.assign(np.full(3, bad))
    with pytest.raises(FloatingPointError, match="not finite"):
        model.generate(1, num_steps=2, seed=0)


@pytest.fixture(scope="module")
def sampling_model() -> imagegen.DiffusionModel:
    return with_random_head(diffusion_model(), scale=0.3)


def test_the_same_seed_gives_the_same_pictures(sampling_model):
    images = sampling_model.generate(2, num_steps=4, seed=5)
    assert images.std() > 1
    sampling_model.generate(3, num_steps=2)
    np.testing.assert_array_equal(images, sampling_model.generate(2, num_steps=4, seed=5))
    assert not np.array_equal(images, sampling_model.generate(2, num_steps=4, seed=6))


def test_without_a_seed_keras_global_state_decides(sampling_model):
    keras.utils.set_random_seed(3)
    first, second = (sampling_model.generate(1, num_steps=2) for _ in range(2))
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(first, sampling_model.generate(1, num_steps=2))


def test_picture_i_is_the_same_in_any_batch(sampling_model):
    few = sampling_model.generate(2, num_steps=4, seed=1).astype(int)
    many = sampling_model.generate(5, num_steps=4, seed=1).astype(int)
    # Other shapes round differently, by at most a level.
    assert np.abs(few - many[:2]).max() <= 1
    assert np.abs(many[0] - many[1]).mean() > 1


def test_steps_end_with_what_generate_returns(sampling_model):
    steps = list(sampling_model.generate_steps(2, num_steps=5, seed=1))
    assert len(steps) == 5
    np.testing.assert_array_equal(steps[-1][0], sampling_model.generate(2, num_steps=5, seed=1))
    np.testing.assert_array_equal(*steps[-1])


def test_one_compiled_program_serves_every_number_of_steps():
    traces = []

    class Counting(imagegen.DDIM):
        def step(self, *arguments):
            traces.append(1)
            return super().step(*arguments)

    model, sampler = with_random_head(diffusion_model()), Counting()
    model.generate(2, num_steps=4, seed=0, sampler=sampler)
    compiled_once = len(traces)
    results = [model.generate(2, num_steps=n, seed=0, sampler=sampler) for n in (20, 50)]
    assert not np.array_equal(*results)
    if keras.backend.backend() != "torch":  # which compiles nothing
        assert len(traces) == compiled_once


def test_new_weights_are_never_stale():
    model = with_random_head(diffusion_model())
    before = model.generate(1, num_steps=3, seed=0)
    head = model.averaged.get_layer("head")
    head.kernel.assign(-head.kernel)
    assert not np.array_equal(before, model.generate(1, num_steps=3, seed=0))


def test_a_perfect_network_returns_the_only_picture_there_is():
    """The model of a single picture: whatever the noise, the clean sample is that picture."""
    picture = np.full((1, 4, 4, 3), (10, 130, 250), "uint8")
    model = imagegen.DiffusionModel(scaling_network(0), prediction=imagegen.ImagePrediction())
    model.normalizer.adapt(np.concatenate([picture - 10, picture + 5, picture, picture + 5]))
    np.testing.assert_array_equal(model.generate(2, num_steps=7, seed=0), np.repeat(picture, 2, 0))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"prompts": 0}, "num_images"),
        ({"prompts": 1.5}, "prompts"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_steps": 1001}, "num_steps"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_impossible_requests_are_refused(sampling_model, arguments, name):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received"):
        sampling_model.generate(**({"prompts": 1} | arguments))


def test_a_network_of_other_inputs_is_refused():
    network = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"`network`.*Received"):
        imagegen.DiffusionModel(network)


# Saving


def test_a_model_survives_keras_saving(tmp_path):
    model = with_random_head(
        diffusion_model(
            schedule=imagegen.CosineSchedule(0.05, 0.9),
            prediction=imagegen.VelocityPrediction(),
            loss=keras.losses.LogCosh(),
            averaging=0.9,
        )
    )
    model.fit(pictures(8), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(values(model.weights), values(restored.weights))
    assert restored.get_config()["loss"] == model.get_config()["loss"]
    assert (restored.schedule, restored.prediction) == (model.schedule, model.prediction)
    assert (restored.averaging, restored.value_range) == (0.9, (0, 255))
    np.testing.assert_array_equal(
        *(one.generate(2, num_steps=3, seed=0) for one in (model, restored))
    )


def test_saved_weights_load_into_a_fresh_model(tmp_path):
    model = with_random_head(diffusion_model())
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(*(one.generate(2, num_steps=3, seed=0) for one in (model, fresh)))


def test_a_preset_holds_the_averaged_model_and_leaves_the_model_alone(tmp_path):
    model = with_random_head(diffusion_model())
    model.fit(pictures(16), batch_size=4, verbose=0)
    before = values(model.variables)
    model.save_preset(tmp_path / "preset.keras")
    assert_same(before, values(model.variables))
    preset = imagegen.DiffusionModel.from_preset(tmp_path / "preset.keras")
    assert_same(values(preset.network.weights), values(preset.averaged.weights))
    same, half = (one.generate(4, num_steps=5, seed=0).astype(int) for one in (model, preset))
    assert np.abs(same - half).mean() <= 1
    preset.compile(optimizer="adamw")
    preset.fit(pictures(8), batch_size=4, verbose=0)


def test_a_policy_of_half_precision_trains_and_generates():
    """The network's layers are in bfloat16, the mathematics around them in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = imagegen.DiffusionModel(imagegen.UNet(8, [4, 8], block_depth=1, norm="group"))
        model.normalizer.adapt(pictures(8))
        model.compile(optimizer="adam")
        history = model.fit(pictures(8), epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        assert model.network.layers[-1].compute_dtype == "float32"
        assert any(layer.compute_dtype == "bfloat16" for layer in model.network.layers)
        estimate, output, _, _ = model(pictures(8))
        assert estimate.dtype == output.dtype
        assert keras.backend.standardize_dtype(estimate.dtype) == "float32"
        assert model.generate(2, num_steps=2, seed=0).dtype == np.uint8
    finally:
        keras.config.set_dtype_policy(policy)


def test_generation_starts_from_given_noise():
    model = with_random_head(diffusion_model())
    noise = initial_noise(3, model.sample_shape, 5)
    np.testing.assert_array_equal(
        model.generate(3, num_steps=3, noise=noise), model.generate(3, num_steps=3, seed=5)
    )
    with pytest.raises(ValueError, match="`noise` must have the shape"):
        model.generate(2, noise=noise)
    with pytest.raises(ValueError, match="`noise` must be finite"):
        model.generate(3, noise=np.full_like(noise, np.nan))


def test_samples_and_pictures_are_two_views_of_the_same():
    model = diffusion_model()
    images = pictures(4)
    np.testing.assert_array_equal(model.to_images(model.to_samples(images)), images)


def test_training_follows_another_schedule():
    """A compiled training step holds its schedule, and is compiled anew for another."""
    traced = []

    class Recording(imagegen.CosineSchedule):
        def training_times(self, uniform):
            traced.append(self.max_signal_rate)
            return uniform

    model = diffusion_model(schedule=Recording(0.02, 0.95))
    model.fit(pictures(4), verbose=0)
    model.schedule = Recording(0.02, 0.9)
    model.fit(pictures(4), verbose=0)
    assert traced[0] == 0.95
    assert traced[-1] == 0.9


def test_only_pictures_become_samples():
    model = diffusion_model()
    with pytest.raises(ValueError, match="`images` must be finite"):
        model.to_samples(np.full((1, SIZE, SIZE, 3), np.nan))
    unadapted = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    with pytest.raises(ValueError, match="`normalizer` must be adapted"):
        unadapted.to_samples(pictures(1))
