"""Layers that more than one model needs: latent sampling and fast stride-2 upsampling."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("imagegen")
class LatentSampler(keras.layers.Layer):
    r"""Draws a latent vector from the normal distribution that an encoder describes.

    $$z = \mu + \exp\left(\tfrac12 \log\sigma^2\right) \epsilon,
    \qquad \epsilon \sim \mathcal N(0, I)$$

    The encoder gives the log of the *variance*. The noise is scaled by the standard deviation,
    its square root, and that is what the half is for. The randomness sits in $\epsilon$ alone, so
    gradients flow through $\mu$ and $\sigma$: the reparameterization trick.

    Args:
        seed: Integer seed of the layer's noise. `None` draws one from Keras's global state.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Example:

    ```python
    import numpy as np
    from imagegen import LatentSampler

    sampler = LatentSampler(seed=0)
    latents = sampler(np.zeros((4, 2)), np.zeros((4, 2)))
    assert latents.shape == (4, 2)
    ```

    Reference:
        [Kingma and Welling, 2013](https://arxiv.org/abs/1312.6114), section 2.4 and appendix B.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, mean: Any, log_variance: Any) -> Any:
        """Returns one sample a row.

        Args:
            mean: Means, of shape `(batch, latent_dim)`.
            log_variance: Logarithms of the variances, of the same shape.

        Returns:
            Samples, of the same shape and in the layer's compute dtype.
        """
        noise = keras.random.normal(
            ops.shape(mean), dtype=self.compute_dtype, seed=self.seed_generator
        )
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, mean_shape: Any, log_variance_shape: Any = None) -> Any:
        return mean_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("imagegen")
class SubPixelConv2DTranspose(keras.layers.Conv2DTranspose):
    r"""A stride-2 transposed convolution, computed as a stride-1 convolution.

    It computes the same function, from the same kernel, as
    `keras.layers.Conv2DTranspose(filters, kernel_size, strides=2, padding="same")`. Output pixel
    $2q + r$, with $r$ either 0 or 1, only meets every second kernel row:

    $$y_{2q + r} = \sum_t w_{r + p - 2t} \, x_{q + t}, \qquad
    p = \lfloor \max(k - 2, 0) / 2 \rfloor$$

    So the even and the odd output pixels are two ordinary convolutions of the input. In two
    dimensions they are four; one convolution to four times the filters computes them all, and
    depth to space sorts its output into the picture. XLA on a CPU is three to four times faster
    at the gradient of this form. Weights can be exchanged with `Conv2DTranspose` either way.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, an integer or a pair.
        strides: Has to be 2.
        padding: Has to be `"same"`.
        **kwargs: Further keyword arguments of `keras.layers.Conv2DTranspose`. `data_format` has
            to be `"channels_last"` and `output_padding` `None`.

    Raises:
        ValueError: When an argument asks for another function than the one above.

    Example:

    ```python
    import numpy as np
    from imagegen import SubPixelConv2DTranspose

    layer = SubPixelConv2DTranspose(8, 3, activation="relu")
    assert layer(np.zeros((1, 7, 7, 4))).shape == (1, 14, 14, 8)
    ```

    Reference:
        [Shi et al., 2016](https://arxiv.org/abs/1609.07009): a transposed convolution is a
        sub-pixel convolution.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 2,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides=strides, padding=padding, **kwargs)
        required = {
            "strides": (2, 2),
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": (1, 1),
            "output_padding": None,
        }
        for name, value in required.items():
            received = getattr(self, name)
            if received != value:
                raise ValueError(
                    f"`{name}` must be {value!r} in SubPixelConv2DTranspose; "
                    f"keras.layers.Conv2DTranspose has the other cases. "
                    f"Received: {name}={received!r}"
                )

    def call(self, inputs: Any) -> Any:
        """Returns `inputs` at twice the height and width.

        Args:
            inputs: Images or features, of shape `(batch, height, width, channels)`.

        Returns:
            Features, of shape `(batch, 2 * height, 2 * width, filters)`.
        """
        channels = inputs.shape[-1]
        (rows, kernel_rows, input_rows), (columns, kernel_columns, input_columns) = (
            _sub_pixel_taps(size) for size in self.kernel_size
        )
        kernel = ops.pad(self.kernel, [kernel_rows, kernel_columns, (0, 0), (0, 0)])
        # Axes: tap, pixel, tap, pixel, filter, channel. The later a tap, the earlier its weights.
        kernel = ops.reshape(kernel, (rows, 2, columns, 2, self.filters, channels))
        kernel = ops.transpose(ops.flip(kernel, axis=(0, 2)), (0, 2, 5, 1, 3, 4))
        kernel = ops.reshape(kernel, (rows, columns, channels, 4 * self.filters))
        outputs = ops.conv(
            ops.pad(inputs, [(0, 0), input_rows, input_columns, (0, 0)]),
            kernel,
            padding="valid",
            data_format="channels_last",
        )
        _, height, width, _ = ops.shape(inputs)
        outputs = ops.reshape(outputs, (-1, height, width, 2, 2, self.filters))
        outputs = ops.transpose(outputs, (0, 1, 3, 2, 4, 5))
        outputs = ops.reshape(outputs, (-1, 2 * height, 2 * width, self.filters))
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)


def _sub_pixel_taps(kernel_size: int) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Returns the taps of one axis, and the zeros around its kernel and around its input.

    With p = max(k - 2, 0) // 2, output pixel 2q + r meets weight r + p - 2t at input pixel q + t.
    The last tap is t = ceil(p / 2). Zeros before and after the kernel make its weights whole
    pairs, one pair (r = 0 and 1) for each tap.
    """
    padding = max(kernel_size - 2, 0) // 2
    last_tap = (padding + 1) // 2
    before = 2 * last_tap - padding
    count = (kernel_size + before + 1) // 2
    after = 2 * count - kernel_size - before
    return count, (before, after), (count - 1 - last_tap, last_tap)
