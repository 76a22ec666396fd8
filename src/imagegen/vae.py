"""The variational autoencoder: a latent space that can be sampled, and networks for pictures."""

import math
from collections.abc import Sequence
from typing import Any, Self

from imagegen import presets
from imagegen._batches import in_batches
from imagegen._checks import (
    check_finite,
    check_halvings,
    check_integer,
    check_number,
    check_rank,
    check_widths,
)
from imagegen._weights import conv, conv_transpose, dense
from imagegen.layers import DepthToSpace, LatentSampler

import keras
import numpy as np
from keras import layers, ops

# `encode` and `decode` run batches of one size, the last one padded: one compiled program serves
# any number of pictures. Larger pictures come in smaller batches, or padding would cost more than
# they do.
_BATCH_SIZE, _BATCH_PIXELS = 128, 128 * 28 * 28


@keras.saving.register_keras_serializable("imagegen")
class VAE(keras.Model):
    r"""A variational autoencoder: images to normal distributions, and samples of them to images.

    Training minimizes, per image,

    $$\underbrace{-\sum_i x_i \log \hat x_i + (1 - x_i) \log (1 - \hat x_i)}_\text{reconstruction}
    + \beta \underbrace{\sum_j -\tfrac12
    \left(1 + \log\sigma_j^2 - \mu_j^2 - \sigma_j^2\right)}_\text{KL to the unit normal}$$

    with $i$ over pixels, $j$ over latent dimensions, and the mean over the batch. At
    $\beta = 1$ this is the negative evidence lower bound (ELBO) in nats. A listing that averages
    the KL term over the latent dimensions instead has $\beta = 1 / \text{latent dim}$.

    A latent space can be a vector, or a small picture of its own, as
    [latent diffusion][imagegen.LatentDiffusion] needs it: then $j$ runs over places and channels.

    `fit` and `evaluate` take images alone, without targets or sample weights, and report `loss`,
    `reconstruction_loss` and `kl_loss`. `compile` needs an optimizer and no loss. Images are
    uint8 from 0 to 255, or floats from 0 to 1. Calling the model returns the tensors
    `(reconstructions, mean, log_variance)`.

    Args:
        encoder: Functional or sequential Keras model from images in `[0, 1]`, of shape
            `(batch, height, width, channels)`, to `(mean, log_variance)`, each of shape
            `(batch, latent_dim)` or `(batch, rows, columns, latent_channels)`.
        decoder: Functional or sequential Keras model from latents, of that shape, to images in
            `[0, 1]`; its last activation is a sigmoid.
        beta: Weight of the KL term, at least 0.
        **kwargs: Keyword arguments of `keras.Model`.

    Raises:
        ValueError: When `encoder` and `decoder` do not fit together, or `beta` is negative.

    Example:
        ```python
        import numpy as np
        from imagegen import VAE, digit_decoder, digit_encoder

        images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype="uint8")
        vae = VAE(digit_encoder(), digit_decoder())
        vae.compile("adam")
        vae.fit(images, batch_size=4, verbose=0)
        mean, log_variance = vae.encode(images)
        assert vae.decode(mean).shape == images.shape
        ```

    Reference:
        [Kingma and Welling, 2013](https://arxiv.org/abs/1312.6114), equation 10 and appendix B;
        [Higgins et al., 2017](https://openreview.net/forum?id=Sy2fzU9gl) for beta.
    """

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, *, beta: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        _check_networks(encoder, decoder)
        self.encoder = encoder
        self.decoder = decoder
        self.beta = check_number(beta, "beta", minimum=0)
        self.sampler = LatentSampler()
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")
        self.built = True

    @classmethod
    def from_preset(cls, name: str) -> Self:
        """Loads a trained model.

        Args:
            name: A name that `list_presets()` gives, or the path of a `.keras` file.

        Returns:
            The model, ready to encode and decode.

        Raises:
            ValueError: When there is no such preset, it is damaged, or it is no VAE.

        Example:
            ```python
            from imagegen import VAE

            vae = VAE.from_preset("digits-2d")
            digit = vae.decode([[0.0, 0.0]])
            ```
        """
        return presets.load(name, cls)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return math.prod(self.latent_shape)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one picture's latents."""
        return tuple(self.decoder.input_shape[1:])

    def call(self, images: Any, training: bool | None = None) -> tuple[Any, Any, Any]:
        """Returns the tensors `(reconstructions, mean, log_variance)` of a batch of images."""
        mean, log_variance = self.encoder(_unit_range(images), training=training)
        latents = self.sampler(mean, log_variance)
        return self.decoder(latents, training=training), mean, log_variance

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the batch's loss, a scalar, and tracks its two parts."""
        if y is not None or sample_weight is not None:
            raise ValueError(
                "A VAE learns from images alone: `y` and `sample_weight` must be None. "
                f"Received: y={y}, sample_weight={sample_weight}"
            )
        reconstructions, mean, log_variance = (ops.cast(part, "float32") for part in y_pred)
        images = ops.cast(_unit_range(x), "float32")
        # Keras clips the probabilities by 1e-7: a pixel costs at most 16.1 nats, never infinity.
        reconstruction_losses = ops.sum(
            ops.binary_crossentropy(images, reconstructions), axis=(1, 2, 3)
        )
        kl_losses = ops.sum(
            -0.5 * (1 + log_variance - ops.square(mean) - ops.exp(log_variance)),
            axis=tuple(range(1, len(mean.shape))),
        )
        # The trackers take a value per image, so that a smaller last batch weighs less.
        self.reconstruction_tracker.update_state(reconstruction_losses)
        self.kl_tracker.update_state(kl_losses)
        # `self.losses` holds the regularizers of the two networks.
        return ops.mean(reconstruction_losses + self.beta * kl_losses) + sum(self.losses)

    def encode(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns the parameters of each image's distribution in the latent space.

        Args:
            images: Images of shape `(num_images, height, width, channels)`: uint8 from 0 to 255,
                or floats from 0 to 1.

        Returns:
            `(mean, log_variance)`: two float32 arrays of shape `(num_images, *latent_shape)`.

        Raises:
            ValueError: When the images have another shape or range, or hold NaN.
            FloatingPointError: When the network gives NaN or infinity.
        """
        images = check_finite(images, "images")
        _check_shape(images, "images", self.encoder.input_shape)
        if images.dtype != np.uint8 and not (
            images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1
        ):
            raise ValueError(
                "`images` must be uint8 from 0 to 255 or floats from 0 to 1. Received: "
                f"{images.dtype} from {images.min()} to {images.max()}"
            )
        mean, log_variance = self._predict(self.encoder, images, "Encoding")
        return mean, log_variance

    def decode(self, latents: Any) -> np.ndarray:
        """Returns the image of each point of the latent space.

        Args:
            latents: Points of the latent space, of shape `(num_images, *latent_shape)`.

        Returns:
            A float32 array of shape `(num_images, height, width, channels)`, from 0 to 1.

        Raises:
            ValueError: When the latents have another shape or hold NaN.
            FloatingPointError: When the network gives NaN or infinity.
        """
        latents = check_finite(latents, "latents")
        _check_shape(latents, "latents", self.decoder.input_shape)
        (images,) = self._predict(self.decoder, latents.astype("float32"), "Decoding")
        return images

    def _predict(
        self, network: keras.Model, inputs: np.ndarray, description: str
    ) -> list[np.ndarray]:
        """Returns the network's outputs as float32 arrays, computed batch by batch."""
        height, width, _ = self.encoder.input_shape[1:]
        batch_size = max(1, min(_BATCH_SIZE, _BATCH_PIXELS // (height * width)))

        def predict(batch: np.ndarray) -> Any:
            return network.predict_on_batch(_unit_range(batch))

        results = in_batches(predict, inputs, batch_size, description)
        for result in results:
            if not np.isfinite(result).all():
                raise FloatingPointError(
                    f"{description} gave NaN or infinity: the weights of {network.name!r} are "
                    "unusable."
                )
        return results

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "beta": self.beta,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **networks})


def digit_encoder(latent_dim: int = 2) -> keras.Model:
    """Builds the encoder of 28 x 28 digits; 69,076 parameters at 2 latent dimensions.

    Its convolutions shrink the image by strides, not by pooling: pooling forgets where in its
    window a feature was, and the decoder has to put it back there. The mean and the log variance
    are read from 16 features, or from four for each latent dimension where that is more.

    Args:
        latent_dim: Number of latent dimensions, at least 1.

    Returns:
        A Keras model from images of shape `(batch, 28, 28, 1)`, from 0 to 1, to
        `(mean, log_variance)`, each of shape `(batch, latent_dim)`.

    Example:
        ```python
        from imagegen import digit_encoder

        assert digit_encoder().count_params() == 69_076
        ```
    """
    latent_dim = check_integer(latent_dim, "latent_dim", minimum=1)
    images = keras.Input((28, 28, 1), name="images")
    x = conv(32, 3, strides=2, padding="same", activation="relu", name="conv_1")(images)
    x = conv(64, 3, strides=2, padding="same", activation="relu", name="conv_2")(x)
    x = layers.Flatten(name="flatten")(x)
    # A smooth activation: of 16 ReLUs 12 ended dead. Six epochs beside one trained decoder brought
    # held-out digits to 145.9 nats with SiLU, to 148.0 with ReLU, to 148.9 with leaky ReLU.
    x = dense(max(16, 4 * latent_dim), activation="silu", name="dense")(x)
    mean = dense(latent_dim, name="mean")(x)
    log_variance = dense(latent_dim, name="log_variance")(x)
    return keras.Model(images, [mean, log_variance], name="digit_encoder")


def digit_decoder(latent_dim: int = 2) -> keras.Model:
    """Builds the decoder of 28 x 28 digits; 65,089 parameters at 2 latent dimensions.

    Args:
        latent_dim: Number of latent dimensions, at least 1.

    Returns:
        A Keras model from latents of shape `(batch, latent_dim)` to images of shape
        `(batch, 28, 28, 1)`, from 0 to 1.

    Example:
        ```python
        from imagegen import digit_decoder

        assert digit_decoder().count_params() == 65_089
        ```
    """
    latent_dim = check_integer(latent_dim, "latent_dim", minimum=1)
    latents = keras.Input((latent_dim,), name="latents")
    x = dense(7 * 7 * 64, activation="relu", name="dense")(latents)
    x = layers.Reshape((7, 7, 64), name="reshape")(x)
    x = conv_transpose(64, 3, activation="relu", name="upsample_1")(x)
    x = conv_transpose(32, 3, activation="relu", name="upsample_2")(x)
    images = conv(1, 3, padding="same", activation="sigmoid", name="images")(x)
    return keras.Model(latents, images, name="digit_decoder")


def image_encoder(
    image_size: int,
    widths: Sequence[int],
    *,
    latent_channels: int = 4,
    block_depth: int = 1,
    channels: int = 3,
) -> keras.Model:
    """Builds an encoder whose latents are a small picture of their own.

    Every width halves the resolution: two of them make latents of a quarter of the height and the
    width, three of an eighth. There is no dense layer, so each latent sees the pixels around its
    own place, and a part of a picture is a part of its latents.

    Args:
        image_size: Height and width of the square pictures, a multiple of `2 ** len(widths)`.
        widths: Channels after each halving, from the largest resolution to that of the latents.
        latent_channels: Numbers in the latents at each place.
        block_depth: Residual blocks after each halving.
        channels: Channels of the pictures.

    Returns:
        A Keras model from images `(batch, image_size, image_size, channels)`, from 0 to 1, to
        `(mean, log_variance)`, each `(batch, rows, columns, latent_channels)`.

    Raises:
        ValueError: If an argument is out of range, or the size doesn't divide.

    Example:
        ```python
        from imagegen import VAE, image_decoder, image_encoder

        vae = VAE(image_encoder(64, [16, 32]), image_decoder(64, [16, 32]), beta=1e-3)
        assert vae.latent_shape == (16, 16, 4)
        ```

    Reference:
        Rombach et al., [Latent Diffusion Models](https://arxiv.org/abs/2112.10752), 2022, section
        3.1.
    """
    _check_sizes(image_size, widths, latent_channels, block_depth, channels)
    images = x = keras.Input((image_size, image_size, channels), name="images")
    for width in widths:
        x = conv(width, 3, strides=2, padding="same")(x)
        for _ in range(block_depth):
            x = _residual_block(x)
    mean = conv(latent_channels, 3, padding="same", name="mean")(x)
    log_variance = conv(latent_channels, 3, padding="same", name="log_variance")(x)
    return keras.Model(images, [mean, log_variance], name="image_encoder")


def image_decoder(
    image_size: int,
    widths: Sequence[int],
    *,
    latent_channels: int = 4,
    block_depth: int = 1,
    channels: int = 3,
) -> keras.Model:
    """Builds the decoder to [image_encoder][imagegen.image_encoder], from the same arguments.

    Each doubling of the resolution is a convolution to four times the channels, which become
    pixels. So the last convolution works at half the resolution of the pictures, where it costs a
    quarter.

    Args:
        image_size: Height and width of the square pictures, a multiple of `2 ** len(widths)`.
        widths: Channels before each doubling, from the largest resolution to that of the latents.
        latent_channels: Numbers in the latents at each place.
        block_depth: Residual blocks before each doubling.
        channels: Channels of the pictures.

    Returns:
        A Keras model from latents `(batch, rows, columns, latent_channels)` to images
        `(batch, image_size, image_size, channels)`, from 0 to 1.

    Raises:
        ValueError: If an argument is out of range, or the size doesn't divide.

    Example:
        ```python
        from imagegen import image_decoder

        assert image_decoder(64, [16, 32, 32]).input_shape == (None, 8, 8, 4)
        ```

    Reference:
        Rombach et al., [Latent Diffusion Models](https://arxiv.org/abs/2112.10752), 2022, section
        3.1; pixels out of channels: Shi et al., [Real-Time Single Image and Video
        Super-Resolution](https://arxiv.org/abs/1609.05158), 2016.
    """
    _check_sizes(image_size, widths, latent_channels, block_depth, channels)
    size = image_size // 2 ** len(widths)
    latents = keras.Input((size, size, latent_channels), name="latents")
    x = conv(widths[-1], 3, padding="same")(latents)
    for stage in reversed(range(len(widths))):
        for _ in range(block_depth):
            x = _residual_block(x)
        if stage:
            x = DepthToSpace(2)(conv(4 * widths[stage - 1], 3, padding="same")(x))
    x = conv(4 * channels, 3, padding="same", activation="sigmoid", name="pixels")(x)
    return keras.Model(latents, DepthToSpace(2, name="images")(x), name="image_decoder")


def _residual_block(x: Any) -> Any:
    # Without a norm, which would take from a picture how bright it is as a whole. A kernel of
    # zeros: the networks begin as linear ones, which soon learn colours and large shapes.
    width = x.shape[-1]
    inner = layers.Activation("silu")(x)
    inner = conv(width, 3, padding="same", activation="silu")(inner)
    inner = conv(width, 3, padding="same", kernel_initializer="zeros")(inner)
    return layers.Add()([x, inner])


def _check_sizes(
    image_size: int, widths: Sequence[int], latent_channels: int, block_depth: int, channels: int
) -> None:
    check_integer(latent_channels, "latent_channels", minimum=1)
    check_integer(block_depth, "block_depth", minimum=0)
    check_integer(channels, "channels", minimum=1)
    check_halvings(image_size, "image_size", check_widths(widths))


def _unit_range(images: Any) -> Any:
    """Returns images as floats from 0 to 1: the one place where uint8 is divided by 255."""
    dtype = keras.backend.standardize_dtype(images.dtype)
    if dtype == "uint8":
        return ops.cast(images, keras.config.floatx()) / 255
    if "float" not in dtype:
        raise ValueError(
            f"`images` must be uint8 from 0 to 255 or floats from 0 to 1. Received: dtype {dtype}"
        )
    return images


def _check_networks(encoder: keras.Model, decoder: keras.Model) -> None:
    """Raises when the two networks are not each other's counterpart."""
    try:
        image_shape, latent_shapes = encoder.input_shape[1:], encoder.output_shape
        latent_shape, decoded_shape = decoder.input_shape[1:], decoder.output_shape[1:]
    except AttributeError as error:
        raise ValueError(
            "`encoder` and `decoder` must be functional or sequential Keras models. "
            f"Received: encoder={encoder!r}, decoder={decoder!r}"
        ) from error
    described = f"Received: encoder {image_shape} -> {latent_shapes}"
    if not isinstance(latent_shapes, list | tuple) or [
        shape[1:] for shape in latent_shapes if isinstance(shape, tuple)
    ] != [latent_shape, latent_shape]:
        raise ValueError(
            "`encoder` must return (mean, log_variance), each of the shape that `decoder` takes. "
            f"{described}, decoder from {latent_shape}"
        )
    if len(image_shape) != 3 or decoded_shape != image_shape:
        raise ValueError(
            "`decoder` must return images of the shape (height, width, channels) that `encoder` "
            f"takes. {described}, decoder to {decoded_shape}"
        )


def _check_shape(array: np.ndarray, name: str, expected: tuple[int | None, ...]) -> None:
    """Raises when `array` is empty or does not fit the network's input shape."""
    axes = f"(batch, {', '.join(str(size) for size in expected[1:])})"
    check_rank(array, name, len(expected), axes)
    if array.shape[1:] != expected[1:] or len(array) == 0:
        raise ValueError(
            f"`{name}` must have the shape {axes} and not be empty. Received: shape {array.shape}"
        )
