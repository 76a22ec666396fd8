"""What a network predicts about the noise, and the clean sample that follows from it.

Everything is written for the rates of any schedule; `power`, the sum of their squares, is 1 where
variance is preserved.
"""

import dataclasses

from imagegen._checks import check_number
from imagegen._contracts import checked
from imagegen.schedules import Configured
from imagegen.typing import Tensor

import keras
from keras import ops


class Prediction(Configured):
    """What the network gives back, and the clean sample that follows from it.

    Example:
        ```python
        import dataclasses
        import imagegen

        @dataclasses.dataclass(frozen=True)
        class NegativeNoise(imagegen.Prediction):
            "The network predicts what has to be added to the noisy sample."

            def target(self, clean, noise, noise_rates, signal_rates):
                return -noise

            def gain(self, noise_rates, signal_rates):
                return noise_rates / signal_rates

            def denoised(self, noisy, output, noise_rates, signal_rates):
                return (noisy + noise_rates * output) / signal_rates
        ```
    """

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
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

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        """Returns how many times an error of the output is magnified in the clean sample.

        Args:
            noise_rates: Noise rates.
            signal_rates: Signal rates of the same shape.

        Returns:
            A tensor of the shape of the rates.
        """
        raise NotImplementedError

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
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

    Example:
        ```python
        import imagegen
        import numpy as np

        clean, noise = np.float32([1.0]), np.float32([-0.5])
        noisy = 0.8 * clean + 0.6 * noise
        prediction = imagegen.NoisePrediction()
        output = prediction.target(clean, noise, 0.6, 0.8)
        assert np.allclose(prediction.denoised(noisy, output, 0.6, 0.8), clean)
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, section 3.2.
    """

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return noise

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return noise_rates / signal_rates

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return (noisy - noise_rates * output) / signal_rates


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class ImagePrediction(Prediction):
    """The network predicts the clean sample itself.

    Example:
        ```python
        import imagegen
        import numpy as np

        clean, noise = np.float32([1.0]), np.float32([-0.5])
        noisy = 0.8 * clean + 0.6 * noise
        prediction = imagegen.ImagePrediction()
        output = prediction.target(clean, noise, 0.6, 0.8)
        assert np.allclose(prediction.denoised(noisy, output, 0.6, 0.8), clean)
        ```
    """

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return clean

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return ops.ones_like(noise_rates)

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return output


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class VelocityPrediction(Prediction):
    r"""The network predicts the velocity $v = s\epsilon - nx$.

    It is the direction in which a sample moves along the quarter circle of rates, and
    $\hat x = (s x_t - n \hat v) / (s^2 + n^2)$. The error in the clean sample never exceeds the
    network's own, at any time.

    Example:
        ```python
        import imagegen
        import numpy as np

        clean, noise = np.float32([1.0]), np.float32([-0.5])
        noisy = 0.8 * clean + 0.6 * noise
        prediction = imagegen.VelocityPrediction()
        output = prediction.target(clean, noise, 0.6, 0.8)
        assert np.allclose(prediction.denoised(noisy, output, 0.6, 0.8), clean)
        ```

    Reference:
        Salimans and Ho, [Progressive Distillation for Fast Sampling of Diffusion
        Models](https://arxiv.org/abs/2202.00512), 2022, section 4.
    """

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return signal_rates * noise - noise_rates * clean

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return noise_rates / (signal_rates**2 + noise_rates**2)

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        power = signal_rates**2 + noise_rates**2
        return (signal_rates * noisy - noise_rates * output) / power


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class FlowPrediction(Prediction):
    r"""The network predicts the way from the clean sample to the noise: $u = \epsilon - x_0$.

    $\hat x = (x_t - n \hat u) / (s + n)$; on `FlowSchedule` the divisor is 1.

    Example:
        ```python
        import imagegen
        import numpy as np

        clean, noise = np.float32([1.0]), np.float32([-0.5])
        noisy = 0.4 * clean + 0.6 * noise
        prediction = imagegen.FlowPrediction()
        output = prediction.target(clean, noise, 0.6, 0.4)
        assert np.allclose(prediction.denoised(noisy, output, 0.6, 0.4), clean)
        ```

    Reference:
        Liu et al., [Flow Straight and Fast](https://arxiv.org/abs/2209.03003), 2023, equation 1.
    """

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return noise - clean

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return noise_rates / (signal_rates + noise_rates)

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        return (noisy - noise_rates * output) / (signal_rates + noise_rates)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class EDMPrediction(Prediction):
    r"""EDM's preconditioning: the network's output $F$ has unit variance at every noise rate.

    With $\sigma = n / s$ and the data's deviation $\sigma_d$,

    $$\hat x = c_\text{skip} \frac{x_t}{s} + c_\text{out} F, \quad
    c_\text{skip} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \quad
    c_\text{out} = \frac{\sigma \sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}.$$

    For data of unit variance it is the velocity with its sign changed.

    Args:
        data_deviation: The standard deviation $\sigma_d$ of the data.

    Example:
        ```python
        import imagegen
        import numpy as np

        clean, noise = np.float32([1.0]), np.float32([-0.5])
        noisy = 0.8 * clean + 0.6 * noise
        prediction = imagegen.EDMPrediction()
        output = prediction.target(clean, noise, 0.6, 0.8)
        assert np.allclose(prediction.denoised(noisy, output, 0.6, 0.8), clean)
        ```

    Reference:
        Karras et al., [Elucidating the Design Space of Diffusion-Based Generative
        Models](https://arxiv.org/abs/2206.00364), 2022, table 1.
    """

    data_deviation: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.data_deviation, "data_deviation", minimum=1e-6)

    @checked
    def target(
        self, clean: Tensor, noise: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        skip, out = self._coefficients(noise_rates / signal_rates)
        return (clean - skip * (clean + noise_rates / signal_rates * noise)) / out

    @checked
    def gain(self, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return self._coefficients(noise_rates / signal_rates)[1]

    @checked
    def denoised(
        self, noisy: Tensor, output: Tensor, noise_rates: Tensor, signal_rates: Tensor
    ) -> Tensor:
        skip, out = self._coefficients(noise_rates / signal_rates)
        return skip * noisy / signal_rates + out * output

    def _coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        power = sigma**2 + self.data_deviation**2
        return self.data_deviation**2 / power, sigma * self.data_deviation / power**0.5


class Weighting(Configured):
    """How much the loss at each noise rate counts.

    Example:
        ```python
        import dataclasses
        import imagegen

        @dataclasses.dataclass(frozen=True)
        class BySignal(imagegen.Weighting):
            "Counts an error as much as there is signal."

            def __call__(self, prediction, noise_rates, signal_rates):
                return signal_rates
        ```
    """

    @checked
    def __call__(self, prediction: Prediction, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        """Returns the weight of the loss on the network's output.

        Args:
            prediction: What the output means.
            noise_rates: Noise rates.
            signal_rates: Signal rates of the same shape.

        Returns:
            Positive weights of the shape of the rates.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class PlainWeighting(Weighting):
    """Every noise rate counts the same.

    Example:
        ```python
        import imagegen
        import numpy as np

        rates = np.float32([0.6, 0.8])
        weights = imagegen.PlainWeighting()(imagegen.NoisePrediction(), rates, rates[::-1])
        assert np.allclose(weights, 1)
        ```
    """

    @checked
    def __call__(self, prediction: Prediction, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        return ops.ones_like(noise_rates)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class MinSNRWeighting(Weighting):
    r"""The clean sample's squared error counts $\min(\text{SNR}, \gamma)$ times.

    Where there is little noise, the signal-to-noise ratio $\text{SNR} = s^2 / n^2$ is huge and the
    task is easy; without the limit, these noise rates crowd out the rest. The weight of the
    output's error is that of the clean sample's error times the square of `Prediction.gain`.

    Args:
        gamma: The limit, above 0.

    Raises:
        ValueError: If `gamma` is not positive.

    Example:
        ```python
        import imagegen
        import numpy as np

        noise_rates = np.float32([0.1, 0.6])
        signal_rates = np.sqrt(1 - noise_rates**2)
        weights = imagegen.MinSNRWeighting()(imagegen.NoisePrediction(), noise_rates, signal_rates)
        assert weights[0] < weights[1]
        ```

    Reference:
        Hang et al., [Efficient Diffusion Training via Min-SNR Weighting
        Strategy](https://arxiv.org/abs/2303.09556), 2023, section 3.4.
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        check_number(self.gamma, "gamma", minimum=1e-6)

    @checked
    def __call__(self, prediction: Prediction, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        snr = signal_rates**2 / ops.maximum(noise_rates**2, 1e-12)
        return ops.minimum(snr, self.gamma) * prediction.gain(noise_rates, signal_rates) ** 2
