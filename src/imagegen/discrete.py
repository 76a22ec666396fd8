"""The forward process of DDPM: a chain of small steps, and the usual sizes of the steps."""

import dataclasses
import math
from typing import Any

from imagegen._checks import check_integer, check_number
from imagegen._contracts import checked
from imagegen.schedules import Schedule
from imagegen.typing import Tensor

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="imagegen")
@checked
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
        ValueError: If there is no beta, or one is out of range.

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
            received = f"{len(betas)} from {min(betas)} to {max(betas)}" if betas else "none"
            raise ValueError(
                f"`betas` must be one or more numbers between 0 and 1. Received: {received}"
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

    @checked
    def __call__(self, times: Tensor) -> tuple[Tensor, Tensor]:
        logs = np.concatenate([[0.0], np.log(self.alphas_cumprod)]).astype("float32")
        steps = ops.convert_to_tensor(times, "float32") * self.num_steps
        below = ops.clip(ops.floor(steps), 0, self.num_steps - 1)
        index = ops.cast(below, "int32")
        table = ops.convert_to_tensor(logs)
        low, high = ops.take(table, index), ops.take(table, index + 1)
        log_alpha = low + (steps - below) * (high - low)
        return ops.sqrt(-ops.expm1(log_alpha)), ops.exp(log_alpha / 2)

    @checked
    def sampling_times(self, num_steps: int) -> np.ndarray:
        # From the last step whose signal rate is 0.001 or more: no clean sample can be told from
        # less. And by whole steps while there are enough of them: the network was trained there.
        last = max(1, int((self.alphas_cumprod >= 1e-6).sum()))
        steps = super().sampling_times(num_steps) * last
        if num_steps <= last:
            steps = np.ceil(steps - 1e-3)
        return (steps / self.num_steps).astype("float32")

    @checked
    def training_times(self, uniform: Tensor) -> Tensor:
        return (ops.floor(uniform * self.num_steps) + 1) / self.num_steps

    @checked
    def posterior(self, clean: Tensor, noisy: Tensor, step: int) -> tuple[Any, float]:
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


@checked
def constant_betas(num_steps: int = 1000, beta: float = 0.01) -> tuple[float, ...]:
    """Returns equal variances: the simplest chain.

    Args:
        num_steps: The length of the chain.
        beta: The variance of each step, in (0, 1).

    Returns:
        `num_steps` variances.

    Raises:
        ValueError: If `num_steps` is no positive integer.

    Example:
        ```python
        import imagegen

        assert imagegen.constant_betas(3, 0.1) == (0.1, 0.1, 0.1)
        ```
    """
    return (beta,) * check_integer(num_steps, "num_steps", minimum=1)


@checked
def linear_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances that grow linearly: those of DDPM.

    Args:
        num_steps: The length of the chain.
        start: The first variance, in (0, 1).
        end: The last variance, in (0, 1).

    Returns:
        `num_steps` variances.

    Raises:
        ValueError: If `num_steps` is no positive integer.

    Example:
        ```python
        import imagegen

        schedule = imagegen.DiscreteSchedule(imagegen.linear_betas(100))
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, section 4.
    """
    return tuple(np.linspace(start, end, check_integer(num_steps, "num_steps", minimum=1)))


@checked
def quadratic_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances whose square roots grow linearly: they begin more gently.

    Args:
        num_steps: The length of the chain.
        start: The first variance, in (0, 1).
        end: The last variance, in (0, 1).

    Returns:
        `num_steps` variances.

    Raises:
        ValueError: If `num_steps` is no positive integer.

    Example:
        ```python
        import imagegen

        schedule = imagegen.DiscreteSchedule(imagegen.quadratic_betas(100))
        ```
    """
    return tuple(np.square(linear_betas(num_steps, math.sqrt(start), math.sqrt(end))))


@checked
def sigmoid_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> tuple[float, ...]:
    """Returns variances on a sigmoid curve from -6 to 6: flat at both ends.

    Args:
        num_steps: The length of the chain.
        start: The variance that the curve comes from, in (0, 1).
        end: The variance that it goes to, in (0, 1).

    Returns:
        `num_steps` variances.

    Raises:
        ValueError: If `num_steps` is no positive integer.

    Example:
        ```python
        import imagegen

        schedule = imagegen.DiscreteSchedule(imagegen.sigmoid_betas(100))
        ```
    """
    curve = 1 / (1 + np.exp(-np.array(linear_betas(num_steps, -6, 6))))
    return tuple(start + (end - start) * curve)


@checked
def cosine_betas(
    num_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999
) -> tuple[float, ...]:
    r"""Returns variances under which the signal falls along a cosine.

    $$\bar\alpha_k = \frac{f(k)}{f(0)}, \quad
    f(k) = \cos^2\left(\frac{k / T + o}{1 + o} \cdot \frac{\pi}{2}\right), \quad
    \beta_k = \min\left(1 - \frac{\bar\alpha_k}{\bar\alpha_{k-1}}, \beta_{\max}\right)$$

    Args:
        num_steps: The length $T$ of the chain.
        offset: The offset $o$, which keeps the first variances from being too small.
        max_beta: The largest variance.

    Returns:
        `num_steps` variances.

    Raises:
        ValueError: If `num_steps` is no positive integer.

    Example:
        ```python
        import imagegen

        schedule = imagegen.DiscreteSchedule(imagegen.cosine_betas(100))
        ```

    Reference:
        Nichol and Dhariwal, [Improved Denoising Diffusion Probabilistic
        Models](https://arxiv.org/abs/2102.09672), 2021, equation 17.
    """
    num_steps = check_integer(num_steps, "num_steps", minimum=1)
    check_number(offset, "offset", minimum=0)
    check_number(max_beta, "max_beta", minimum=0, maximum=1)
    times = np.arange(num_steps + 1) / num_steps
    signal = np.cos((times + offset) / (1 + offset) * math.pi / 2) ** 2
    return tuple(np.minimum(1 - signal[1:] / signal[:-1], max_beta))
