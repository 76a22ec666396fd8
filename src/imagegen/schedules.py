"""Noise schedules, and what a network predicts about the noise.

Time runs from 1, where a sample is nearly all noise, to 0, where it is nearly all image. A
schedule turns a time into two rates, and

    noisy = signal_rate * clean + noise_rate * noise

A prediction names the quantity that the network learns to give back, and how the clean sample
follows from it.
"""

import dataclasses
import math
from typing import Any, Self

from imagegen._checks import check_number

import keras
import numpy as np
from keras import ops


class Configured:
    """A frozen dataclass that Keras can save: its fields are its configuration."""

    def get_config(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns the object that `get_config` describes."""
        return cls(**config)


class Schedule(Configured):
    """The rates of noise and signal at every time, for training and for sampling.

    A schedule of your own is a frozen dataclass that derives from this class and defines
    `__call__`. Register it with `keras.saving.register_keras_serializable`, and models that use
    it can be saved.
    """

    def __call__(self, times: Any) -> tuple[Any, Any]:
        """Returns the noise rates and the signal rates at `times`.

        Args:
            times: Diffusion times in `[0, 1]`, of any shape.

        Returns:
            Two float32 tensors of the shape of `times`: noise rates, then signal rates.
        """
        raise NotImplementedError

    def sampling_times(self, num_steps: int) -> np.ndarray:
        """Returns the times that sampling visits, from 1 downwards, as `(num_steps,)` float32.

        The time 0 is not among them: the last step goes to the clean sample itself.
        """
        return np.linspace(1, 0, num_steps, endpoint=False, dtype="float32")

    def training_times(self, uniform: Any) -> Any:
        """Returns the times that training visits, given uniform draws from `[0, 1)`."""
        return uniform


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class CosineSchedule(Schedule):
    r"""Rates on a quarter circle, between two signal rates.

    The angle $\varphi$ grows linearly with the time $t$, and

    $$\text{signal} = \cos\varphi(t), \quad \text{noise} = \sin\varphi(t), \quad
    \varphi(t) = (1 - t) \arccos(s_{\max}) + t \arccos(s_{\min}),$$

    so the two squares sum to 1: data of unit variance keeps unit variance at every time.

    Args:
        min_signal_rate: The signal rate at time 1, in `[0.001, 1)`. It is not 0, because a clean
            sample can't be told from a noisy one that holds no signal.
        max_signal_rate: The signal rate at time 0, in `(min_signal_rate, 1]`.

    Raises:
        ValueError: If the rates are out of range or out of order.

    Example:
        ```python
        import imagegen

        schedule = imagegen.CosineSchedule()
        noise_rates, signal_rates = schedule([0.0, 0.5, 1.0])
        assert abs(float(noise_rates[1]) ** 2 + float(signal_rates[1]) ** 2 - 1) < 1e-6
        ```

    Reference:
        Nichol and Dhariwal, [Improved Denoising Diffusion Probabilistic
        Models](https://arxiv.org/abs/2102.09672), 2021, section 3.2, in the continuous form with
        end points that Keras's examples made popular.
    """

    min_signal_rate: float = 0.02
    max_signal_rate: float = 0.95

    def __post_init__(self) -> None:
        check_number(self.min_signal_rate, "min_signal_rate", minimum=1e-3, maximum=1)
        check_number(self.max_signal_rate, "max_signal_rate", minimum=1e-3, maximum=1)
        if self.min_signal_rate >= self.max_signal_rate:
            raise ValueError(
                "`min_signal_rate` must be below `max_signal_rate`. Received: "
                f"min_signal_rate={self.min_signal_rate}, max_signal_rate={self.max_signal_rate}"
            )

    def __call__(self, times: Any) -> tuple[Any, Any]:
        start, end = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
        angles = start + ops.convert_to_tensor(times, "float32") * (end - start)
        return ops.sin(angles), ops.cos(angles)


class Prediction(Configured):
    """What the network gives back, and the clean sample that follows from it."""

    def target(self, clean: Any, noise: Any, noise_rates: Any, signal_rates: Any) -> Any:
        """Returns what the network should predict for `signal_rates * clean + noise_rates * noise`.

        Args:
            clean: Clean samples `(batch, ...)`.
            noise: Standard normal noise of the same shape.
            noise_rates: Noise rates that broadcast against `clean`.
            signal_rates: Signal rates that broadcast against `clean`.

        Returns:
            A tensor of the shape of `clean`.
        """
        raise NotImplementedError

    def denoised(self, noisy: Any, output: Any, noise_rates: Any, signal_rates: Any) -> Any:
        """Returns the clean samples, given noisy ones and the network's output for them.

        Args:
            noisy: Noisy samples `(batch, ...)`.
            output: The network's output, of the same shape.
            noise_rates: Noise rates that broadcast against `noisy`.
            signal_rates: Signal rates that broadcast against `noisy`.

        Returns:
            A tensor of the shape of `noisy`.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class NoisePrediction(Prediction):
    r"""The network predicts the noise $\epsilon$: $\hat x = (x_t - n\hat\epsilon) / s$.

    The error in the clean sample is the network's error times $n / s$, which is large where
    there is little signal.

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, section 3.2.
    """

    def target(self, clean: Any, noise: Any, noise_rates: Any, signal_rates: Any) -> Any:
        return noise

    def denoised(self, noisy: Any, output: Any, noise_rates: Any, signal_rates: Any) -> Any:
        return (noisy - noise_rates * output) / signal_rates


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class ImagePrediction(Prediction):
    """The network predicts the clean sample itself."""

    def target(self, clean: Any, noise: Any, noise_rates: Any, signal_rates: Any) -> Any:
        return clean

    def denoised(self, noisy: Any, output: Any, noise_rates: Any, signal_rates: Any) -> Any:
        return output


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class VelocityPrediction(Prediction):
    r"""The network predicts the velocity $v = s\epsilon - nx$.

    It is the direction in which a sample moves along the quarter circle of rates, and
    $\hat x = (s x_t - n \hat v) / (s^2 + n^2)$. The error in the clean sample never exceeds the
    network's own, at any time.

    Reference:
        Salimans and Ho, [Progressive Distillation for Fast Sampling of Diffusion
        Models](https://arxiv.org/abs/2202.00512), 2022, section 4.
    """

    def target(self, clean: Any, noise: Any, noise_rates: Any, signal_rates: Any) -> Any:
        return signal_rates * noise - noise_rates * clean

    def denoised(self, noisy: Any, output: Any, noise_rates: Any, signal_rates: Any) -> Any:
        power = signal_rates**2 + noise_rates**2
        return (signal_rates * noisy - noise_rates * output) / power
