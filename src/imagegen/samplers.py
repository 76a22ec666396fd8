"""Samplers: from pure noise to a clean sample, step by step.

A sampler sees one function, `denoise(noisy, time) -> clean`. What the network predicts, guidance,
text and latent spaces are all behind it.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from imagegen._checks import check_integer, check_number
from imagegen._contracts import checked
from imagegen.schedules import Configured, EDMSchedule, Schedule
from imagegen.typing import State, Tensor

import keras
import numpy as np
from keras import ops

MAX_STEPS = 1000
"""The most steps that a sampler takes: the length of every table of levels."""

Denoise = Callable[..., Tensor]


class Level(NamedTuple):
    """A point on the way from noise to image: its time and its rates, as scalars.

    Example:
        ```python
        import imagegen
        from imagegen.samplers import Level, levels

        first = Level(*levels(imagegen.CosineSchedule(), 10)[0])
        assert first.time == 1
        ```
    """

    time: Tensor
    noise_rate: Tensor
    signal_rate: Tensor


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

    Example:
        ```python
        import imagegen
        from imagegen.samplers import levels

        table = levels(imagegen.CosineSchedule(), 10)
        assert table.shape == (1001, 3)
        assert (table[10:] == (0, 0, 1)).all()
        ```
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

    Example:
        ```python
        import dataclasses
        import imagegen

        @dataclasses.dataclass(frozen=True)
        class AlwaysClean(imagegen.Sampler):
            "Steps to the clean estimate itself, and forgets the noise."

            def step(self, denoise, noisy, now, after, state):
                clean = denoise(noisy, now.time)
                return after.signal_rate * clean, clean, state
        ```
    """

    @checked
    def init(self, noisy: Tensor, seed: Tensor) -> State:
        """Returns the state before the first step: a tuple of tensors, empty by default.

        Args:
            noisy: Samples `(batch, ...)` at the first level.
            seed: An integer tensor, for samplers that add noise on the way.
        """
        return ()

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
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

    def _formulas(self) -> Hashable:
        """What is compiled into `step`; what `init` puts into the state need not be in it."""
        return self

    def _again(self, state: State, noisy: Tensor, seed: Tensor) -> State:
        """What `init` returns under another seed, with the numbers that `state` holds."""
        return self.init(noisy, seed)

    def _steps_as(self, kind: "type[Sampler]") -> bool:
        """Says whether a sampler, perhaps of a derived class, steps by the code of `kind`."""
        return all(getattr(type(self), one) is getattr(kind, one) for one in ("init", "step"))

    def goes_straight(self) -> bool:
        """Says whether a step ends on the line through one clean estimate, as `FlowMap` needs it.

        By default not: a step that looks back, asks twice or adds noise is made for tangents.
        """
        return False

    def draws_noise(self) -> bool:
        """Says whether noise is added on the way, so that the first noise alone decides nothing."""
        states = [
            keras.tree.flatten(self.init(ops.zeros((1, 1)), ops.convert_to_tensor(seed, "int32")))
            for seed in (0, 1)
        ]
        pairs = zip(*states, strict=True)
        return not all(np.array_equal(*map(ops.convert_to_numpy, pair)) for pair in pairs)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class DDIM(Sampler):
    r"""Denoising diffusion implicit models: remix what is clean and what is noise.

    Each step splits the sample into a clean part and noise, and mixes the two again at the next
    level's rates, with a share $\sigma$ of the noise drawn anew:

    $$\hat x = \text{denoise}(x_t, t), \quad \hat\epsilon = \frac{x_t - s_t \hat x}{n_t}, \quad
    x_{t'} = s_{t'} \hat x + \sqrt{n_{t'}^2 - \sigma^2}\, \hat\epsilon + \sigma z,$$

    $$\sigma = \eta\, \frac{n_{t'}}{n_t} \sqrt{n_t^2 - \frac{s_t^2}{s_{t'}^2} n_{t'}^2}.$$

    Without new noise the first noise alone decides the picture.

    Args:
        eta: How much of the noise is new, in `[0, 1]`: 0 is deterministic, 1 is ancestral
            sampling, `DDPM`.

    Raises:
        ValueError: If `eta` is out of range.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        images = model.generate(2, num_steps=4, sampler=imagegen.DDIM(eta=0.5), seed=0)
        ```

    Reference:
        Song et al., [Denoising Diffusion Implicit Models](https://arxiv.org/abs/2010.02502),
        2021, equations 12 and 16.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.eta, "eta", minimum=0, maximum=1)

    def goes_straight(self) -> bool:
        return not self.eta

    @checked
    def init(self, noisy: Tensor, seed: Tensor) -> State:
        return (seed, *_numbers(self.eta)) if self.eta else ()

    def _formulas(self) -> Hashable:
        return (DDIM, bool(self.eta)) if self._steps_as(DDIM) else self

    def _again(self, state: State, noisy: Tensor, seed: Tensor) -> State:
        same = self._steps_as(DDIM)
        return _reseeded(state, seed) if same else self.init(noisy, seed)

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        clean = denoise(noisy, now.time)
        noise = (noisy - now.signal_rate * clean) / now.noise_rate
        if not self.eta:
            return after.signal_rate * clean + after.noise_rate * noise, clean, state
        seed, index, eta = state
        kept = now.signal_rate / after.signal_rate * after.noise_rate
        added = ops.sqrt(ops.maximum(now.noise_rate**2 - kept**2, 0.0))
        sigma = eta * after.noise_rate / now.noise_rate * added
        noise = ops.sqrt(ops.maximum(after.noise_rate**2 - sigma**2, 0.0)) * noise
        noise = noise + sigma * step_noise(noisy, seed, index)
        return after.signal_rate * clean + noise, clean, (seed, index + 1, eta)


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class DDPM(DDIM):
    """Ancestral sampling: DDIM with all of its noise drawn anew.

    Each step draws from the posterior of the forward process, with the predicted clean sample in
    the place of the true one.

    Example:
        ```python
        import imagegen

        assert imagegen.DDPM().eta == 1
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, algorithm 2, with the lower of its two variances.
    """

    eta: float = dataclasses.field(default=1.0, init=False)


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class Euler(Sampler):
    r"""Euler's method on the probability flow equation, in the coordinates of a straight line.

    Divided by the sum of its rates, a sample lies on the line from clean to noise:

    $$y = \frac{x_t}{s_t + n_t} = (1 - u)\, x_0 + u\, \epsilon, \quad
    u = \frac{n_t}{s_t + n_t}, \quad \frac{dy}{du} = \frac{y - \hat x}{u}.$$

    Its step is DDIM's, reached by another road: both agree to rounding. Each is here because
    each is read about.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        images = model.generate(2, num_steps=4, sampler=imagegen.Euler(), seed=0)
        ```

    Reference:
        Liu et al., [Flow Straight and Fast](https://arxiv.org/abs/2209.03003), 2023, section 2.
    """

    def goes_straight(self) -> bool:
        return True

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        clean = denoise(noisy, now.time)
        y, u = _on_the_line(noisy, now)
        _, u_after = _on_the_line(noisy, after)
        y = y + (u_after - u) * (y - clean) / u
        return y * (after.signal_rate + after.noise_rate), clean, state


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class Heun(Sampler):
    r"""Heun's method of second order: Euler's step, then again with the mean of both slopes.

    It works in the coordinates of `Euler`, on every schedule, and costs two evaluations a step.
    The last step, to no noise, is Euler's, because the slope at the clean sample is 0 / 0.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        images = model.generate(2, num_steps=4, sampler=imagegen.Heun(), seed=0)
        ```

    Reference:
        Karras et al., [Elucidating the Design Space of Diffusion-Based Generative
        Models](https://arxiv.org/abs/2206.00364), 2022, algorithm 1.
    """

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        clean = denoise(noisy, now.time)
        y, u = _on_the_line(noisy, now)
        _, u_after = _on_the_line(noisy, after)
        slope = (y - clean) / u
        scale = after.signal_rate + after.noise_rate
        euler = y + (u_after - u) * slope

        def corrected() -> Tensor:
            slope_after = (euler - denoise(euler * scale, after.time)) / u_after
            return y + (u_after - u) * (slope + slope_after) / 2

        y = ops.cond(after.noise_rate > 0, corrected, lambda: euler)
        return y * scale, clean, state


@keras.saving.register_keras_serializable(package="imagegen")
@checked
@dataclasses.dataclass(frozen=True)
class EDMSampler(Sampler):
    r"""EDM's own sampler: Heun's method in the noise level, after noise was added.

    Divided by its signal rate, a sample is $x = x_0 + \sigma \epsilon$. Each step first adds noise,
    up to a level that is higher by the share $\gamma$, and then solves

    $$\frac{dx}{d\sigma} = \frac{x - \hat x}{\sigma}$$

    down to the next level. Without added noise it is deterministic.

    Args:
        churn: The share $\gamma$: the paper's $S_\text{churn}$ divided by the number of steps.
            Above $\sqrt 2 - 1$ it counts as that.
        sigma_range: The lowest and the highest noise level at which noise is added.
        noise_scale: The deviation of the noise that is added.
        schedule: The schedule of the model, which says at what time the higher level is.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        sampler = imagegen.EDMSampler(0.1, sigma_range=(0.1, 10.0), schedule=model.schedule)
        images = model.generate(2, num_steps=6, sampler=sampler, seed=0)
        ```

    Reference:
        Karras et al., [Elucidating the Design Space of Diffusion-Based Generative
        Models](https://arxiv.org/abs/2206.00364), 2022, algorithms 1 and 2.
    """

    churn: float = 0.0
    sigma_range: tuple[float, float] = (0.0, 1e9)
    noise_scale: float = 1.0
    schedule: Schedule = dataclasses.field(default_factory=EDMSchedule)

    def __post_init__(self) -> None:
        check_number(self.churn, "churn", minimum=0)
        check_number(self.noise_scale, "noise_scale", minimum=0)
        # A list comes back from a saved configuration.
        low, high = (check_number(bound, "sigma_range", minimum=0) for bound in self.sigma_range)
        object.__setattr__(self, "sigma_range", (low, high))

    @checked
    def init(self, noisy: Tensor, seed: Tensor) -> State:
        if not self.churn:
            return ()
        gamma = min(self.churn, 2**0.5 - 1)
        return seed, *_numbers(gamma, *self.sigma_range, self.noise_scale)

    def _formulas(self) -> Hashable:
        same = self._steps_as(EDMSampler)
        return (EDMSampler, bool(self.churn), self.schedule) if same else self

    def _again(self, state: State, noisy: Tensor, seed: Tensor) -> State:
        same = self._steps_as(EDMSampler)
        return _reseeded(state, seed) if same else self.init(noisy, seed)

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        x, sigma = noisy / now.signal_rate, now.noise_rate / now.signal_rate
        sigma_after = after.noise_rate / after.signal_rate
        if self.churn:
            seed, index, most, low, high, noise_scale = state
            gamma = ops.where((sigma >= low) & (sigma <= high), most, 0.0)
            raised = sigma * (1 + gamma)
            # The difference of both squares, but such that it can't round to below 0.
            added = sigma * ops.sqrt(gamma * (2 + gamma)) * noise_scale
            x, sigma = x + added * step_noise(noisy, seed, index), raised
            time = ops.where(gamma > 0, self.schedule.time_of(sigma), now.time)
            now = Level(time, *self.schedule(time))
            state = (seed, index + 1, most, low, high, noise_scale)
        clean = denoise(now.signal_rate * x, now.time)
        slope = (x - clean) / sigma
        euler = x + (sigma_after - sigma) * slope

        def corrected() -> Tensor:
            clean_after = denoise(after.signal_rate * euler, after.time)
            slope_after = (euler - clean_after) / sigma_after
            return x + (sigma_after - sigma) * (slope + slope_after) / 2

        x = ops.cond(after.noise_rate > 0, corrected, lambda: euler)
        return after.signal_rate * x, clean, state


@keras.saving.register_keras_serializable(package="imagegen")
@dataclasses.dataclass(frozen=True)
class DPMSolver2M(Sampler):
    r"""DPM-Solver++(2M): second order from the memory of the last step, one evaluation a step.

    With half the log signal-to-noise ratio, $\lambda = \log(s / n)$, its step $h$, and the clean
    samples of this step and of the one before,

    $$D = \left(1 + \tfrac{h}{2 h_\text{before}}\right) \hat x
    - \tfrac{h}{2 h_\text{before}}\, \hat x_\text{before}, \quad
    x_{t'} = \frac{n_{t'}}{n_t} x_t - s_{t'} (e^{-h} - 1) D.$$

    The first step and the last, to no noise, are of first order.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        images = model.generate(2, num_steps=4, sampler=imagegen.DPMSolver2M(), seed=0)
        ```

    Reference:
        Lu et al., [DPM-Solver++](https://arxiv.org/abs/2211.01095), 2022, algorithm 2.
    """

    @checked
    def init(self, noisy: Tensor, seed: Tensor) -> State:
        # An infinite step before the first: the memory has no weight there.
        return ops.zeros_like(noisy), ops.convert_to_tensor(np.inf, "float32")

    @checked
    def step(
        self, denoise: Denoise, noisy: Tensor, now: Level, after: Level, state: State
    ) -> tuple[Tensor, Tensor, State]:
        clean_before, h_before = state
        clean = denoise(noisy, now.time)
        # e^-h and not h alone: the last step is infinite, and e^-h is 0 there.
        decay = after.noise_rate / now.noise_rate * now.signal_rate / after.signal_rate
        last = after.noise_rate == 0
        h = -ops.log(ops.where(last, 1.0, decay))
        weight = h / (2 * h_before)
        estimate = (1 + weight) * clean - weight * clean_before
        kept = after.noise_rate / now.noise_rate
        return kept * noisy - after.signal_rate * (decay - 1) * estimate, clean, (clean, h)


def _numbers(*numbers: float) -> tuple[Tensor, ...]:
    """A count of steps, and numbers, as a state holds them: one program serves all their values."""
    return ops.zeros((), "int32"), *(ops.convert_to_tensor(one, "float32") for one in numbers)


def _reseeded(state: State, seed: Tensor) -> State:
    """A state of a seed, a count of steps, and numbers, as it was before the first step."""
    return (seed, ops.zeros_like(state[1]), *state[2:]) if state else state


def _on_the_line(noisy: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    total = level.signal_rate + level.noise_rate
    return noisy / total, level.noise_rate / total


def step_noise(like: Tensor, seed: Tensor, index: Tensor) -> Tensor:
    """Returns noise for step `index`, in which sample i depends on `seed`, `index` and i alone.

    Keras draws no noise from seeds that are traced, so this asks the backend.

    Args:
        like: Samples `(batch, ...)`, whose shape the noise has.
        seed: A non-negative integer tensor; or one for each sample, `(batch,)`, whose noise is that
            of the first sample under its seed; or `(batch, 2)`, a seed and a number for each, whose
            noise is that of the sample of this number.
        index: The step, an integer tensor.

    Returns:
        Standard normal noise, float32.
    """
    count, shape = like.shape[0], tuple(like.shape[1:])
    seed = _seeds_and_numbers(seed, count)
    if keras.backend.backend() == "jax":
        import jax

        def draw(pair: Any) -> Tensor:
            key = jax.random.fold_in(jax.random.key(pair[0]), index)  # type: ignore[arg-type]
            return jax.random.normal(jax.random.fold_in(key, pair[1]), shape)

        return jax.vmap(draw)(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        fold_in = tf.random.experimental.stateless_fold_in

        def noise_of(pair: Any) -> Tensor:
            key = fold_in(fold_in(tf.stack([pair[0], index]), 0), pair[1])
            return tf.random.stateless_normal(shape, key)

        # A loop, and no list: a program of ten thousand samples would take minutes to build.
        return tf.map_fn(noise_of, seed, fn_output_signature="float32")
    pairs = ops.convert_to_numpy(seed)
    noise = np.empty((count, *shape), "float32")
    for one in np.unique(pairs[:, 0]):
        rows = pairs[:, 0] == one
        numbers = pairs[rows, 1]
        # The 1 sets it apart from `initial_noise`, which has the sample where this has the step.
        random = np.random.default_rng([int(one), int(index), 1])
        drawn = random.standard_normal((numbers.max() + 1, *shape), dtype="float32")
        noise[rows] = drawn[numbers]
    return ops.convert_to_tensor(noise)


def _seeds_and_numbers(seed: Tensor, count: int) -> Tensor:
    """A seed and a number for each sample, `(batch, 2)`, from all forms of seeds."""
    if len(seed.shape) == 2:
        return seed
    shared = len(seed.shape) == 0
    seeds = ops.broadcast_to(seed, (count,))
    numbers = ops.arange(count, dtype="int32") if shared else ops.zeros((count,), "int32")
    return ops.stack([ops.cast(seeds, "int32"), numbers], axis=1)


def advance(
    sampler: Sampler,
    denoise: Denoise,
    noisy: Tensor,
    state: State,
    table: Tensor,
    start: Tensor,
    stop: Tensor,
    *,
    jumps: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Takes the steps from `start` to `stop` in one loop, whose bounds may be traced.

    Args:
        sampler: The sampler that takes the steps.
        denoise: The clean samples, given noisy ones and their time.
        noisy: Samples `(batch, ...)` at the level `table[start]`.
        state: The sampler's state at `start`.
        table: What `levels` returned, as a tensor.
        start: The first step, an integer tensor.
        stop: One past the last step, an integer tensor.
        jumps: Whether `denoise` is told where a step ends: the next level, as `until`.

    Returns:
        The samples at the level `table[stop]`, the clean samples that the last step believed
        in, and the sampler's state.
    """

    def body(
        index: Tensor, noisy: Tensor, clean: Tensor, state: State
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        now, after = (Level(*ops.unstack(table[index + offset], 3)) for offset in (0, 1))
        told = functools.partial(denoise, until=after) if jumps else denoise
        return (index + 1, *sampler.step(told, noisy, now, after, state))

    def unfinished(index: Tensor, *_: Any) -> Tensor:
        return index < stop

    _, noisy, clean, state = ops.while_loop(unfinished, body, (start, noisy, noisy, state))
    return noisy, clean, state


def checked_seed(seed: int | None) -> int:
    """Returns the seed, or one drawn from Keras's global random state where it is `None`."""
    largest = 2**31 - 1  # Seeds travel as int32.
    if seed is None:
        return int(keras.random.randint((), 0, largest))
    return check_integer(seed, "seed", minimum=0, maximum=largest)


def checked_seeds(seed: int | Sequence[int] | None, count: int) -> int | list[int]:
    """Returns the seed of all samples as `checked_seed` does, or a list of one for each."""
    if seed is None or np.ndim(seed) == 0:
        return checked_seed(seed)  # type: ignore[arg-type]
    seeds = [check_integer(one, "seed", minimum=0, maximum=2**31 - 1) for one in seed]  # type: ignore[union-attr]
    if len(seeds) != count:
        raise ValueError(
            f"`seed` must be one for all {count} pictures or one for each. Received: {len(seeds)}"
        )
    return seeds


def initial_noise(
    num_samples: int,
    shape: tuple[int, ...],
    seed: int | Sequence[int] | Sequence[tuple[int, int]],
) -> np.ndarray:
    """Returns standard normal noise in which sample i depends on `seed` and i alone.

    Sample i of a batch of n is sample i of a batch of m, on every backend.

    Args:
        num_samples: How many samples.
        shape: The shape of each.
        seed: A non-negative integer; or one for each sample, which then is the first sample under
            its seed; or a pair for each, a seed and which of its samples.

    Returns:
        float32 array `(num_samples, *shape)`.

    Example:
        ```python
        from imagegen.samplers import initial_noise

        two, three = (initial_noise(count, (8, 8, 3), seed=0) for count in (2, 3))
        assert (two == three[:2]).all()
        ```
    """
    noise = np.empty((num_samples, *shape), "float32")
    for index in range(num_samples):
        one: Any = (seed, index) if np.ndim(seed) == 0 else seed[index]  # type: ignore[index]
        entropy = [one, 0] if np.ndim(one) == 0 else list(one)
        np.random.default_rng(entropy).standard_normal(dtype="float32", out=noise[index])
    return noise
