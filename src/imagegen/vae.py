"""The variational autoencoder: a latent space that can be sampled, and networks for pictures."""

import math
from pathlib import Path
from typing import Any, NamedTuple, Self

from imagegen import presets
from imagegen._batches import in_batches
from imagegen._checks import check_finite, check_integer, check_number, check_rank
from imagegen._contracts import checked
from imagegen._examples import as_images
from imagegen._jit import check_readable
from imagegen.layers import LatentSampler
from imagegen.training import CarefulTraining
from imagegen.typing import Array, Batch, Config, Images, Tensor

import keras
import numpy as np
from keras import ops

# `encode` and `decode` run batches of one size, the last one padded: one compiled program serves
# any number of pictures. Larger pictures come in smaller batches, or padding would cost more than
# they do.
_BATCH_SIZE, _BATCH_PIXELS = 128, 128 * 28 * 28
# How many pictures are held in double precision at once.
_IMAGES_AT_ONCE = 1000
# As Keras clips probabilities: a value of a picture costs at most 16.1 nats, never infinity.
_SMALLEST_PROBABILITY = 1e-7


@keras.saving.register_keras_serializable("imagegen")
class VAE(CarefulTraining):
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
        ValueError: If `encoder` and `decoder` do not fit together, or `beta` is negative.

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
        [Kingma and Welling, 2013](https://arxiv.org/abs/1312.6114), equation 10 and appendix B,
        and [Rezende et al., 2014](https://arxiv.org/abs/1401.4082), who found it independently;
        [Higgins et al., 2017](https://openreview.net/forum?id=Sy2fzU9gl) for beta.
    """

    @checked
    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, *, beta: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        _check_networks(encoder, decoder)
        self.encoder = encoder
        self.decoder = decoder
        self.beta: float = check_number(beta, "beta", minimum=0)
        self.sampler = LatentSampler()
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")
        self.built = True

    @classmethod
    @checked
    def from_preset(cls, name: str | Path) -> Self:
        """Loads a trained model.

        Args:
            name: A name that `list_presets()` gives, or the path of a `.keras` file.

        Returns:
            The model, ready to encode and decode.

        Raises:
            ValueError: If there is no such preset, it is damaged, or it is no VAE.

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

    def call(self, images: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the tensors `(reconstructions, mean, log_variance)` of a batch of images."""
        mean, log_variance = self.encoder(_unit_range(images), training=training)
        latents = self.sampler(mean, log_variance)
        return self.decoder(latents, training=training), mean, log_variance

    def compute_loss(
        self,
        x: Batch = None,
        y: Batch = None,
        y_pred: Batch = None,
        sample_weight: Batch = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the batch's loss, a scalar, and tracks its two parts."""
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
        losses = reconstruction_losses + self.beta * kl_losses
        if sample_weight is not None:
            losses = losses * ops.cast(sample_weight, "float32")
        return ops.mean(losses) + sum(self.losses)

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]:
        """Returns images that the model can learn from.

        Args:
            x: Images as for `encode`, or a list of them.
            y: Nothing: a VAE learns from images alone.

        Returns:
            The images, and `None`.

        Raises:
            ValueError: If the images have another shape or range, or hold NaN, or `y` is given.
        """
        if y is not None or (isinstance(x, tuple) and len(x) != 1):
            raise ValueError(
                "`x` must be images alone: a VAE learns from nothing else. "
                f"Received: x of {type(x).__name__}, y of {type(y).__name__}"
            )
        images = as_images(x[0] if isinstance(x, tuple) else x, self.encoder.input_shape[1:])
        if isinstance(images, np.ndarray):
            _check_unit_range(images)
        return images, None

    @checked
    def encode(self, images: Images) -> tuple[np.ndarray, np.ndarray]:
        """Returns the parameters of each image's distribution in the latent space.

        Args:
            images: Images of shape `(num_images, height, width, channels)`: uint8 from 0 to 255,
                or floats from 0 to 1.

        Returns:
            `(mean, log_variance)`: two float32 arrays of shape `(num_images, *latent_shape)`.

        Raises:
            ValueError: If the images have another shape or range, or hold NaN.
            FloatingPointError: If the network gives NaN or infinity.
        """
        images = check_finite(images, "images")
        _check_shape(images, "images", self.encoder.input_shape)
        _check_unit_range(images)
        mean, log_variance = self._predict(self.encoder, images, "Encoding")
        return mean, log_variance

    @checked
    def decode(self, latents: Array) -> np.ndarray:
        """Returns the image of each point of the latent space.

        Args:
            latents: Points of the latent space, of shape `(num_images, *latent_shape)`.

        Returns:
            A float32 array of shape `(num_images, height, width, channels)`, from 0 to 1.

        Raises:
            ValueError: If the latents have another shape or hold NaN.
            FloatingPointError: If the network gives NaN or infinity.
        """
        latents = check_finite(latents, "latents")
        _check_shape(latents, "latents", self.decoder.input_shape)
        (images,) = self._predict(self.decoder, latents.astype("float32"), "Decoding")
        return images

    def _predict(
        self, network: keras.Model, inputs: np.ndarray, description: str
    ) -> list[np.ndarray]:
        """Returns the network's outputs as float32 arrays, computed batch by batch."""
        check_readable(network.variables)
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

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "beta": self.beta,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **networks})


class NegativeELBO(NamedTuple):
    """What a VAE needs to describe a picture, a mean over pictures.

    Attributes:
        nats: The negative evidence lower bound, which is the sum of the next two.
        reconstruction: What the decoded pictures miss, in nats.
        kl: What the latents hold, in nats.
        bits_per_dimension: `nats` as bits, for each value of a picture.

    Example:
        ```python
        import imagegen

        vae = imagegen.VAE.from_preset("digits-2d")
        bound = imagegen.negative_elbo(vae, imagegen.datasets.digits("mnist-sample").images[:10])
        assert abs(bound.nats - bound.reconstruction - bound.kl) < 0.01
        ```
    """

    nats: float
    reconstruction: float
    kl: float
    bits_per_dimension: float


@checked
def negative_elbo(vae: VAE, images: Images, *, num_draws: int = 1, seed: int = 0) -> NegativeELBO:
    r"""Measures how well a variational autoencoder describes pictures: the lower, the better.

    $$-\mathrm{ELBO} = \mathbb{E}_{q(z | x)} \Big[ -\sum_i x_i \log \hat x_i(z)
    + (1 - x_i) \log \left(1 - \hat x_i(z)\right) \Big]
    + \mathrm{KL} \left( q(z | x) \,\Vert\, \mathcal{N}(0, 1) \right)$$

    A grey level $x_i$ from 0 to 1 is taken as the probability of white, as in training. So grey
    pixels cost something however well they are decoded, and figures compare only with those that
    were measured in this way.

    Args:
        vae: An `imagegen.VAE`.
        images: Images of shape `(num_images, height, width, channels)`, uint8 from 0 to 255 or
            floats from 0 to 1, that the VAE was not trained on.
        num_draws: How many latents are drawn for each image, at least 1.
        seed: Number from which they are drawn, at least 0.

    Returns:
        `NegativeELBO(nats, reconstruction, kl, bits_per_dimension)`.

    Raises:
        ValueError: If the images have another shape or range, or hold NaN, or an option is out of
            range.

    Example:
        ```python
        from imagegen import VAE, datasets, negative_elbo

        images = datasets.digits("mnist-sample", split="test").images[:100]
        bound = negative_elbo(VAE.from_preset("digits-2d"), images)
        assert bound.nats == bound.reconstruction + bound.kl
        ```

    Reference:
        [Kingma and Welling, 2013](https://arxiv.org/abs/1312.6114), equation 3 and appendix B.
    """
    num_draws = check_integer(num_draws, "num_draws", minimum=1)
    random = np.random.default_rng(check_integer(seed, "seed", minimum=0))
    mean, log_variance = (part.astype("float64") for part in vae.encode(images))
    kl = float(np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance) / 2 / len(mean))
    images = np.asarray(images)
    total = 0.0
    for _ in range(num_draws):
        noise = random.standard_normal(mean.shape)
        decoded = vae.decode(mean + np.exp(log_variance / 2) * noise)
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            rows = slice(start, start + _IMAGES_AT_ONCE)
            white = images[rows] / 255.0 if images.dtype == np.uint8 else images[rows]
            probabilities = decoded[rows].astype("float64")
            probabilities = probabilities.clip(_SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
            total -= np.sum(white * np.log(probabilities))
            total -= np.sum((1 - white) * np.log1p(-probabilities))
    reconstruction = float(total / num_draws / len(images))
    nats = reconstruction + kl
    bits_per_dimension = float(nats / np.log(2) / images[0].size)
    return NegativeELBO(nats, reconstruction, kl, bits_per_dimension)


def _check_unit_range(images: np.ndarray) -> None:
    if images.dtype != np.uint8 and not (
        images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1
    ):
        raise ValueError(
            "`images` must be uint8 from 0 to 255 or floats from 0 to 1: divide floats up to 255 "
            f"by 255. Received: {images.dtype} from {images.min()} to {images.max()}"
        )


def _unit_range(images: Tensor) -> Tensor:
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
