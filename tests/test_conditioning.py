import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from strategies import normal

SIZE = 8
NAMES = ("dark", "bright")


def pictures(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Dark pictures of class 0 and bright ones of class 1, with a little noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype="int32") % 2
    images = 40 + 160 * labels[:, None, None, None] + rng.integers(-20, 21, (count, SIZE, SIZE, 3))
    return images.astype("uint8"), labels


def conditional_model(*, random_weights: bool = True, **options) -> imagegen.DiffusionModel:
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(
        SIZE, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=6
    )
    model = imagegen.DiffusionModel(
        network,
        encoder=imagegen.LabelEncoder(NAMES, 6),
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
        **options,
    )
    model.normalizer.adapt(pictures()[0])
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    if random_weights:  # The first projection and the last kernel are 0 at first.
        for net in (model.network, model.averaged):
            for layer in ("condition_in", "head"):
                kernel = net.get_layer(layer).kernel
                kernel.assign(0.5 * normal(9, *kernel.shape))
    return model


@pytest.fixture(scope="module")
def model() -> imagegen.DiffusionModel:
    """One for all tests that leave it as it is: programs compile once."""
    return conditional_model()


def values(layer) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in layer.weights]


# The encoder of labels


@given(st.lists(st.text(min_size=1), min_size=1, max_size=9, unique=True), st.data())
def test_a_name_has_the_number_of_its_place(names, data):
    encoder = imagegen.LabelEncoder(names, 2)
    chosen = data.draw(st.lists(st.integers(0, len(names) - 1), min_size=1))
    tokens = encoder.tokens([names[index] for index in chosen])
    assert tokens.tolist() == chosen == encoder.tokens(np.array(chosen)).tolist()
    assert encoder.tokens([""])[0] == encoder.empty == len(names)


def test_every_name_and_the_empty_one_have_their_own_vector():
    encoder = imagegen.LabelEncoder(["rose", "daisy", "iris"], 5)
    vectors = ops.convert_to_numpy(encoder(encoder.tokens(["iris", "rose", "", "daisy"])))
    np.testing.assert_array_equal(vectors, values(encoder)[0][[2, 0, 3, 1]])
    assert len(np.unique(vectors, axis=0)) == 4


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("rosy", "Did you mean 'rose'"),
        ("🌹", "must be names"),
        (2, "from 0 to 1"),
        (-1, "0"),
    ],
)
def test_an_unknown_class_is_named(prompt, message):
    with pytest.raises(ValueError, match=message):
        imagegen.LabelEncoder(["rose", "daisy"], 3).tokens([prompt])


def test_case_matters_only_where_names_differ_by_it():
    encoder = imagegen.LabelEncoder(["Rose", "daisy"], 3)
    assert encoder.tokens(["ROSE", " rose ", "DAISY", " "]).tolist() == [0, 0, 1, 2]
    two = imagegen.LabelEncoder(["Rose", "rose"], 3)
    assert two.tokens(["rose", "Rose"]).tolist() == [1, 0]
    with pytest.raises(ValueError, match="Did you mean"):
        two.tokens(["ROSE"])


@pytest.mark.parametrize("names", [[], [""], ["a", "a"], [3]])
def test_names_that_are_no_names_are_refused(names):
    with pytest.raises(ValueError, match="`names`"):
        imagegen.LabelEncoder(names, 3)


# Guidance


numbers = st.floats(-100, 100, width=32)


@given(numbers, numbers)
def test_guidance_of_scale_1_is_the_estimate_itself(positive, negative):
    assert imagegen.guide(np.float32(positive), np.float32(negative), 1.0) == np.float32(positive)


@given(numbers, numbers, st.floats(0, 20))
def test_guidance_extends_the_line_from_negative_to_positive(positive, negative, scale):
    guided = imagegen.guide(positive, negative, scale)
    assert guided == pytest.approx((1 - scale) * negative + scale * positive, abs=1e-9)


@given(st.integers(0, 2**31), st.floats(1.5, 20))
def test_rescaling_takes_back_the_contrast_that_guidance_added(seed, scale):
    positive, negative = normal(seed, 2, 3, 4, 4, 3)
    guided = imagegen.guide(positive, negative, np.float32(scale))
    tensors = [ops.convert_to_tensor(array) for array in (guided, positive)]
    same, back, half = (
        ops.convert_to_numpy(imagegen.rescaled(*tensors, phi)) for phi in (0.0, 1.0, 0.5)
    )
    np.testing.assert_array_equal(same, guided)
    np.testing.assert_allclose(back.std((1, 2, 3)), positive.std((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(half, (same + back) / 2, rtol=1e-4, atol=1e-5)


def told(noisy, time, conditions, until=0.0):
    """A denoiser whose answer shows all that it was asked."""
    return time * noisy + conditions[0] * conditions[1] + until


def test_guidance_mixes_what_is_said_to_both_prompts():
    noisy, *conditions = (ops.convert_to_tensor(normal(seed, 3, 4)) for seed in range(5))
    positive, negative = tuple(conditions[:2]), tuple(conditions[2:])
    expected = imagegen.guide(told(noisy, 0.5, positive), told(noisy, 0.5, negative), 3.0)
    guidance = imagegen.Guidance(positive, negative, 3.0)
    np.testing.assert_allclose(guidance.around(told)(noisy, 0.5), expected, atol=1e-5)
    later = guidance.around(told)(noisy, 0.5, until=2.0)
    np.testing.assert_allclose(later, expected + 2.0, atol=1e-5)
    rescaled = guidance._replace(rescale=1.0).around(told)(noisy, 0.5)
    deviations = ops.std(told(noisy, 0.5, positive), 1)
    np.testing.assert_allclose(ops.std(rescaled, 1), deviations, rtol=1e-4)
    alone = imagegen.Guidance(positive, scale=3.0).around(told)
    np.testing.assert_array_equal(alone(noisy, 0.5, until=2.0), told(noisy, 0.5, positive, 2.0))
    with pytest.raises(ValueError, match="zip"):
        imagegen.Guidance(positive, negative[:1], 3.0).around(told)(noisy, 0.5)


def test_guidance_of_some_pictures_is_that_of_their_rows():
    parts = [np.float32(np.arange(4) + 10 * number)[:, None] for number in range(3)]
    guidance = imagegen.Guidance(tuple(parts[:2]), (parts[2], parts[0]), 2.0, 0.5)
    some = guidance.at(np.array([3, 0]))
    for chosen, all_rows in zip(
        some.positive + some.negative, guidance.positive + guidance.negative, strict=True
    ):
        np.testing.assert_array_equal(chosen, all_rows[[3, 0]])
    assert some[2:] == (2.0, 0.5)
    assert imagegen.Guidance(tuple(parts[:2])).at(np.array([1])).negative is None


@pytest.mark.parametrize("rows", [[4], [-1], [0, 9], [[0]], [0.5], [True]], ids=repr)
def test_rows_that_no_picture_has_are_refused(rows):
    with pytest.raises(ValueError, match=r"`rows` must be integers.*from 0 to 3"):
        imagegen.Guidance((np.zeros((4, 2), "float32"),)).at(np.array(rows))


def test_autoguidance_extends_the_line_from_the_poorer_estimate():
    noisy, poorer = normal(0, 3, 4), normal(1, 3, 4)
    autoguidance = imagegen.Autoguidance(lambda noisy, time: poorer - time, 2.5)
    guided = autoguidance.around(lambda noisy, time, until: noisy + until)(noisy, 0.5, until=1.0)
    np.testing.assert_allclose(
        guided, 2.5 * (noisy + 1.0) - 1.5 * (poorer - 0.5), rtol=1e-5, atol=1e-5
    )


def test_a_picture_without_contrast_is_rescaled_to_a_picture():
    grey, positive = np.ones((2, 4, 4, 3), "float32"), normal(0, 2, 4, 4, 3)
    rescaled = imagegen.rescaled(
        ops.convert_to_tensor(0 * grey), ops.convert_to_tensor(positive), 1.0
    )
    np.testing.assert_array_equal(rescaled, 0)


def test_generated_pictures_are_rescaled(model):
    options = {"guidance_scale": 6.0, "num_steps": 2, "seed": 0}
    plain = model.generate(NAMES, **options)
    assert (model.generate(NAMES, guidance_rescale=1.0, **options) != plain).any()
    for amount in (-0.1, 1.1):
        with pytest.raises(ValueError, match="`guidance_rescale`"):
            model.generate(NAMES, guidance_rescale=amount, **options)


def test_guidance_is_one_call_of_twice_the_size(model, monkeypatch):
    sizes, denoise = [], model.denoise
    monkeypatch.setattr(
        model, "denoise", lambda noisy, *rest: sizes.append(len(noisy)) or denoise(noisy, *rest)
    )
    noisy = ops.convert_to_tensor(normal(0, 2, SIZE, SIZE, 3))
    guidance = model.guidance(NAMES, guidance_scale=1.0)
    guided = ops.convert_to_numpy(model._guided(guidance, 1.0)(noisy, 0.6))
    assert sizes == [4]
    pairs = zip(guidance.positive, guidance.negative, strict=True)
    both = denoise(ops.concatenate([noisy, noisy]), 0.6, [ops.concatenate(pair) for pair in pairs])
    np.testing.assert_array_equal(guided, ops.convert_to_numpy(both)[:2])


@pytest.mark.parametrize("kind", ["image_to_image", "variations", "inpaint", "outpaint"])
def test_editing_does_what_prompts_say(model, kind):
    images = pictures(2)[0]
    mask = np.zeros((SIZE, SIZE), bool)
    mask[2:6, 3:] = True
    edit = {
        "image_to_image": lambda **to: imagegen.image_to_image(model, images, strength=0.9, **to),
        "variations": lambda **to: imagegen.variations(model, images[0], 2, **to),
        "inpaint": lambda **to: imagegen.inpaint(model, images, mask, num_resamplings=1, **to),
        "outpaint": lambda **to: imagegen.outpaint(model, images, 4, num_resamplings=1, **to),
    }[kind]
    dark, bright = (edit(prompts=name, num_steps=3, seed=0).astype(int) for name in NAMES)
    assert abs(dark - bright).max() > 20
    if kind == "inpaint":
        np.testing.assert_array_equal(dark[:, ~mask], images[:, ~mask])
    if kind == "outpaint":
        np.testing.assert_array_equal(bright[:, 4:-4, 4:-4], images)
    with pytest.raises(ValueError, match="Did you mean 'dark'"):
        edit(prompts="drak", num_steps=3, seed=0)
    if kind != "variations":
        with pytest.raises(ValueError, match="`prompts`"):
            edit(prompts=["dark"] * 3, num_steps=3, seed=0)


def test_guided_normal_distributions_are_sampled_by_their_product():
    # Two normal distributions of the same variance v, means a and b: guidance of scale w samples
    # from p_a^w p_b^(1 - w), a normal distribution with the mean b + w (a - b) and the variance v.
    from imagegen.samplers import advance, initial_noise, levels

    schedule, variance, means, scale = imagegen.CosineSchedule(0.001, 1.0), 0.25, (0.3, -0.2), 2.5

    def exact(mean, noisy, time):
        noise, signal = schedule(time)
        gain = variance * signal / (variance * signal**2 + noise**2)
        return mean + gain * (noisy - signal * mean)

    def denoise(noisy, time):
        return imagegen.guide(*(exact(mean, noisy, time) for mean in means), scale)

    noise = ops.convert_to_tensor(initial_noise(4000, (1,), 0))
    table, sampler = levels(schedule, 200), imagegen.Heun()
    state = sampler.init(noise, ops.convert_to_tensor(0, "int32"))
    bounds = (ops.convert_to_tensor(step, "int32") for step in (0, 200))
    samples, *_ = advance(sampler, denoise, noise, state, ops.convert_to_tensor(table), *bounds)
    samples = ops.convert_to_numpy(samples)
    noise = ops.convert_to_numpy(noise)
    expected = means[1] + scale * (means[0] - means[1]) + noise * variance**0.5
    np.testing.assert_allclose(samples, expected, atol=0.02)


def test_no_guidance_is_scale_1_and_asks_for_no_negative_prompt(model, monkeypatch):
    options = {"num_steps": 3, "seed": 0}
    images = model.generate(NAMES, guidance_scale=None, **options)
    expected = model.generate(NAMES, guidance_scale=1.0, **options)
    np.testing.assert_allclose(images.astype(int), expected, atol=1)
    assert model.guidance(NAMES, guidance_scale=None).negative is None
    with pytest.raises(ValueError, match="`guidance_scale` must be a number where there are"):
        model.generate(NAMES, negative_prompts="dark", guidance_scale=None)


@pytest.mark.parametrize("sampler", [imagegen.DDIM(), imagegen.DDPM()])
def test_with_seeds_of_their_own_pictures_are_as_alone(model, sampler):
    options = {"num_steps": 3, "sampler": sampler}
    images = model.generate(NAMES, seed=[5, 2], **options)
    for image, name, seed in zip(images, NAMES, (5, 2), strict=True):
        (alone,) = model.generate([name], seed=seed, **options)
        np.testing.assert_allclose(image.astype(int), alone, atol=1)
    with pytest.raises(ValueError, match="`seed` must be one for all 2 pictures or one for each"):
        model.generate(NAMES, seed=[1, 2, 3])
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        model.generate(NAMES, seed=[1, -2])


def test_scale_1_denoises_as_the_conditional_model_does(model):
    images, labels = pictures(2)
    noisy = ops.convert_to_tensor(model.to_samples(images))
    guidance = model.guidance(labels, guidance_scale=1.0)
    alone = model.denoise(noisy, 0.7, model.encode_prompts(labels))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model._guided(guidance, 1.0)(noisy, 0.7)),
        ops.convert_to_numpy(alone),
        atol=1e-5,
    )
    other = model.denoise(noisy, 0.7, guidance.negative)
    assert np.abs(ops.convert_to_numpy(alone - other)).max() > 0.01


def test_a_larger_scale_moves_away_from_the_negative_prompt(model):
    options = {"num_steps": 1, "seed": 0}
    towards, nothing, away = (
        model.generate(["dark"] * 2, guidance_scale=1.0, **options).astype(float),
        model.generate(2, **options).astype(float),
        model.generate(["dark"] * 2, guidance_scale=1.5, **options).astype(float),
    )
    inside = (away > 0) & (away < 255) & (nothing > 0) & (nothing < 255)
    assert inside.sum() > 50
    np.testing.assert_allclose((away - nothing)[inside], 1.5 * (towards - nothing)[inside], atol=3)


# The model


@pytest.mark.slow(reason="trains a model until it obeys")
def test_a_trained_model_paints_what_it_is_told():
    model = conditional_model(random_weights=False, averaging=0.9)
    images, labels = pictures()
    batches = imagegen.ShuffledBatches((images, labels), 16, seed=0)
    model.fit(batches, shuffle=False, epochs=30, verbose=0)
    dark, bright = model.generate(["dark", "bright"], guidance_scale=1.0, num_steps=10, seed=0)
    assert dark.mean() < 80
    assert bright.mean() > 160
    (not_dark,) = model.generate(1, negative_prompts="dark", num_steps=10, seed=0)
    assert not_dark.mean() > 160


def test_without_prompts_the_empty_prompt_is_painted(model):
    expected = model.generate(["", ""], guidance_scale=1.0, num_steps=3, seed=0)
    np.testing.assert_allclose(
        model.generate(2, num_steps=3, seed=0).astype(int), expected.astype(int), atol=1
    )
    assert (model.generate(["dark", "dark"], num_steps=3, seed=0) != expected).any()


def test_prompts_numbers_and_encoded_prompts_are_the_same(model):
    options = {"num_steps": 2, "seed": 0}
    expected = model.generate(["bright", "dark"], **options)
    np.testing.assert_array_equal(model.generate([1, 0], **options), expected)
    encoded = model.encode_prompts(["bright", "dark"])
    assert [array.shape for array in encoded] == [(2, 6)]
    np.testing.assert_array_equal(model.generate(encoded, **options), expected)
    negative = model.generate(encoded, negative_prompts=model.encode_prompts(["", ""]), **options)
    np.testing.assert_array_equal(negative, expected)
    one = model.generate("bright", **options)
    np.testing.assert_allclose(one[0].astype(int), expected[0].astype(int), atol=1)


def test_a_new_prompt_and_a_new_scale_compile_nothing():
    model, calls = conditional_model(), []
    call = model.averaged.call
    model.averaged.call = lambda *args, **kwargs: calls.append(1) or call(*args, **kwargs)
    model.generate(["dark", "bright"], num_steps=2, seed=0)
    traced = len(calls)
    if keras.backend.backend() != "torch":  # PyTorch compiles nothing at all.
        model.generate(
            ["bright", ""], negative_prompts="dark", guidance_scale=7.5, num_steps=5, seed=1
        )
        assert len(calls) == traced


@pytest.mark.parametrize(("prompt_dropout", "unmoved"), [(0.0, [2]), (1.0, [0, 1])])
def test_only_the_vectors_that_were_seen_learn(prompt_dropout, unmoved):
    model = conditional_model(prompt_dropout=prompt_dropout)
    before = values(model.encoder)[0]
    model.fit(pictures(), batch_size=16, verbose=0)
    moved = (values(model.encoder)[0] != before).any(axis=1)
    assert [index for index in range(3) if not moved[index]] == unmoved


def test_averages_and_presets_hold_the_encoder_too(tmp_path):
    model = conditional_model()
    model.fit(pictures(), batch_size=16, epochs=2, verbose=0)
    learning, averaged = values(model.encoder)[0], values(model.averaged_encoder)[0]
    assert np.abs(learning - averaged).max() > 1e-4
    path = tmp_path / "model.keras"
    model.save_preset(path)
    np.testing.assert_array_equal(values(model.encoder)[0], learning)
    restored = imagegen.DiffusionModel.from_preset(path)
    assert restored.encoder.names == NAMES
    assert restored.prompt_dropout == model.prompt_dropout
    for encoder in (restored.encoder, restored.averaged_encoder):
        np.testing.assert_allclose(values(encoder)[0], averaged, atol=1e-3)
    np.testing.assert_allclose(
        restored.generate(["dark"], num_steps=2, seed=0).astype(int),
        model.generate(["dark"], num_steps=2, seed=0).astype(int),
        atol=3,
    )


def test_evaluation_drops_no_prompt():
    model = conditional_model(prompt_dropout=1.0)
    calls = []
    encode = model.averaged_encoder.call
    model.averaged_encoder.call = lambda tokens: calls.append(tokens) or encode(tokens)
    model.call(pictures(4))
    np.testing.assert_array_equal(ops.convert_to_numpy(calls[0]), pictures(4)[1])


def test_a_condition_says_nothing_to_an_untrained_network():
    network = imagegen.UNet(
        SIZE, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=6
    )
    head = network.get_layer("head").kernel
    head.assign(normal(9, *head.shape))
    noisy, rates = normal(0, 2, SIZE, SIZE, 3), np.full((2, 1, 1, 1), 0.5, "float32")
    first, second = (network([noisy, rates, normal(seed, 2, 6)]) for seed in (1, 2))
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (first, second)))
    assert np.abs(ops.convert_to_numpy(first)).max() > 0


# The guiding network


def autoguided_model(autoguidance_scale: float = 2.0) -> imagegen.DiffusionModel:
    model = imagegen.DiffusionModel(
        imagegen.UNet(SIZE, [8], block_depth=1),
        guiding_network=imagegen.UNet(SIZE, [4], block_depth=1),
        autoguidance_scale=autoguidance_scale,
        prediction=imagegen.VelocityPrediction(),
    )
    for seed, network in enumerate((model.network, model.averaged, model.guiding_network)):
        kernel = network.get_layer("head").kernel
        kernel.assign(0.3 * normal(seed // 2, *kernel.shape))
    model.normalizer.adapt(pictures()[0])
    model.compile(optimizer="adam")
    return model


def test_sampling_moves_away_from_the_guiding_network():
    model, generated = autoguided_model(), []
    for scale in (0, 1, 1.5):  # One program serves them all.
        model.autoguidance_scale = scale
        generated.append(model.generate(2, num_steps=1, seed=0).astype(float))
    poor, plain, guided = generated
    inside = (guided > 0) & (guided < 255) & (poor > 0) & (poor < 255)
    assert inside.sum() > 50
    np.testing.assert_allclose((guided - poor)[inside], 1.5 * (plain - poor)[inside], atol=3)
    alone = imagegen.DiffusionModel(model.averaged, prediction=model.prediction)
    alone.normalizer.adapt(pictures()[0])
    np.testing.assert_allclose(plain, alone.generate(2, num_steps=1, seed=0), atol=1)


def test_editing_is_guided_too():
    model, images = autoguided_model(), pictures(2)[0]
    edited = imagegen.image_to_image(model, images, strength=0.5, num_steps=2, seed=0)
    model.autoguidance_scale = 1.0
    other = imagegen.image_to_image(model, images, strength=0.5, num_steps=2, seed=0)
    assert (edited != other).any()


def test_training_and_denoising_leave_the_guiding_network_alone(tmp_path):
    model = autoguided_model()
    before = values(model.guiding_network)
    model.fit(pictures(16)[0], batch_size=8, verbose=0)
    noisy = normal(0, 2, SIZE, SIZE, 3)
    clean = ops.convert_to_numpy(model.denoise(noisy, 0.5))
    path = tmp_path / "model.keras"
    model.save(path)
    restored = keras.saving.load_model(path)
    assert restored.autoguidance_scale == 2.0
    for network in (model.guiding_network, restored.guiding_network):
        for one, other in zip(before, values(network), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not network.trainable_variables
    for weight in model.guiding_network.weights:
        weight.assign(0 * weight)
    np.testing.assert_array_equal(clean, ops.convert_to_numpy(model.denoise(noisy, 0.5)))


def test_the_guiding_network_rests_where_there_are_prompts():
    model = conditional_model(guiding_network=imagegen.UNet(SIZE, [4], block_depth=1))
    kernel = model.guiding_network.get_layer("head").kernel
    kernel.assign(0.3 * normal(3, *kernel.shape))
    noisy = ops.convert_to_tensor(normal(0, 2, SIZE, SIZE, 3))
    guidance = model.guidance(["dark", "dark"], "bright", 3.0)
    for prompts, is_guided in ((guidance, False), (None, True)):
        one, other = (
            ops.convert_to_numpy(model._guided(prompts, scale)(noisy, 0.6)) for scale in (1, 1.5)
        )
        assert (one != other).any() == is_guided
        if prompts is guidance:
            positive, negative = (
                ops.convert_to_numpy(model.denoise(noisy, 0.6, model.encode_prompts([prompt] * 2)))
                for prompt in ("dark", "bright")
            )
            np.testing.assert_allclose(other, positive + 2 * (positive - negative), atol=1e-5)


# What is refused


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["grey"], {}, "`prompts`.*'grey'"),
        ([], {}, "at least one"),
        (0, {}, "`num_images` must be an integer, at least 1"),
        (["dark"] * 3, {"negative_prompts": ["bright"] * 2}, "`negative_prompts`.*3.*Received: 2"),
        (["dark"], {"guidance_scale": -1}, "`guidance_scale`"),
        (imagegen.Conditions(np.zeros((1, 5))), {}, r"`prompts`.*\(1, 5\)"),
        (imagegen.Conditions(np.full((1, 6), np.nan)), {}, "`prompts` must be finite"),
    ],
)
def test_prompts_that_cannot_be_painted_are_refused(model, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(prompts, num_steps=1, **options)


def test_a_model_without_an_encoder_takes_no_prompts():
    model = imagegen.DiffusionModel(imagegen.UNet(SIZE, [8], block_depth=1))
    with pytest.raises(ValueError, match="has none"):
        model.generate("dark")


def test_pictures_without_tokens_are_refused_by_a_conditional_model():
    with pytest.raises(ValueError, match="pictures and a prompt for each"):
        conditional_model().fit(pictures()[0], verbose=0)


def test_an_encoder_that_does_not_fit_the_network_is_refused():
    network = imagegen.UNet(
        SIZE, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=6
    )
    with pytest.raises(ValueError, match=r"\(6,\).*\(5,\)"):
        imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(NAMES, 5))
    with pytest.raises(ValueError, match="one more input"):
        imagegen.DiffusionModel(network)


def test_a_guiding_network_of_another_size_is_refused():
    with pytest.raises(ValueError, match="`guiding_network`"):
        imagegen.DiffusionModel(
            imagegen.UNet(SIZE, [8], block_depth=1),
            guiding_network=imagegen.UNet(2 * SIZE, [8], block_depth=1),
        )


def test_bytes_are_no_names():
    encoder = imagegen.LabelEncoder(NAMES, 5)
    for prompts in ([NAMES[0].encode()], np.array(NAMES, "S")):
        with pytest.raises(ValueError, match=r"`prompts` must be names .* Received: the bytes b'"):
            encoder.tokens(prompts)


def test_a_condition_needs_an_embedding():
    with pytest.raises(ValueError, match="`embedding_dim` must be given"):
        imagegen.UNet(SIZE, [8], block_depth=1, condition_dim=6)


def test_the_scale_of_autoguidance_is_read_by_its_older_name():
    config = autoguided_model(2.5).get_config()
    config["guiding_scale"] = config.pop("autoguidance_scale")
    assert imagegen.DiffusionModel.from_config(config).autoguidance_scale == 2.5
