r"""Fewer steps: networks that jump along the path that a sampler follows in many steps.

The path from noise to a picture is bent, and a step follows its tangent: so steps have to be short.
A *flow map* knows the path itself. Told where a step ends, it gives the clean sample that leads
there at once, and any sampler of one estimate a step lands where the path does:

$$x_r = s_r \hat x + n_r \frac{x_t - s_t \hat x}{n_t}, \qquad \hat x = \hat x(x_t, t, r)$$

Its network is told two noise rates, the one that a step begins with and the one that it ends with.
Where both are the same, the estimate is that of an ordinary diffusion model; where the end is free
of noise, it is the end of the whole path.
"""

from collections.abc import Callable, Sequence
from typing import Any

from imagegen._checks import check_number
from imagegen._contracts import checked
from imagegen._tangents import value_and_slope
from imagegen.diffusion import DiffusionModel
from imagegen.predictions import FlowPrediction, PlainWeighting, Prediction, Weighting
from imagegen.samplers import Level
from imagegen.schedules import FlowSchedule, Schedule
from imagegen.typing import Config, Tensor

import keras
from keras import ops

# Of the pairs of times that average velocities are learned for; the rest are velocities.
_SHARE_OF_JUMPS = 0.5
_STRAIGHT, _VELOCITY, _EVEN = FlowSchedule(), FlowPrediction(), PlainWeighting()


class FlowMap(DiffusionModel):
    """A diffusion model that is told where a step ends, and jumps there: the base of those that do.

    It generates as every model does, in as few steps as it has learned to: each takes one
    evaluation of the network. Samplers that ask more than once a step, or look back, gain nothing.

    Args:
        network: A functional Keras model of `[noisy, noise_rates, end_rates, *conditions]`, such as
            `imagegen.UNet(..., jumps=True)`. All else is as for a `DiffusionModel`.

    Example:
        ```python
        import imagegen

        network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, jumps=True)
        model = imagegen.MeanFlow(network)
        assert isinstance(model, imagegen.FlowMap) and model.jumps
        ```

    Reference:
        Boffi et al., [Flow Map Matching](https://arxiv.org/abs/2406.07507), 2024, section 3.
    """

    _num_rates = 2

    @property
    def jumps(self) -> bool:
        """Always: `denoise` takes `until`."""
        return True

    @checked
    def denoise(
        self,
        noisy: Tensor,
        time: Tensor,
        conditions: Sequence[Tensor] | None = None,
        until: Level | None = None,
    ) -> Tensor:
        """Returns the clean samples that lead from noisy ones to where a step ends.

        Args:
            noisy: Normalized noisy samples `(batch, ...)`, float32.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample, `(batch,)`.
            conditions: What `encode_prompts` returned for one prompt a sample. `None` is the empty
                prompt.
            until: The level at which the step ends. `None` is the clean end of the path.

        Returns:
            Normalized clean samples, float32 of the shape of `noisy`.
        """
        noisy = ops.convert_to_tensor(noisy, "float32")
        count = ops.shape(noisy)[0]
        if conditions is None:
            conditions = self._conditions_of_nothing(count)
        end = 0.0 if until is None else unit_rate(until.noise_rate, until.signal_rate)
        ends = ops.broadcast_to(
            ops.convert_to_tensor(end, "float32"), (count,) + (1,) * len(self.sample_shape)
        )
        told = [ops.convert_to_tensor(condition, "float32") for condition in conditions]
        return self._denoised(self.averaged, noisy, time, [ends, *told])

    def attempt(self, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Raises a ValueError, unless a subclass learns from pictures, as `MeanFlow` does."""
        raise ValueError(
            "`model` must learn from pictures. A student learns from the paths of its teacher: "
            f"teach that. Received: a {type(self).__name__}"
        )


def unit_rate(noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
    """A noise rate as networks are told it: that of the sample brought to unit variance."""
    return noise_rates * ops.rsqrt(noise_rates**2 + signal_rates**2)


@keras.saving.register_keras_serializable(package="imagegen")
class MeanFlow(FlowMap):
    r"""Learns to jump from nothing, by average velocities.

    On the straight lines of `FlowSchedule`, $z_t = (1 - t) x + t \epsilon$, a point moves at the
    velocity $v = \epsilon - x$. Its average on the path from $t$ down to $r$, $u(z_t, r, t)$, is
    what a jump needs: $z_r = z_t - (t - r)\, u$. Nobody has to follow the path to learn it.
    Differentiating $(t - r)\, u = \int_r^t v$ along the path gives

    $$u(z_t, r, t) = v - (t - r) \frac{d u}{d t}, \qquad
    \frac{d u}{d t} = v\, \partial_z u + \partial_t u,$$

    whose right side, the network's own slope in it, is the target. With $r = t$ it is flow
    matching. Errors are weighed by $1 / (\lVert \text{error} \rVert^2 + 10^{-3})^p$, so that the
    large ones at the beginning don't rule.

    Args:
        network: A functional Keras model of `[noisy, noise_rates, end_rates, *conditions]`.
        power: The power $p$ of the weights, at least 0. At 0 all errors count alike.
        schedule: A `FlowSchedule`.
        prediction: `FlowPrediction()`: the network's output is the average velocity.
        weighting: `PlainWeighting()`: it is `power` that weighs.
        loss: The loss, by default the mean squared error.
        **options: As for a `DiffusionModel`.

    Raises:
        ValueError: If the schedule, the prediction or the weighting is another, or an argument
            doesn't fit.

    Example:
        ```python
        import imagegen

        points = imagegen.datasets.s_curve(64)
        network = imagegen.point_mlp(width=8, jumps=True)
        model = imagegen.MeanFlow(network, value_range=None)
        model.normalizer.adapt(points)
        model.compile("adam")
        model.fit(points, verbose=0)
        assert model.generate(4, num_steps=1, seed=0).shape == (4, 2)
        ```

    Reference:
        Geng et al., [Mean Flows for One-step Generative
        Modeling](https://arxiv.org/abs/2505.13447), 2025, equations 6, 10 and 22.
    """

    @checked
    def __init__(
        self,
        network: keras.Model,
        *,
        power: float = 0.5,
        schedule: Schedule = _STRAIGHT,
        prediction: Prediction = _VELOCITY,
        weighting: Weighting = _EVEN,
        loss: str | keras.losses.Loss | Callable[..., Any] = "mean_squared_error",
        **options: Any,
    ):
        for name, given, kind in (
            ("schedule", schedule, FlowSchedule),
            ("prediction", prediction, FlowPrediction),
            # Errors are weighed by `power` already.
            ("weighting", weighting, PlainWeighting),
        ):
            if not isinstance(given, kind):
                raise ValueError(f"`{name}` must be a {kind.__name__}. Received: {given!r}")
        options |= {"weighting": weighting, "loss": loss}
        super().__init__(network, schedule=schedule, prediction=prediction, **options)
        self.power: float = check_number(power, "power", minimum=0)

    def get_config(self) -> Config:
        return super().get_config() | {"power": self.power}

    def attempt(
        self,
        network: keras.Model,
        clean: Tensor,
        conditions: Sequence[Tensor],
        seed: keras.random.SeedGenerator,
        *,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Adds noise to normalized samples, and lets a network find average velocities.

        Args:
            network: A network of this model's inputs.
            clean: Normalized samples `(batch, ...)`, float32.
            conditions: The network's further inputs.
            seed: Where times and noise come from.
            training: Whether to run the network in training mode.

        Returns:
            What `call` returns.
        """
        noise = keras.random.normal(ops.shape(clean), seed=seed)
        shape = (ops.shape(clean)[0],) + (1,) * len(self.sample_shape)

        def times() -> Tensor:
            return self.schedule.training_times(keras.random.uniform(shape, seed=seed))

        one, other = times(), times()
        begin = self.schedule(ops.maximum(one, other))[0]
        jumps = keras.random.uniform(shape, seed=seed) < _SHARE_OF_JUMPS
        end = ops.where(jumps, self.schedule(ops.minimum(one, other))[0], begin)
        noisy = (1 - begin) * clean + begin * noise
        velocity = noise - clean

        def average(noisy: Tensor, begin: Tensor, end: Tensor) -> Tensor:
            told = [unit_rate(end, 1 - end), *conditions]
            return self._output(network, noisy, begin, 1 - begin, told, training=training)

        output, slope = value_and_slope(
            average,
            (noisy, begin, end),
            (velocity, ops.ones_like(begin), ops.zeros_like(end)),
        )
        target = ops.stop_gradient(velocity - (begin - end) * slope)
        axes = tuple(range(1, ops.ndim(output)))
        errors = ops.mean(ops.square(ops.stop_gradient(output) - target), axes, keepdims=True)
        weights = 1 / (errors + 1e-3) ** self.power
        estimate = self.prediction.denoised(noisy, output, begin, 1 - begin)
        return estimate, output, target, weights
