"""Samplers: from pure noise to a clean sample, step by step.

A sampler sees one function, `denoise(noisy, time) -> clean`. What the network predicts, guidance,
text and latent spaces are all behind it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from imagegen._checks import check_integer
from imagegen.schedules import Configured, Schedule

import keras
import numpy as np
from keras import ops

MAX_STEPS = 1000
"""The most steps that a sampler takes: the length of every table of levels."""

Denoise = Callable[[Any, Any], Any]


class Level(NamedTuple):
    """A point on the way from noise to image: its time and its rates, as scalars."""

    time: Any
    noise_rate: Any
    signal_rate: Any


def levels(schedule: Schedule, num_steps: int) -> np.ndarray:
    """Returns the levels that sampling visits, the clean sample last.

    The table always has the same length, so that one compiled program serves every number of
    steps. The rows after the first `num_steps` are the clean sample: no noise, full signal.

    Args:
        schedule: The schedule that gives times and rates.
        num_steps: Steps from noise to image, from 1 to 1000.

    Returns:
        float32 array `(1001, 3)` of times, noise rates and signal rates.

    Raises:
        ValueError: If `num_steps` is out of range.
    """
    num_steps = check_integer(num_steps, "num_steps", minimum=1, maximum=MAX_STEPS)
    times = schedule.sampling_times(num_steps)
    noise_rates, signal_rates = map(ops.convert_to_numpy, schedule(times))
    table = np.tile(np.array([0, 0, 1], "float32"), (MAX_STEPS + 1, 1))
    table[:num_steps] = np.stack([times, noise_rates, signal_rates], axis=1)
    return table


class Sampler(Configured):
    """How one step goes from a level to the next, less noisy one.

    A sampler of your own is a frozen dataclass that derives from this class and defines `step`;
    a multistep method keeps its history in the state that `init` begins.
    """

    def init(self, noisy: Any) -> Any:
        """Returns the state before the first step: a tuple of tensors, empty by default."""
        return ()

    def step(
        self, denoise: Denoise, noisy: Any, now: Level, after: Level, state: Any
    ) -> tuple[Any, Any, Any]:
        """Takes one step.

        Args:
            denoise: The clean samples, given noisy ones and their time.
            noisy: Samples `(batch, ...)` at the level `now`.
            now: The present level.
            after: The next level; its noise rate is 0 in the last step.
            state: What `init` or the step before returned.

        Returns:
            The samples at the level `after`, the clean samples that this step believed in, and
            the state for the next step.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class DDIM(Sampler):
    r"""Denoising diffusion implicit models: remix what is clean and what is noise.

    Each step splits the sample into a clean part and noise, and mixes the two again at the next
    level's rates:

    $$\hat x = \text{denoise}(x_t, t), \quad \hat\epsilon = \frac{x_t - s_t \hat x}{n_t}, \quad
    x_{t'} = s_{t'} \hat x + n_{t'} \hat\epsilon.$$

    No noise is added on the way, so the first noise alone decides the picture.

    Reference:
        Song et al., [Denoising Diffusion Implicit Models](https://arxiv.org/abs/2010.02502),
        2021, equation 12 with $\sigma_t = 0$.
    """

    def step(
        self, denoise: Denoise, noisy: Any, now: Level, after: Level, state: Any
    ) -> tuple[Any, Any, Any]:
        clean = denoise(noisy, now.time)
        noise = (noisy - now.signal_rate * clean) / now.noise_rate
        return after.signal_rate * clean + after.noise_rate * noise, clean, state


def advance(
    sampler: Sampler,
    denoise: Denoise,
    noisy: Any,
    state: Any,
    table: Any,
    start: Any,
    stop: Any,
) -> tuple[Any, Any, Any]:
    """Takes the steps from `start` to `stop` in one loop, whose bounds may be traced.

    Args:
        sampler: The sampler that takes the steps.
        denoise: The clean samples, given noisy ones and their time.
        noisy: Samples `(batch, ...)` at the level `table[start]`.
        state: The sampler's state at `start`.
        table: What `levels` returned, as a tensor.
        start: The first step, an integer tensor.
        stop: One past the last step, an integer tensor.

    Returns:
        The samples at the level `table[stop]`, the clean samples that the last step believed
        in, and the sampler's state.
    """

    def body(index: Any, noisy: Any, clean: Any, state: Any) -> tuple[Any, Any, Any, Any]:
        now, after = (Level(*ops.unstack(table[index + offset], 3)) for offset in (0, 1))
        return (index + 1, *sampler.step(denoise, noisy, now, after, state))

    def unfinished(index: Any, *_: Any) -> Any:
        return index < stop

    _, noisy, clean, state = ops.while_loop(unfinished, body, (start, noisy, noisy, state))
    return noisy, clean, state


def initial_noise(num_samples: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Returns standard normal noise in which sample i depends on `seed` and i alone.

    Sample i of a batch of n is sample i of a batch of m, on every backend.

    Args:
        num_samples: How many samples.
        shape: The shape of each.
        seed: A non-negative integer.

    Returns:
        float32 array `(num_samples, *shape)`.
    """
    noise = np.empty((num_samples, *shape), "float32")
    for index in range(num_samples):
        np.random.default_rng([seed, index]).standard_normal(dtype="float32", out=noise[index])
    return noise
