"""Small networks: for points in space, for denoising in one step, for larger pictures."""

from collections.abc import Sequence

from imagegen._checks import check_integer, check_widths
from imagegen._contracts import checked
from imagegen._weights import conv, conv_transpose, dense, upsampling
from imagegen.layers import DepthToSpace

import keras
from keras import layers


@checked
def point_mlp(
    dim: int = 2,
    *,
    width: int = 128,
    depth: int = 3,
    time_embedding: keras.layers.Layer | None = None,
    jumps: bool = False,
) -> keras.Model:
    r"""Builds a network of dense layers that finds the noise in points.

    How noisy the points are scales and shifts every hidden layer, channel by channel:

    $$h_{i+1} = \operatorname{swish}\left((1 + \gamma_i(e)) \odot (W_i h_i + b_i)
    + \delta_i(e)\right), \quad h_0 = x,$$

    where $\gamma_i$ and $\delta_i$ are dense layers of the embedded noise rate $e$.

    Args:
        dim: Coordinates of a point, at least 1.
        width: Channels of each hidden layer, at least 1.
        depth: Hidden layers, at least 1.
        time_embedding: How the network is told the noise rate: a layer from `(batch, 1)` to
            `(batch, channels)`, such as `LogSNREmbedding()` or `SinusoidalEmbedding(32)`. `None`
            tells the rate itself.
        jumps: Whether the network is told the noise rate at which a step ends, too, in the same
            way: as a `FlowMap` asks for.

    Returns:
        A Keras model from `[points, noise_rates]`, of shapes `(batch, dim)` and `(batch, 1)`, with
        `jumps` also `end_rates` of the shape `(batch, 1)`, to predictions of shape `(batch, dim)`,
        float32. They are 0 before training.

    Raises:
        ValueError: If a number is out of range.

    Example:
        ```python
        import imagegen

        network = imagegen.point_mlp(2, time_embedding=imagegen.LogSNREmbedding())
        model = imagegen.DiffusionModel(network, value_range=None)
        assert model.generate(10, num_steps=2, seed=0).shape == (10, 2)
        ```

    Reference:
        Perez et al., [FiLM](https://arxiv.org/abs/1709.07871), 2017, section 2.
    """
    dim = check_integer(dim, "dim", minimum=1)
    width = check_integer(width, "width", minimum=1)
    depth = check_integer(depth, "depth", minimum=1)
    points = keras.Input((dim,), name="points")
    noise_rates = keras.Input((1,), name="noise_rates")
    rates = [noise_rates]
    if jumps:
        rates.append(keras.Input((1,), name="end_rates"))
    embeddings = rates if time_embedding is None else [time_embedding(rate) for rate in rates]
    told = layers.Concatenate()(embeddings) if jumps else embeddings[0]
    embedding = dense(width, activation="swish")(told)
    x = points
    for _ in range(depth):
        x = dense(width)(x)
        x = x * (1.0 + dense(width)(embedding)) + layers.Dense(width)(embedding)
        x = layers.Activation("swish")(x)
    # As in the U-Net: "there is no noise" is the first guess.
    outputs = dense(dim, kernel_initializer="zeros", dtype="float32", name="head")(x)
    return keras.Model([points, *rates], outputs, name="point_mlp")


@checked
def denoising_autoencoder(
    image_shape: Sequence[int] = (28, 28, 1), *, widths: Sequence[int] = (32, 64)
) -> keras.Model:
    """Builds an autoencoder that is trained from noisy pictures to clean ones, in one step.

    Every width is a stage that halves the picture on the way in and doubles it on the way out.
    There are no skip connections: every pixel is drawn anew from what the middle knows of its
    surroundings.

    Args:
        image_shape: Height, width and channels of a picture. Height and width are multiples of
            `2 ** len(widths)`.
        widths: Channels of each stage, from the full resolution to the middle.

    Returns:
        A Keras model from pictures `(batch, height, width, channels)`, 0 to 1 where there is no
        noise, to pictures of the same shape, float32 and about 0 to 1.

    Raises:
        ValueError: If a number is out of range or the size doesn't divide.

    Example:
        ```python
        import imagegen
        import numpy as np

        network = imagegen.denoising_autoencoder((28, 28, 1))
        assert network(np.zeros((2, 28, 28, 1))).shape == (2, 28, 28, 1)
        ```

    Reference:
        Vincent et al., [Extracting and Composing Robust Features with Denoising
        Autoencoders](https://doi.org/10.1145/1390156.1390294), 2008.
    """
    widths = check_widths(widths)
    image_shape = _check_image_shape(image_shape, widths)
    noisy = keras.Input(image_shape, name="noisy")
    x = noisy
    for width in widths:
        x = conv(width, 3, strides=2, padding="same", activation="relu")(x)
    for width in reversed(widths):
        x = conv_transpose(width, 3, activation="relu")(x)
    # No sigmoid: with it and the squared error, training got stuck at black digits.
    head = conv(image_shape[2], 3, padding="same", dtype="float32")
    return keras.Model(noisy, head(x), name="denoising_autoencoder")


def _check_image_shape(image_shape: Sequence[int], widths: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(check_integer(side, "image_shape", minimum=1) for side in image_shape)
    divisor = 2 ** len(widths)
    if len(shape) != 3 or shape[0] % divisor or shape[1] % divisor:
        raise ValueError(
            f"`image_shape` must be (height, width, channels), with height and width multiples "
            f"of {divisor}, which is 2 ** (number of widths). Received: image_shape={image_shape!r}"
        )
    return shape


@checked
def espcn(factor: int, *, channels: int = 3, widths: Sequence[int] = (64, 32)) -> keras.Model:
    r"""Builds ESPCN, the sub-pixel network that makes pictures `factor` times larger.

    All convolutions work at the low resolution, where pixels are few. The last one gives
    `factor**2` numbers for every pixel and channel, and these become a square of pixels:

    $$\hat y = \text{enlarge}(x) + \text{DepthToSpace}_f(\text{convolutions}(x))$$

    The paper's network predicts the large picture; this one predicts what is missing in a plain
    enlargement, every pixel repeated. That is where it starts, since its last kernel is 0.

    Args:
        factor: How many times higher and wider pictures become, at least 2.
        channels: Channels of the pictures.
        widths: Channels of the convolutions. The first looks at 5 x 5 pixels, the others and the
            last one at 3 x 3.

    Returns:
        A Keras model from pictures `(batch, height, width, channels)`, of any height and width and
        with values from 0 to 1, to pictures `(batch, factor * height, factor * width, channels)`,
        float32 and about 0 to 1.

    Raises:
        ValueError: If a number is out of range or there is no width.

    Example:
        ```python
        import imagegen
        import numpy as np

        network = imagegen.espcn(3)
        assert network(np.zeros((1, 20, 30, 3))).shape == (1, 60, 90, 3)
        ```

    Reference:
        Shi et al., [Real-Time Single Image and Video Super-Resolution Using an Efficient
        Sub-Pixel Convolutional Neural Network](https://arxiv.org/abs/1609.05158), 2016, section 3.
    """
    factor = check_integer(factor, "factor", minimum=2)
    channels = check_integer(channels, "channels", minimum=1)
    widths = check_widths(widths)
    small = keras.Input((None, None, channels), name="small")
    x = small
    for width, size in zip(widths, [5] + [3] * (len(widths) - 1), strict=True):
        x = conv(width, size, padding="same", activation="relu")(x)
    head = conv(
        channels * factor**2, 3, padding="same", kernel_initializer="zeros", dtype="float32"
    )
    missing = DepthToSpace(factor, dtype="float32")(head(x))
    enlarged = upsampling(factor, dtype="float32")(small)
    return keras.Model(small, layers.Add(dtype="float32")([enlarged, missing]), name="espcn")
