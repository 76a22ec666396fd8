"""Textual inversion for Stable Diffusion 3: a rare token gets a new meaning, and back again.

KerasHub's text encoders have no place for a new token: a number beyond the vocabulary gives NaN,
and one above the end token is taken for it. So a token that exists, and that hardly any text has,
takes the new word's place.
"""

from collections.abc import Sequence
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number
from imagegen._contracts import checked
from imagegen.concepts import Concept, Learner, captioned
from imagegen.images import as_pictures, fitted
from imagegen.sd3.model import StableDiffusion3
from imagegen.training import stopping_later
from imagegen.typing import Array, Images, Tensor

import keras
import numpy as np
from keras import ops

TEMPLATES = ("a photo of {}", "a close-up photo of {}", "a painting of {}", "a picture of {}")
"""Captions for pictures of which nothing is known but the word, which stands for `{}`."""


@checked
def read_concept(model: StableDiffusion3, word: str) -> Concept:
    """Returns what a word means to the model now, so that `add_concept` can give it back later.

    Args:
        model: A `StableDiffusion3`.
        word: A word that is one token.

    Returns:
        The word, and its rows in the tables of both text encoders, one behind the other.

    Raises:
        ValueError: If the word is none or more than one token.

    Example:
        ```python
        from imagegen import sd3

        concept = sd3.read_concept(sd3.tiny(), "sks")
        assert concept.word == "sks"
        ```
    """
    token = _token(model, word)
    rows = [ops.convert_to_numpy(ops.cast(table, "float32"))[token] for table in _tables(model)]
    return Concept(word, np.concatenate(rows))


@checked
def add_concept(model: StableDiffusion3, concept: Concept) -> None:
    """Gives a word the meaning that was learned before, or that it had before.

    Args:
        model: A `StableDiffusion3`.
        concept: The word, of the same preset: what `learn_concept`, `read_concept` or
            `Concept.load` returned.

    Raises:
        ValueError: If the word is none or more than one token, or its vector has another length.

    Example:
        ```python
        from imagegen import sd3

        model = sd3.tiny()
        before = sd3.read_concept(model, "sks")
        sd3.add_concept(model, sd3.read_concept(sd3.tiny(seed=1), "sks"))
        sd3.add_concept(model, before)
        ```
    """
    token, tables = _token(model, concept.word), _tables(model)
    vector = check_finite(concept.vector, "concept")
    sizes = [table.shape[1] for table in tables]
    if vector.shape != (sum(sizes),):
        raise ValueError(
            f"`concept` must have a vector of the shape {(sum(sizes),)}. "
            f"Received: shape {vector.shape}"
        )
    with stopping_later():
        for table, row in zip(tables, np.split(vector, [sizes[0]]), strict=True):
            rows = ops.convert_to_numpy(table).copy()
            rows[token] = row
            table.assign(rows)


@checked
def learn_concept(
    model: StableDiffusion3,
    images: Images,
    word: str,
    *,
    initial_word: str,
    prompts: Sequence[str] | None = None,
    num_steps: int = 400,
    batch_size: int = 2,
    learning_rate: float = 5e-3,
    seed: int = 0,
) -> Concept:
    r"""Teaches Stable Diffusion 3 what a rare word means, from a few pictures.

    The word's rows in the tables of both text encoders learn, $v$ together, by the loss that the
    model was trained with, and nothing else does:

    $$v^* = \arg\min_v\, \mathbb{E}\,\lVert \epsilon - x_0 - f(x_t, t, c(v)) \rVert^2$$

    `read_concept`, called before, and `add_concept` undo it exactly.

    Args:
        model: A `StableDiffusion3`. It knows the word afterwards.
        images: Three to five pictures of any size: uint8, or floats from 0 to 1, `(num_images,
            height, width, 3)`.
        word: A word that is one token, and in no other prompt, such as `"sks"`.
        initial_word: A word that is one token, whose meaning the learned one starts from.
        prompts: A caption with the word for each picture. By default, captions that say nothing
            else of them, like "a photo of sks".
        num_steps: How many steps of training.
        batch_size: Noisy pictures in a step.
        learning_rate: That of Adam.
        seed: A non-negative integer.

    Returns:
        The word and its vector, to be saved: `concept.save(path)` writes a few kilobytes.

    Raises:
        ValueError: If an argument is out of range, a caption lacks the word, or a word is none or
            more than one token. The model is then as it was.

    Example:
        ```python
        import numpy as np
        from imagegen import sd3

        model = sd3.tiny()
        before = sd3.read_concept(model, "sks")
        images = np.random.default_rng(0).integers(0, 256, (3, 80, 64, 3), "uint8")
        concept = sd3.learn_concept(model, images, "sks", initial_word="dog", num_steps=2)
        sd3.add_concept(model, before)
        ```

    Reference:
        Gal et al., [An Image is Worth One Word](https://arxiv.org/abs/2208.01618), 2022,
        equation 2.
    """
    check_integer(num_steps, "num_steps", minimum=1)
    check_integer(batch_size, "batch_size", minimum=1)
    check_number(learning_rate, "learning_rate", minimum=0)
    seed = check_integer(seed, "seed", minimum=0)
    if model.backbone.t5 is not None:
        raise ValueError("`model` must have no T5, which has no token for the word. Received: T5")
    token = _token(model, word)
    start = read_concept(model, initial_word)
    pictures = fitted(as_pictures(images, "images"), *model.image_shape[:2])
    pairs = captioned(word, len(pictures), prompts, TEMPLATES)
    tokens = np.stack([both_tokens(model, caption) for _, caption in pairs])
    which = np.array([index for index, _ in pairs])
    samples = model.to_samples(pictures)[which]

    trainable = model.backbone.trainable
    model.backbone.trainable = False
    try:
        learner = _WordLearner(model, token, start.vector, seed)
        chosen = np.random.default_rng(seed).integers(len(pairs), size=(num_steps, batch_size))
        vector = learner.learn(samples, tokens, chosen, learning_rate)
    finally:
        model.backbone.trainable = trainable
    concept = Concept(word, vector)
    add_concept(model, concept)
    return concept


class _WordLearner(Learner):
    """What one word of a frozen Stable Diffusion 3 means."""

    def __init__(self, model: Any, token: int, vector: np.ndarray, seed: int):
        super().__init__(token, vector, seed)
        # An attribute, so that the compiled step takes its weights as arguments.
        self.backbone = model.backbone
        self.model = model

    def call(self, inputs: Tensor) -> Tensor:
        samples, tokens = inputs
        noise = keras.random.normal(ops.shape(samples), seed=self.seed_generator)
        uniform = keras.random.uniform((ops.shape(samples)[0], 1), seed=self.seed_generator)
        schedule = self.model.schedule
        noise_rates, _ = schedule(schedule.training_times(uniform))
        vector = ops.convert_to_tensor(self.vector)
        return loss(self.model, vector, self.token, samples, tokens, noise, noise_rates)


def loss(
    model: Any,
    vector: Tensor,
    token: Tensor,
    samples: Array,
    tokens: Tensor,
    noise: Tensor,
    noise_rates: Tensor,
) -> Tensor:
    """How far the velocity is off, where `token` means `vector`: a mean of squares."""
    rates = ops.reshape(noise_rates, (-1, 1, 1, 1))
    noisy = (1 - rates) * samples + rates * noise
    conditions = conditions_with(model.backbone, vector, token, tokens)
    velocity = model.velocity(noisy, noise_rates, conditions)
    return ops.mean((velocity - (noise - samples)) ** 2)


def conditions_with(
    backbone: Any, vector: Tensor, token: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """What `encode` makes of tokens `(batch, 2, length)`, with another meaning of one of them."""
    clips = (backbone.clip_l, backbone.clip_g)
    projections = (backbone.clip_l_projection, backbone.clip_g_projection)
    pooled, sequences, first = [], [], 0
    for number, (clip, projection) in enumerate(zip(clips, projections, strict=True)):
        ids = tokens[:, number]
        x = clip.embedding.token_embedding(ids)
        row = ops.cast(vector[first : first + x.shape[-1]], x.dtype)
        first += x.shape[-1]
        x = ops.where((ids == token)[..., None], row, x)
        x = x + clip.embedding.position_embedding(x)
        for index, layer in enumerate(clip.encoder_layers):
            x = layer(x, training=False)
            if index == clip.intermediate_output_index:
                sequences.append(x)
        pooled.append(projection(clip.layer_norm(x), ids, training=False))
    width = backbone.t5_hidden_dim - backbone.clip_hidden_dim
    pooled, sequence = backbone.clip_concatenate(*pooled, *sequences, padding=width)
    return ops.pad(sequence, [[0, 0], [0, clips[0].max_sequence_length], [0, 0]]), pooled


def both_tokens(model: Any, prompt: str) -> np.ndarray:
    """The tokens of a prompt for both text encoders, int32 `(2, length)`."""
    tokens = model.tokens(prompt)
    return np.concatenate([ops.convert_to_numpy(tokens[name]) for name in ("clip_l", "clip_g")])


def _token(model: Any, word: str) -> int:
    """The number of a word that is one token, the same one in both vocabularies."""
    rows = both_tokens(model, word)[:, 1:]  # Without the token of the start.
    end = model.task.preprocessor.clip_l_preprocessor.tokenizer.end_token_id
    counts = (rows == end).argmax(axis=1)
    if (counts != 1).any() or rows[0, 0] != rows[1, 0]:
        raise ValueError(
            "`word` must be one token of both vocabularies, such as 'sks'. "
            f"Received: {word!r}, {' and '.join(map(str, counts))} tokens"
        )
    return int(rows[0, 0])


def _tables(model: Any) -> list[Any]:
    clips = (model.backbone.clip_l, model.backbone.clip_g)
    return [clip.embedding.token_embedding.embeddings for clip in clips]
