"""What readers know: the loop of the book's chapter on diffusion, and of Keras's DDIM example.

Both are written down here in our words, on Keras alone. They have the same U-Net but for how it is
told the noise rate, the same schedule, and the same loop: Python calls the network once a step.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

MAX_SIGNAL_RATE, MIN_SIGNAL_RATE = 0.95, 0.02


def offset_cosine(times: Any) -> tuple[Any, Any]:
    """Noise and signal rates, on a circle that leaves out both of its ends."""
    first, last = math.acos(MAX_SIGNAL_RATE), math.acos(MIN_SIGNAL_RATE)
    angles = first + (last - first) * times
    return ops.sin(angles), ops.cos(angles)


def eager_loop(
    denoise: Callable[[Any, Any, Any], tuple[Any, Any]],
    noise: Any,
    num_steps: int,
    schedule: Callable[[Any], tuple[Any, Any]] = offset_cosine,
) -> Any:
    """DDIM, one call after the other.

    Args:
        denoise: Noise and picture that a network sees in noisy pictures at given rates.
        noise: Where it begins, `(num_pictures, height, width, channels)`.
        num_steps: How often the network is called.
        schedule: Noise and signal rates at times.
    """
    noisy, pictures = noise, None
    ones = ops.ones((len(noise), 1, 1, 1))
    for step in range(num_steps):
        noise_rates, signal_rates = schedule(ones * (1 - step / num_steps))
        noises, pictures = denoise(noisy, noise_rates, signal_rates)
        noise_rates, signal_rates = schedule(ones * (1 - (step + 1) / num_steps))
        noisy = signal_rates * pictures + noise_rates * noises
    return pictures


def noise_finder(network: keras.Model, power: int) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """A `denoise` by a network that is told noise rates, or a power of them, such as variances."""

    def denoise(noisy: Any, noise_rates: Any, signal_rates: Any) -> tuple[Any, Any]:
        noises = network([noisy, noise_rates**power], training=False)
        return noises, (noisy - noise_rates * noises) / signal_rates

    return denoise


def example_network(size: int, widths: tuple[int, ...], depth: int) -> keras.Model:
    """The U-Net of Keras's example: 32 sines and cosines of the noise variance beside the stem."""

    def block(x: Any, width: int) -> Any:
        shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
        return layers.Conv2D(width, 3, padding="same")(x) + shortcut

    pictures, variances = keras.Input((size, size, 3)), keras.Input((1, 1, 1))
    angles = variances * (2 * math.pi * ops.logspace(0, 3, 16, dtype="float32"))
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    x = layers.Concatenate()(
        [layers.Conv2D(widths[0], 1)(pictures), layers.UpSampling2D(size)(waves)]
    )
    kept = []
    for width in widths[:-1]:
        for _ in range(depth):
            kept.append(x := block(x, width))
        x = layers.AveragePooling2D(2)(x)
    for _ in range(depth):
        x = block(x, widths[-1])
    for width in reversed(widths[:-1]):
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        for _ in range(depth):
            x = block(layers.Concatenate()([x, kept.pop()]), width)
    x = layers.Conv2D(3, 1, kernel_initializer="zeros")(x)
    return keras.Model([pictures, variances], x)


def example_step(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> Callable:
    """Its training step, which the example writes for TensorFlow: two losses and an average."""
    import tensorflow as tf

    average = keras.models.clone_model(network)
    average.set_weights(network.get_weights())
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(clean: Any) -> Any:
        noise = keras.random.normal(ops.shape(clean))
        noise_rates, signal_rates = offset_cosine(keras.random.uniform((len(clean), 1, 1, 1)))
        noisy = signal_rates * clean + noise_rates * noise
        with tf.GradientTape() as tape:
            noises = network([noisy, noise_rates**2], training=True)
            loss = ops.mean(ops.abs(noises - noise))
        picture_loss = ops.mean(ops.abs((noisy - noise_rates * noises) / signal_rates - clean))
        optimizer.apply(tape.gradient(loss, network.trainable_variables))
        for kept, learned in zip(average.weights, network.weights, strict=True):
            kept.assign(0.999 * kept + 0.001 * learned)
        return loss, picture_loss

    return step
