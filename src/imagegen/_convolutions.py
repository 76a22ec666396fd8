"""Convolutions whose kernels learn quickly on a CPU."""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator
from typing import Any

from imagegen.typing import Tensor

import keras

# So much of a batch is worked on at a time, in bytes: what a processor keeps close at hand.
_CLOSE = 6 << 20
# In smaller pictures XLA's own way is as quick.
_FEWEST_PLACES = 65
_TRAINS: contextvars.ContextVar[bool] = contextvars.ContextVar("trains", default=False)


@contextlib.contextmanager
def quick_kernel_gradients() -> Iterator[None]:
    """Lets kernels learn by the quick way in what is compiled while a `with` block runs.

    `fit` asks for it. Elsewhere convolutions are Keras's own: JAX can't do everything with a custom
    derivative, such as map it over examples, or differentiate it once more.
    """
    token = _TRAINS.set(True)
    try:
        yield
    finally:
        _TRAINS.reset(token)


@keras.saving.register_keras_serializable("imagegen")
class Conv2D(keras.layers.Conv2D):
    r"""Keras's `Conv2D`, with another way to the gradient of its kernel in `fit`, on JAX and a CPU.

    For a kernel of 3 x 3, the gradient is a sum over all places of all pictures:

    $$\frac{\partial \ell}{\partial W_{uv}} = \sum_{n, i, j} x_{n, i+u, j+v}^\top \, g_{n, i, j},
    \qquad u, v \in \{-1, 0, 1\},$$

    with $g$ the gradient of the output. XLA takes it for a convolution with a kernel as large as a
    picture, and reaches a tenth to a third of what the processor can do. Here, three copies of $x$,
    moved by $v$, stand side by side, and so do three copies of $g$, moved against $u$. One product
    of these two matrices holds all nine sums. Nothing else is different: forward, and to $x$, it is
    XLA's convolution.

    All arguments are those of `keras.layers.Conv2D`.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        if not self._is_quicker(inputs, kernel):
            return super().convolution_op(inputs, kernel)
        return _same_convolution()(inputs, keras.ops.convert_to_tensor(kernel))

    def _is_quicker(self, inputs: Tensor, kernel: Tensor) -> bool:
        plain = (self.kernel_size, self.strides, self.dilation_rate) == ((3, 3), (1, 1), (1, 1))
        if keras.backend.backend() != "jax" or not plain or self.padding != "same":
            return False
        if not _TRAINS.get():
            return False
        import jax

        shape = inputs.shape
        return (
            self.data_format == "channels_last"
            and self.groups == 1
            and None not in shape
            and math.prod(shape[1:3]) >= _FEWEST_PLACES
            and str(inputs.dtype) == str(kernel.dtype) == "float32"
            and jax.default_backend() == "cpu"
            # Shares of a batch lie on several devices, and are not taken apart.
            and keras.distribution.distribution() is None
        )


@functools.cache
def _same_convolution() -> Any:
    """The convolution of pictures `(batch, height, width, channels)` with a kernel of 3 x 3."""
    import jax
    from jax.custom_derivatives import SymbolicZero, linear_call

    def convolve(inputs: Any, kernel: Any) -> Any:
        return jax.lax.conv_general_dilated(
            inputs, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    @jax.custom_jvp
    def convolution(inputs: Any, kernel: Any) -> Any:
        return convolve(inputs, kernel)

    # A derivative forwards, whose transpose is given: so a loss may hold derivatives, too.
    @functools.partial(convolution.defjvp, symbolic_zeros=True)
    def derivative(primals: Any, tangents: Any) -> Any:
        inputs, kernel = primals
        of_inputs, of_kernel = tangents
        outputs = convolution(inputs, kernel)
        parts = []
        if type(of_inputs) is not SymbolicZero:
            parts.append(convolve(of_inputs, kernel))
        if type(of_kernel) is not SymbolicZero:
            parts.append(linear_call(convolve, kernel_gradient, inputs, of_kernel))
        return outputs, sum(parts, start=jax.numpy.zeros_like(outputs))

    return convolution


def kernel_gradient(inputs: Any, gradient: Any) -> Any:
    """Returns the gradient of the kernel of a 3 x 3 convolution that keeps height and width.

    Args:
        inputs: What was convolved, `(batch, height, width, channels)`.
        gradient: The gradient of the output, `(batch, height, width, filters)`.

    Returns:
        An array `(3, 3, channels, filters)`.
    """
    import jax
    from jax import numpy as jnp

    batch, height, width, channels = inputs.shape
    filters = gradient.shape[-1]
    picture = 3 * (channels + filters) * height * width * inputs.dtype.itemsize
    largest = max(1, _CLOSE // picture)
    size = max(number for number in range(1, largest + 1) if batch % number == 0)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        x, g = part
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = jnp.concatenate([x[:, :, v : v + width] for v in range(3)], axis=-1)
        g = jnp.pad(g, ((0, 0), (2, 2), (0, 0), (0, 0)))
        g = jnp.concatenate([g[:, 2 - u : 4 - u + height] for u in range(3)], axis=-1)
        return total + x.reshape(-1, 3 * channels).T @ g.reshape(-1, 3 * filters), None

    parts = [array.reshape(-1, size, *array.shape[1:]) for array in (inputs, gradient)]
    total, _ = jax.lax.scan(add, jnp.zeros((3 * channels, 3 * filters), inputs.dtype), parts)
    return total.reshape(3, channels, 3, filters).transpose(2, 0, 1, 3)
