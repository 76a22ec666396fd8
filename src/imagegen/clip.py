"""Words and pictures in one space: encoders of both, trained together by contrast."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from imagegen import presets
from imagegen._batches import in_batches
from imagegen._checks import check_halvings, check_integer, check_number, check_rank, check_widths
from imagegen._contracts import checked
from imagegen._examples import are_texts, as_images, as_tokens
from imagegen._jit import compiled
from imagegen._weights import config_of, conv, dense, global_pooling, serialized
from imagegen.text import TextEncoder
from imagegen.training import CarefulTraining
from imagegen.typing import Batch, Config, Images, Size, Tensor

import keras
import numpy as np
from keras import layers, ops

# The values that the paper starts from and stops at: cosines are divided by 0.07 at first, and
# never by less than 0.01, where training became unstable.
_FIRST_TEMPERATURE, _LOWEST_TEMPERATURE = 0.07, 0.01
_BATCH_SIZE = 128


@checked
def contrastive_loss(
    image_embeddings: Tensor, text_embeddings: Tensor, temperature: Tensor
) -> Tensor:
    r"""Measures how well pictures and texts of a batch find each other: symmetric InfoNCE.

    The similarities of all pictures with all texts, divided by the temperature, are logits:

    $$s_{ij} = \frac{u_i \cdot v_j}{\tau}$$

    Each picture has to pick its own text among all of the batch, each text its own picture, and
    the loss is the mean of the two cross-entropies:

    $$L = -\frac{1}{2n} \sum_i
    \left(\log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
    + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}}\right)$$

    Args:
        image_embeddings: The vectors $u_i$ of pictures, of length 1, `(batch, dim)`.
        text_embeddings: The vectors $v_i$ of their texts, of length 1, `(batch, dim)`.
        temperature: $\tau$, above 0. The lower, the more the nearest wrong answers count.

    Returns:
        The loss in nats, a float32 scalar. One that knows nothing has $\log n$.

    Example:
        ```python
        import imagegen
        import numpy as np

        matched = np.eye(4, dtype="float32")
        assert float(imagegen.contrastive_loss(matched, matched, 0.1)) < 0.001
        ```

    Reference:
        Radford et al., [Learning Transferable Visual Models](https://arxiv.org/abs/2103.00020),
        2021, figure 3; van den Oord et al., [Contrastive Predictive
        Coding](https://arxiv.org/abs/1807.03748), 2018, equation 4.
    """
    logits = ops.matmul(image_embeddings, ops.transpose(text_embeddings)) / temperature
    own = ops.diagonal(logits)
    of_images = ops.logsumexp(logits, axis=1) - own
    of_texts = ops.logsumexp(logits, axis=0) - own
    return ops.mean(of_images + of_texts) / 2


@keras.saving.register_keras_serializable("imagegen")
class TextTower(keras.layers.Layer):
    """Turns sentences into vectors of length 1, which pictures can be compared with.

    It is the side of [CLIP][imagegen.CLIP] that reads. It is also an encoder that a
    `DiffusionModel` takes. Freeze it for that, with `trainable = False`: then a picture's embedding
    can stand in the place of a prompt's.

    Args:
        text_encoder: What reads the sentence; the vector that stands for the whole of it is used.
        dim: Length of the list of numbers, the same as on the side of the pictures.
        noise: Standard deviation of Gaussian noise that is added in training mode, before the
            length is made 1, at least 0. A network that is conditioned on the vectors so learns to
            do with others nearby, such as those of pictures.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Attributes:
        empty: The tokens of the empty prompt: int32 array `(length,)`.

    Raises:
        ValueError: If `dim` or `noise` is out of range.

    Example:
        ```python
        import imagegen

        tokenizer = imagegen.WordTokenizer.fit(["a red flower", "a blue flower"])
        tower = imagegen.TextTower(imagegen.TextEncoder(tokenizer, dim=32), dim=16)
        assert tower(tower.tokens(["a blue flower"])).shape == (1, 16)
        ```

    Reference:
        Radford et al., [Learning Transferable Visual Models](https://arxiv.org/abs/2103.00020),
        2021, figure 3. The noise: Zhou et al., [Towards Language-Free Training for Text-to-Image
        Generation](https://arxiv.org/abs/2111.13792), 2022.
    """

    @checked
    def __init__(self, text_encoder: TextEncoder, dim: int, *, noise: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.text_encoder = text_encoder
        self.dim: int = check_integer(dim, "dim", minimum=1)
        self.noise: float = check_number(noise, "noise", minimum=0, maximum=1)
        self.empty = text_encoder.empty
        self.projection = dense(dim, use_bias=False)
        self.projection.build((None, text_encoder.dim))
        # Deviations of a vector's numbers, when its length is 1.
        self.add_noise = layers.GaussianNoise(self.noise / math.sqrt(dim))
        self.built = True

    @checked
    def tokens(self, prompts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Returns the tokens of sentences, as `TextEncoder.tokens` does."""
        return self.text_encoder.tokens(prompts)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        """Returns the vectors of sentences.

        Args:
            tokens: Integers `(batch, length)`.
            training: Whether noise is added.

        Returns:
            Vectors of length 1, `(batch, dim)`.
        """
        _, pooled = self.text_encoder(tokens)
        embeddings = ops.normalize(self.projection(pooled))
        return ops.normalize(self.add_noise(embeddings, training=training))

    def compute_output_shape(self, tokens_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*tokens_shape[:-1], self.dim)

    def get_config(self) -> Config:
        return config_of(self) | {
            "text_encoder": serialized(self.text_encoder),
            "dim": self.dim,
            "noise": self.noise,
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        encoder = keras.saving.deserialize_keras_object(config["text_encoder"])
        trainable = config.get("trainable", True)
        tower = cls(**config | {"text_encoder": encoder, "trainable": True})
        # Said to the constructor, it would not reach the layers inside.
        tower.trainable = trainable
        return tower


@keras.saving.register_keras_serializable("imagegen")
class CLIP(CarefulTraining):
    """Two encoders that agree: a picture and its caption come to lie side by side.

    Both sides give vectors of length 1. Training pulls the vectors of a picture and its caption
    together, and pushes those of all other pairs in the batch apart, by
    [contrastive_loss][imagegen.contrastive_loss]. Nobody has to say what is in a picture: captions
    are enough. So any caption can be compared with any picture afterwards.

    `fit` and `evaluate` take pictures and tokens: `fit((images, clip.tokens(captions)))`. They
    report `loss`, and `accuracy`, the share of pictures that are nearest to their own caption in
    the batch. `compile` needs an optimizer and no loss. Large batches are better: what has to be
    told apart is in them.

    Args:
        image_encoder: Functional or sequential Keras model from pictures in `[0, 1]`, of shape
            `(batch, height, width, channels)`, to vectors `(batch, dim)`, such as
            `imagegen.clip_image_encoder`.
        text_encoder: What reads the captions. It learns together with `image_encoder`.
        **kwargs: Keyword arguments of `keras.Model`.

    Attributes:
        text_tower: The side that reads, a `TextTower` around `text_encoder`.

    Raises:
        ValueError: If `image_encoder` doesn't turn pictures into vectors, or `text_encoder` is no
            `TextEncoder`.

    Example:
        ```python
        import imagegen

        images, captions, _ = imagegen.datasets.captioned_flowers(8)
        tokenizer = imagegen.WordTokenizer.fit(captions)
        clip = imagegen.CLIP(
            imagegen.clip_image_encoder(32, [8, 16], dim=16),
            imagegen.TextEncoder(tokenizer, dim=16),
        )
        clip.compile("adam")
        clip.fit((images, clip.tokens(captions)), verbose=0)
        assert clip.similarity(images, captions).shape == (8, 8)
        ```

    Reference:
        Radford et al., [Learning Transferable Visual Models](https://arxiv.org/abs/2103.00020),
        2021, section 2.3 and figure 3.
    """

    @checked
    def __init__(self, image_encoder: keras.Model, text_encoder: TextEncoder, **kwargs: Any):
        super().__init__(**kwargs)
        dim = _embedding_dim(image_encoder)
        if not isinstance(text_encoder, TextEncoder):
            raise ValueError(f"`text_encoder` must be a TextEncoder. Received: {text_encoder!r}")
        self.image_encoder = image_encoder
        self.text_tower = TextTower(text_encoder, dim)
        # A logarithm, as in the paper: steps of the optimizer are factors. And a constraint, which
        # acts on the variable: a clipped value would have no gradient, and never come back.
        self.log_temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(math.log(_FIRST_TEMPERATURE)),
            constraint=_not_too_cold,
            name="log_temperature",
        )
        self.accuracy_tracker = keras.metrics.Mean(name="accuracy")
        self.built = True

    @classmethod
    @checked
    def from_preset(cls, name: str | Path) -> Self:
        """Loads a trained model.

        Args:
            name: A name that `list_presets()` gives, or the path of a `.keras` file, such as
                `imagegen.save_preset` writes.

        Returns:
            The model, ready to compare.

        Raises:
            ValueError: If there is no such preset, it is damaged, or it is no CLIP.

        Example:
            ```python
            import imagegen

            clip = imagegen.CLIP.from_preset("clip-32")
            images, captions, _ = imagegen.datasets.captioned_flowers(4)
            similarity = clip.similarity(images, captions)
            ```
        """
        return presets.load(name, cls)

    @property
    def dim(self) -> int:
        """How many numbers an embedding has."""
        return self.text_tower.dim

    @property
    def temperature(self) -> float:
        """What similarities are divided by in training: learned, and at least 0.01."""
        return math.exp(float(ops.convert_to_numpy(self.log_temperature)))

    @checked
    def tokens(self, prompts: Sequence[str] | np.ndarray) -> np.ndarray:
        """Returns the tokens of sentences, which `fit` takes beside pictures.

        Args:
            prompts: Sentences, or an int array `(num_prompts, length)` of tokens already.

        Returns:
            int32 array `(num_prompts, length)`.

        Raises:
            ValueError: If a word is unknown or a sentence is too long.
        """
        return self.text_tower.tokens(prompts)

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]:
        """Returns pictures and tokens that the model can learn from.

        Args:
            x: Pictures `(num_images, height, width, channels)` from 0 to 255; or a tuple of them
                and of texts, when `y` isn't given.
            y: A text for each picture, or its tokens.

        Returns:
            A tuple of pictures and tokens, and `None`.

        Raises:
            ValueError: If the pictures have another shape, a value is not finite, or a text can't
                be read.
        """
        if y is None:
            if not isinstance(x, list | tuple) or len(x) != 2:
                raise ValueError(
                    "CLIP is trained on pictures and a text for each: fit(images, texts). "
                    f"Received: {type(x).__name__}"
                )
            x, y = x
        images = as_images(x, self.image_encoder.input_shape[1:])
        empty = np.zeros((), "int32")
        tokens = self.tokens(list(y)) if are_texts(y, empty) else as_tokens(y, empty)
        if len(tokens) != len(images):
            raise ValueError(
                f"`y` must be a text for each of {len(images)} pictures. Received: {len(tokens)}"
            )
        return (images, tokens), None

    def call(self, inputs: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Returns the embeddings of pictures and of texts.

        Args:
            inputs: Pictures `(batch, height, width, channels)` from 0 to 255, and tokens `(batch,
                length)`.
            training: Whether batch normalization measures the batch.

        Returns:
            Two tensors of vectors of length 1, `(batch, dim)`.
        """
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            raise ValueError(
                "CLIP is trained on a tuple of pictures and tokens. "
                f"Received: {type(inputs).__name__}"
            )
        images, tokens = inputs
        return self._of_images(images, training), self.text_tower(tokens, training=training)

    def compute_loss(
        self,
        x: Batch = None,
        y: Batch = None,
        y_pred: Batch = None,
        sample_weight: Batch = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the batch's contrastive loss, and tracks how many pictures find their caption."""
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be left out: each picture is compared with all texts of its "
                "batch. Received: sample weights"
            )
        image_embeddings, text_embeddings = (ops.cast(part, "float32") for part in y_pred)
        found = ops.argmax(ops.matmul(image_embeddings, ops.transpose(text_embeddings)), axis=1)
        self.accuracy_tracker.update_state(ops.equal(found, ops.arange(ops.shape(found)[0])))
        temperature = ops.exp(ops.cast(self.log_temperature, "float32"))
        loss = contrastive_loss(image_embeddings, text_embeddings, temperature)
        # `self.losses` holds the regularizers of the two encoders.
        return sum(self.losses, start=loss)

    @checked
    def embed_images(self, images: Images) -> np.ndarray:
        """Returns the embeddings of pictures.

        Args:
            images: uint8 pictures `(num_images, height, width, channels)`.

        Returns:
            Vectors of length 1, a float32 array `(num_images, dim)`.

        Raises:
            ValueError: If the pictures have another shape or type, or there are none.
        """
        images = np.asarray(images)
        shape = self.image_encoder.input_shape
        check_rank(images, "images", 4, f"(num_images, {', '.join(map(str, shape[1:]))})")
        if images.dtype != np.uint8 or images.shape[1:] != shape[1:] or not len(images):
            raise ValueError(
                f"`images` must be uint8 of shape (num_images, {', '.join(map(str, shape[1:]))}), "
                f"at least one. Received: {images.dtype} of shape {images.shape}"
            )
        return self._embed(self._read_images, images, "embed images")

    @checked
    def embed_texts(self, prompts: str | Sequence[str] | np.ndarray) -> np.ndarray:
        """Returns the embeddings of sentences.

        Args:
            prompts: A sentence or several, or their tokens.

        Returns:
            Vectors of length 1, a float32 array `(num_prompts, dim)`.

        Raises:
            ValueError: If a word is unknown, a sentence is too long, or there are none.
        """
        tokens = self.tokens([prompts] if isinstance(prompts, str) else prompts)
        if not len(tokens):
            raise ValueError("`prompts` must hold at least one sentence. Received: none")
        return self._embed(self._read_tokens, tokens, "embed texts")

    @checked
    def similarity(self, images: Images, prompts: str | Sequence[str] | np.ndarray) -> np.ndarray:
        """Compares every picture with every sentence.

        Args:
            images: uint8 pictures `(num_images, height, width, channels)`.
            prompts: A sentence or several, or their tokens.

        Returns:
            The cosines of the angles between their embeddings, from -1 to 1: a float32 array
            `(num_images, num_prompts)`. The best caption of picture i is `argmax` along row i.

        Raises:
            ValueError: If `embed_images` or `embed_texts` refuses them.

        Example:
            ```python
            import imagegen

            clip = imagegen.CLIP.from_preset("clip-32")
            flower = imagegen.drawn.FlowerAttributes(5, "red", "yellow", "blue")
            images = imagegen.drawn.draw_flowers([flower])
            colors = ["red", "pink", "orange"]
            similarity = clip.similarity(images, [f"a {color} flower" for color in colors])
            print(colors[similarity[0].argmax()])
            ```
        """
        return self.embed_images(images) @ self.embed_texts(prompts).T

    def _embed(self, function: Any, inputs: np.ndarray, label: str) -> np.ndarray:
        (embeddings,) = in_batches(function, inputs, _BATCH_SIZE, label)
        if not np.isfinite(embeddings).all():
            raise FloatingPointError(
                "The embeddings are NaN or infinite: the weights are unusable."
            )
        return embeddings

    @functools.cached_property
    def _read_images(self) -> Any:
        return compiled(lambda images: self._of_images(images, False), self.image_encoder.variables)

    @functools.cached_property
    def _read_tokens(self) -> Any:
        tower = self.text_tower
        return compiled(lambda tokens: tower(tokens, training=False), tower.variables)

    def _of_images(self, images: Images, training: bool | None) -> Any:
        images = ops.cast(images, "float32") / 255
        return ops.normalize(self.image_encoder(images, training=training))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "image_encoder": keras.saving.serialize_keras_object(self.image_encoder),
            "text_encoder": keras.saving.serialize_keras_object(self.text_tower.text_encoder),
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        encoders = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("image_encoder", "text_encoder")
        }
        return cls(**{**config, **encoders})


@checked
def clip_image_encoder(
    image_size: Size, widths: Sequence[int], dim: int, *, channels: int = 3
) -> keras.Model:
    """Builds the side of a small CLIP that sees: a residual network.

    Each width halves the resolution and is followed by a residual block. The mean over all places
    of the last one goes through a dense layer.

    Args:
        image_size: `(height, width)` of the pictures, multiples of `2 ** len(widths)`; or one
            number for squares.
        widths: Channels after each halving.
        dim: Length of the vectors.
        channels: Channels of the pictures.

    Returns:
        A Keras model from images `(batch, height, width, channels)`, from 0 to 1, to
        vectors `(batch, dim)` of any length.

    Raises:
        ValueError: If an argument is out of range, or the size doesn't divide.

    Example:
        ```python
        import imagegen

        encoder = imagegen.clip_image_encoder(32, [32, 64, 128], dim=64)
        assert encoder.output_shape == (None, 64)
        ```

    Reference:
        He et al., [Deep Residual Learning](https://arxiv.org/abs/1512.03385), 2015, figure 2.
    """
    check_integer(dim, "dim", minimum=1)
    check_integer(channels, "channels", minimum=1)
    size = check_halvings(image_size, "image_size", check_widths(widths))
    images = x = keras.Input((*size, channels), name="images")
    for width in widths:
        x = conv(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = _residual_block(layers.BatchNormalization()(x))
    x = global_pooling()(layers.Activation("relu")(x))
    return keras.Model(images, dense(dim, name="embedding")(x), name="clip_image_encoder")


def _residual_block(x: Tensor) -> Tensor:
    inner = layers.Activation("relu")(x)
    inner = conv(x.shape[-1], 3, padding="same", use_bias=False)(inner)
    inner = layers.Activation("relu")(layers.BatchNormalization()(inner))
    return layers.Add()([x, conv(x.shape[-1], 3, padding="same")(inner)])


def _not_too_cold(log_temperature: Tensor) -> Tensor:
    return ops.maximum(log_temperature, math.log(_LOWEST_TEMPERATURE))


def _embedding_dim(image_encoder: Any) -> int:
    input_shape = getattr(image_encoder, "input_shape", None)
    output_shape = getattr(image_encoder, "output_shape", None)
    takes_pictures = isinstance(input_shape, tuple) and len(input_shape) == 4
    gives_vectors = isinstance(output_shape, tuple) and len(output_shape) == 2
    if output_shape is None or not takes_pictures or not gives_vectors:
        raise ValueError(
            "`image_encoder` must be a functional or sequential Keras model from pictures to "
            f"vectors. Received: {image_encoder!r} from {input_shape} to {output_shape}"
        )
    return int(output_shape[-1])
