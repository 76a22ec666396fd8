"""Laws of latent diffusion: pictures in, pictures out, and a model that never sees any."""

import imagegen
from imagegen.samplers import initial_noise, levels

import keras
import numpy as np
import pytest
from keras import layers, ops
from strategies import normal

SIZE, LATENT_SIZE, LATENT_CHANNELS = 16, 4, 2
NAMES = ("left", "right")


def pictures(count: int = 24, seed: int = 0) -> np.ndarray:
    """Random patches of color, large enough to survive in latents."""
    patches = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), "uint8")
    return patches.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def make_autoencoder() -> imagegen.VAE:
    return imagegen.VAE(
        imagegen.image_encoder(SIZE, [4, 8], latent_channels=LATENT_CHANNELS, block_depth=0),
        imagegen.image_decoder(SIZE, [4, 8], latent_channels=LATENT_CHANNELS, block_depth=0),
        beta=1e-3,
    )


def randomize(network: keras.Model, scale: float) -> None:
    for seed, variable in enumerate(network.weights):
        variable.assign(scale * normal(seed, *variable.shape))


def make_network(condition_dim: int | None = None) -> keras.Model:
    """One convolution, which compiles in a moment."""
    inputs = [keras.Input((LATENT_SIZE, LATENT_SIZE, LATENT_CHANNELS)), keras.Input((1, 1, 1))]
    noisy, rates = inputs
    maps = [noisy, layers.UpSampling2D(LATENT_SIZE)(rates)]
    if condition_dim is not None:
        inputs.append(keras.Input((condition_dim,)))
        maps.append(layers.UpSampling2D(LATENT_SIZE)(layers.Reshape((1, 1, -1))(inputs[2])))
    x = layers.Concatenate()(maps)
    x = layers.Conv2D(LATENT_CHANNELS, 3, padding="same", activation="tanh", name="head")(x)
    return keras.Model(inputs, x)


def make_painter(**options) -> imagegen.LatentDiffusion:
    """An untrained model, with weights that make every one of its inputs matter."""
    keras.utils.set_random_seed(0)
    autoencoder = make_autoencoder()
    randomize(autoencoder.decoder, 0.4)
    model = imagegen.DiffusionModel(
        make_network(condition_dim=6),
        encoder=imagegen.LabelEncoder(NAMES, 6),
        prediction=imagegen.VelocityPrediction(),
        value_range=None,
        **options,
    )
    model.normalizer.adapt(autoencoder.encode(pictures())[0])
    randomize(model.averaged, 0.4)
    randomize(model.averaged_encoder, 1.0)
    return imagegen.LatentDiffusion(model, autoencoder)


@pytest.fixture(scope="module")
def painter() -> imagegen.LatentDiffusion:
    """One for all tests that leave it as it is: programs compile once."""
    return make_painter()


def test_the_normalizer_gives_latents_unit_variance(painter):
    latents, _ = painter.autoencoder.encode(pictures())
    samples = painter.to_samples(pictures())
    assert samples.dtype == np.float32
    assert samples.shape == (24, LATENT_SIZE, LATENT_SIZE, LATENT_CHANNELS) == latents.shape
    assert abs(latents.std(axis=(0, 1, 2)) - 1).min() > 0.2, "the latents have it by themselves"
    np.testing.assert_allclose(samples.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(samples.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_samples_and_pictures_are_what_the_autoencoder_says(painter):
    decoded = painter.to_images(painter.to_samples(pictures()))
    mean, _ = painter.autoencoder.encode(pictures())
    expected = np.round(255 * painter.autoencoder.decode(mean).astype("float64"))
    assert decoded.dtype == np.uint8
    assert decoded.std() > 20, "the decoder has nothing to say"
    assert abs(decoded - expected).max() <= 1  # Normalized and back, in float32.


@pytest.mark.parametrize(
    "sampler", [imagegen.DDIM(), imagegen.DDPM(), imagegen.Heun(), imagegen.DPMSolver2M()]
)
def test_generating_is_decoding_what_the_model_generates(painter, sampler):
    options = {"num_steps": 4, "sampler": sampler, "seed": 3}
    for prompts in (3, ["left", "right", "left"]):
        images = painter.generate(prompts, **options)
        latents = painter.model.generate(prompts, **options)
        expected = imagegen.to_uint8(painter.autoencoder.decode(latents))
        np.testing.assert_array_equal(images, expected)
        assert images.shape == (3, SIZE, SIZE, 3)
        assert len(np.unique(images, axis=0)) == 3


def test_the_steps_end_in_the_pictures_that_are_generated(painter):
    options = {"num_steps": 4, "seed": 3}
    *_, (noisy, clean) = painter.generate_steps(2, **options)
    np.testing.assert_array_equal(noisy, painter.generate(2, **options))
    assert clean.dtype == np.uint8


def test_guidance_of_scale_1_is_the_conditional_model(painter):
    # The last step returns the estimate itself, so one step shows it.
    noise = initial_noise(2, painter.sample_shape, 5)
    images = painter.generate(["left", "right"], guidance_scale=1.0, num_steps=1, noise=noise)
    time, noise_rate, signal_rate = levels(painter.schedule, 1)[0]
    noisy = noise * np.hypot(noise_rate, signal_rate)
    clean = painter.denoise(noisy, time, painter.encode_prompts(["left", "right"]))
    expected = painter.to_images(clean)
    assert abs(images.astype(int) - expected).max() <= 1  # Compiled and eager rounding.
    guided = painter.generate(["left", "right"], guidance_scale=4.0, num_steps=1, noise=noise)
    assert abs(images.astype(int) - guided).max() > 5


def test_negative_prompts_and_embeddings_reach_the_model(painter):
    options = {"num_steps": 3, "seed": 0}
    plain = painter.generate(["left"], **options)
    np.testing.assert_array_equal(
        painter.generate(painter.encode_prompts("left"), **options), plain
    )
    assert (painter.generate(["left"], negative_prompts="right", **options) != plain).any()
    with pytest.raises(ValueError, match="Did you mean 'left'"):
        painter.generate("lift")


def test_the_poorer_network_of_the_model_guides():
    painter = make_painter(guiding_network=make_network())
    painter.model.autoguidance_scale = 1.0
    assert painter.model.autoguidance_scale == 1
    images = painter.generate(2, num_steps=2, seed=0)
    painter.model.autoguidance_scale = 3.0
    assert (painter.generate(2, num_steps=2, seed=0) != images).any()


def test_another_schedule_is_given_to_the_model():
    painter = make_painter()
    painter.schedule = imagegen.FlowSchedule()
    assert painter.model.schedule == painter.schedule == imagegen.FlowSchedule()


def test_what_is_kept_stays_to_the_byte(painter):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[3:9, 5:14] = True  # No multiple of the 4 pixels that share a latent.
    images = pictures(2)
    options = {"num_steps": 3, "num_resamplings": 2, "seed": 0}
    painted = imagegen.inpaint(painter, images, mask, prompts="left", **options)
    np.testing.assert_array_equal(painted[:, ~mask], images[:, ~mask])
    assert (painted[:, mask] != images[:, mask]).any()
    repainted = imagegen.inpaint(painter, images, mask, **options)
    assert (repainted != painted).any()


def test_a_latent_is_repainted_when_one_of_its_pixels_is(painter, monkeypatch):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[0, 0] = mask[15, 7:9] = True
    states = []
    monkeypatch.setattr(painter, "run", lambda *a, **k: states.append(a[1]) or iter([a[:2]]))
    imagegen.inpaint(painter, pictures(1), mask, num_steps=2, seed=0)
    _, _, kept, repaint, *_ = states[0]
    expected = np.zeros((LATENT_SIZE, LATENT_SIZE), bool)
    expected[0, 0] = expected[3, 1:3] = True
    np.testing.assert_array_equal(ops.convert_to_numpy(repaint)[0, ..., 0], expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(kept), painter.to_samples(pictures(1)))


def test_every_way_of_editing_takes_and_gives_pictures(painter):
    images = pictures(2)
    edited = imagegen.image_to_image(painter, images, prompts="left", num_steps=4, seed=0)
    assert edited.shape == images.shape
    np.testing.assert_array_equal(
        imagegen.image_to_image(painter, images, strength=0, num_steps=4, seed=0), images
    )
    np.testing.assert_array_equal(
        imagegen.image_to_image(painter, images, strength=1, num_steps=4, seed=0),
        painter.generate(2, num_steps=4, seed=0),
    )
    assert imagegen.variations(painter, images[0], 3, num_steps=4, seed=0).shape == (
        3,
        SIZE,
        SIZE,
        3,
    )
    wide = imagegen.outpaint(painter, images, (0, 3, 5, 0), num_steps=3, num_resamplings=1, seed=0)
    assert wide.shape == (2, SIZE + 3, SIZE + 5, 3)
    np.testing.assert_array_equal(wide[:, :SIZE, 5:], images)


def test_noise_that_was_found_leads_back_to_the_reconstruction(painter):
    images = pictures(2)
    noise = imagegen.ddim_inversion(painter, images, num_steps=60, num_iterations=8)
    assert noise.shape == (2, *painter.sample_shape)
    again = painter.generate(2, noise=noise, num_steps=60)
    reconstructed = painter.to_images(painter.to_samples(images))
    assert abs(again.astype(int) - reconstructed).mean() < 3
    frames = imagegen.interpolate_images(painter, *images, 3, num_steps=60)
    assert abs(frames[[0, 2]].astype(int) - reconstructed).mean() < 6


def test_super_resolution_is_refused(painter):
    with pytest.raises(ValueError, match="`model` must work on pixels"):
        imagegen.super_resolve(painter, np.zeros((8, 8, 3), "uint8"), 2)


def test_vectors_are_latents_too_but_have_no_places_to_keep():
    images = keras.Input((8, 8, 1))
    flat = layers.Flatten()(images)
    encoder = keras.Model(images, [layers.Dense(3)(flat), layers.Dense(3)(flat)])
    decoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(64, "sigmoid"), layers.Reshape((8, 8, 1))]
    )
    model = imagegen.DiffusionModel(imagegen.point_mlp(3, width=4), value_range=None)
    vae = imagegen.VAE(encoder, decoder)
    drafts = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), "uint8")
    model.normalizer.adapt(vae.encode(drafts)[0])
    painter = imagegen.LatentDiffusion(model, vae)
    edited = imagegen.image_to_image(painter, drafts, num_steps=2, seed=0)
    assert edited.shape == drafts.shape
    with pytest.raises(ValueError, match="`model` must have latents with a place"):
        imagegen.inpaint(painter, drafts, np.eye(8, dtype=bool), num_steps=2)


def test_the_model_learns_latents_and_the_painter_paints_them(tmp_path):
    painter = make_painter()
    latents, _ = painter.autoencoder.encode(pictures())
    tokens = painter.model.encoder.tokens(["left", "right"] * 12)
    before = painter.generate(2, num_steps=2, seed=0)
    painter.model.compile("adam")
    painter.model.fit((latents, tokens), batch_size=8, verbose=0)
    after = painter.generate(2, num_steps=2, seed=0)
    assert (after != before).any(), "the compiled program holds old weights"
    # A painter whose model was compiled, as one saves it.
    painter.save(tmp_path / "painter.keras")
    restored = keras.saving.load_model(tmp_path / "painter.keras")
    assert isinstance(restored, imagegen.LatentDiffusion)
    np.testing.assert_array_equal(restored.generate(2, num_steps=2, seed=0), after)
    restored.model.compile("adam")
    restored.model.fit((latents, tokens), batch_size=8, verbose=0)


def test_a_preset_is_one_file_of_averaged_weights(tmp_path):
    painter = make_painter()
    learning = painter.model.network.get_weights()
    small, large = tmp_path / "small.keras", tmp_path / "large.keras"
    painter.save_preset(small)
    painter.model.compile("adam")
    painter.model.optimizer.build(painter.model.trainable_variables)
    painter.save_preset(large)
    assert large.read_bytes() == small.read_bytes(), "the optimizer's state is in the preset"
    for ours, theirs in zip(learning, painter.model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    restored = imagegen.LatentDiffusion.from_preset(small)
    for learnt, averaged in zip(
        restored.model.network.get_weights(), restored.model.averaged.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(learnt, averaged)
    images = painter.generate(["left", "right"], num_steps=3, seed=0)
    close = restored.generate(["left", "right"], num_steps=3, seed=0)
    assert abs(images.astype(int) - close).mean() < 1
    with pytest.raises(ValueError, match="`name` must be a preset of LatentDiffusion"):
        imagegen.LatentDiffusion.from_preset("digits-2d")


def test_parts_that_do_not_fit_are_refused():
    autoencoder = make_autoencoder()
    pixels = imagegen.DiffusionModel(make_network())
    with pytest.raises(ValueError, match=r"made with `value_range=None`. Received: .*255"):
        imagegen.LatentDiffusion(pixels, autoencoder)
    wider = imagegen.DiffusionModel(
        imagegen.UNet(8, [4], block_depth=1, channels=2), value_range=None
    )
    with pytest.raises(ValueError, match=r"samples of the shape \(8, 8, 2\), and latents .*4, 4"):
        imagegen.LatentDiffusion(wider, autoencoder)


def test_latents_that_were_not_normalized_are_refused():
    model = imagegen.DiffusionModel(make_network(), value_range=None)
    painter = imagegen.LatentDiffusion(model, make_autoencoder())
    with pytest.raises(ValueError, match=r"model.normalizer.adapt\(latents\)"):
        painter.generate(1, num_steps=2)
    with pytest.raises(ValueError, match=r"model.normalizer.adapt\(latents\)"):
        imagegen.image_to_image(painter, pictures(1), num_steps=2)


def test_latents_of_nan_are_an_error_not_a_picture():
    painter = make_painter()
    painter.model.averaged.get_layer("head").bias.assign(np.full(LATENT_CHANNELS, np.nan))
    with pytest.raises(FloatingPointError, match="not finite"):
        painter.generate(1, num_steps=2, seed=0)
