"""Words as vectors: a tokenizer that reads captions, and a transformer that understands them."""

import difflib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from imagegen._checks import check_integer
from imagegen._contracts import checked, renamed
from imagegen._weights import RandomNormal, attention, config_of, dense
from imagegen.conditioning import check_names, checked_likeness, new_vectors
from imagegen.typing import Config, Tensor

import keras
import numpy as np
from keras import layers, ops

_PADDING, _END = 0, 1
_NUM_SPECIAL = 2


class WordTokenizer:
    """Turns sentences into numbers, one for each word.

    Sentences are read in lower case and without punctuation. After the last word comes the token
    "end", and then padding. A word that is not in the vocabulary is an error, and the error names
    the words that look most like it: a model can't paint what it never read. So is a sign that
    means something without being a word, such as an emoji.

    Args:
        words: The vocabulary, all different.
        length: Tokens in a sentence, "end" included.
        num_spare_words: How many words `add_word` can add later.

    Attributes:
        words: The vocabulary, as a list. Word i has the token i + 2.
        length: Tokens in a sentence.
        num_spare_words: How many words `add_word` could add at first.
        num_tokens: How many different tokens there can be.

    Raises:
        ValueError: If a word is twice there or isn't one word, or a number is out of range.

    Example:
        ```python
        import imagegen

        tokenizer = imagegen.WordTokenizer.fit(["a red flower", "a blue flower"])
        assert tokenizer.words == ["a", "flower", "blue", "red"]
        assert tokenizer.tokens(["A blue flower"]).tolist() == [[2, 4, 3, 1]]
        ```
    """

    @checked
    def __init__(self, words: Sequence[str], length: int, *, num_spare_words: int = 8):
        self.words: list[str] = []
        self.length: int = check_integer(length, "length", minimum=1)
        self.num_spare_words: int = check_integer(num_spare_words, "num_spare_words", minimum=0)
        self.num_tokens: int = _NUM_SPECIAL + len(words) + num_spare_words
        for word in words:
            self._append(word, "words")

    @classmethod
    @checked
    def fit(
        cls, captions: Iterable[str], *, length: int | None = None, num_spare_words: int = 8
    ) -> "WordTokenizer":
        """Returns a tokenizer of all words that captions use, the most frequent first.

        Args:
            captions: Sentences, at least one with a word in it.
            length: Tokens in a sentence, "end" included. By default, what the longest one needs.
            num_spare_words: How many words `add_word` can add later.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If `captions` is one sentence or has no word, or a number is out of range.
        """
        if isinstance(captions, str):
            raise ValueError(f"`captions` must be several sentences. Received: {captions!r}")
        sentences = [_split(caption) for caption in captions]
        counts = Counter(word for sentence in sentences for word in sentence)
        if not counts:
            raise ValueError("`captions` must have at least one word. Received: none")
        words = sorted(counts, key=lambda word: (-counts[word], word))
        needed = 1 + max(map(len, sentences))
        return cls(words, needed if length is None else length, num_spare_words=num_spare_words)

    @checked
    def tokens(self, prompts: Sequence[str]) -> np.ndarray:
        """Returns the tokens of sentences.

        Args:
            prompts: Sentences. `""` has no words.

        Returns:
            int32 array `(num_prompts, length)`.

        Raises:
            ValueError: If a word is unknown, a sentence is too long, or something in it is neither
                a word nor punctuation.
        """
        if isinstance(prompts, str):
            raise ValueError(f"`prompts` must be a list of sentences. Received: {prompts!r}")
        tokens = np.full((len(prompts), self.length), _PADDING, "int32")
        for row, prompt in zip(tokens, prompts, strict=True):
            if not isinstance(prompt, str):
                raise ValueError(f"`prompts` must be sentences. Received: {prompt!r}")
            _refuse_signs(prompt)
            numbers = [self._number(word, prompt) for word in _split(prompt)]
            if len(numbers) >= self.length:
                raise ValueError(
                    f"`prompts` must have at most {self.length - 1} words. "
                    f"Received: {len(numbers)} words in {prompt!r}"
                )
            row[: len(numbers) + 1] = [*numbers, _END]
        return tokens

    @checked
    def add_word(self, word: str) -> int:
        """Adds a word in a spare place.

        Args:
            word: A word that is not in the vocabulary. It may stand in angle brackets.

        Returns:
            Its token.

        Raises:
            ValueError: If the word is there already, isn't one word, or no place is left.
        """
        if _NUM_SPECIAL + len(self.words) == self.num_tokens:
            raise ValueError(
                f"`word` must find a spare place, and the {self.num_spare_words} are taken. "
                f"Received: word={word!r}"
            )
        self._append(word, "word")
        return _NUM_SPECIAL + len(self.words) - 1

    def _append(self, word: str, name: str) -> None:
        if not isinstance(word, str) or _split(word) != [word] or word in self.words:
            raise ValueError(
                f"`{name}` must be single words in lower case, all different. Received: {word!r}"
            )
        self.words.append(word)

    def _number(self, word: str, prompt: str) -> int:
        if word in self.words:
            return _NUM_SPECIAL + self.words.index(word)
        close = difflib.get_close_matches(word, self.words, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"`prompts` must use the {len(self.words)} words that the model knows, and {word!r} is "
            f"not among them. {hint}Received: {prompt!r}"
        )

    def get_config(self) -> Config:
        spare = self.num_tokens - _NUM_SPECIAL - len(self.words)
        return {"words": list(self.words), "length": self.length, "num_spare_words": spare}


@keras.saving.register_keras_serializable("imagegen")
class TextEncoder(keras.layers.Layer):
    """A small transformer that turns sentences into vectors.

    Each word has a vector, and so has each position; their sum goes through blocks of attention and
    a feed-forward network, normalized before. It learns together with the denoising network, or
    stays as it is with `trainable = False`.

    Args:
        tokenizer: The vocabulary and the length of sentences.
        dim: Length of a vector.
        num_layers: How many blocks.
        num_heads: Heads of attention, a divisor of `dim`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Attributes:
        tokenizer: The tokenizer.
        empty: The tokens of the empty prompt: int32 array `(length,)`.

    Raises:
        ValueError: If a number is out of range, or `num_heads` doesn't divide `dim`.

    Example:
        ```python
        import imagegen

        tokenizer = imagegen.WordTokenizer.fit(["a red flower", "a blue flower"])
        encoder = imagegen.TextEncoder(tokenizer, dim=32)
        sequence, pooled = encoder(encoder.tokens(["a blue flower", "flower"]))
        assert sequence.shape == (2, 4, 32)
        assert pooled.shape == (2, 32)
        ```

    Reference:
        Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762), 2017. The
        vector at the token "end" stands for the sentence, as in Radford et al., [Learning
        Transferable Visual Models](https://arxiv.org/abs/2103.00020), 2021, section 2.4.
    """

    @checked
    def __init__(
        self,
        tokenizer: WordTokenizer | dict[str, Any],
        dim: int,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(tokenizer, dict):  # Out of a saved configuration.
            tokenizer = WordTokenizer(**tokenizer)
        self.tokenizer = tokenizer
        self.dim: int = check_integer(dim, "dim", minimum=1)
        self.num_layers: int = check_integer(num_layers, "num_layers", minimum=0)
        self.num_heads: int = check_integer(num_heads, "num_heads", minimum=1)
        if dim % num_heads:
            raise ValueError(
                f"`num_heads` must divide `dim`. Received: num_heads={num_heads}, dim={dim}"
            )
        self.empty = tokenizer.tokens([""])[0]
        # Each with a seed of its own: equal seeds would draw equal vectors.
        self.word_vectors, self.position_vectors = (
            self.add_weight(
                shape=(number, dim), initializer=RandomNormal(stddev=1 / math.sqrt(dim)), name=name
            )
            for number, name in (
                (tokenizer.num_tokens, "word_vectors"),
                (tokenizer.length, "position_vectors"),
            )
        )
        self.blocks = [_TextBlock(dim, num_heads) for _ in range(num_layers)]
        self.final_norm = layers.LayerNormalization()
        for layer in [*self.blocks, self.final_norm]:
            layer.build((None, tokenizer.length, dim))
        self.built = True

    @checked
    def tokens(self, prompts: Any) -> np.ndarray:
        """Returns the tokens of sentences.

        Args:
            prompts: Sentences, or an int array `(num_prompts, length)` of tokens already.

        Returns:
            int32 array `(num_prompts, length)`.

        Raises:
            ValueError: If a word is unknown or a sentence is too long.
        """
        if not isinstance(prompts, np.ndarray) or prompts.dtype.kind not in "iu":
            return self.tokenizer.tokens(prompts)
        length, largest = self.tokenizer.length, self.tokenizer.num_tokens - 1
        if prompts.ndim != 2 or prompts.shape[1] != length or not prompts.size:
            raise ValueError(
                f"`prompts` must have the shape (num_prompts, {length}) where they are tokens. "
                f"Received: {prompts.shape}"
            )
        if prompts.min() < 0 or prompts.max() > largest:
            raise ValueError(
                f"`prompts` must be from 0 to {largest} where they are tokens. "
                f"Received: {prompts.min()} to {prompts.max()}"
            )
        return prompts.astype("int32")

    def call(self, tokens: Tensor) -> list[Any]:
        """Returns the vectors of sentences.

        Args:
            tokens: Integers `(batch, length)`.

        Returns:
            One vector for each token, `(batch, length, dim)`, and one for each sentence,
            `(batch, dim)`.
        """
        tokens = ops.cast(tokens, "int32")
        return self.contextualize(ops.take(self.word_vectors, tokens, axis=0), tokens)

    @checked
    def contextualize(self, vectors: Tensor, tokens: Tensor) -> list[Any]:
        """Lets the vectors of words see each other: `call` after its first step.

        Args:
            vectors: The vectors of the words, `(batch, length, dim)`.
            tokens: The tokens that they stand for, `(batch, length)`: where sentences end.

        Returns:
            What `call` returns.
        """
        x = vectors + self.position_vectors
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        is_end = ops.cast(ops.equal(tokens, _END), x.dtype)
        return [x, ops.sum(x * is_end[..., None], axis=1)]

    @checked
    def mentions(self, tokens: Tensor, names: Sequence[str]) -> Tensor:
        """Returns which sentences hold one of some words.

        Args:
            tokens: Integers `(batch, length)`.
            names: Words that the encoder knows.

        Returns:
            Booleans `(batch,)`.
        """
        check_names(names)
        with renamed("prompts", "names"):
            meant = ops.convert_to_tensor(self.tokens(list(names))[:, 0])
        return ops.any(ops.expand_dims(ops.cast(tokens, "int32"), 2) == meant, axis=(1, 2))

    @checked
    def extended(self, names: Sequence[str], like: Mapping[str, str] | None = None) -> Self:
        """Returns an encoder that knows more words, and reads the old ones as before.

        Args:
            names: The new words.
            like: For a new word, the old one whose vector it starts from. Others start from
                vectors of their own, drawn as the old ones are spread.

        Returns:
            The encoder, with as many spare words as this one.

        Raises:
            ValueError: If a word is there already or is not one word, or `like` names another.
        """
        old = self.tokenizer
        like = checked_likeness(like, names, old.words)
        spare = old.num_tokens - _NUM_SPECIAL - len(old.words)
        with renamed("words", "names"):
            tokenizer = WordTokenizer([*old.words, *names], old.length, num_spare_words=spare)
        vectors = ops.convert_to_numpy(self.word_vectors)
        known, left = np.split(vectors, [_NUM_SPECIAL + len(old.words)])
        drawn = zip(names, new_vectors(known[_NUM_SPECIAL:], len(names)), strict=True)
        added = [
            known[old.words.index(like[n]) + _NUM_SPECIAL] if n in like else own for n, own in drawn
        ]
        wider = type(self)(
            tokenizer, self.dim, num_layers=self.num_layers, num_heads=self.num_heads
        )
        for weight, before in zip(wider.weights, self.weights, strict=True):
            if weight is not wider.word_vectors:
                weight.assign(before)
        wider.word_vectors.assign(np.concatenate([known, np.reshape(added, (-1, self.dim)), left]))
        wider.trainable = self.trainable
        return wider

    def compute_output_shape(self, tokens_shape: tuple[int | None, ...]) -> list[Any]:
        return [(*tokens_shape, self.dim), (*tokens_shape[:-1], self.dim)]

    def get_config(self) -> Config:
        return config_of(self) | {
            "tokenizer": self.tokenizer.get_config(),
            "dim": self.dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
        }


class _TextBlock(keras.layers.Layer):
    """Attention, then a feed-forward network: what one vector knows, and what all know together."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.attention = attention(num_heads, dim // num_heads)
        self.widen = dense(4 * dim, activation="gelu")
        self.narrow = dense(dim)

    def build(self, shape: tuple[int | None, ...]) -> None:
        for norm in self.norms:
            norm.build(shape)
        self.attention.build(shape, shape)
        self.widen.build(shape)
        self.narrow.build((*shape[:-1], 4 * shape[-1]))  # type: ignore[operator]

    def call(self, x: Tensor) -> Tensor:
        normalized = self.norms[0](x)
        x = x + self.attention(normalized, normalized)
        return x + self.narrow(self.widen(self.norms[1](x)))


# Angle brackets belong to a word: that is how new ones are marked.
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|<[^<>\s]+>")


def _split(sentence: str) -> list[str]:
    """The words of a sentence."""
    return _WORD.findall(_composed(sentence).lower())


def _composed(sentence: str) -> str:
    # An accent can be a sign of its own, after its letter.
    return unicodedata.normalize("NFC", sentence)


def _refuse_signs(prompt: str) -> None:
    """Raises when a prompt has something to say that isn't said in words."""
    left = _WORD.sub(" ", _composed(prompt))
    signs = [sign for sign in left if unicodedata.category(sign).startswith("S")]
    if signs or (left.strip() and not _split(prompt)):
        raise ValueError(
            "`prompts` must be made of words. Received: "
            f"{prompt!r}, of which {''.join(signs) or left.strip()!r} is none"
        )
