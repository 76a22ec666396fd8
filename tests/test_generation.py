"""The contract: whatever denoises gets prompts, guidance, samplers, walks and editing."""

import dataclasses
import inspect
import os
import random
import threading
import warnings

import imagegen

import keras
import numpy as np
import pytest
from keras import ops

SIZE = 8
DEVIATION = 0.1
MEANS = np.stack([np.full((SIZE, SIZE, 3), level, "float32") for level in (-0.6, 0.6)])
SHARES = {"": (0.5, 0.5), "dark": (1.0, 0.0), "bright": (0.0, 1.0)}


class Mixture(imagegen.ImageGenerator):
    """Knows two kinds of pictures, dark and bright ones, and denoises them exactly."""

    sample_shape, schedule = (SIZE, SIZE, 3), imagegen.CosineSchedule(max_signal_rate=0.999)
    value_range, condition_shapes = (0, 255), [(2,)]
    sampling = imagegen.SamplingOptions(num_steps=10, sampler=imagegen.DPMSolver2M())

    def encode_prompts(self, prompts):
        prompts = [prompts] if isinstance(prompts, str) else prompts
        return imagegen.Conditions(np.array([SHARES[prompt] for prompt in prompts], "float32"))

    def denoise(self, noisy, time, conditions=None):
        (shares,) = [ops.full((len(noisy), 2), 0.5)] if conditions is None else conditions
        means, (noise_rate, signal_rate) = ops.convert_to_tensor(MEANS), self.schedule(time)
        variance = (signal_rate * DEVIATION) ** 2 + noise_rate**2
        away = noisy[:, None] - signal_rate * means
        logits = ops.log(shares + 1e-30) - ops.sum(away**2, (2, 3, 4)) / (2 * variance)
        kinds = means + signal_rate * DEVIATION**2 / variance * away
        return ops.sum(ops.softmax(logits)[..., None, None, None] * kinds, axis=1)

    def to_samples(self, images):
        return np.asarray(images, "float32") / 127.5 - 1

    def to_images(self, samples):
        return imagegen.to_uint8(ops.convert_to_numpy(samples), value_range=(-1, 1))


MODEL = Mixture()


def brightness(images):
    return np.asarray(images).astype(float).mean(axis=(1, 2, 3))


def pictures(*levels):
    noise = np.random.default_rng(0).integers(-5, 6, (len(levels), SIZE, SIZE, 3))
    return (np.array(levels)[:, None, None, None] + noise).astype("uint8")


def test_a_strangers_model_paints_what_prompts_say():
    images = MODEL.generate(["dark", "bright"], seed=0)
    assert images.dtype == np.uint8
    np.testing.assert_allclose(brightness(images), [51, 204], atol=6)
    anything = brightness(MODEL.generate(64, seed=0))
    assert 16 < (anything > 128).sum() < 48
    assert ((anything < 80) | (anything > 175)).mean() > 0.95


def test_a_strangers_model_keeps_away_from_negative_prompts():
    plain = MODEL.generate(64, seed=0)
    images = MODEL.generate(64, negative_prompts="dark", guidance_scale=4.0, seed=0)
    assert (brightness(images) > 128).sum() > (brightness(plain) > 128).sum() + 8


def test_a_strangers_model_walks():
    frames = imagegen.prompt_walk(MODEL, ["dark", "bright"], 5, guidance_scale=None, seed=0)
    assert brightness(frames)[0] < 80 < 175 < brightness(frames)[-1]
    round_trip = imagegen.noise_walk(MODEL, "dark", 4, seed=0)
    assert (brightness(round_trip) < 80).all()
    grid = imagegen.prompt_grid(MODEL, ["dark", "dark", "bright", "bright"], 2, seed=0)
    assert (brightness(grid[:2]) < 80).all()
    assert (brightness(grid[2:]) > 175).all()


def test_a_walk_begins_with_what_generate_paints():
    """Whatever the model's own options are: a walk takes the same."""
    noise = imagegen.samplers.initial_noise(1, MODEL.sample_shape, 3)
    frames = imagegen.prompt_walk(MODEL, ["dark", "bright"], 2, seed=3)
    np.testing.assert_array_equal(frames[:1], MODEL.generate("dark", noise=noise, seed=3))


def test_a_strangers_model_is_inverted():
    images = pictures(50, 205)
    noise = imagegen.ddim_inversion(MODEL, images, num_steps=50)
    again = MODEL.generate(2, noise=noise, num_steps=50, sampler=imagegen.DDIM())
    assert np.abs(again.astype(int) - images).mean() < 2
    frames = imagegen.interpolate_images(MODEL, *images, 3, num_steps=50)
    np.testing.assert_allclose(brightness(frames[[0, -1]]), brightness(images), atol=3)


def test_a_strangers_model_edits():
    dark, bright = pictures(50, 205)
    np.testing.assert_array_equal(
        imagegen.image_to_image(MODEL, dark, strength=1, prompts="bright", seed=0),
        MODEL.generate(["bright"], seed=0),
    )
    assert brightness(imagegen.image_to_image(MODEL, dark, strength=0.3, seed=0)) < 80
    assert (brightness(imagegen.variations(MODEL, bright, 3, strength=0.4, seed=0)) > 175).all()
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, 4:] = True
    painted = imagegen.inpaint(MODEL, bright, mask, seed=0)
    np.testing.assert_array_equal(painted[0, :, :4], bright[:, :4])
    assert painted[:, :, 4:].mean() > 175
    wide = imagegen.outpaint(MODEL, dark, 4, seed=0)
    assert wide.shape == (1, SIZE + 8, SIZE + 8, 3)
    assert wide.mean() < 80
    large = imagegen.super_resolve(MODEL, bright[::2, ::2].copy(), 2, seed=0)
    assert large.shape == (1, SIZE, SIZE, 3)
    assert brightness(large) > 175


def test_every_picture_can_have_a_seed_of_its_own_in_editing_too():
    drafts = pictures(50, 205)
    options = {"strength": 0.8, "num_steps": 4, "sampler": imagegen.DDPM()}
    both = imagegen.image_to_image(MODEL, drafts, seed=[5, 7], **options)
    for image, draft, seed in zip(both, drafts, (5, 7), strict=True):
        (alone,) = imagegen.image_to_image(MODEL, draft, seed=[seed], **options)
        np.testing.assert_allclose(image.astype(int), alone, atol=1)


# How one asks


@pytest.mark.parametrize(
    "ways",
    [
        [((3,), {}), ((), {"num_images": 3})],
        [(("dark",), {}), ((["dark"],), {}), ((), {"prompts": "dark"})],
        [(("dark",), {"num_images": 3}), ((["dark"] * 3,), {}), ((("dark",) * 3,), {})],
        [
            (("",), {"negative_prompts": "dark"}),
            ((1,), {"negative_prompts": "dark"}),
            (({"prompts": "", "negative_prompts": "dark"},), {}),
            (({"prompts": [""], "negative_prompts": ["dark"]},), {}),
        ],
        [
            ((["dark", "bright"],), {}),
            ((imagegen.Conditions(np.eye(2, dtype="float32")),), {}),
            (({"prompts": ["dark", "bright"]},), {}),
        ],
    ],
)
def test_all_ways_of_asking_for_the_same_get_the_same(ways):
    first, *others = (MODEL.generate(*args, num_steps=2, seed=0, **named) for args, named in ways)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "`prompts` or `num_images`"),
        ((0,), {}, "`num_images`.*Received: num_images=0"),
        ((), {"num_images": 0}, "`num_images`"),
        ((True,), {}, "`prompts`.*True"),
        ((4.0,), {}, r"`prompts`.*4\.0"),
        ((2,), {"num_images": 2}, "`num_images`"),
        ((["dark", "bright"],), {"num_images": 3}, "`prompts` must be one for all 3"),
        (({"prompt": "dark"},), {}, "`prompts` must be a mapping"),
        ((1,), {"sampler": "ddim"}, "`sampler`.*'ddim'"),
        ((1,), {"sampler": imagegen.DDIM}, "`sampler`.*class"),
        ((1,), {"num_steps": 0}, "`num_steps`"),
        ((1,), {"guidance_scale": "3", "negative_prompts": "dark"}, "`guidance_scale`"),
        ((1,), {"seed": [1, 2]}, "`seed`"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_the_name_that_was_given(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        MODEL.generate(*arguments, **options)


@pytest.mark.parametrize(
    "function",
    [MODEL.generate, lambda **o: imagegen.image_to_image(MODEL, pictures(9), **o)],
)
def test_an_option_that_does_not_exist_is_named(function):
    with pytest.raises(TypeError, match=r"`steps` is no sampling option.*'num_steps'"):
        function(**{"steps": 3} | ({"num_images": 1} if function == MODEL.generate else {}))


def test_everything_that_samples_takes_the_same_options():
    takers = [
        *(getattr(imagegen.ImageGenerator, name) for name in ("generate", "generate_steps")),
        *(getattr(imagegen.ImageGenerator, name) for name in ("sample", "sample_steps")),
        *(imagegen.image_to_image, imagegen.variations, imagegen.inpaint, imagegen.outpaint),
        *(imagegen.super_resolve, imagegen.prompt_walk, imagegen.noise_walk, imagegen.prompt_grid),
    ]
    names = set(imagegen.SamplingOptions.__annotations__)
    for function in takers:
        signature = inspect.signature(function)
        assert signature.parameters["options"].kind is inspect.Parameter.VAR_KEYWORD, function
        assert not names & set(signature.parameters), function


def test_a_models_own_options_hold_everywhere_and_can_be_overruled():
    class Quick(Mixture):
        sampling = imagegen.SamplingOptions(num_steps=3, sampler=imagegen.Euler())

    quick, named = Quick(), {"num_steps": 3, "sampler": imagegen.Euler(), "seed": 0}
    np.testing.assert_array_equal(quick.generate(2, seed=0), MODEL.generate(2, **named))
    np.testing.assert_array_equal(
        imagegen.inpaint(quick, pictures(50), np.eye(SIZE, dtype=bool), seed=0),
        imagegen.inpaint(MODEL, pictures(50), np.eye(SIZE, dtype=bool), **named),
    )
    assert (quick.generate(2, seed=0, num_steps=4) != quick.generate(2, seed=0)).any()


def test_what_is_no_generator_is_refused():
    with pytest.raises(TypeError, match="abstract"):
        type("Nothing", (imagegen.ImageGenerator,), {})()
    with pytest.raises(ValueError, match="`prompts` are for models that have an encoder"):
        Grey().generate("dark")


class Grey(imagegen.ImageGenerator):
    """Without prompts, and with samples that are no pictures."""

    sample_shape, schedule = (2,), imagegen.FlowSchedule()

    def denoise(self, noisy, time, conditions=None):
        return 0 * noisy


def test_samples_that_are_no_pictures_are_floats():
    samples = Grey().generate(3, num_steps=2, seed=0)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.zeros((3, 2), "float32"))


# Conditions that are no words


@keras.saving.register_keras_serializable("tests")
class SmallPicture(keras.layers.Layer):
    """Tells a network what the picture looks like in small."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.empty = np.full((size, size, 3), -1, "float32")

    def tokens(self, prompts):
        rows = [self.empty if isinstance(one, str) else np.asarray(one) / 255 for one in prompts]
        return np.stack(rows).astype("float32")

    def call(self, tokens):
        factor = SIZE // self.size
        return ops.repeat(ops.repeat(tokens, factor, axis=1), factor, axis=2)

    def get_config(self):
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable("tests")
class SmallPictureAndKind(SmallPicture):
    """Several conditions at once: one of three numbers, and a small picture."""

    def __init__(self, size, **kwargs):
        super().__init__(size, **kwargs)
        self.picture, self.empty = self.empty, (self.empty, np.array(2, "int32"))

    def tokens(self, prompts):
        blank = ("", 2)
        images, kinds = zip(*(blank if one == "" else one for one in prompts), strict=True)
        rows = [self.picture if isinstance(one, str) else one / 255 for one in images]
        return np.stack(rows).astype("float32"), np.array(kinds, "int32")

    def call(self, tokens):
        images, kinds = tokens
        return [ops.one_hot(kinds, 3), super().call(images)]


def network_of(**conditions):
    return imagegen.UNet(SIZE, [32], block_depth=1, **conditions)


def blocks(count, seed=0):
    """Pictures of even blocks, and the same in small."""
    small = np.random.default_rng(seed).integers(0, 256, (count, SIZE // 2, SIZE // 2, 3), "uint8")
    return small.repeat(2, axis=1).repeat(2, axis=2), small


@pytest.mark.slow(reason="trains a model until it enlarges")
def test_a_model_conditioned_on_a_small_picture_learns_to_enlarge(tmp_path):
    images, small = blocks(512)
    model = imagegen.DiffusionModel(
        network_of(map_channels=3),
        encoder=SmallPicture(SIZE // 2),
        prediction=imagegen.ImagePrediction(),
        averaging=0.9,
    )
    model.normalizer.adapt(images)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit((images, model.encoder.tokens(small)), epochs=30, verbose=0)
    wanted, unseen = blocks(4, seed=1)
    painted = model.generate(list(unseen), guidance_scale=None, num_steps=5, seed=0)
    assert np.abs(painted.astype(int) - wanted).mean() < 12
    # It edits, too, told by other small pictures than the draft's.
    edited = imagegen.image_to_image(
        model, images[:4], prompts=list(unseen), guidance_scale=None, strength=0.9, seed=0
    )
    assert np.abs(edited.astype(int) - wanted).mean() < 20
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.generate(list(unseen), guidance_scale=None, num_steps=5, seed=0), painted
    )


def test_a_model_takes_several_conditions_at_once():
    images, small = blocks(16)
    kinds = np.arange(16) % 2
    encoder = SmallPictureAndKind(SIZE // 2)
    network = network_of(embedding_dim=8, condition_dim=3, map_channels=3)
    model = imagegen.DiffusionModel(network, encoder=encoder)
    model.normalizer.adapt(images)
    model.compile(keras.optimizers.Adam(1e-2))
    prompts = list(zip(small, kinds, strict=True))
    model.fit((images, encoder.tokens(prompts)), batch_size=8, epochs=4, verbose=0)
    numbers, maps = model.encode_prompts(prompts)
    assert maps.shape == (16, SIZE, SIZE, 3)
    assert numbers.shape == (16, 3)
    options = {"num_steps": 2, "seed": 0}
    painted = model.generate(prompts[:2], **options)
    other = model.generate([(small[0], 1), (small[1], 0)], **options)
    assert (painted != other).any()
    assert model.generate(2, **options).shape == (2, SIZE, SIZE, 3)


# What is compiled follows what is set


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prediction", imagegen.VelocityPrediction()),
        ("weighting", imagegen.MinSNRWeighting()),
        ("schedule", imagegen.FlowSchedule()),
    ],
)
def test_what_is_replaced_is_learned_with(name, value):
    """The next `fit` gives the loss that a model made with the new value gives."""
    images = blocks(64)[0]
    keras.utils.set_random_seed(0)

    def losses(model):
        model.seed_generator.state.assign(keras.random.SeedGenerator(3).state)
        model.compile(keras.optimizers.SGD(0.0))
        return model.fit(images, batch_size=64, shuffle=False, verbose=0).history["loss"]

    network = network_of()
    head = network.get_layer("head").kernel
    head.assign(np.random.default_rng(0).normal(size=head.shape))
    changed = imagegen.DiffusionModel(network)
    changed.normalizer.adapt(images)
    before = losses(changed)
    setattr(changed, name, value)
    fresh = imagegen.DiffusionModel(network, **{name: value})
    fresh.normalizer.adapt(images)
    changed.seed_generator.state.assign(keras.random.SeedGenerator(3).state)
    after = changed.fit(images, batch_size=64, shuffle=False, verbose=0).history["loss"]
    assert after == pytest.approx(losses(fresh), rel=1e-5)
    assert after != pytest.approx(before, rel=1e-3)


def test_a_models_own_options_are_saved_with_it(tmp_path):
    sampling = imagegen.SamplingOptions(num_steps=7, sampler=imagegen.DDIM(eta=0.5))
    model = imagegen.DiffusionModel(network_of(), sampling=sampling)
    model.normalizer.adapt(blocks(8)[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.sampling == sampling == model.sampling
    np.testing.assert_array_equal(again.generate(2, seed=0), model.generate(2, seed=0))
    with pytest.raises(ValueError, match="`sampler`"):
        imagegen.DiffusionModel(network_of(), sampling={"sampler": "ddim"})


def test_a_way_knows_its_levels():
    way = MODEL.begin("dark", 3, {"num_steps": 4, "seed": 1})
    np.testing.assert_array_equal(way.table, imagegen.samplers.levels(MODEL.schedule, 4))
    assert way.noise().shape == (3, *MODEL.sample_shape)


def test_more_pictures_than_memory_holds_are_refused_at_once():
    with pytest.raises(MemoryError, match="Unable to allocate"):
        MODEL.generate(10**15, num_steps=1, seed=0)


@pytest.mark.parametrize("sampler", [imagegen.DDIM(), imagegen.DDPM(), imagegen.DPMSolver2M()])
@pytest.mark.parametrize("seed", [3, list(range(4, 11))])
def test_pictures_are_the_same_in_batches_of_any_size(sampler, seed):
    network = imagegen.UNet(8, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=4)
    model = imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(["lily", "rose"], 4))
    random = np.random.default_rng(0)
    model.averaged.set_weights(
        [0.3 * random.standard_normal(weight.shape) for weight in model.averaged.get_weights()]
    )
    model.normalizer.adapt(random.integers(0, 256, (4, 8, 8, 3)))
    options = {"num_steps": 3, "sampler": sampler, "seed": seed, "guidance_scale": 2.0}
    prompts = ["lily", "rose", "rose", "", "lily", "rose", "lily"]
    whole = model.generate(prompts, **options).astype("int64")
    noise = random.standard_normal((7, 8, 8, 3))
    noised = model.generate(prompts, noise=noise, **options).astype("int64")
    for batch_size in (1, 3, 6):
        parts = model.generate(prompts, batch_size=batch_size, **options)
        # Another size of batch is another program, which may round otherwise.
        assert np.abs(parts - whole).max() <= 1
        parts = model.generate(prompts, batch_size=batch_size, noise=noise, **options)
        assert np.abs(parts - noised).max() <= 1
    with pytest.raises(ValueError, match="`batch_size`"):
        model.generate(prompts, batch_size=0, **options)
    with pytest.raises(ValueError, match="`noise` must have the shape"):
        model.generate(prompts, batch_size=2, noise=noise[:3], **options)


# What is kept, and what is in use


def test_the_programs_of_a_model_are_counted_and_few():
    model, most = Grey(), imagegen._jit.MAX_PROGRAMS
    for num_steps in (1, 2, 3):
        for seed in (0, 1):
            model.generate(2, num_steps=num_steps, seed=seed)
    assert len(model._programs) == 1
    for eta in (0.25, 0.5):
        model.generate(2, num_steps=1, sampler=imagegen.DDIM(eta), seed=0)
    model.generate(2, num_steps=1, sampler=imagegen.DDPM(), seed=0)
    assert len(model._programs) == 2
    for churn in (0.1, 0.2):
        sampler = imagegen.EDMSampler(churn, noise_scale=1 + churn, schedule=model.schedule)
        model.generate(2, num_steps=1, sampler=sampler, seed=0)
    model.generate(3, num_steps=1, seed=0)
    assert len(model._programs) == 4
    for number in range(5):
        model.generate(number + 4, num_steps=1, batch_size=2, seed=0)
    assert len(model._programs) == 4  # That of two pictures serves all.
    for number in range(2 * most):
        model._programs.get(number, lambda: None)
    assert len(model._programs) == most


@dataclasses.dataclass(frozen=True)
class Eager(imagegen.DDIM):
    """Reads its number itself, which is then compiled into its step."""

    def step(self, denoise, noisy, now, after, state):
        return super().step(denoise, self.eta * noisy, now, after, state)


@pytest.mark.parametrize(
    "make",
    [
        imagegen.DDIM,
        Eager,
        lambda share: imagegen.EDMSampler(share, schedule=MODEL.schedule),
        lambda share: imagegen.EDMSampler(0.3, noise_scale=share, schedule=MODEL.schedule),
        lambda share: imagegen.EDMSampler(0.3, sigma_range=(share, 9), schedule=MODEL.schedule),
    ],
)
def test_one_program_paints_what_each_number_of_a_sampler_says(make):
    fresh = [
        Mixture().generate(2, num_steps=4, sampler=make(number), seed=0) for number in (0.2, 0.9)
    ]
    model = Mixture()
    shared = [model.generate(2, num_steps=4, sampler=make(number), seed=0) for number in (0.2, 0.9)]
    np.testing.assert_array_equal(shared, fresh)
    assert (shared[0] != shared[1]).any()


def test_what_was_forgotten_is_compiled_again():
    model = Grey()
    first = model.generate(1, num_steps=2, seed=0)
    for number in range(imagegen._jit.MAX_PROGRAMS):
        model._programs.get(number, lambda: None)
    np.testing.assert_array_equal(model.generate(1, num_steps=2, seed=0), first)


class WhileTraining(keras.callbacks.Callback):
    """Generates from another thread, and from this one."""

    def on_train_batch_end(self, batch, logs=None):
        def generate():
            try:
                self.model.generate(1, num_steps=1, seed=0)
            except Exception as error:
                self.error = error

        thread = threading.Thread(target=generate)
        thread.start()
        thread.join()

    def on_epoch_end(self, epoch, logs=None):
        self.points = self.model.generate(1, num_steps=1, seed=0)


def test_a_model_that_another_thread_trains_says_so():
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=4), value_range=None)
    model.compile(optimizer="sgd")
    callback = WhileTraining()
    model.fit(np.eye(2, dtype="float32"), epochs=1, verbose=0, callbacks=[callback])
    assert isinstance(callback.error, RuntimeError)
    assert "another thread trains it" in str(callback.error)
    assert callback.points.shape == (1, 2)
    model.generate(1, num_steps=1, seed=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_forked_process_is_refused():
    Grey().generate(1, num_steps=1, seed=0)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's and Python's own, of the same.
        child = os.fork()
    if child == 0:
        try:
            Grey().generate(1, num_steps=1, seed=0)
        except RuntimeError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    assert 'get_context("spawn")' in said


def test_what_is_deterministic_moves_no_random_state():
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=4), value_range=None)
    keras.utils.set_random_seed(3)
    python = random.getstate()
    model.generate(1, num_steps=1, sampler=imagegen.DDPM(), seed=0)
    imagegen.VAE.from_preset("digits-2d")
    assert random.getstate() == python
    drawn = keras.random.uniform((3,))
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (drawn, keras.random.uniform((3,)))))
