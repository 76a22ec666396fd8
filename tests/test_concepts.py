"""Textual inversion: one vector learns, and nothing else."""

import inspect

import imagegen

import keras
import numpy as np
import pytest
from keras import ops
from strategies import normal

CAPTIONS = ["a dark flower", "a bright flower with petals"]


def text_model() -> imagegen.DiffusionModel:
    """Reads captions, looks at their words, and was not trained."""
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(
        8,
        [8],
        block_depth=1,
        norm="group",
        embedding_dim=8,
        condition_dim=6,
        context_shape=(6, 6),
        attention_resolutions=[8],
    )
    encoder = imagegen.TextEncoder(
        imagegen.WordTokenizer.fit(CAPTIONS, num_spare_words=2), 6, num_heads=2
    )
    model = imagegen.DiffusionModel(
        network,
        encoder=encoder,
        prediction=imagegen.VelocityPrediction(),
        loss="mean_squared_error",
    )
    model.normalizer.adapt(pictures())
    # The same on every backend, and far from what the pictures would ask for.
    for copy in (model.encoder, model.averaged_encoder):
        copy.word_vectors.assign(normal(1, *copy.word_vectors.shape))
    for net in (model.network, model.averaged):
        for layer in ("condition_in", "head"):
            kernel = net.get_layer(layer).kernel
            kernel.assign(0.5 * normal(9, *kernel.shape))
    return model


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), "uint8")


def weights(model: imagegen.DiffusionModel) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in model.variables]


@pytest.fixture(scope="module")
def learned() -> tuple:
    """A model, what it was before, and the word that it learned."""
    model = text_model()
    before = weights(model)
    painted = model.generate(CAPTIONS, num_steps=2, seed=0)
    concept = imagegen.learn_concept(
        model,
        pictures(),
        "<spots>",
        initial_word="petals",
        num_steps=40,
        batch_size=6,
        learning_rate=0.1,
    )
    return model, before, painted, concept


def test_only_the_new_words_vector_changes(learned):
    model, before, _, concept = learned
    token = model.encoder.tokenizer.tokens(["<spots>"])[0, 0]
    changed = 0
    for old, new in zip(before, weights(model), strict=True):
        if not np.array_equal(old, new):
            np.testing.assert_array_equal(np.delete(old, token, 0), np.delete(new, token, 0))
            np.testing.assert_array_equal(new[token], concept.vector)
            changed += 1
    assert changed == 2, "the learning and the averaged encoder"


def test_pictures_without_the_word_stay_the_same_bit_for_bit(learned):
    model, _, painted, _ = learned
    np.testing.assert_array_equal(model.generate(CAPTIONS, num_steps=2, seed=0), painted)


def test_the_word_can_be_used_in_any_prompt(learned):
    model, *_ = learned
    with_word, without = model.generate(["a <spots> flower", "a dark flower"], num_steps=2, seed=0)
    assert (with_word != without).any()


def test_the_vector_leaves_its_start_and_lowers_the_loss(learned):
    model, _, _, concept = learned
    start = model.encoder.tokenizer.tokens(["petals"])[0, 0]
    begun = ops.convert_to_numpy(model.encoder.word_vectors)[start]
    assert np.abs(concept.vector - begun).max() > 0.01
    samples = ops.convert_to_tensor(np.tile(model.to_samples(pictures()), (40, 1, 1, 1)))

    def loss(word: str) -> float:
        rows = [np.repeat(array, 120, axis=0) for array in model.encode_prompts(f"a {word} flower")]
        conditions = [ops.convert_to_tensor(array) for array in rows]
        generator = keras.random.SeedGenerator(7)
        return float(model.loss_of(model.attempt(model.averaged, samples, conditions, generator)))

    assert loss("<spots>") < loss("petals")


def test_a_concept_goes_through_a_small_file_into_another_model(learned, tmp_path):
    model, _, _, concept = learned
    concept.save(tmp_path / "spots.json")
    assert (tmp_path / "spots.json").stat().st_size < 4096
    other = text_model()
    imagegen.add_concept(other, imagegen.Concept.load(tmp_path / "spots.json"))
    prompts = ["a dark <spots> flower"]
    np.testing.assert_array_equal(
        other.generate(prompts, num_steps=2, seed=0), model.generate(prompts, num_steps=2, seed=0)
    )


def test_a_model_keeps_its_word_when_it_is_saved(learned, tmp_path):
    model, *_ = learned
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(
        copy.encode_prompts("<spots>"), model.encode_prompts("<spots>"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow(reason="compiles the shipped painter of latents, for training and for sampling")
def test_a_painter_of_latents_learns_a_word_and_keeps_the_others():
    painter = imagegen.LatentDiffusion.from_preset("captioned-64")
    images = imagegen.datasets.captioned_flowers(3, image_size=64, seed=1, upright=True).images
    options = {"num_steps": 2, "seed": 0}
    before = painter.generate(["a red flower"], **options)
    imagegen.learn_concept(painter, images, "<new>", initial_word="blue", num_steps=3, batch_size=3)
    np.testing.assert_array_equal(painter.generate(["a red flower"], **options), before)
    assert (painter.generate(["a <new> flower"], **options) != before).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"word": "petals"}, "`word`"),
        ({"word": "two words"}, "`word`"),
        ({"initial_word": "unheard"}, "`initial_word` must be a word.*'unheard'"),
        ({"initial_word": "a flower"}, "`initial_word` must be a word"),
        ({"initial_word": 3}, "`initial_word` must be a string"),
        ({"word": "flow", "prompts": ["a flower"] * 3}, "must have the word"),
        ({"images": np.zeros((2, 4, 4, 3), "uint8")}, "model's size"),
        ({"prompts": ["a <x> flower"]}, "one for each of the 3"),
        ({"prompts": ["a flower"] * 3}, "must have the word"),
        ({"prompts": ["a <x> zebra"] * 3}, "'zebra'"),
        ({"num_steps": 0}, "`num_steps`"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_what_cannot_be_learned_leaves_the_model_alone(changes, message):
    model = text_model()
    before = weights(model)
    arguments = {"images": pictures(), "word": "<x>", "initial_word": "petals"} | changes
    images, word = arguments.pop("images"), arguments.pop("word")
    with pytest.raises(ValueError, match=message):
        imagegen.learn_concept(model, images, word, **arguments)
    assert "<x>" not in model.encoder.tokenizer.words
    for old, new in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_vector_of_another_model_is_refused():
    with pytest.raises(ValueError, match="`concept` must have a vector"):
        imagegen.add_concept(text_model(), imagegen.Concept("<x>", np.zeros(5, "float32")))


def test_a_model_without_words_is_refused():
    model = imagegen.DiffusionModel(imagegen.UNet(8, [8], block_depth=1))
    with pytest.raises(ValueError, match="TextEncoder"):
        imagegen.learn_concept(model, pictures(), "<x>", initial_word="petals")


def test_a_file_that_holds_no_concept_is_named(tmp_path):
    for content in ("{}", "[", '{"word": "x", "vector": ["a"]}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match="holds no concept"):
            imagegen.Concept.load(tmp_path / "bad.json")


def test_words_are_learned_in_one_way_by_every_model():
    for name in ("learn_concept", "add_concept"):
        ours, theirs = (
            [(each.name, each.kind, each.default is each.empty) for each in parameters]
            for parameters in (
                inspect.signature(getattr(module, name)).parameters.values()
                for module in (imagegen, imagegen.sd3)
            )
        )
        assert ours == theirs
