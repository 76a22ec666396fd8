"""Laws of CLIP: its loss against float64 references, its temperature, its embeddings, its files."""

import math
import tempfile
from pathlib import Path

import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

SEEDS = st.integers(0, 2**32 - 1)
CAPTIONS = ["a red flower", "a blue flower", "a flower", "a red flower on a blue background"]
IMAGES = np.random.default_rng(3).integers(0, 256, (4, 8, 8, 3), "uint8")


def tiny_clip(seed=0):
    keras.utils.set_random_seed(seed)
    tokenizer = imagegen.WordTokenizer.fit(CAPTIONS)
    return imagegen.CLIP(
        imagegen.clip_image_encoder(8, [4, 8], dim=6),
        imagegen.TextEncoder(tokenizer, dim=8, num_layers=1, num_heads=2),
    )


def unit_vectors(rng, count, dim=5):
    vectors = rng.standard_normal((count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def loss_of(images, texts, temperature):
    images, texts = (np.asarray(vectors, "float32") for vectors in (images, texts))
    return float(ops.convert_to_numpy(imagegen.contrastive_loss(images, texts, temperature)))


def reference(images, texts, temperature):
    """Two softmaxes written out, pair by pair, in float64."""
    count, total = len(images), 0.0
    for i in range(count):
        own = math.exp(images[i] @ texts[i] / temperature)
        total -= math.log(own / sum(math.exp(images[i] @ text / temperature) for text in texts))
        total -= math.log(own / sum(math.exp(image @ texts[i] / temperature) for image in images))
    return total / (2 * count)


@settings(max_examples=20)
@given(seed=SEEDS, count=st.integers(1, 6), temperature=st.floats(0.05, 2))
def test_the_loss_is_the_mean_of_two_cross_entropies(seed, count, temperature):
    rng = np.random.default_rng(seed)
    images, texts = unit_vectors(rng, count), unit_vectors(rng, count)
    expected = reference(images, texts, temperature)
    np.testing.assert_allclose(loss_of(images, texts, temperature), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_orthogonal_matched_pairs_have_the_loss_of_the_closed_form(temperature):
    # Cosines 1 on the diagonal and 0 elsewhere.
    expected = math.log1p(7 * math.exp(-1 / temperature))
    np.testing.assert_allclose(loss_of(np.eye(8), np.eye(8), temperature), expected, atol=1e-6)


def test_embeddings_that_say_nothing_cost_the_logarithm_of_the_batch():
    same = np.tile(unit_vectors(np.random.default_rng(0), 1), (8, 1))
    np.testing.assert_allclose(loss_of(same, same, 0.07), math.log(8), rtol=1e-6)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_the_loss_does_not_change_when_images_and_texts_change_places(seed):
    rng = np.random.default_rng(seed)
    images, texts = unit_vectors(rng, 5), unit_vectors(rng, 5)
    np.testing.assert_allclose(loss_of(images, texts, 0.1), loss_of(texts, images, 0.1), rtol=1e-5)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_the_order_of_the_pairs_does_not_matter_and_the_pairing_does(seed):
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    order = rng.permutation(6)
    matched = loss_of(vectors, vectors, 0.1)
    np.testing.assert_allclose(loss_of(vectors[order], vectors[order], 0.1), matched, atol=1e-5)
    assert loss_of(vectors, np.roll(vectors, 1, axis=0), 0.1) > matched + 1


def test_training_lowers_the_loss_and_finds_every_pair():
    clip = tiny_clip()
    tokens = clip.tokens(CAPTIONS)
    clip.compile(keras.optimizers.Adam(0.01))
    history = clip.fit((IMAGES, tokens), batch_size=4, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.1 < 0.5 < history["loss"][0]
    assert history["accuracy"][-1] == 1


def test_every_part_learns():
    clip = tiny_clip()
    before = [weight.numpy().copy() for weight in clip.trainable_variables]
    clip.compile(keras.optimizers.Adam(0.01))
    clip.fit((IMAGES, clip.tokens(CAPTIONS)), batch_size=4, verbose=0)
    for old, weight in zip(before, clip.trainable_variables, strict=True):
        # Attention ignores a bias of its keys: it adds the same to each logit of a softmax.
        if "key/bias" not in weight.path:
            assert np.abs(old - weight.numpy()).max() > 0, weight.path


def test_the_fitted_loss_is_that_of_the_embeddings():
    clip = tiny_clip()
    clip.compile("sgd")
    tokens = clip.tokens(CAPTIONS)
    expected = reference(clip.embed_images(IMAGES), clip.embed_texts(CAPTIONS), clip.temperature)
    loss, accuracy = clip.evaluate((IMAGES, tokens), verbose=0)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    found = clip.similarity(IMAGES, CAPTIONS).argmax(axis=1)
    np.testing.assert_allclose(accuracy, np.mean(found == np.arange(4)))


def test_the_temperature_starts_as_in_the_paper_and_never_falls_below_a_hundredth():
    clip = tiny_clip()
    np.testing.assert_allclose(clip.temperature, 0.07, rtol=1e-5)
    # Steps of 1, whatever the size of the gradient; pairs that are found with ease want it colder.
    clip.compile(keras.optimizers.Adam(1.0))
    easy = np.eye(4, 6, dtype="float32")
    clip.call = lambda inputs, training=None: (ops.convert_to_tensor(easy),) * 2
    for _ in range(3):
        clip.fit((IMAGES, clip.tokens(CAPTIONS)), batch_size=4, verbose=0)
    np.testing.assert_allclose(clip.temperature, 0.01, rtol=1e-5)


def test_embeddings_have_length_one_and_similarities_are_their_cosines():
    clip = tiny_clip()
    images, texts = clip.embed_images(IMAGES), clip.embed_texts(CAPTIONS[:3])
    assert images.shape == (4, 6)
    assert texts.shape == (3, 6)
    assert images.dtype == texts.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    similarity = clip.similarity(IMAGES, CAPTIONS[:3])
    np.testing.assert_allclose(similarity, images @ texts.T, atol=1e-6)


def test_an_embedding_does_not_depend_on_its_company():
    clip = tiny_clip()
    many = np.random.default_rng(1).integers(0, 256, (130, 8, 8, 3), "uint8")
    together = clip.embed_images(many)
    np.testing.assert_allclose(clip.embed_images(many[129:]), together[129:], atol=1e-5)
    np.testing.assert_allclose(
        clip.embed_texts(CAPTIONS)[::-1], clip.embed_texts(CAPTIONS[::-1]), atol=1e-5
    )
    np.testing.assert_array_equal(clip.embed_texts("a flower").shape, (1, 6))


@pytest.mark.parametrize("save", ["keras", "preset"])
def test_a_saved_model_embeds_as_before(save):
    clip = tiny_clip()
    clip.compile(keras.optimizers.Adam(0.01))
    clip.fit((IMAGES, clip.tokens(CAPTIONS)), batch_size=4, epochs=2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.keras"
        clip.save(path) if save == "keras" else imagegen.save_preset(clip, path)
        loaded = imagegen.CLIP.from_preset(path)
    # Half precision keeps 11 bits.
    tolerance = 1e-6 if save == "keras" else 5e-3
    for ours, theirs in (
        (clip.embed_images(IMAGES), loaded.embed_images(IMAGES)),
        (clip.embed_texts(CAPTIONS), loaded.embed_texts(CAPTIONS)),
    ):
        np.testing.assert_allclose(theirs, ours, atol=tolerance)
    np.testing.assert_allclose(loaded.temperature, clip.temperature, rtol=1e-6)


def test_the_tower_that_reads_is_an_encoder_of_a_diffusion_model():
    tower = tiny_clip().text_tower
    tower.trainable = False
    network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=6)
    model = imagegen.DiffusionModel(network, encoder=tower)
    model.normalizer.adapt(IMAGES)
    model.compile("adam")
    before = [array.copy() for array in tower.get_weights()]
    model.fit((IMAGES, tower.tokens(CAPTIONS)), batch_size=4, verbose=0)
    for old, new in zip(before, tower.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    (condition,) = model.encode_prompts("a red flower")
    np.testing.assert_allclose(np.linalg.norm(condition), 1, rtol=1e-5)
    pictures = model.generate(imagegen.Conditions(condition), num_steps=2, seed=0)
    np.testing.assert_array_equal(pictures, model.generate("a red flower", num_steps=2, seed=0))


def test_noise_turns_vectors_by_the_angle_asked_for_in_training_only():
    tokenizer = imagegen.WordTokenizer.fit(CAPTIONS)
    encoder = imagegen.TextEncoder(tokenizer, dim=64, num_layers=0)
    tower = imagegen.TextTower(encoder, dim=64, noise=0.5)
    tokens = np.repeat(tower.tokens(["a red flower"]), 500, axis=0)
    still = ops.convert_to_numpy(tower(tokens))
    moved = ops.convert_to_numpy(tower(tokens, training=True))
    np.testing.assert_allclose(still, np.broadcast_to(still[:1], still.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)
    # Noise of length 0.5 stands nearly at a right angle to a vector of length 1.
    np.testing.assert_allclose(
        (still * moved).sum(axis=1).mean(), 1 / math.hypot(1, 0.5), atol=0.01
    )
    again = imagegen.TextTower.from_config(tower.get_config())
    assert (again.noise, again.dim) == (0.5, 64)


def test_a_picture_fits_its_captions_better_than_others_by_the_preset():
    images, _, attributes = imagegen.datasets.captioned_flowers(16, seed=99)
    captions = [imagegen.drawn.caption(drawn, name_center=True) for drawn in attributes]
    similarity = imagegen.CLIP.from_preset("clip-32").similarity(images, captions)
    assert (similarity.argmax(axis=1) == np.arange(16)).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda clip: clip.embed_images(IMAGES[0]), "`images` must have the shape"),
        (lambda clip: clip.embed_images(IMAGES[:, :4]), "`images` must be uint8 of shape"),
        (lambda clip: clip.embed_images(IMAGES / 255), "`images` must be uint8"),
        (lambda clip: clip.embed_images(IMAGES[:0]), "at least one"),
        (lambda clip: clip.embed_texts([]), "at least one sentence"),
        (lambda clip: clip.embed_texts(["a rad flower"]), "Did you mean 'red'"),
        (lambda clip: clip(IMAGES), "a tuple of pictures and tokens"),
        (lambda clip: clip.compute_loss(sample_weight=[1]), "`sample_weight` must be left out"),
        (lambda clip: imagegen.CLIP(clip.image_encoder, None), "`text_encoder` must be"),
        (lambda clip: imagegen.CLIP(None, clip.text_tower.text_encoder), "`image_encoder` must be"),
        (
            lambda clip: imagegen.CLIP(
                imagegen.UNet(8, [8], block_depth=1), clip.text_tower.text_encoder
            ),
            "`image_encoder` must be",
        ),
        (lambda clip: imagegen.TextTower(clip.text_tower.text_encoder, 0), "`dim` must be"),
        (lambda clip: imagegen.TextTower(clip.text_tower.text_encoder, 4, noise=-1), "`noise`"),
        (lambda clip: imagegen.clip_image_encoder(10, [4, 8], 6), "a multiple of 4"),
        (lambda clip: imagegen.clip_image_encoder(8, [], 6), "at least one width"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call(tiny_clip())
