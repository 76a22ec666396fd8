"""Noise schedules: how much noise and how much signal there is at every time.

Time runs from 1, where a sample is nearly all noise, to 0, where it is nearly all image. A
schedule turns a time into two rates, and

    noisy = signal_rate * clean + noise_rate * noise
"""

import dataclasses
import math
from typing import Self

from imagegen._checks import check_integer, check_number, check_size
from imagegen._contracts import checked
from imagegen.typing import Config, Size, Tensor

import keras
import numpy as np
from keras import ops

# More than any sampler takes, and few enough for memory.
_MOST_STEPS = 1_000_000


class Configured:
    """A frozen dataclass that Keras can save: its fields are its configuration."""

    def get_config(self) -> Config:
        """Returns the fields by name."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: getattr(self, field.name) for field in fields if field.init}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Returns the object that `get_config` describes."""
        # What the fields hold, such as another schedule, comes as its own configuration.
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value)
                if isinstance(value, dict) and "class_name" in value
                else value
                for name, value in config.items()
            }
        )


class Schedule(Configured):
    """The rates of noise and signal at every time, for training and for sampling.

    A schedule of your own is a frozen dataclass that derives from this class and defines
    `__call__`. Register it with `keras.saving.register_keras_serializable`, and models that use
    it can be saved.

    Example:
        ```python
        import dataclasses
        import imagegen
        from keras import ops

        @dataclasses.dataclass(frozen=True)
        class Square(imagegen.Schedule):
            "The noise rate is the square of the time."

            def __call__(self, times):
                noise_rates = 0.999 * ops.convert_to_tensor(times, "float32") ** 2
                return noise_rates, ops.sqrt(1 - noise_rates**2)
        ```
    """

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the noise rates and the signal rates at `times`.

        Args:
            times: Diffusion times in `[0, 1]`, of any shape.

        Returns:
            Two float32 tensors of the shape of `times`: noise rates, then signal rates.
        """
        raise NotImplementedError

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        """Returns the times that sampling visits, from 1 downwards, as `(num_steps,)` float32.

        The time 0 is not among them: the last step goes to the clean sample itself.
        """
        check_integer(num_steps, "num_steps", minimum=1, maximum=_MOST_STEPS)
        return np.linspace(1, 0, num_steps, endpoint=False, dtype="float32")

    def evenly(self) -> "Schedule":
        """Returns the same rates, visited at even times."""
        return self

    @checked
    def first_step(self, num_steps: int, strength: float) -> int:
        """Returns where an edit begins: the number of the first step that it takes.

        Args:
            num_steps: Steps of the whole way from noise.
            strength: The share of the way that the edit takes, from 0 to 1.

        Returns:
            From 0, for all steps, to `num_steps`, for none. In between 0 and 1, at least one step
            is taken and at least one is left, where there are two.
        """
        start = num_steps - round(num_steps * strength)
        return min(max(start, 1), num_steps - 1) if 0 < strength < 1 < num_steps else start

    @checked
    def training_times(self, uniform: Tensor) -> Tensor:
        """Returns the times that training visits, given uniform draws from `[0, 1)`."""
        return uniform

    @checked
    def time_of(self, ratio: Tensor) -> Tensor:
        """Returns the time at which the noise rate is `ratio` times the signal rate.

        Args:
            ratio: A scalar, above 0.

        Returns:
            A float32 scalar from 0 to 1: one of the ends, where no time has this ratio.
        """
        ratio = ops.convert_to_tensor(ratio, "float32")
        low, high = ops.zeros_like(ratio), ops.ones_like(ratio)
        # The ratio grows with time, so that each halving keeps the half with the answer.
        for _ in range(30):
            middle = (low + high) / 2
            noise_rate, signal_rate = self(middle)
            below = noise_rate < ratio * signal_rate
            low, high = ops.where(below, middle, low), ops.where(below, high, middle)
        return (low + high) / 2


@keras.saving.register_keras_serializable(package="imagegen")
@checked
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

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        start, end = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
        angles = start + ops.convert_to_tensor(times, "float32") * (end - start)
        return ops.sin(angles), ops.cos(angles)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
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
        image_size: `(height, width)` of the pictures, or one number for squares, in pixels. What
            counts is how many pixels there are: 64 x 256 are as many as 128 x 128.
        base_size: The size of squares for which the plain cosine schedule fits.
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

    image_size: Size
    base_size: int = 64
    log_snr_range: tuple[float, float] = (-10.0, 10.0)

    def __post_init__(self) -> None:
        height, width = check_size(self.image_size, "image_size")
        check_integer(self.base_size, "base_size", minimum=1)
        # A list comes back from a saved configuration.
        object.__setattr__(self, "log_snr_range", tuple(self.log_snr_range))
        if not isinstance(self.image_size, int):
            object.__setattr__(self, "image_size", (height, width))
        low, high = self.log_snr_range
        check_number(low, "log_snr_range", minimum=-13)
        check_number(high, "log_snr_range", minimum=low + 1e-3)

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.log_snr_range
        start, end = math.atan(math.exp(-high / 2)), math.atan(math.exp(-low / 2))
        angles = start + ops.convert_to_tensor(times, "float32") * (end - start)
        # Where the log ratio falls by twice a log, the tangent grows by that ratio itself.
        size = math.sqrt(math.prod(check_size(self.image_size, "image_size")))
        shifted = ops.arctan2(ops.sin(angles) * size, ops.cos(angles) * self.base_size)
        return ops.sin(shifted), ops.cos(shifted)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
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

    Example:
        ```python
        import imagegen

        noise_rate, signal_rate = imagegen.FlowSchedule(shift=3.0)(0.5)
        assert abs(float(noise_rate) - 0.75) < 1e-6
        assert abs(float(signal_rate) - 0.25) < 1e-6
        ```

    Reference:
        Liu et al., [Flow Straight and Fast](https://arxiv.org/abs/2209.03003), 2023; the shift
        after Esser et al., [Scaling Rectified Flow Transformers](https://arxiv.org/abs/2403.03206),
        2024, equation 23.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.shift, "shift", minimum=1e-3, maximum=1e3)

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        times = ops.convert_to_tensor(times, "float32")
        noise_rates = self.shift * times / (1 + (self.shift - 1) * times)
        return noise_rates, 1 - noise_rates

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        # At time 1 nothing is left of the signal, and the first step would divide by 0.
        latest = 0.999 / (self.shift - 0.999 * (self.shift - 1))
        return super().sampling_times(num_steps) * np.float32(latest)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class EDMSchedule(Schedule):
    r"""The schedule of EDM: the signal stays, and noise of deviation $\sigma$ is added to it.

    $$s(t) = 1, \quad n(t) = \sigma(t) = \left(\sigma_{\max}^{1/\rho}
    + (1 - t) (\sigma_{\min}^{1/\rho} - \sigma_{\max}^{1/\rho})\right)^\rho$$

    Sampling visits $N$ of these at even times from 1 to 0, both included, and then the clean
    sample. Training draws $\log\sigma$ from a normal distribution.

    Args:
        sigma_min: The noise rate at time 0, above 0.
        sigma_max: The noise rate at time 1.
        rho: How strongly the steps gather near the clean sample.
        log_sigma_mean: Mean of the log noise rate in training.
        log_sigma_deviation: Its standard deviation.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        ```python
        import imagegen

        schedule = imagegen.EDMSchedule()
        noise_rates, _ = schedule(schedule.sampling_times(10))
        assert abs(float(noise_rates[0]) - 80) < 0.01
        assert abs(float(noise_rates[-1]) - 0.002) < 1e-5
        ```

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
        check_number(self.sigma_min, "sigma_min", minimum=1e-4, maximum=1e3)
        check_number(self.sigma_max, "sigma_max", minimum=self.sigma_min * (1 + 1e-6), maximum=1e3)
        check_number(self.rho, "rho", minimum=1)
        check_number(self.log_sigma_mean, "log_sigma_mean")
        check_number(self.log_sigma_deviation, "log_sigma_deviation", minimum=1e-6)

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        times = ops.convert_to_tensor(times, "float32")
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        noise_rates = (high + (1 - times) * (low - high)) ** self.rho
        return noise_rates, ops.ones_like(noise_rates)

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        # Time 0 is no clean sample here, but the lowest noise rate, and the last one visited.
        check_integer(num_steps, "num_steps", minimum=1, maximum=_MOST_STEPS)
        return np.linspace(1, 0, num_steps, dtype="float32")

    @checked
    def time_of(self, ratio: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        ratio = ops.convert_to_tensor(ratio, "float32")
        return 1 - (ratio ** (1 / self.rho) - high) / (low - high)

    @checked
    def training_times(self, uniform: Tensor) -> Tensor:
        # The inverse of the distribution's cumulative function, then of `__call__`.
        quantiles = ops.clip(2 * uniform - 1, -1 + 1e-6, 1 - 1e-6)
        normal = math.sqrt(2) * ops.erfinv(quantiles)
        log_sigma = self.log_sigma_mean + self.log_sigma_deviation * normal
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        times = 1 - (ops.exp(log_sigma / self.rho) - high) / (low - high)
        return ops.clip(times, 0.0, 1.0)


# Under its name in files from before the first release.
@keras.saving.register_keras_serializable(package="imagegen", name="EvenLogSNR")
@checked
@dataclasses.dataclass(frozen=True)
class EvenLogSNRSchedule(Schedule):
    r"""Another schedule, whose sampling stops at even log signal-to-noise ratios.

    Rates and training are those of `schedule`. Sampling visits times at which
    $\lambda = 2 \log(s / n)$ rises evenly, from the first to the last that `schedule` would visit
    in 1,000 steps. Even times crowd where little happens and leap at both ends. With few steps,
    `DPMSolver2M` gains most. A trained model can change over: set `model.schedule`.

    Args:
        schedule: A continuous schedule, whose signal rate falls with time. Of a discrete one, times
            between the steps are visited too, which no network was trained at.

    Raises:
        ValueError: If `schedule` is no schedule.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        model.schedule = imagegen.EvenLogSNRSchedule(model.schedule)
        images = model.generate(2, num_steps=5, sampler=imagegen.DPMSolver2M(), seed=0)
        ```

    Reference:
        Lu et al., [DPM-Solver](https://arxiv.org/abs/2206.00927), 2022, whose steps are uniform in
        $\lambda$.
    """

    schedule: Schedule

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        return self.schedule(times)

    @checked
    def training_times(self, uniform: Tensor) -> Tensor:
        return self.schedule.training_times(uniform)

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        check_integer(num_steps, "num_steps", minimum=1, maximum=_MOST_STEPS)
        times = self.schedule.sampling_times(1000)
        noise_rates, signal_rates = map(ops.convert_to_numpy, self.schedule(times))
        log_snr = np.log(signal_rates / noise_rates)
        stops = np.linspace(log_snr[0], log_snr[-1], num_steps)
        return np.interp(stops, log_snr, times).astype("float32")

    def evenly(self) -> Schedule:
        return self.schedule

    @checked
    def first_step(self, num_steps: int, strength: float) -> int:
        if not 0 < strength < 1 < num_steps:
            return super().first_step(num_steps, strength)
        # As noisy as an edit of `schedule` begins, whatever the number of steps left from there.
        fine = 1000
        wanted = self.schedule.sampling_times(fine)[self.schedule.first_step(fine, strength)]
        nearest = int(np.abs(self.sampling_times(num_steps) - wanted).argmin())
        return min(max(nearest, 1), num_steps - 1)
