"""Layers whose initial weights are drawn without compiling, and copied without TensorFlow."""

import math
from functools import partial
from typing import Any

from imagegen._convolutions import Conv2D
from imagegen.layers import SubPixelConv2DTranspose

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("imagegen")
class GlorotUniform(keras.initializers.GlorotUniform):
    """Keras's `GlorotUniform`, drawn by NumPy.

    On JAX, Keras draws by a program that is compiled anew for every shape, which takes a tenth of
    a second: most of the time in which a U-Net is built or a preset is loaded.

    Reference:
        Glorot and Bengio, [Understanding the difficulty of training deep feedforward neural
        networks](https://proceedings.mlr.press/v9/glorot10a.html), 2010, equation 16.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        fan_in, fan_out = (math.prod(shape[:-2]) * size for size in shape[-2:])
        limit = math.sqrt(6 / (fan_in + fan_out))
        # Single precision at once: a conversion on JAX is compiled for every shape, too.
        weights = np.random.default_rng(self.seed).uniform(-limit, limit, shape).astype("float32")
        return keras.ops.convert_to_tensor(weights, dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("imagegen")
class RandomNormal(keras.initializers.RandomNormal):
    """Keras's `RandomNormal`, drawn by NumPy for the same reason."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        drawn = np.random.default_rng(self.seed).normal(self.mean, self.stddev, shape)
        return keras.ops.convert_to_tensor(drawn.astype("float32"), dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("imagegen")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """Keras's `AveragePooling2D`, which can leave Python on JAX.

    The sum over a window becomes a convolution of six dimensions in ONNX, which runtimes on GPUs
    don't know. The mean of a block needs none.
    """

    def call(self, inputs: Any) -> Any:
        if keras.backend.backend() != "jax":
            return super().call(inputs)
        _, height, width, channels = inputs.shape
        rows, columns = self.pool_size
        blocks = (-1, height // rows, rows, width // columns, columns, channels)
        return ops.mean(ops.reshape(inputs, blocks), axis=(2, 4))


# Keras's layers as the package's networks use them. Whatever `keras.json` says, their channels come
# last: so do those of the pictures.
conv = partial(Conv2D, kernel_initializer=GlorotUniform, data_format="channels_last")
dense = partial(keras.layers.Dense, kernel_initializer=GlorotUniform)
attention = partial(keras.layers.MultiHeadAttention, kernel_initializer=GlorotUniform)
conv_transpose = partial(
    SubPixelConv2DTranspose, kernel_initializer=GlorotUniform, data_format="channels_last"
)
upsampling = partial(keras.layers.UpSampling2D, data_format="channels_last")
average_pooling = partial(AveragePooling2D, data_format="channels_last")
global_pooling = partial(keras.layers.GlobalAveragePooling2D, data_format="channels_last")
flatten = partial(keras.layers.Flatten, data_format="channels_last")


# Keras's own ways to write down a layer ask for TensorFlow. Where that is installed, its import
# takes two seconds: half of the time in which a preset was loaded.


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns what `keras.layers.Layer.get_config` does, with the policy by its name."""
    return {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy.name}


def serialized(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns what `keras.saving.serialize_keras_object` does, for a registered layer."""
    return {
        "module": type(layer).__module__,
        "class_name": type(layer).__name__,
        "config": layer.get_config(),
        "registered_name": keras.saving.get_registered_name(type(layer)),
    }
