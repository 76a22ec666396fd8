"""Stable Diffusion 3: what KerasHub paints, by this package's loop, and whatever is called before.

All tests share one tiny model and the programs that it compiled.
"""

import itertools
import types

import imagegen
from imagegen import sd3
from imagegen.samplers import initial_noise, levels
from imagegen.sd3 import concepts as sd3_concepts
from imagegen.sd3 import loading

import keras
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from keras import ops
from PIL import Image
from strategies import normal

jax = pytest.importorskip("jax")
pytest.importorskip("keras_hub", reason="KerasHub comes with the extra [sd3]")

STEPS = (28, 4, 50, 5, 25, 10)
PROMPTS = ("a photo of a dog", "a painting of flowers")


@pytest.fixture(scope="module")
def model() -> sd3.StableDiffusion3:
    """One for all tests that leave it as it is: programs compile once."""
    return sd3.tiny()


@pytest.fixture(scope="module")
def preset(model, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("preset"))
    model.task.save_to_preset(folder)
    return folder


def apart(first: np.ndarray, second: np.ndarray) -> int:
    """The largest difference, in levels of 255."""
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def mean_change(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(int), axis=0)).mean())


def pictures(count: int = 3, height: int = 64, width: int = 64) -> np.ndarray:
    patches = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3))
    return patches.repeat(8, axis=1).repeat(8, axis=2).astype("uint8")


# KerasHub paints the same


@pytest.fixture(scope="module")
def keras_hub_generate(model):
    """KerasHub's own program, with its table of noise levels as an argument: it compiles once."""
    task = model.task
    scheduler = task.backbone.scheduler

    def generate(sigmas, latents, tokens, num_steps, guidance_scale):
        scheduler.sigmas = sigmas
        return task.generate_step(latents, tokens, num_steps, guidance_scale)

    program = jax.jit(generate)

    def run(noise, prompts, negatives, num_steps, guidance_scale):
        task.backbone.configure_scheduler(num_steps)
        sigmas = np.zeros(101, "float32")
        sigmas[: num_steps + 1] = scheduler.sigmas
        tokens = [
            task.preprocessor.generate_preprocess(list(texts)) for texts in (prompts, negatives)
        ]
        images = program(sigmas, noise, tokens, np.int32(num_steps), np.float32(guidance_scale))
        return task._normalize_generate_outputs([images], False)

    yield run
    del scheduler.sigmas


@pytest.mark.parametrize("num_steps", STEPS)
def test_pictures_are_those_of_keras_hub_whatever_was_called_before(
    model, keras_hub_generate, num_steps
):
    noise = initial_noise(1, model.sample_shape, num_steps)
    expected = keras_hub_generate(noise, PROMPTS[:1], ["blue"], num_steps, 5.0)
    options = {"noise": noise, "num_steps": num_steps, "guidance_scale": 5.0}
    latents = model.sample(PROMPTS[0], negative_prompts="blue", **options)
    assert apart(model.to_images(latents), expected) <= 1
    images = model.generate({"prompts": PROMPTS[0], "negative_prompts": "blue"}, **options)
    np.testing.assert_array_equal(images, model.to_images(latents))
    assert images.std() > 20, "the picture is blank"


def test_a_fresh_task_of_keras_hub_generates_the_same(model):
    task = model.task
    task.generate_function = None  # What it compiled last would keep its old noise levels.
    expected = task.generate(
        {"prompts": list(PROMPTS), "negative_prompts": ["", ""]}, num_steps=5, seed=3
    )
    noise = keras.random.normal((2, *model.sample_shape), seed=3)
    images = model.generate(PROMPTS, num_steps=5, noise=ops.convert_to_numpy(noise))
    assert apart(images, expected) <= 1


@pytest.mark.parametrize("num_steps", [1, *STEPS, 100])
def test_the_noise_levels_are_those_of_keras_hub(model, num_steps):
    model.backbone.configure_scheduler(num_steps)
    expected = ops.convert_to_numpy(model.backbone.scheduler.sigmas)
    table = levels(model.schedule, num_steps)[: num_steps + 1]
    np.testing.assert_allclose(table[:, 1], expected, atol=2e-6)
    np.testing.assert_allclose(table[:, 1] + table[:, 2], 1, atol=1e-7)


def test_training_draws_most_of_its_times_half_way():
    times = ops.convert_to_numpy(sd3.SD3Schedule().training_times((np.arange(9999) + 0.5) / 9999))
    logits = np.log(times / (1 - times))
    assert abs(logits.mean()) < 1e-3
    assert abs(logits.std() - 1) < 1e-2


def test_embeddings_are_those_of_keras_hub(model):
    tokens = [
        model.task.preprocessor.generate_preprocess(list(texts))
        for texts in (PROMPTS, ["blue"] * 2)
    ]
    expected = jax.jit(model.backbone.encode_text_step)(*tokens)
    positive, positive_pooled = model.encode_prompts(list(PROMPTS))
    negative, negative_pooled = model.encode_prompts(["blue"] * 2)
    embeddings = (positive, negative, positive_pooled, negative_pooled)
    for ours, theirs in zip(embeddings, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, ops.convert_to_numpy(theirs), atol=1e-5)
    assert positive.shape == (2, 154, 4096)
    assert positive_pooled.shape == (2, 24)


def test_latents_of_pictures_are_the_means_of_keras_hubs(model, monkeypatch):
    # Its autoencoder draws from a distribution, unless it is told to take the mean.
    monkeypatch.setattr(model.backbone.vae.distribution_sampler, "method", "mode")
    expected = jax.jit(model.backbone.encode_image_step)(pictures() / np.float32(127.5) - 1)
    np.testing.assert_allclose(model.to_samples(pictures()), expected, atol=1e-4)


# The loop


def reference(model):
    """Latents by the book's loop, in double precision, one picture at a time."""
    velocity = jax.jit(lambda noisy, rates, conditions: model.velocity(noisy, rates, conditions))
    known = {}

    def latents(prompt, negative, seed, num_steps, scale):
        key = (prompt, negative, seed, num_steps, scale)
        if key in known:
            return known[key]
        x = initial_noise(1, model.sample_shape, seed).astype("float64")
        last = 0.003 / 1.002
        sigmas = [3 * t / (1 + 2 * t) for t in np.linspace(1, last, num_steps)] + [0.0]
        conditions = [tuple(model.encode_prompts(text)) for text in (prompt, negative)]
        for sigma, following in itertools.pairwise(sigmas):
            rates = np.full((1, 1), sigma, "float32")
            v = [np.asarray(velocity(x.astype("float32"), rates, c), "float64") for c in conditions]
            v = v[0] if scale is None else v[1] + scale * (v[0] - v[1])
            x += (following - sigma) * v
        known[key] = x
        return x

    return latents


def test_no_call_leaves_a_trace_in_a_later_one(model):
    expected = reference(model)
    steps, scales = st.sampled_from([2, 3, 6, 11]), st.sampled_from([None, 1.0, 4.0, 7.0])
    prompts = st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=2)
    seeds = st.integers(0, 1)

    class Calls(RuleBasedStateMachine):
        @rule(prompts=prompts, num_steps=steps, scale=scales, seeds=st.tuples(seeds, seeds))
        def generate(self, prompts, num_steps, scale, seeds):
            seeds = seeds[: len(prompts)]
            images = model.generate(
                prompts, num_steps=num_steps, guidance_scale=scale, seed=list(seeds)
            )
            for image, prompt, seed in zip(images, prompts, seeds, strict=True):
                latents = expected(prompt, "", seed, num_steps, scale)
                assert apart(image, model.to_images(latents)[0]) <= 1
                assert image.max() > 0

        @rule(prompt=st.sampled_from(PROMPTS), num_steps=steps, scale=scales, seed=seeds)
        def sample(self, prompt, num_steps, scale, seed):
            latents = model.sample(
                prompt,
                negative_prompts=None if scale is None else "blue",
                num_steps=num_steps,
                guidance_scale=scale,
                seed=seed,
            )
            assert np.isfinite(latents).all()
            wanted = expected(prompt, "blue", seed, num_steps, scale)
            np.testing.assert_allclose(latents, wanted, atol=2e-3)

        @rule(num_steps=steps, scale=scales, seed=seeds)
        def walk(self, num_steps, scale, seed):
            frames = imagegen.prompt_walk(
                model,
                PROMPTS,
                2,
                num_steps=num_steps,
                guidance_scale=scale,
                sampler=imagegen.Euler(),
                seed=seed,
            )
            for frame, prompt in zip(frames, PROMPTS, strict=True):
                latents = expected(prompt, "", seed, num_steps, scale)
                assert apart(frame, model.to_images(latents)[0]) <= 1

    few = settings(max_examples=8, stateful_step_count=6, deadline=None, derandomize=True)
    run_state_machine_as_test(Calls, settings=few)


def test_one_compiled_program_serves_every_number_of_steps(model, monkeypatch):
    fresh, traces = sd3.StableDiffusion3(model.task), []

    def counted(*arguments):
        traces.append(1)
        return sd3.StableDiffusion3.velocity(fresh, *arguments)

    monkeypatch.setattr(fresh, "velocity", counted)
    fresh.generate("a dog", num_steps=3, seed=0)
    compiled_once = len(traces)
    for num_steps in (1, 28, 100):
        for negative, scale in (("blue", 7.0), ("a cat", 2.0)):
            options = {"negative_prompts": negative, "guidance_scale": scale}
            fresh.generate("a cat", num_steps=num_steps, seed=0, **options)
    assert len(traces) == compiled_once


def test_without_guidance_the_network_sees_no_negative_prompt(model, monkeypatch):
    fresh, sizes = sd3.StableDiffusion3(model.task), set()

    def seen(noisy, *arguments):
        sizes.add(len(noisy))
        return sd3.StableDiffusion3.velocity(fresh, noisy, *arguments)

    monkeypatch.setattr(fresh, "velocity", seen)
    images = fresh.generate("a dog", guidance_scale=None, num_steps=3, seed=0)
    assert sizes == {1}
    assert apart(images, model.generate("a dog", guidance_scale=1.0, num_steps=3, seed=0)) <= 1
    with pytest.raises(ValueError, match="`guidance_scale` must be a number where there are"):
        fresh.generate("a dog", negative_prompts="blue", guidance_scale=None)


def test_new_weights_are_seen_by_the_compiled_loop(model):
    kernel = model.backbone.diffuser.get_layer("output_dense").kernel
    before = ops.convert_to_numpy(kernel)
    images = model.generate(PROMPTS[0], num_steps=4, seed=0)
    kernel.assign(0.5 * before)
    assert apart(model.generate(PROMPTS[0], num_steps=4, seed=0), images) > 5
    kernel.assign(before)
    np.testing.assert_array_equal(model.generate(PROMPTS[0], num_steps=4, seed=0), images)


@pytest.mark.parametrize(
    "sampler", [imagegen.DDIM(), imagegen.DDPM(), imagegen.Heun(), imagegen.DPMSolver2M()]
)
def test_every_sampler_gives_a_picture_of_its_own_seed(model, sampler):
    options = {"guidance_scale": None, "num_steps": 6, "sampler": sampler}
    images = model.generate(PROMPTS, seed=[3, 4], **options)
    assert images.std() > 20
    for image, prompt, seed in zip(images, PROMPTS, (3, 4), strict=True):
        assert apart(image, model.generate([prompt] * 2, seed=seed, **options)[0]) <= 1


def test_previews_end_in_the_picture(model):
    *_, (noisy, clean) = model.generate_steps(PROMPTS[:1], num_steps=4, seed=0)
    np.testing.assert_array_equal(noisy, model.generate(PROMPTS[:1], num_steps=4, seed=0))
    assert clean.shape == noisy.shape
    steps = [latents for latents, _ in model.sample_steps("a dog", num_steps=4)]
    assert len(steps) == 4


def test_a_number_of_pictures_is_so_many_of_the_empty_prompt(model):
    expected = model.generate(["", ""], guidance_scale=None, num_steps=3, seed=0)
    np.testing.assert_array_equal(model.generate(2, num_steps=3, seed=0), expected)
    noisy = normal(0, 1, *model.sample_shape)
    clean = model.denoise(noisy, 0.5)
    np.testing.assert_allclose(
        clean, model.denoise(noisy, 0.5, model.encode_prompts("")), atol=1e-6
    )


def test_latents_of_nan_are_an_error_not_a_black_picture(model):
    with pytest.raises(ValueError, match="`samples` must be finite"):
        model.to_images(np.full((1, *model.sample_shape), np.nan, "float32"))


def test_what_is_not_read_of_a_prompt_is_said(model):
    with pytest.warns(UserWarning, match=r"at most 75 tokens.*Received: 80 tokens"):
        model.encode_prompts("dog " * 80)


@pytest.mark.parametrize("prompts", [[], [3], None, [None]])
def test_what_is_no_prompt_is_refused(model, prompts):
    with pytest.raises((ValueError, TypeError)):
        model.encode_prompts(prompts)


# Editing and walking


def test_pictures_of_any_size_are_edited_in_the_middle(model):
    images = pictures(2, height=96, width=64)
    options = {"prompts": "a dog", "guidance_scale": None, "num_steps": 5, "seed": 0}
    for given in (images, images / 255):
        edited = imagegen.image_to_image(model, given, strength=0.4, **options)
        middle = imagegen.image_to_image(model, images[:, 16:80], strength=0.4, **options)
        assert edited.shape == (2, 64, 64, 3)
        np.testing.assert_array_equal(edited, middle)
    mask = np.zeros((96, 64), bool)
    mask[40:60, 10:30] = True
    painted = imagegen.inpaint(model, images, mask, num_resamplings=1, **options)
    middle = slice(16, 80)
    np.testing.assert_array_equal(painted[:, ~mask[middle]], images[:, middle][:, ~mask[middle]])
    assert (painted[:, mask[middle]] != images[:, middle][:, mask[middle]]).any()
    wide = imagegen.outpaint(model, images, (0, 0, 0, 16), num_resamplings=1, **options)
    assert wide.shape == (2, 96, 80, 3)
    np.testing.assert_array_equal(wide[:, :, :64], images)
    assert imagegen.variations(model, images[0], 2, **options).shape == (2, 64, 64, 3)


def test_a_picture_with_transparency_is_one_picture_on_white(model):
    options = {"prompts": "a dog", "strength": 0.4, "num_steps": 5, "seed": 0}
    opaque = pictures(1, height=64, width=64)
    disc = np.zeros((64, 64, 1), "uint8")
    disc[16:48, 16:48] = 255
    cut_out = Image.fromarray(np.concatenate([opaque[0], disc], axis=-1))
    on_white = np.where(disc == 255, opaque, 255).astype("uint8")
    edited = imagegen.image_to_image(model, cut_out, **options)
    assert edited.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(edited, imagegen.image_to_image(model, on_white, **options))


def test_strength_08_of_50_steps_takes_40(model, monkeypatch):
    starts = []
    monkeypatch.setattr(
        sd3.StableDiffusion3, "run", lambda self, *a, **k: starts.append(a[3]) or iter([a[:2]])
    )
    imagegen.image_to_image(model, pictures(1), strength=0.8, num_steps=50, seed=0)
    assert starts == [10]


def test_frames_of_a_walk_change_less_than_a_third_of_those_under_fresh_noise(model):
    options = {"guidance_scale": 7.0, "num_steps": 8, "seed": 0, "sampler": imagegen.Euler()}
    # Two of nine frames from 0.5 to 0.6.
    part = (0.5, 0.5125)
    frames = imagegen.prompt_walk(model, PROMPTS, 2, between=part, **options)
    ends = model.encode_prompts(PROMPTS)
    way = imagegen.Conditions(*(imagegen.walk(end, 2, between=part) for end in ends))
    fresh = model.generate(way, **options)
    assert 0 < mean_change(frames) < mean_change(fresh) / 3


# Textual inversion


def test_a_word_learns_and_is_forgotten_and_nothing_else_changes(model, tmp_path):
    weights = [ops.convert_to_numpy(weight) for weight in model.backbone.weights]
    painted = model.generate("a photo of sks", num_steps=3, seed=0)
    before = sd3.read_concept(model, "sks")
    concept = sd3.learn_concept(
        model, pictures(height=96), "sks", initial_word="dog", num_steps=3, learning_rate=0.1
    )
    tables = sd3_concepts._tables(model)
    token = sd3_concepts._token(model, "sks")
    for weight, old in zip(model.backbone.weights, weights, strict=True):
        new = ops.convert_to_numpy(weight)
        if any(weight is table for table in tables):
            assert (new[token] != old[token]).all()
            new, old = np.delete(new, token, 0), np.delete(old, token, 0)
        np.testing.assert_array_equal(new, old)
    assert apart(model.generate("a photo of sks", num_steps=3, seed=0), painted) > 0
    assert model.backbone.trainable

    concept.save(tmp_path / "word.json")
    before.save(tmp_path / "before.json")
    assert (tmp_path / "word.json").stat().st_size < 4096
    loaded = imagegen.Concept.load(tmp_path / "word.json")
    np.testing.assert_array_equal(loaded.vector, sd3.read_concept(model, "sks").vector)
    sd3.add_concept(model, imagegen.Concept.load(tmp_path / "before.json"))
    for weight, old in zip(model.backbone.weights, weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), old)
    np.testing.assert_array_equal(model.generate("a photo of sks", num_steps=3, seed=0), painted)


def test_the_word_is_read_where_it_stands(model):
    tokens = np.stack([sd3_concepts.both_tokens(model, text) for text in ("a sks dog", "a dog")])
    token = sd3_concepts._token(model, "sks")
    own = sd3.read_concept(model, "sks").vector
    ours = sd3_concepts.conditions_with(model.backbone, own, token, tokens)
    for part, expected in zip(ours, model.encode_prompts(["a sks dog", "a dog"]), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(part), expected, atol=1e-5)
    other = own + normal(0, len(own))
    _, pooled = sd3_concepts.conditions_with(model.backbone, other, token, tokens)
    moved = np.abs(ops.convert_to_numpy(pooled) - model.encode_prompts(["a sks dog", "a dog"])[1])
    assert moved[0].max() > 1e-2
    assert moved[1].max() < 1e-5


def test_the_gradient_is_the_slope_of_the_loss(model):
    tokens = sd3_concepts.both_tokens(model, "a photo of sks")[None]
    token = sd3_concepts._token(model, "sks")
    vector = sd3.read_concept(model, "sks").vector
    samples, noise = normal(1, 1, *model.sample_shape), normal(2, 1, *model.sample_shape)
    rates = np.full((1, 1), 0.6, "float32")

    @jax.jit
    def loss(vector):
        return sd3_concepts.loss(model, vector, token, samples, tokens, noise, rates)

    gradient = np.asarray(jax.jit(jax.grad(loss))(vector), "float64")
    for direction in (gradient / np.linalg.norm(gradient), *normal(3, 3, len(vector))):
        step = 0.002 * direction.astype("float32")
        slope = (float(loss(vector + step)) - float(loss(vector - step))) / 0.004
        # Losses of about 3 in float32, over a way of 0.004, resolve slopes to about 1e-4.
        assert slope == pytest.approx(gradient @ direction, rel=0.02, abs=1e-3)


def test_what_cannot_be_learned_leaves_the_model_alone(model):
    before = sd3.read_concept(model, "sks")
    words = {"word": "sks", "initial_word": "dog"}
    for options, message in [
        ({"word": "two words"}, "`word` must be one token"),
        ({"word": ""}, "`word` must be one token"),
        ({"initial_word": "unheard"}, "`word` must be one token"),
        ({"prompts": ["a dog"] * 3}, "must have the word"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"batch_size": 0}, "`batch_size`"),
    ]:
        with pytest.raises(ValueError, match=message):
            sd3.learn_concept(model, pictures(), **words | options)
    with pytest.raises(ValueError, match="`concept` must have a vector of the shape"):
        sd3.add_concept(model, imagegen.Concept("sks", np.zeros(5, "float32")))
    np.testing.assert_array_equal(sd3.read_concept(model, "sks").vector, before.vector)


# Loading


def test_a_saved_preset_paints_the_same(model, preset):
    assert model.backbone.count_params() < 1_000_000
    loaded = sd3.load(preset, image_size=64)
    options = {"num_steps": 4, "seed": 0}
    np.testing.assert_array_equal(
        loaded.generate(PROMPTS[0], **options), model.generate(PROMPTS[0], **options)
    )
    wide = sd3.load(preset, image_size=(32, 64))
    assert wide.generate(PROMPTS[0], num_steps=2, seed=0).shape == (1, 32, 64, 3)


def test_the_weights_depend_on_the_seed_alone(model):
    keras.utils.set_random_seed(5)
    same, other = sd3.tiny(), sd3.tiny(seed=1)
    ours, theirs, others = (
        [ops.convert_to_numpy(weight) for weight in each.backbone.weights]
        for each in (model, same, other)
    )
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(ours[0], others[0])


def failing(monkeypatch, error: Exception) -> None:
    """Every download fails with `error`, as deep inside as it does there."""
    from keras_hub.src.utils import preset_utils

    def download(*arguments, **options):
        raise error

    monkeypatch.setattr(preset_utils.kagglehub, "model_download", download)
    monkeypatch.setattr(loading, "_memory", lambda: 10**12)


def test_a_licence_that_was_not_accepted_is_named(monkeypatch):
    from kagglehub.exceptions import KaggleApiHTTPError, UnauthenticatedError

    for error in (
        KaggleApiHTTPError("403 Client Error: you don't have permission"),
        KaggleApiHTTPError("401 Client Error"),
        UnauthenticatedError(),
    ):
        failing(monkeypatch, error)
        with pytest.raises(PermissionError, match=r"accept the licence .*KAGGLE_KEY"):
            sd3.load("stable_diffusion_3_medium")


def test_without_a_network_the_way_by_a_folder_is_told(monkeypatch):
    import requests

    for error in (requests.exceptions.ConnectionError("no route"), TimeoutError()):
        failing(monkeypatch, error)
        with pytest.raises(ConnectionError, match=r"save_to_preset\(folder\).*sd3.tiny\(\)"):
            sd3.load("stable_diffusion_3_medium")


def test_other_errors_stay_what_they_are(monkeypatch):
    failing(monkeypatch, ZeroDivisionError("a fault of ours"))
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        sd3.load("stable_diffusion_3_medium")


def test_what_does_not_fit_is_not_downloaded(monkeypatch):
    failing(monkeypatch, AssertionError("it was downloaded"))
    monkeypatch.setattr(loading, "_memory", lambda: 8 * 10**9)
    with pytest.raises(MemoryError, match=r"take 18.1 GB in bfloat16.*has 8.0 GB"):
        sd3.load("stable_diffusion_3.5_large", dtype="bfloat16")
    assert sd3.weight_bytes("stable_diffusion_3_medium", "float32") == 4 * 2_987_080_931
    assert sd3.weight_bytes("hf://someone/something") is None


def test_the_memory_of_a_folder_is_that_of_its_weights(model, preset):
    assert sd3.weight_bytes(preset, "float16") == 2 * model.backbone.count_params()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "stable_diffusion_4"}, "'stable_diffusion_3.5_medium', .*Received: preset="),
        ({"dtype": "float8"}, "`dtype` must be one of"),
        ({"image_size": 100}, "divisible by 16"),
        ({"image_size": (64, 64, 64)}, "`image_size` must be"),
        ({"image_size": 0}, "`image_size`"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sd3.load(**{"preset": "stable_diffusion_3_medium", **options})


def test_half_precision_is_chosen_by_the_device(monkeypatch):
    for device, default in (("cpu:0", "float32"), ("gpu:0", "bfloat16")):
        monkeypatch.setattr(
            loading,
            "keras",
            types.SimpleNamespace(
                distribution=types.SimpleNamespace(list_devices=lambda device=device: [device])
            ),
        )
        assert loading.checked_dtype(None) == default
        if device == "cpu:0":
            with pytest.raises(ValueError, match=r"must not be 'float16' on a CPU.*'bfloat16'"):
                loading.checked_dtype("float16")
        else:
            assert loading.checked_dtype("float16") == "float16"
