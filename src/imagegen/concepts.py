"""Textual inversion: a new word, learned from a few pictures while nothing else changes."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number, check_rank
from imagegen._contracts import checked
from imagegen._files import whole_file
from imagegen.generation import ImageGenerator
from imagegen.images import as_pictures
from imagegen.training import CarefulTraining, stopping_later
from imagegen.typing import Batch, Images, Tensor

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

TEMPLATES = (
    "a {} flower",
    "{} petals",
    "a flower with {} petals",
)
"""Captions for pictures of which nothing is known but the new word, which stands for `{}`."""


@checked
@dataclass(frozen=True, eq=False)
class Concept:
    """A learned word.

    Args:
        word: The word.
        vector: What it means: float32 `(dim,)`, `dim` being that of the text encoder.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import imagegen
        import numpy as np

        path = Path(tempfile.mkdtemp()) / "spots.json"
        imagegen.Concept("<spots>", np.ones(4, "float32")).save(path)
        assert imagegen.Concept.load(path).word == "<spots>"
        ```
    """

    word: str
    vector: np.ndarray

    def __post_init__(self) -> None:
        check_rank(check_finite(self.vector, "vector"), "vector", 1, "(dim,)")

    @checked
    def save(self, path: str | Path) -> None:
        """Writes the word to a JSON file of a few kilobytes.

        Args:
            path: The file, which is replaced.

        Raises:
            OSError: If it can't be written.
        """
        content = {"word": self.word, "vector": [float(number) for number in self.vector]}
        with whole_file(Path(path)) as partial:
            partial.write_text(json.dumps(content), "utf-8")

    @classmethod
    @checked
    def load(cls, path: str | Path) -> "Concept":
        """Reads a word from a file.

        Args:
            path: What `save` wrote.

        Returns:
            The word and its vector.

        Raises:
            OSError: If there is no such file.
            ValueError: If the file holds no concept.
        """
        try:
            content = json.loads(Path(path).read_text("utf-8"))
            return cls(str(content["word"]), np.array(content["vector"], "float32"))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise ValueError(f"{path} holds no concept. {error!r}") from error


@checked
def add_concept(model: ImageGenerator, concept: Concept) -> None:
    """Teaches a model a word that was learned before.

    Args:
        model: A `DiffusionModel` with a `TextEncoder` that has a spare word, or a
            `LatentDiffusion` of one.
        concept: The word, learned with the same model.

    Raises:
        ValueError: If the model knows the word, has no place for it, or its vectors have another
            length.

    Example:
        ```python
        import imagegen
        import numpy as np

        tokenizer = imagegen.WordTokenizer.fit(["a red flower"])
        network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4,
                                context_shape=(4, 4), attention_resolutions=[8])
        encoder = imagegen.TextEncoder(tokenizer, 4)
        model = imagegen.DiffusionModel(network, encoder=encoder)
        imagegen.add_concept(model, imagegen.Concept("<spots>", np.ones(4, "float32")))
        vectors = model.encode_prompts("a <spots> flower")
        ```
    """
    encoders = _encoders(model)
    vector = check_finite(concept.vector, "concept")
    if vector.shape != (encoders[0].dim,):
        raise ValueError(
            f"`concept` must have a vector of the shape {(encoders[0].dim,)}. "
            f"Received: shape {vector.shape}"
        )
    # Both know the word afterwards, or neither.
    with stopping_later():
        for encoder in encoders:
            token = encoder.tokenizer.add_word(concept.word)
            _set_vector(encoder, token, vector)


@checked
def learn_concept(
    model: ImageGenerator,
    images: Images,
    word: str,
    *,
    initial_word: str,
    prompts: Sequence[str] | None = None,
    num_steps: int = 400,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> Concept:
    r"""Teaches a text-to-image model a new word from a few pictures.

    The word gets a vector $v$ in the text encoder, and only that vector learns, by the loss that
    the model was trained with:

    $$v^* = \arg\min_v\, \mathbb{E}\,\lVert y - f(x_t, t, c(v)) \rVert^2$$

    Network, encoder and every other word stay as they are, bit for bit.

    Args:
        model: A trained `DiffusionModel` with a `TextEncoder` that has a spare word, or a
            `LatentDiffusion` of one. It knows the word afterwards.
        images: Three to five pictures are enough: uint8, or floats from 0 to 1, `(num_images,
            height, width, 3)`, of the model's size.
        word: The new word. Angle brackets keep it apart from others: `"<stripes>"`.
        initial_word: A known word, whose vector the new one starts from.
        prompts: A caption with the new word for each picture. What it says of the picture, the
            word doesn't have to learn. By default, captions that say nothing else: `TEMPLATES`.
        num_steps: How many steps of training.
        batch_size: Noisy pictures in a step.
        learning_rate: That of Adam.
        seed: A non-negative integer.

    Returns:
        The word and its vector, to be saved.

    Raises:
        ValueError: If an argument is out of range, a caption lacks the word, or the model can't
            learn one. The model is then as it was.

    Example:
        ```python
        import imagegen
        import numpy as np

        tokenizer = imagegen.WordTokenizer.fit(["a red flower with petals"])
        network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4,
                                context_shape=(6, 4), attention_resolutions=[8])
        encoder = imagegen.TextEncoder(tokenizer, 4)
        model = imagegen.DiffusionModel(network, encoder=encoder)
        images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), "uint8")
        model.normalizer.adapt(images)
        concept = imagegen.learn_concept(
            model, images, "<spots>", initial_word="red", num_steps=2, batch_size=3
        )
        ```

    Reference:
        Gal et al., [An Image is Worth One Word](https://arxiv.org/abs/2208.01618), 2022,
        equation 2.
    """
    encoders = _encoders(model)
    pictures = as_pictures(images, "images")
    if pictures.shape[1:] != model.image_shape:
        raise ValueError(
            f"`images` must have the model's size, {model.image_shape}. "
            f"Received: {pictures.shape[1:]}"
        )
    check_integer(num_steps, "num_steps", minimum=1)
    check_integer(batch_size, "batch_size", minimum=1)
    check_number(learning_rate, "learning_rate", minimum=0)
    seed = check_integer(seed, "seed", minimum=0)
    samples = model.to_samples(pictures)
    tokenizer = encoders[0].tokenizer
    if initial_word not in tokenizer.words:
        raise ValueError(
            f"`initial_word` must be a word that the model knows. Received: {initial_word!r}"
        )
    start = tokenizer.tokens([initial_word])[0, 0]
    pairs = captioned(word, len(pictures), prompts, TEMPLATES)
    # Read before the word is added: a caption that can't be read leaves the model alone.
    trial = type(tokenizer)(**tokenizer.get_config())
    token = trial.add_word(word)
    tokens = trial.tokens([caption for _, caption in pairs])

    learner = _WordLearner(
        model, token, ops.convert_to_numpy(encoders[-1].word_vectors)[start], seed
    )
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(num_steps, batch_size))
    which = np.array([index for index, _ in pairs])
    concept = Concept(word, learner.learn(samples[which], tokens, chosen, learning_rate))
    add_concept(model, concept)
    return concept


class Learner(CarefulTraining):
    """A vector that learns inside a frozen model: `call` returns the loss of a batch."""

    def __init__(self, token: int, vector: np.ndarray, seed: int):
        super().__init__(name="learner")  # TensorFlow wants no underscore in front.
        self.seed_generator = keras.random.SeedGenerator(seed)
        # A variable, and no constant of the compiled step: one program serves every word.
        self.token = self.add_weight(
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(token),
            trainable=False,
            name="token",
        )
        self.vector = self.add_weight(
            shape=vector.shape, initializer=keras.initializers.Constant(vector), name="vector"
        )
        self.built = True

    def compute_loss(
        self,
        x: Batch = None,
        y: Batch = None,
        y_pred: Batch = None,
        sample_weight: Batch = None,
        training: bool = True,
    ) -> Tensor:
        return y_pred

    def learn(
        self, samples: np.ndarray, tokens: np.ndarray, chosen: np.ndarray, learning_rate: float
    ) -> np.ndarray:
        """Trains on batches `chosen` `(num_steps, batch_size)` of pairs; returns the vector."""
        self.compile(keras.optimizers.Adam(learning_rate))
        with tqdm(total=len(chosen), desc="learn the word", delay=1, leave=False) as bar:
            count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: bar.update())
            self.fit(_Pairs(samples, tokens, chosen), shuffle=False, verbose=0, callbacks=[count])
        return ops.convert_to_numpy(self.vector)


class _WordLearner(Learner):
    """What one word of a frozen diffusion model means."""

    def __init__(self, model: Any, token: int, vector: np.ndarray, seed: int):
        super().__init__(token, vector, seed)
        model = model.diffusion_model()
        # Frozen already; they are attributes, so that the compiled step takes them as arguments.
        self.network, self.encoder = model.averaged, model.averaged_encoder
        # Not the model itself, which Keras would take for a part that learns.
        self.attempt, self.loss_of = model.attempt, model.loss_of

    def call(self, inputs: Tensor) -> Tensor:
        samples, tokens = inputs
        vectors = ops.take(self.encoder.word_vectors, tokens, axis=0)
        is_new = ops.equal(tokens, self.token)[..., None]
        vectors = ops.where(is_new, ops.convert_to_tensor(self.vector), vectors)
        conditions = self.encoder.contextualize(vectors, tokens)
        return self.loss_of(self.attempt(self.network, samples, conditions, self.seed_generator))


class _Pairs(keras.utils.PyDataset):
    """Batches of samples and tokens, chosen in advance."""

    def __init__(self, samples: np.ndarray, tokens: np.ndarray, chosen: np.ndarray):
        super().__init__()
        self.samples, self.tokens, self.chosen = samples, tokens, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Any:
        rows = self.chosen[index]
        return ((self.samples[rows], self.tokens[rows]),)


def captioned(
    word: str, num_images: int, prompts: Sequence[str] | None, templates: Sequence[str]
) -> list[tuple[int, str]]:
    """Pairs of a picture's number and a caption with the word."""
    if prompts is None:
        return [(i, text.format(word)) for i in range(num_images) for text in templates]
    if len(prompts) != num_images:
        raise ValueError(
            f"`prompts` must be one for each of the {num_images} pictures. Received: {len(prompts)}"
        )
    for prompt in prompts:
        if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt):
            raise ValueError(f"`prompts` must have the word {word!r}. Received: {prompt!r}")
    return list(enumerate(prompts))


def _encoders(model: Any) -> list[Any]:
    reader = model.diffusion_model() if hasattr(model, "diffusion_model") else None
    encoders = [getattr(reader, "encoder", None), getattr(reader, "averaged_encoder", None)]
    if not all(hasattr(encoder, "word_vectors") for encoder in encoders):
        raise ValueError(
            "`model` must be a DiffusionModel with a TextEncoder, or a LatentDiffusion of one. "
            f"Received: {type(model).__name__} with the encoder {encoders[0]!r}"
        )
    return encoders


def _set_vector(encoder: Any, token: int, vector: np.ndarray) -> None:
    vectors = ops.convert_to_numpy(encoder.word_vectors).copy()
    vectors[token] = vector
    encoder.word_vectors.assign(vectors)
