"""The U-Net: a network that looks at a noisy picture and its noise rate."""

import math
from collections.abc import Collection, Sequence
from typing import Any, Self

from imagegen._checks import check_choice, check_integer, check_number, check_size, check_widths
from imagegen._contracts import checked
from imagegen._jit import compiled
from imagegen._saving import SavedWhole
from imagegen._weights import attention, average_pooling, conv, dense, upsampling
from imagegen.layers import DepthToSpace, GroupNormalization, PositionEmbedding, SinusoidalEmbedding
from imagegen.typing import Config, Size, Tensor

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable(package="imagegen")
class UNet(SavedWhole, keras.Model):
    """A U-Net of residual blocks.

    Going down, every stage but the last runs `block_depth` residual blocks and halves the
    resolution. The last width is the middle. Going up, every stage doubles the resolution and
    each of its blocks sees, beside its input, the output of the block at the same depth on the
    way down: a skip connection, which keeps detail that the middle can't hold.

    The defaults give the network of *Deep Learning with Python*, third edition, chapter 17: the
    noise rate is one more channel of the input, the norm is batch normalization, and there is no
    attention. With `embedding_dim`, the noise rate also reaches every block, as a scale and a
    shift after the norm. With `patch_size=2`, the network works on 2 x 2 patches as pixels: a
    picture of 64 x 64 costs what one of 32 x 32 costs.

    Args:
        image_size: `(height, width)` of the pictures, multiples of
            `patch_size * 2 ** (len(widths) - 1)`; or one number for squares.
        widths: Channels of each stage, from the full resolution to the middle.
        block_depth: Residual blocks in each stage.
        channels: Channels of the pictures.
        patch_size: Side of the square of pixels that is taken as one.
        norm: `"batch"` or `"group"`. Group normalization takes groups of 16 channels.
        embedding_dim: Size of the embedding of the noise rate that reaches every block. `None`
            leaves it out.
        condition_dim: Length of a vector that says what the picture should show, which becomes a
            third input. It reaches every block together with the noise rate, so `embedding_dim`
            is needed. `None` leaves it out.
        context_shape: Length and dimension of a sequence of vectors that say what the picture
            should show, such as those of words. It becomes an input after the noise rates. Where
            there is self-attention, cross-attention follows: every place of the picture looks at
            the vectors that matter to it. `None` leaves it out.
        map_channels: Channels of a map of the pictures' height and width, such as a depth map, a
            sketch or a small picture, enlarged. It becomes the last input, and the network sees it
            beside the noisy picture. `None` leaves it out.
        jumps: Whether the network is told the noise rate at which a step ends, too, as a `FlowMap`
            asks for. It becomes an input after the noise rates, and needs `embedding_dim`.
        attention_resolutions: Heights at which each block is followed by self-attention, in
            patches.
        position_embedding: Whether attention knows by a learned vector where each place lies.
            Without, it has only what the edges of the picture tell convolutions.
        dropout: Rate of dropout in each block, in `[0, 1)`.

    Call arguments:
        inputs: A list of noisy pictures `(batch, height, width, channels)`, noise rates
            `(batch, 1, 1, 1)`; with `jumps`, those at the end of a step, of the same shape; with
            `context_shape`, sequences `(batch, length, dim)`; with
            `condition_dim`, vectors `(batch, condition_dim)`; and with `map_channels`, maps
            `(batch, height, width, map_channels)`.

    Returns:
        The prediction, float32 of the pictures' shape. It is 0 before training.

    Raises:
        ValueError: If an argument is out of range or the size doesn't divide.

    Example:
        ```python
        import imagegen

        network = imagegen.UNet(64, [32, 64, 96, 128], block_depth=2)
        assert network.count_params() == 1_943_525
        ```

    Reference:
        Ronneberger et al., [U-Net](https://arxiv.org/abs/1505.04597), 2015; the residual form for
        diffusion follows Ho et al., [Denoising Diffusion Probabilistic
        Models](https://arxiv.org/abs/2006.11239), 2020, appendix B. Cross-attention to a prompt:
        Rombach et al., [Latent Diffusion Models](https://arxiv.org/abs/2112.10752), 2022, section
        3.3.
    """

    @checked
    def __init__(
        self,
        image_size: Size,
        widths: Sequence[int],
        *,
        block_depth: int,
        channels: int = 3,
        patch_size: int = 1,
        norm: str = "batch",
        embedding_dim: int | None = None,
        condition_dim: int | None = None,
        context_shape: tuple[int, int] | None = None,
        map_channels: int | None = None,
        jumps: bool = False,
        attention_resolutions: Collection[int] = (),
        position_embedding: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        sides = check_size(image_size, "image_size")
        config: dict[str, Any] = {
            # A number stays one: so files of square pictures are what they were.
            "image_size": list(sides) if isinstance(image_size, Sequence) else sides[0],
            "widths": check_widths(widths),
            "block_depth": check_integer(block_depth, "block_depth", minimum=1),
            "channels": check_integer(channels, "channels", minimum=1),
            "patch_size": check_integer(patch_size, "patch_size", minimum=1),
            "norm": check_choice(norm, "norm", ("batch", "group")),
            "embedding_dim": None
            if embedding_dim is None
            else check_integer(embedding_dim, "embedding_dim", minimum=2),
            "condition_dim": None
            if condition_dim is None
            else check_integer(condition_dim, "condition_dim", minimum=1),
            "context_shape": None
            if context_shape is None
            else [check_integer(size, "context_shape", minimum=1) for size in context_shape],
            "map_channels": None
            if map_channels is None
            else check_integer(map_channels, "map_channels", minimum=1),
            "attention_resolutions": sorted(attention_resolutions),
            "position_embedding": bool(position_embedding),
            "dropout": check_number(dropout, "dropout", minimum=0, maximum=0.99),
        }
        if jumps:  # Left out of files of networks that don't.
            config["jumps"] = True
        for name, given in (("condition_dim", condition_dim), ("jumps", jumps or None)):
            if given is not None and embedding_dim is None:
                raise ValueError(
                    f"`embedding_dim` must be given with `{name}`: what that adds reaches the "
                    f"blocks with it. Received: {name}={given}, embedding_dim=None"
                )
        if context_shape is not None and (len(context_shape) != 2 or not attention_resolutions):
            raise ValueError(
                "`context_shape` must be (length, dim), and `attention_resolutions` must say where "
                f"the context is looked at. Received: context_shape={context_shape!r}, "
                f"attention_resolutions={attention_resolutions!r}"
            )
        divisor = patch_size * 2 ** (len(config["widths"]) - 1)
        if any(side % divisor for side in sides):
            raise ValueError(
                f"`image_size` must be a multiple of {divisor}, which is patch_size * 2 ** "
                f"(number of widths - 1). Received: image_size={image_size}"
            )
        heights = [sides[0] // patch_size // 2**stage for stage in range(len(config["widths"]))]
        if not set(attention_resolutions) <= set(heights):
            raise ValueError(
                f"`attention_resolutions` must be among the heights of the stages, {heights}. "
                f"Received: attention_resolutions={attention_resolutions!r}"
            )
        noisy = keras.Input((*sides, channels), name="noisy")
        inputs = [noisy, keras.Input((1, 1, 1), name="noise_rates")]
        if jumps:
            inputs.append(keras.Input((1, 1, 1), name="end_rates"))
        if context_shape is not None:
            inputs.append(keras.Input(tuple(context_shape), name="context"))
        if condition_dim is not None:
            inputs.append(keras.Input((condition_dim,), name="condition"))
        if map_channels is not None:
            inputs.append(keras.Input((*sides, map_channels), name="condition_map"))
        named = {tensor.name: tensor for tensor in inputs}
        super().__init__(inputs, _unet(**named, **config), **kwargs)
        self.config = config

    @checked
    def attention_maps(self, inputs: Sequence[Any]) -> list[Any]:
        """Returns how much every place of a picture looks at every vector of its context.

        Args:
            inputs: What the network is called with.

        Returns:
            For each layer of cross-attention, in the order of computation, an array `(batch,
            height, width, length)`, the mean of its heads. Over the last axis it sums to 1.

        Raises:
            ValueError: If the network has no `context_shape`.
        """
        if self.config["context_shape"] is None:
            raise ValueError("Only a network with a `context_shape` has maps. Received: None")
        _, height, width, _ = self.inputs[0].shape
        (context,) = (tensor for tensor in self.inputs if tensor.name == "context")
        lookers = [
            layer
            for layer in self.layers
            if isinstance(layer, layers.MultiHeadAttention) and layer.input[1] is context
        ]
        place = self.inputs.index(context)
        network = keras.Model(self.inputs, [layer.input[0] for layer in lookers])

        def look(*inputs: Tensor) -> list[Any]:
            maps = []
            for layer, query in zip(lookers, network(list(inputs)), strict=True):
                told = inputs[place]
                _, scores = layer(query, told, return_attention_scores=True)
                # A stage has the proportions of the picture.
                rows = math.isqrt(query.shape[1] * height // width)
                columns = query.shape[1] // rows
                scores = ops.mean(scores, axis=1)
                maps.append(ops.reshape(scores, (-1, rows, columns, scores.shape[-1])))
            return maps

        tensors = (ops.convert_to_tensor(array, "float32") for array in inputs)
        return compiled(look, self.variables)(*tensors)

    def get_config(self) -> Config:
        return {"name": self.name, "trainable": self.trainable} | dict(self.config)

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        # Keras would return a plain functional model, without this class's configuration.
        return cls(**config)


def _unet(
    noisy: Tensor,
    noise_rates: Tensor,
    end_rates: Tensor | None = None,
    context: Tensor | None = None,
    condition: Tensor | None = None,
    condition_map: Tensor | None = None,
    *,
    image_size: int | list[int],
    widths: list[int],
    block_depth: int,
    channels: int,
    patch_size: int,
    norm: str,
    embedding_dim: int | None,
    condition_dim: int | None,
    context_shape: list[int] | None,
    map_channels: int | None,
    attention_resolutions: Collection[int],
    position_embedding: bool,
    dropout: float,
    jumps: bool = False,
) -> Tensor:
    embedding = None
    if embedding_dim is not None:
        embedding = _embed(noise_rates, end_rates, condition, embedding_dim)

    def stage_block(x: Tensor, width: int) -> Tensor:
        x = _residual_block(x, width, embedding, norm, dropout)
        if x.shape[1] not in attention_resolutions:
            return x
        return _attend(x, context, norm, position_embedding)

    seen = noisy if condition_map is None else layers.Concatenate()([noisy, condition_map])
    x = conv(widths[0], 1, name="stem")(_to_patches(seen, patch_size))
    rate_map = upsampling(x.shape[1:3])(noise_rates)
    x = layers.Concatenate()([x, rate_map])
    skips = []
    for width in widths[:-1]:
        for _ in range(block_depth):
            x = stage_block(x, width)
            skips.append(x)
        x = average_pooling(2)(x)
    for _ in range(block_depth):
        x = stage_block(x, widths[-1])
    for width in reversed(widths[:-1]):
        x = _doubled(x)
        for _ in range(block_depth):
            x = stage_block(layers.Concatenate()([x, skips.pop()]), width)
    # A kernel of zeros: "there is no noise" is the first guess, and a calm one.
    output_channels = channels * patch_size**2
    x = conv(output_channels, 1, kernel_initializer="zeros", dtype="float32", name="head")(x)
    if patch_size == 1:
        return x
    # float32, as the head is: a policy of half precision would round the prediction.
    return DepthToSpace(patch_size, dtype="float32")(x)


def _doubled(x: Tensor) -> Tensor:
    """Doubles height and width by bilinear interpolation, as `UpSampling2D` does.

    By two matrix products: exporters know those on every backend, and with any number of pictures.
    """
    height, width = (_doubling(side).astype(x.dtype) for side in x.shape[1:3])
    return ops.einsum("pw,bqwc->bqpc", width, ops.einsum("qh,bhwc->bqwc", height, x))


def _doubling(side: int) -> np.ndarray:
    """The matrix `(2 * side, side)` that interpolates between the middles of `side` pixels."""
    places = (np.arange(2 * side) + 0.5) / 2 - 0.5
    # Beyond the outermost middles there is nothing between which to interpolate.
    places = places.clip(0, side - 1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(side))).astype("float32")


def _embed(
    noise_rates: Tensor, end_rates: Tensor | None, condition: Tensor | None, embedding_dim: int
) -> Tensor:
    x = SinusoidalEmbedding(embedding_dim)(noise_rates)
    x = dense(embedding_dim, activation="swish")(x)
    x = dense(embedding_dim)(x)
    if end_rates is not None:
        # Zeros again: a network that was trained without begins to jump from what it knows.
        end = SinusoidalEmbedding(embedding_dim, name="end_waves")(end_rates)
        end = dense(embedding_dim, activation="swish", name="end_in")(end)
        end = dense(embedding_dim, kernel_initializer="zeros", name="end_out")(end)
        x = layers.Add(name="end_add")([x, end])
    if condition is not None:
        # A kernel of zeros: at first the condition says nothing, and it can be added to a network
        # that was trained without one.
        condition = layers.Reshape((1, 1, condition.shape[-1]))(condition)
        projection = dense(embedding_dim, kernel_initializer="zeros", name="condition_in")
        x = layers.Add()([x, projection(condition)])
    return layers.Activation("swish")(x)


def _residual_block(
    x: Tensor, width: int, embedding: Tensor | None, norm: str, dropout: float
) -> Tensor:
    residual = x if x.shape[-1] == width else conv(width, 1)(x)
    x = _normalized(x, norm)
    if embedding is not None:
        scale = dense(x.shape[-1])(embedding)
        shift = dense(x.shape[-1])(embedding)
        x = x * (1.0 + scale) + shift
    x = conv(width, 3, padding="same", activation="swish")(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    x = conv(width, 3, padding="same")(x)
    return layers.Add()([x, residual])


def _normalized(x: Tensor, norm: str) -> Tensor:
    if norm == "batch":
        # The convolution that follows has a scale and a bias of its own.
        return layers.BatchNormalization(center=False, scale=False)(x)
    channels = x.shape[-1]
    groups = math.gcd(channels, max(1, channels // 16))
    return GroupNormalization(groups)(x)


def _attend(x: Tensor, context: Tensor | None, norm: str, position_embedding: bool) -> Tensor:
    height, width, channels = x.shape[1:]
    heads = max(1, channels // 32)

    def pixels(x: Tensor) -> Tensor:
        x = _normalized(x, norm)
        x = PositionEmbedding()(x) if position_embedding else x
        return layers.Reshape((height * width, channels))(x)

    query = pixels(x)
    seen = attention(heads, channels // heads)(query, query)
    x = layers.Add()([x, layers.Reshape((height, width, channels))(seen)])
    if context is None:
        return x
    seen = attention(heads, channels // heads)(pixels(x), context)
    return layers.Add()([x, layers.Reshape((height, width, channels))(seen)])


def _to_patches(x: Tensor, size: int) -> Tensor:
    if size == 1:
        return x
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height // size, size, width // size, size * channels))(x)
    x = layers.Permute((1, 3, 2, 4))(x)
    return layers.Reshape((height // size, width // size, size * size * channels))(x)
