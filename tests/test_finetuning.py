"""A trained model goes on: what it knew stays, and what is new can be learned."""

import imagegen

import keras
import numpy as np
import pytest
from keras import ops

NAMES = ["daisy", "rose"]


def labelled(**options):
    options = {"attention_resolutions": [4], "position_embedding": True} | options
    network = imagegen.UNet(
        8, [8, 8], block_depth=1, norm="group", embedding_dim=8, condition_dim=6, **options
    )
    model = imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(NAMES, 6))
    return trained(model)


def written():
    network = imagegen.UNet(
        8,
        [8, 8],
        block_depth=1,
        norm="group",
        embedding_dim=8,
        condition_dim=8,
        context_shape=(4, 8),
        attention_resolutions=[4],
    )
    tokenizer = imagegen.WordTokenizer(["a", "red", "flower"], 4, num_spare_words=2)
    return trained(imagegen.DiffusionModel(network, encoder=imagegen.TextEncoder(tokenizer, 8)))


def trained(model):
    """A model whose every weight has left its initial value."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in weight.dtype and weight.path.split("/")[-1] not in ("mean", "variance"):
            weight.assign(0.3 * random.standard_normal(weight.shape))
    model.normalizer.adapt(random.integers(0, 256, (4, 8, 8, 3)).astype("float32"))
    model.steps_averaged.assign(500)
    return model


@pytest.mark.parametrize(
    ("model", "prompts", "new"),
    [(labelled, [*NAMES, ""], "tulip"), (written, ["a red flower", "red", ""], "tulip")],
)
def test_a_wider_model_paints_what_the_narrow_one_did(model, prompts, new):
    narrow = model()
    wide = imagegen.with_names(narrow, [new], like={new: prompts[1]})
    options = {"num_steps": 2, "seed": 0, "guidance_scale": 2.0}
    before = narrow.generate(prompts, **options)
    np.testing.assert_array_equal(wide.generate(prompts, **options), before)
    painted = wide.generate([prompts[0], new], **options)
    np.testing.assert_array_equal(painted[1], wide.generate(prompts[:2], **options)[1])
    assert float(ops.convert_to_numpy(wide.steps_averaged)) == 0
    with pytest.raises(ValueError, match=new):
        narrow.generate(new, **options)


def test_a_new_name_is_learned():
    images = np.zeros((8, 8, 8, 3), "uint8")
    images[4:, :4] = 255
    wide = imagegen.with_names(labelled(), ["tulip"])
    wide.compile(keras.optimizers.Adam(1e-2))
    vector = ops.convert_to_numpy(wide.encoder.vectors)[2].copy()
    wide.fit((images, wide.encoder.tokens(["tulip"] * 8)), batch_size=8, verbose=0)
    assert np.abs(ops.convert_to_numpy(wide.encoder.vectors)[2] - vector).max() > 1e-3


def test_a_wider_model_is_saved_and_loaded(tmp_path):
    wide = imagegen.with_names(labelled(), ["tulip"], like={"tulip": "rose"})
    wide.save(tmp_path / "wide.keras")
    loaded = keras.saving.load_model(tmp_path / "wide.keras")
    options = {"num_steps": 2, "seed": 0}
    np.testing.assert_array_equal(
        loaded.generate(["tulip"], **options), wide.generate(["tulip"], **options)
    )


@pytest.mark.parametrize(
    ("names", "like", "message"),
    [
        (["rose"], None, "rose"),
        ("tulip", None, "`names` must be a list"),
        ([], None, "`names` must hold at least one"),
        (["tulip"], {"tulip": "oak"}, "`like` must be"),
        (["tulip"], {"oak": "rose"}, "`like` must be"),
    ],
)
def test_names_that_cannot_be_added_are_refused(names, like, message):
    with pytest.raises(ValueError, match=message):
        imagegen.with_names(labelled(), names, like=like)


def test_a_model_without_names_is_refused():
    model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1))
    with pytest.raises(ValueError, match="`model` must have an encoder of names"):
        imagegen.with_names(model, ["tulip"])


def test_a_resized_model_has_the_same_convolutions():
    small = labelled(attention_resolutions=[])
    large = imagegen.resized(small, 16)
    assert large.sample_shape == (16, 16, 3)
    # A picture that repeats itself looks to each place as the small one does, but at the edges.
    assert len(large.network.layers) == len(small.network.layers)
    for new, old in zip(large.averaged.layers, small.averaged.layers, strict=True):
        for one, other in zip(new.weights, old.weights, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
    assert large.generate(["rose"], num_steps=2, seed=0).shape == (1, 16, 16, 3)


def test_positions_are_resized_as_a_picture():
    small = labelled()
    positions = [
        [layer.positions for layer in model.network.layers if hasattr(layer, "positions")]
        for model in (small, imagegen.resized(small, 16))
    ]
    assert positions[0]
    for old, new in zip(*positions, strict=True):
        assert new.shape == (8, 8, 8)
        np.testing.assert_allclose(
            ops.convert_to_numpy(ops.mean(new, (0, 1))),
            ops.convert_to_numpy(ops.mean(old, (0, 1))),
            atol=0.05,
        )


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="`image_size`"):
        imagegen.resized(labelled(), 15)
    points = imagegen.DiffusionModel(imagegen.point_mlp(2, width=4), value_range=None)
    with pytest.raises(ValueError, match="`model` must have a UNet"):
        imagegen.resized(points, 16)


# Low-rank additions


def test_additions_learn_and_nothing_else_does(tmp_path):
    model = labelled()
    small = imagegen.with_lora(model, rank=2)
    options = {"num_steps": 2, "seed": 0}
    before = model.generate(["rose"], **options)
    np.testing.assert_array_equal(small.generate(["rose"], **options), before)

    def plain(layers):
        return [weight for weight in layers.weights if "lora" not in weight.name]

    old = [ops.convert_to_numpy(weight) for weight in plain(small.network)]
    additions = [weight for weight in small.network.weights if "lora" in weight.name]
    assert {weight.path for weight in small.network.trainable_weights} == {
        weight.path for weight in additions
    }
    small.compile(keras.optimizers.Adam(1e-2))
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 3), "uint8")
    small.fit(images, ["rose"] * 8, batch_size=4, epochs=2, verbose=0)
    for now, then in zip(plain(small.network), old, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(now), then)
    assert all(np.abs(ops.convert_to_numpy(weight)).max() > 0 for weight in additions)
    after = small.generate(["rose"], **options)
    assert (after != before).any()

    # In a file they are part of the kernels.
    small.save_preset(tmp_path / "taught.keras")
    loaded = imagegen.DiffusionModel.from_preset(tmp_path / "taught.keras")
    assert len(loaded.network.weights) == len(model.network.weights)
    for half, layer in zip(loaded.averaged.layers, small.averaged.layers, strict=True):
        if hasattr(layer, "kernel"):
            kernels = [ops.convert_to_numpy(each.kernel) for each in (half, layer)]
            np.testing.assert_allclose(*kernels, rtol=2**-10, atol=1e-6)
    small.save(tmp_path / "all.keras")
    loaded = keras.saving.load_model(tmp_path / "all.keras")
    assert np.abs(loaded.generate(["rose"], **options).astype(int) - after).max() <= 1
    loaded.compile("adam")
    loaded.fit(images, ["rose"] * 8, batch_size=4, verbose=0)


def test_additions_of_a_rank_equal_the_sum_of_their_kernels():
    small = imagegen.with_lora(labelled(), rank=3)
    random = np.random.default_rng(0)
    layer = next(one for one in small.averaged._flatten_layers() if hasattr(one, "lora_kernel_a"))
    a, b = (random.standard_normal(w.shape) for w in (layer.lora_kernel_a, layer.lora_kernel_b))
    before = ops.convert_to_numpy(layer.kernel)
    layer.lora_kernel_a.assign(a)
    layer.lora_kernel_b.assign(b)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.kernel), before + a @ b, rtol=1e-4)


def test_additions_are_made_once_and_have_a_rank():
    with pytest.raises(ValueError, match="`rank`"):
        imagegen.with_lora(labelled(), 0)
    with pytest.raises(ValueError, match="`rank` must be an integer, from 1 to"):
        imagegen.with_lora(labelled(), 1_000_000)
    with pytest.raises(ValueError, match="without LoRA"):
        imagegen.with_lora(imagegen.with_lora(labelled(), 2), 2)


def wider(make) -> imagegen.DiffusionModel:
    """A model that knows one name more, as what is loaded is: its average is what it learned."""
    wide = imagegen.with_names(make(), ["tulip"])
    wide.prompt_dropout = 0.0
    # The slope of an absolute error doesn't fade where the error does.
    wide.loss_function = keras.losses.MeanSquaredError(reduction=None)
    wide.network.set_weights(wide.averaged.get_weights())
    wide.encoder.set_weights(wide.averaged_encoder.get_weights())
    return wide


def samples(model: imagegen.DiffusionModel, prompts: list[str]) -> np.ndarray:
    return model.sample(prompts, num_steps=3, seed=0, guidance_scale=None)


@pytest.mark.parametrize(
    ("make", "prompts"),
    [(labelled, ["rose", "daisy", "rose", ""]), (written, ["a red flower", "red", "", "a"])],
    ids=["classes", "words"],
)
def test_a_rehearsal_of_old_names_has_nothing_to_learn(make, prompts):
    wide = wider(make)
    before = samples(wide, prompts)
    rehearsal = imagegen.Rehearsal(wide, ["tulip"])
    rehearsal.compile(keras.optimizers.SGD(0.01))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), "uint8")
    history = rehearsal.fit(images, prompts, epochs=2, verbose=0)
    assert max(history.history["loss"]) < 1e-3
    np.testing.assert_allclose(samples(wide, prompts), before, atol=1e-2)


def test_a_rehearsal_learns_new_names_and_keeps_old_ones_better_than_training_does():
    images = np.repeat(np.uint8([30, 220]), 8)[:, None, None, None] * np.ones((8, 8, 3), "uint8")
    images += np.random.default_rng(0).integers(0, 20, images.shape, "uint8")
    prompts = ["tulip"] * 8 + ["rose"] * 8
    changes = {}
    for name in ("plain", "rehearsed"):
        wide = wider(labelled)
        before = samples(wide, ["rose"] * 4)
        training = wide if name == "plain" else imagegen.Rehearsal(wide, ["tulip"])
        training.compile(keras.optimizers.Adam(3e-3))
        losses = training.fit(images, prompts, epochs=30, verbose=0).history["loss"]
        assert losses[-1] < 0.9 * losses[0]
        changes[name] = np.abs(samples(wide, ["rose"] * 4) - before).mean()
    # From 0.44 to 0.53 with eight seeds.
    assert changes["rehearsed"] < 0.7 * changes["plain"]


def test_a_rehearsal_is_compiled_first():
    rehearsal = imagegen.Rehearsal(imagegen.with_names(labelled(), ["tulip"]), ["tulip"])
    with pytest.raises(ValueError, match="A Rehearsal must be compiled"):
        rehearsal.fit(np.zeros((2, 8, 8, 3)), ["tulip", "rose"])


def test_another_encoder_cannot_be_set():
    model = labelled()
    model.compile("adam")
    model.encoder = 3
    for act in (lambda: model.fit(np.zeros((2, 8, 8, 3)), ["rose"] * 2), lambda: model.generate(1)):
        with pytest.raises(ValueError, match=r"`encoder` must be the one .* Received: encoder=3"):
            act()


@pytest.mark.parametrize("names", [["lily"], [], "tulip"])
def test_a_rehearsal_needs_names_that_the_encoder_knows(names):
    wide = imagegen.with_names(labelled(), ["tulip"])
    with pytest.raises(ValueError, match="names"):
        imagegen.Rehearsal(wide, names)
