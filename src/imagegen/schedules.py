"""Noise schedules: how much noise and how much signal there is at every time.

Time runs from 1, where a sample is nearly all noise, to 0, where it is nearly all image. A
schedule turns a time into two rates, and

    noisy = signal_rate * clean + noise_rate * noise
"""

import dataclasses
import math
from typing import Any, Self

from imagegen._checks import check_integer, check_number

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


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class ShiftedCosineSchedule(Schedule):
    r"""The cosine schedule with its log signal-to-noise ratio shifted, for larger pictures.

    Neighbouring pixels of a large picture say nearly the same, so the same noise rate hides less
    of it. Shifting the log signal-to-noise ratio by twice the log of the ratio of sizes hides as
    much as at the size for which the schedule was made:

    $$\lambda(t) = -2 \log \tan(\tfrac{\pi}{2} t)
    + 2 \log\frac{\text{base size}}{\text{image size}}, \quad
    s^2 = \operatorname{sigmoid}(\lambda), \quad n^2 = \operatorname{sigmoid}(-\lambda).$$

    Args:
        image_size: The size of the pictures, in pixels.
        base_size: The size at which the plain cosine schedule fits.
        log_snr_range: The lowest and the highest log signal-to-noise ratio, at the times 1 and 0,
            before the shift.

    Raises:
        ValueError: If a size is below 1 or the range is empty.

    Example:
        ```python
        import imagegen

        plain, shifted = imagegen.ShiftedCosineSchedule(64), imagegen.ShiftedCosineSchedule(128)
        assert float(shifted(0.5)[0]) > float(plain(0.5)[0])
        ```

    Reference:
        Hoogeboom et al., [simple diffusion](https://arxiv.org/abs/2301.11093), 2023, section 3.1.
    """

    image_size: int
    base_size: int = 64
    log_snr_range: tuple[float, float] = (-10.0, 10.0)

    def __post_init__(self) -> None:
        check_integer(self.image_size, "image_size", minimum=1)
        check_integer(self.base_size, "base_size", minimum=1)
        # A list comes back from a saved configuration.
        object.__setattr__(self, "log_snr_range", tuple(self.log_snr_range))
        low, high = self.log_snr_range
        check_number(low, "log_snr_range", minimum=-13)
        check_number(high, "log_snr_range", minimum=low + 1e-3)

    def __call__(self, times: Any) -> tuple[Any, Any]:
        low, high = self.log_snr_range
        start, end = math.atan(math.exp(-high / 2)), math.atan(math.exp(-low / 2))
        angles = start + ops.convert_to_tensor(times, "float32") * (end - start)
        # Where the log ratio falls by twice a log, the tangent grows by that ratio itself.
        shifted = ops.arctan2(ops.sin(angles) * self.image_size, ops.cos(angles) * self.base_size)
        return ops.sin(shifted), ops.cos(shifted)


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class FlowSchedule(Schedule):
    r"""Rectified flow: a straight line from the clean sample to noise.

    $$n(t) = \frac{a t}{1 + (a - 1) t}, \quad s(t) = 1 - n(t)$$

    with the shift $a$, which spends more of the time on noisy samples where it exceeds 1. The
    variance of a sample isn't preserved: half-way, that of unit data is only 1/2.

    Args:
        shift: The shift, above 0. Stable Diffusion 3 takes 3.

    Raises:
        ValueError: If `shift` is not positive.

    Reference:
        Liu et al., [Flow Straight and Fast](https://arxiv.org/abs/2209.03003), 2023; the shift
        after Esser et al., [Scaling Rectified Flow Transformers](https://arxiv.org/abs/2403.03206),
        2024, equation 23.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.shift, "shift", minimum=1e-3, maximum=1e3)

    def __call__(self, times: Any) -> tuple[Any, Any]:
        times = ops.convert_to_tensor(times, "float32")
        noise_rates = self.shift * times / (1 + (self.shift - 1) * times)
        return noise_rates, 1 - noise_rates

    def sampling_times(self, num_steps: int) -> np.ndarray:
        # At time 1 nothing is left of the signal, and the first step would divide by 0.
        latest = 0.999 / (self.shift - 0.999 * (self.shift - 1))
        return super().sampling_times(num_steps) * np.float32(latest)


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class EDMSchedule(Schedule):
    r"""The schedule of EDM: the signal stays, and noise of deviation $\sigma$ is added to it.

    $$s(t) = 1, \quad n(t) = \sigma(t) = \left(\sigma_{\max}^{1/\rho}
    + (1 - t) (\sigma_{\min}^{1/\rho} - \sigma_{\max}^{1/\rho})\right)^\rho$$

    Sampling visits these; training draws $\log\sigma$ from a normal distribution.

    Args:
        sigma_min: The noise rate at time 0, above 0.
        sigma_max: The noise rate at time 1.
        rho: How strongly the steps gather near the clean sample.
        log_sigma_mean: Mean of the log noise rate in training.
        log_sigma_deviation: Its standard deviation.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Karras et al., [Elucidating the Design Space of Diffusion-Based Generative
        Models](https://arxiv.org/abs/2206.00364), 2022, table 1 and equation 5, for data of unit
        variance.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    log_sigma_mean: float = -1.2 + math.log(2)
    log_sigma_deviation: float = 1.2

    def __post_init__(self) -> None:
        check_number(self.sigma_min, "sigma_min", minimum=1e-4)
        check_number(self.sigma_max, "sigma_max", minimum=self.sigma_min * (1 + 1e-6), maximum=1e3)
        check_number(self.rho, "rho", minimum=1)
        check_number(self.log_sigma_mean, "log_sigma_mean")
        check_number(self.log_sigma_deviation, "log_sigma_deviation", minimum=1e-6)

    def __call__(self, times: Any) -> tuple[Any, Any]:
        times = ops.convert_to_tensor(times, "float32")
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        noise_rates = (high + (1 - times) * (low - high)) ** self.rho
        return noise_rates, ops.ones_like(noise_rates)

    def training_times(self, uniform: Any) -> Any:
        # The inverse of the distribution's cumulative function, then of `__call__`.
        quantiles = ops.clip(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
        normal = math.sqrt(2) * ops.erfinv(quantiles)
        log_sigma = self.log_sigma_mean + self.log_sigma_deviation * normal
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        times = 1 - (ops.exp(log_sigma / self.rho) - high) / (low - high)
        return ops.clip(times, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class DiscreteSchedule(Schedule):
    r"""The forward process of DDPM: a Markov chain that adds a little noise in each step.

    $$q(x_k \mid x_{k-1}) = \mathcal N(\sqrt{1 - \beta_k}\, x_{k-1}, \beta_k I), \quad
    \alpha_k = 1 - \beta_k, \quad \bar\alpha_k = \prod_{i \le k} \alpha_i$$

    and so in one jump $x_k = \sqrt{\bar\alpha_k}\, x_0 + \sqrt{1 - \bar\alpha_k}\, \epsilon$. The
    chain's step $k$ of $T$ is the time $k / T$, and between two steps $\log \bar\alpha$ is linear,
    so the chain serves wherever a continuous schedule does. Training visits the steps alone.

    Args:
        betas: The variances $\beta_1, \dots, \beta_T$ of the noise that each step adds, in (0, 1).
            `linear_betas` and its siblings give the usual ones.

    Raises:
        ValueError: If a beta is out of range, or the last signal rate is below 0.001.

    Example:
        ```python
        import imagegen

        schedule = imagegen.DiscreteSchedule(imagegen.linear_betas(1000))
        noise_rate, signal_rate = schedule(1.0)
        assert float(signal_rate) < 0.01
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, equations 2 and 4.
    """

    betas: tuple[float, ...]

    def __post_init__(self) -> None:
        betas = tuple(float(beta) for beta in self.betas)
        object.__setattr__(self, "betas", betas)
        if not betas or not all(0 < beta < 1 for beta in betas):
            raise ValueError(
                "`betas` must be one or more numbers between 0 and 1. "
                f"Received: {len(betas)} of them, {_summary(betas)}"
            )
        if self.alphas_cumprod[-1] < 1e-6:
            raise ValueError(
                "`betas` must leave a signal rate of at least 0.001, because no clean sample can "
                f"be told from less. Received: {_summary(betas)}, which leave "
                f"{math.sqrt(self.alphas_cumprod[-1]):.1e}"
            )

    @property
    def num_steps(self) -> int:
        r"""The length $T$ of the chain."""
        return len(self.betas)

    @property
    def alphas(self) -> np.ndarray:
        r"""The $\alpha_k$ of the steps 1 to $T$, float64."""
        return 1 - np.array(self.betas)

    @property
    def alphas_cumprod(self) -> np.ndarray:
        r"""The $\bar\alpha_k$ of the steps 1 to $T$, float64."""
        return np.cumprod(self.alphas)

    def __call__(self, times: Any) -> tuple[Any, Any]:
        logs = np.concatenate([[0.0], np.log(self.alphas_cumprod)]).astype("float32")
        steps = ops.convert_to_tensor(times, "float32") * self.num_steps
        below = ops.clip(ops.floor(steps), 0, self.num_steps - 1)
        index = ops.cast(below, "int32")
        table = ops.convert_to_tensor(logs)
        low, high = ops.take(table, index), ops.take(table, index + 1)
        log_alpha = low + (steps - below) * (high - low)
        return ops.sqrt(-ops.expm1(log_alpha)), ops.exp(log_alpha / 2)

    def sampling_times(self, num_steps: int) -> np.ndarray:
        # Whole steps of the chain while there are enough of them: the network was trained there.
        times = super().sampling_times(num_steps)
        if num_steps > self.num_steps:
            return times
        return (np.ceil(times * self.num_steps - 1e-3) / self.num_steps).astype("float32")

    def training_times(self, uniform: Any) -> Any:
        return (ops.floor(uniform * self.num_steps) + 1) / self.num_steps

    def posterior(self, clean: Any, noisy: Any, step: int) -> tuple[Any, float]:
        r"""Returns the mean and variance of the step before, given this one and the clean sample.

        $$\tilde\mu = \frac{\beta_k \sqrt{\bar\alpha_{k-1}}}{1 - \bar\alpha_k}\, x_0
        + \frac{(1 - \bar\alpha_{k-1}) \sqrt{\alpha_k}}{1 - \bar\alpha_k}\, x_k, \quad
        \tilde\beta = \frac{1 - \bar\alpha_{k-1}}{1 - \bar\alpha_k}\, \beta_k$$

        Args:
            clean: The clean samples $x_0$.
            noisy: The noisy samples $x_k$, of the same shape.
            step: The step $k$, from 1 to $T$.

        Returns:
            The mean of $x_{k-1}$, of the shape of `clean`, and its variance, which is 0 at step 1.

        Raises:
            ValueError: If there is no such step.

        Reference:
            Ho et al., 2020, equation 7.
        """
        step = check_integer(step, "step", minimum=1, maximum=self.num_steps)
        beta, now = self.betas[step - 1], self.alphas_cumprod[step - 1]
        before = self.alphas_cumprod[step - 2] if step > 1 else 1.0
        clean_weight = beta * math.sqrt(before) / (1 - now)
        noisy_weight = (1 - before) * math.sqrt(1 - beta) / (1 - now)
        return clean_weight * clean + noisy_weight * noisy, (1 - before) / (1 - now) * beta


def _summary(betas: tuple[float, ...]) -> str:
    return f"betas from {min(betas):g} to {max(betas):g}" if betas else "none"


def constant_betas(num_steps: int = 1000, beta: float = 0.01) -> tuple[float, ...]:
    """Returns `num_steps` equal variances: the simplest chain."""
    return (beta,) * check_integer(num_steps, "num_steps", minimum=1)


def linear_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances that grow linearly from `start` to `end`: those of DDPM.

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, section 4.
    """
    return tuple(np.linspace(start, end, check_integer(num_steps, "num_steps", minimum=1)))


def quadratic_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances whose square roots grow linearly: a gentler begin than `linear_betas`."""
    return tuple(np.square(linear_betas(num_steps, math.sqrt(start), math.sqrt(end))))


def sigmoid_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances on a sigmoid curve, flat at both ends: from -6 to 6 on its axis."""
    curve = 1 / (1 + np.exp(-np.array(linear_betas(num_steps, -6, 6))))
    return tuple(start + (end - start) * curve)


def cosine_betas(
    num_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999
) -> tuple[float, ...]:
    r"""Returns variances under which the signal falls along a cosine.

    $$\bar\alpha_k = \frac{f(k)}{f(0)}, \quad
    f(k) = \cos^2\left(\frac{k / T + o}{1 + o} \cdot \frac{\pi}{2}\right), \quad
    \beta_k = \min\left(1 - \frac{\bar\alpha_k}{\bar\alpha_{k-1}}, \beta_{\max}\right)$$

    Reference:
        Nichol and Dhariwal, [Improved Denoising Diffusion Probabilistic
        Models](https://arxiv.org/abs/2102.09672), 2021, equation 17.
    """
    num_steps = check_integer(num_steps, "num_steps", minimum=1)
    times = np.arange(num_steps + 1) / num_steps
    signal = np.cos((times + offset) / (1 + offset) * math.pi / 2) ** 2
    return tuple(np.minimum(1 - signal[1:] / signal[:-1], max_beta))
