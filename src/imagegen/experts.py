"""Two denoisers in one: a coarse one for much noise, and a fine one for little."""

from typing import Any, Self

from imagegen._checks import check_number

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("imagegen")
class CoarseToFine(keras.Model):
    r"""Denoises small where noise is high, and at full size where it is low.

    In much noise only the large shapes of a picture can be made out. They can be found in a
    smaller picture as well, for a fraction of the work. The mean of every block of $f \times f$
    pixels keeps the signal and averages the noise, whose rate $n$ falls to $n / f$. Scaled back to
    unit variance, the small picture has the rates

    $$s_c = \frac{s}{\sqrt{s^2 + n^2 / f^2}}, \qquad
    n_c = \frac{n / f}{\sqrt{s^2 + n^2 / f^2}}.$$

    The coarse network sees the small picture at these rates. The clean small picture that it
    believes in is enlarged, and expressed as the velocity of the large one. Both networks predict
    the velocity, and each can be trained alone as a `DiffusionModel` of its own size.

    Args:
        coarse: A network of `[noisy, noise_rates]`, and of conditions where there are any, for
            pictures that are smaller by a whole factor.
        fine: A network of `[noisy, noise_rates]` for pictures of full size. It may take the same
            conditions.
        boundary: The noise rate, between 0 and 1, above which the coarse network answers.

    Call arguments:
        inputs: A list of noisy pictures of full size and unit variance, noise rates and conditions.

    Returns:
        The predicted velocity, float32 of the noisy pictures' shape.

    Raises:
        ValueError: If the networks don't fit together or `boundary` is out of range.

    Example:
        ```python
        import imagegen

        coarse = imagegen.UNet(8, [16, 32], 1)
        fine = imagegen.UNet(16, [8, 16], 1)
        network = imagegen.CoarseToFine(coarse, fine)
        model = imagegen.DiffusionModel(network, prediction=imagegen.VelocityPrediction())
        ```

    Reference:
        Networks for stages of noise: Balaji et al., [eDiff-I](https://arxiv.org/abs/2211.01324),
        2022, section 4. The rates after averaging: Hoogeboom et al., [Simple
        diffusion](https://arxiv.org/abs/2301.11093), 2023, section 3.1.
    """

    def __init__(
        self, coarse: keras.Model, fine: keras.Model, *, boundary: float = 0.72, **kwargs: Any
    ):
        check_number(boundary, "boundary", minimum=0, maximum=1)
        small, large = coarse.inputs[0].shape[1:], fine.inputs[0].shape[1:]
        factor = large[0] // small[0]
        if large != (factor * small[0], factor * small[1], *small[2:]):
            raise ValueError(
                "`coarse` must take pictures that are smaller than those of `fine` by a whole "
                f"factor. Received: coarse of {small}, fine of {large}"
            )
        conditions = [tensor.shape[1:] for tensor in coarse.inputs[2:]]
        if [tensor.shape[1:] for tensor in fine.inputs[2:]] not in ([], conditions):
            raise ValueError(
                "`fine` must take the same conditions as `coarse`, or none. "
                f"Received: {[tensor.shape for tensor in fine.inputs[2:]]} and {conditions}"
            )
        inputs = [keras.Input(large), keras.Input((1, 1, 1)), *map(keras.Input, conditions)]
        experts = _Experts(coarse, fine, factor, boundary, name="experts")
        super().__init__(inputs, experts(inputs), **kwargs)

    @property
    def coarse(self) -> keras.Model:
        """The network for much noise."""
        return self.get_layer("experts").coarse

    @property
    def fine(self) -> keras.Model:
        """The network for little noise."""
        return self.get_layer("experts").fine

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trainable": self.trainable,
            "coarse": keras.saving.serialize_keras_object(self.coarse),
            "fine": keras.saving.serialize_keras_object(self.fine),
            "boundary": self.get_layer("experts").boundary,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("coarse", "fine")
        }
        return cls(**config | networks)


class _Experts(layers.Layer):
    """The arithmetic of `CoarseToFine`. Rates and velocities stay in float32 under any policy."""

    def __init__(
        self, coarse: keras.Model, fine: keras.Model, factor: int, boundary: float, name: str
    ):
        super().__init__(name=name, dtype="float32")
        self.coarse, self.fine, self.factor, self.boundary = coarse, fine, factor, boundary
        self.reduce = layers.AveragePooling2D(factor, dtype="float32")
        self.enlarge = layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32")
        self.built = True

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        noisy, noise, *conditions = inputs
        signal = ops.sqrt(1 - noise**2)
        total = ops.sqrt(signal**2 + (noise / self.factor) ** 2)
        small, small_noise = self.reduce(noisy) / total, noise / self.factor / total
        velocity = self.coarse([small, small_noise, *conditions], training=training)
        clean = self.enlarge(signal / total * small - small_noise * ops.cast(velocity, "float32"))
        is_coarse = noise > self.boundary
        # Where the fine network answers, the noise may be 0.
        coarse_velocity = (signal * noisy - clean) / ops.where(is_coarse, noise, 1.0)
        fine_inputs = [noisy, noise, *conditions][: len(self.fine.inputs)]
        fine_velocity = ops.cast(self.fine(fine_inputs, training=training), "float32")
        return ops.where(is_coarse, coarse_velocity, fine_velocity)
