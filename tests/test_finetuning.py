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
