"""Words to numbers, numbers to vectors, and pictures that look at them."""

import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from strategies import normal

CAPTIONS = ["a red flower", "a blue flower on a green background", "five red petals"]
WORDS = st.text("abcdefghij", min_size=1, max_size=4)


def encoder(**options) -> imagegen.TextEncoder:
    keras.utils.set_random_seed(0)
    return imagegen.TextEncoder(imagegen.WordTokenizer.fit(CAPTIONS), 8, **options)


def vectors(layer: imagegen.TextEncoder, prompts: list[str]) -> list[np.ndarray]:
    return [ops.convert_to_numpy(array) for array in layer(layer.tokens(prompts))]


# The tokenizer


@given(st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=9))
def test_sentences_can_be_read_back_from_their_tokens(sentences):
    tokenizer = imagegen.WordTokenizer.fit(sentences)
    for sentence, tokens in zip(sentences, tokenizer.tokens(sentences), strict=True):
        words = sentence.split()
        assert [tokenizer.words[token - 2] for token in tokens[: len(words)]] == words
        assert tokens[len(words)] == 1
        assert not tokens[len(words) + 1 :].any()


@given(st.permutations(CAPTIONS))
def test_the_vocabulary_does_not_depend_on_the_order_of_captions(captions):
    assert imagegen.WordTokenizer.fit(captions).words == imagegen.WordTokenizer.fit(CAPTIONS).words


def test_case_and_punctuation_say_nothing():
    tokenizer = imagegen.WordTokenizer.fit(CAPTIONS)
    plain, loud = tokenizer.tokens(["a red flower", "  A red, FLOWER! "])
    np.testing.assert_array_equal(plain, loud)


def test_accents_are_read_however_they_are_written():
    tokenizer = imagegen.WordTokenizer.fit(["a ros\N{LATIN SMALL LETTER E WITH ACUTE}"])
    assert tokenizer.tokens(["A rose\N{COMBINING ACUTE ACCENT}"])[0, 1] == 3
    assert tokenizer.tokens(["  "]).tolist() == tokenizer.tokens([""]).tolist()


def test_one_sentence_in_the_place_of_several_is_refused():
    with pytest.raises(ValueError, match="`captions` must be a list"):
        imagegen.WordTokenizer.fit("a red flower")
    with pytest.raises(ValueError, match="`prompts` must be a list"):
        imagegen.WordTokenizer.fit(CAPTIONS).tokens("a red flower")
    with pytest.raises(ValueError, match="`length`"):
        imagegen.WordTokenizer.fit(CAPTIONS, length=0)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a rde flower", "'rde' is not among them. Did you mean 'red'"),
        ("a zebra", "'zebra' is not"),
        ("a red flower <dots>", "'<dots>' is not"),
        ("a a a a a a a a", "at most 7 words"),
        (3, "must be a list"),
        ("🌹", "made of words. Received: '🌹', of which '🌹' is none"),
        ("a red flower 🌻🌹", "of which '🌻🌹' is none"),
        ("a red flower + a bee", r"of which '\+' is none"),
        ("...", r"of which '\.\.\.' is none"),
    ],
)
def test_what_cannot_be_read_is_named(prompt, message):
    with pytest.raises(ValueError, match=message):
        imagegen.WordTokenizer.fit(CAPTIONS).tokens([prompt])


def test_a_spare_word_gets_the_next_token_until_none_is_left():
    tokenizer = imagegen.WordTokenizer.fit(CAPTIONS, num_spare_words=2)
    number = len(tokenizer.words)
    assert [tokenizer.add_word(word) for word in ("<x>", "y")] == [number + 2, number + 3]
    assert tokenizer.tokens(["<X> y"])[0, :2].tolist() == [number + 2, number + 3]
    with pytest.raises(ValueError, match="spare place"):
        tokenizer.add_word("z")


@pytest.mark.parametrize("word", ["red", "two words", "", "Red", 3])
def test_a_word_that_is_none_or_known_is_refused(word):
    with pytest.raises(ValueError, match="`word`"):
        imagegen.WordTokenizer.fit(CAPTIONS).add_word(word)


@given(st.integers(0, 3))
def test_a_tokenizer_survives_its_configuration(num_added):
    tokenizer = imagegen.WordTokenizer.fit(CAPTIONS, num_spare_words=3)
    for number in range(num_added):
        tokenizer.add_word(f"<new{number}>")
    copy = imagegen.WordTokenizer(**tokenizer.get_config())
    assert copy.words == tokenizer.words
    assert copy.num_tokens == tokenizer.num_tokens


# The encoder


def test_the_vector_of_a_sentence_is_the_one_at_its_end():
    sequence, pooled = vectors(encoder(), ["a red flower", "five petals", ""])
    for row, end in enumerate((3, 2, 0)):
        np.testing.assert_array_equal(pooled[row], sequence[row, end])


def test_the_order_of_words_matters():
    layer = encoder()
    _, pooled = vectors(layer, ["red petals green background", "green petals red background"])
    assert np.abs(pooled[0] - pooled[1]).max() > 1e-3


def test_sentences_of_a_batch_are_independent():
    layer = encoder()
    together = vectors(layer, CAPTIONS)
    for index, caption in enumerate(CAPTIONS):
        for alone, batch in zip(vectors(layer, [caption]), together, strict=True):
            np.testing.assert_allclose(alone[0], batch[index], atol=1e-5)


def test_the_transformer_is_the_one_of_the_formulas():
    """An independent computation in float64, one head at a time."""
    layer = encoder(num_layers=1, num_heads=2)
    tokens = layer.tokens(["a red flower"])[0]
    weights = {w.path.split("/", 1)[-1]: np.float64(w.numpy()) for w in layer.weights}

    def norm(x, which):
        gamma, beta = (np.float64(w.numpy()) for w in which.weights)
        x = x - x.mean(-1, keepdims=True)
        return gamma * x / np.sqrt((x**2).mean(-1, keepdims=True) + which.epsilon) + beta

    block = layer.blocks[0]
    x = weights["word_vectors"][tokens] + weights["position_vectors"]
    kernels = [np.float64(w.numpy()) for w in block.attention.weights]
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = kernels
    normalized = norm(x, block.norms[0])
    for head in range(2):
        q = normalized @ query[:, head] + query_bias[head]
        k = normalized @ key[:, head] + key_bias[head]
        scores = np.exp(q @ k.T / np.sqrt(4))
        seen = scores / scores.sum(-1, keepdims=True)
        x = x + seen @ (normalized @ value[:, head] + value_bias[head]) @ out[head]
    x = x + out_bias
    hidden = norm(x, block.norms[1]) @ np.float64(block.widen.kernel.numpy())
    hidden = ops.convert_to_numpy(ops.gelu(hidden, approximate=False))
    x = norm(x + hidden @ np.float64(block.narrow.kernel.numpy()), layer.final_norm)
    sequence, _ = vectors(layer, ["a red flower"])
    np.testing.assert_allclose(sequence[0], x, atol=1e-4)


def test_tokens_are_taken_as_they_are_when_they_fit():
    layer = encoder()
    tokens = layer.tokens(CAPTIONS)
    np.testing.assert_array_equal(layer.tokens(tokens), tokens)
    for wrong in (tokens[:, :-1], tokens + 100, tokens - 9):
        with pytest.raises(ValueError, match="`prompts` must"):
            layer.tokens(wrong)


def test_heads_divide_the_dimension():
    with pytest.raises(ValueError, match="`num_heads` must divide"):
        encoder(num_heads=3)


# The network that looks at words


def network() -> imagegen.UNet:
    keras.utils.set_random_seed(1)
    return imagegen.UNet(
        8,
        [8, 8],
        block_depth=1,
        norm="group",
        embedding_dim=8,
        condition_dim=8,
        context_shape=(8, 8),
        attention_resolutions=[4, 8],
    )


def inputs(batch_size: int = 2) -> list[np.ndarray]:
    return [
        normal(0, batch_size, 8, 8, 3),
        np.full((batch_size, 1, 1, 1), 0.5, "float32"),
        normal(1, batch_size, 8, 8),
        normal(2, batch_size, 8),
    ]


def test_every_place_looks_at_the_words_with_weights_that_sum_to_1():
    maps = network().attention_maps(inputs())
    assert [tuple(array.shape) for array in maps] == [
        (2, 8, 8, 8),
        (2, 4, 4, 8),
        (2, 8, 8, 8),
    ]
    for array in map(ops.convert_to_numpy, maps):
        assert array.min() >= 0
        np.testing.assert_allclose(array.sum(-1), 1, atol=1e-5)


def test_equal_words_are_looked_at_equally():
    batch = inputs()
    batch[2][:] = batch[2][:, :1]
    for array in network().attention_maps(batch):
        np.testing.assert_allclose(ops.convert_to_numpy(array), 1 / 8, atol=1e-6)


def test_the_order_of_context_does_not_matter_to_attention():
    net, batch = network(), inputs()
    head = net.get_layer("head")
    head.kernel.assign(normal(3, *head.kernel.shape))
    shuffled = list(batch)
    shuffled[2] = batch[2][:, ::-1]
    first, second = (ops.convert_to_numpy(net(arrays)) for arrays in (batch, shuffled))
    np.testing.assert_allclose(first, second, atol=1e-4)
    changed = list(batch)
    changed[2] = batch[2] + 1
    assert np.abs(ops.convert_to_numpy(net(changed)) - first).max() > 1e-3


def test_a_network_without_words_has_no_maps():
    net = imagegen.UNet(8, [8], block_depth=1)
    with pytest.raises(ValueError, match="context_shape"):
        net.attention_maps(inputs()[:2])


@pytest.mark.parametrize(
    "options", [{"context_shape": (8,)}, {"context_shape": (8, 0)}, {"context_shape": (8, 8)}]
)
def test_a_context_needs_a_shape_and_a_place_where_it_is_looked_at(options):
    attention = () if options["context_shape"] == (8, 8) else [8]
    with pytest.raises(ValueError, match="`context_shape`"):
        imagegen.UNet(8, [8], block_depth=1, attention_resolutions=attention, **options)


# All together


def test_a_model_of_text_trains_generates_and_survives_saving(tmp_path):
    layer = imagegen.TextEncoder(imagegen.WordTokenizer.fit(CAPTIONS), 8)
    model = imagegen.DiffusionModel(network(), encoder=layer)
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "uint8")
    model.normalizer.adapt(images)
    model.compile(optimizer="adam")
    before = ops.convert_to_numpy(layer.word_vectors).copy()
    model.fit((images, layer.tokens(CAPTIONS * 2)), epochs=2, verbose=0)
    assert np.abs(ops.convert_to_numpy(layer.word_vectors) - before).max() > 0
    painted = model.generate(CAPTIONS, num_steps=3, seed=0)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy.generate(CAPTIONS, num_steps=3, seed=0), painted)
    np.testing.assert_array_equal(
        copy.generate(copy.encode_prompts(CAPTIONS), num_steps=3, seed=0), painted
    )


def test_a_frozen_encoder_stays_as_it_is():
    layer = imagegen.TextEncoder(imagegen.WordTokenizer.fit(CAPTIONS), 8)
    layer.trainable = False
    model = imagegen.DiffusionModel(network(), encoder=layer)
    assert not model.averaged_encoder.trainable_variables
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), "uint8")
    model.normalizer.adapt(images)
    model.compile(optimizer="adam")
    before = layer.get_weights()
    model.fit((images, layer.tokens(CAPTIONS)), verbose=0)
    for copy in (layer, model.averaged_encoder):
        for old, new in zip(before, copy.get_weights(), strict=True):
            np.testing.assert_allclose(old, new, atol=1e-6)
