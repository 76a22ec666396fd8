"""From a denoiser to pictures: prompts, guidance and the compiled loop of steps."""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Unpack

from imagegen._checks import check_finite, check_integer, check_number
from imagegen._contracts import checked, renamed
from imagegen._devices import shared, whole
from imagegen._jit import Programs, check_readable, compiled
from imagegen.conditioning import Conditions
from imagegen.guidance import Autoguidance, Guidance
from imagegen.samplers import (
    Level,
    Sampler,
    advance,
    checked_seeds,
    initial_noise,
    levels,
)
from imagegen.sampling import DEFAULTS, Prompts, SamplingOptions, checked_sampling, subjects
from imagegen.schedules import Schedule
from imagegen.typing import Array, Images, State, Tensor

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

# How often the progress bar moves in a run; each stop costs a dispatch of the compiled program.
_PROGRESS_CHUNKS = 10
# More pictures than these come in several batches: of the same program, which memory grows with.
_LARGEST_BATCH = 128


class ImageGenerator(abc.ABC):
    """Whatever can denoise: what every generating model derives from.

    A model of your own says what it denoises and how, and gets prompts, guidance, samplers, walks,
    inversion and all functions that edit:

    - `sample_shape`, the shape of what sampling works on, and `schedule`, the rates of noise and
      signal at every time;
    - `denoise(noisy, time, conditions)`, the clean samples that it sees in noisy ones;
    - `variables_read`, every Keras variable that `denoise` reads.

    If it takes prompts, also `condition_shapes` and `encode_prompts`. If its samples are pictures,
    `value_range`, `to_samples` and `to_images`; if they are latents, `image_shape` too. The rest
    has defaults.

    Attributes:
        sample_shape: The shape of a sample.
        schedule: The rates of noise and signal at every time.
        value_range: The lowest and the highest value in a picture. Functions that edit want
            `(0, 255)`. `None` is for samples that aren't pictures.
        condition_shapes: The shapes of what `encode_prompts` returns, for one prompt.
        sampling: The `SamplingOptions` that are this model's own.
        accepts_any_size: Whether functions that edit cut pictures of other sizes to the model's,
            or refuse them.

    Example:
        ```python
        import imagegen

        class Grey(imagegen.ImageGenerator):
            "Believes that all pictures are grey."

            sample_shape, schedule = (8, 8, 1), imagegen.CosineSchedule()

            def denoise(self, noisy, time, conditions=None):
                return 0 * noisy

        assert abs(Grey().generate(2, num_steps=3, seed=0)).max() == 0
        ```
    """

    sample_shape: tuple[int, ...]
    schedule: Schedule
    value_range: tuple[float, float] | None = None
    accepts_any_size: bool = False

    @property
    def jumps(self) -> bool:
        """Whether `denoise` takes the `Level` at which a step ends, as `until`: see `FlowMap`."""
        return False

    @property
    def knows_guidance(self) -> bool:
        """Whether the model has learned guided pictures, so that it can't be guided once more."""
        return False

    @abc.abstractmethod
    def denoise(
        self, noisy: Tensor, time: Tensor, conditions: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Returns the clean samples that the model sees in noisy ones.

        It is compiled. So it computes with `keras.ops`, and reads no variable but those of
        `variables_read`.

        Args:
            noisy: Noisy samples `(batch, *sample_shape)`, float32.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample, `(batch,)`.
            conditions: What `encode_prompts` returned for one prompt a sample. `None` is the empty
                prompt.

        Returns:
            Clean samples, float32 of the shape of `noisy`.
        """

    @property
    def variables_read(self) -> Sequence[keras.Variable]:
        """Every Keras variable that `denoise` reads."""
        return ()

    @property
    def condition_shapes(self) -> Sequence[tuple[int, ...]]:
        """The shapes of what `encode_prompts` returns, for one prompt."""
        return ()

    @property
    def sampling(self) -> SamplingOptions:
        """The sampling options that are this model's own."""
        return {}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a picture: that of a sample, unless samples are latents."""
        return self.sample_shape

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The lowest and the highest value of a clean sample, to which estimates are clipped."""
        return -np.inf, np.inf

    @property
    def autoguidance(self) -> Autoguidance | None:
        """A poorer network to move away from where there are no prompts, and how far."""
        return None

    def check_ready(self) -> None:  # noqa: B027  (a model is ready unless it says otherwise)
        """Raises a ValueError when the model can't generate yet."""

    @checked
    def encode_prompts(self, prompts: Prompts) -> Conditions:
        """Returns what prompts become before the network sees them.

        Args:
            prompts: A prompt or several.

        Returns:
            Arrays `(num_prompts, ...)`, one for each further input of the network.

        Raises:
            ValueError: If the model takes no prompts, or doesn't know one.
        """
        raise ValueError(
            "`prompts` are for models that have an encoder, and this one has none. "
            f"Received: prompts={prompts!r}"
        )

    @checked
    def to_samples(self, images: Images) -> np.ndarray:
        """Turns pictures into samples.

        Args:
            images: Pictures `(num_images, *image_shape)`.

        Returns:
            float32 array `(num_images, *sample_shape)`.
        """
        return np.asarray(images, "float32")

    @checked
    def to_images(self, samples: Array) -> np.ndarray:
        """Turns samples into pictures.

        Args:
            samples: Samples `(num_images, *sample_shape)`.

        Returns:
            Pictures `(num_images, *image_shape)`: uint8 where `value_range` is `(0, 255)`.
        """
        return ops.convert_to_numpy(samples)

    def formulas(self) -> Hashable:
        """What is compiled into `denoise`: when it changes, another program is made."""
        return self.schedule

    @checked
    def guidance_of_nothing(self, num_images: int) -> Guidance | None:
        """Returns how to sample without prompts. `None` calls `denoise` without conditions."""
        return None

    @checked
    def guidance(
        self,
        prompts: Prompts,
        negative_prompts: Prompts | None = None,
        guidance_scale: float | None = 3.0,
        guidance_rescale: float = 0.0,
        *,
        num_images: int | None = None,
    ) -> Guidance:
        """Returns what `run` needs to paint what prompts say.

        Args:
            prompts: A prompt or several, one a picture, or what `encode_prompts` returned.
            negative_prompts: As of `SamplingOptions`.
            guidance_scale: As of `SamplingOptions`.
            guidance_rescale: As of `SamplingOptions`.
            num_images: How many pictures there are, when one prompt serves all of them.

        Raises:
            ValueError: If the model takes no prompts, it doesn't know one, the numbers of prompts
                don't fit, or the model has guidance built in.
        """
        if self.knows_guidance and not guidance_scale is negative_prompts is None:
            raise ValueError(
                "`guidance_scale` and `negative_prompts` must be None: the model is a student, "
                "which has its teacher's guidance built in. "
                f"Received: {guidance_scale!r} and {negative_prompts!r}"
            )
        if num_images is not None:
            num_images = check_integer(num_images, "num_images", minimum=1)
        rescale = check_number(guidance_rescale, "guidance_rescale", minimum=0, maximum=1)
        if guidance_scale is None:
            if negative_prompts is not None:
                raise ValueError(
                    "`guidance_scale` must be a number where there are negative prompts. "
                    "Received: guidance_scale=None"
                )
            return Guidance(self._conditions_of(prompts, "prompts", num_images))
        scale = check_number(guidance_scale, "guidance_scale", minimum=0, maximum=1e6)
        positive = self._conditions_of(prompts, "prompts", num_images)
        negative_prompts = "" if negative_prompts is None else negative_prompts
        negative = self._conditions_of(negative_prompts, "negative_prompts", len(positive[0]))
        scales = (ops.convert_to_tensor(number, "float32") for number in (scale, rescale))
        return Guidance(positive, negative, *scales)

    def _conditions_of(self, prompts: Prompts, name: str, count: int | None) -> tuple[Any, ...]:
        """Encoded prompts as tensors; one prompt is repeated to `count`."""
        with renamed("prompts", name):
            encoded = prompts if isinstance(prompts, Conditions) else self.encode_prompts(prompts)
        shapes = [tuple(shape) for shape in self.condition_shapes]
        arrays = [check_finite(array, name) for array in encoded]
        if [array.shape[1:] for array in arrays] != shapes or len({*map(len, arrays)}) != 1:
            raise ValueError(
                f"`{name}` must be prompts, or Conditions of arrays (num_prompts, ...) with the "
                f"rest of the shape {shapes}. Received: shapes {[array.shape for array in arrays]}"
            )
        if not len(arrays[0]):
            raise ValueError(f"`{name}` must hold at least one prompt. Received: none")
        if count is not None and len(arrays[0]) not in (1, count):
            raise ValueError(
                f"`{name}` must be one for all {count} pictures or one for each. "
                f"Received: {len(arrays[0])}"
            )
        repeats = (count or 1) if len(arrays[0]) == 1 else 1
        return tuple(
            ops.convert_to_tensor(np.repeat(array, repeats, axis=0), "float32") for array in arrays
        )

    @checked
    def generate(
        self,
        prompts: int | Prompts | Mapping[str, Prompts] | None = None,
        *,
        num_images: int | None = None,
        noise: Images | None = None,
        batch_size: int | None = None,
        **options: Unpack[SamplingOptions],
    ) -> np.ndarray:
        """Generates pictures from noise.

        The first call with a number of pictures and a sampler compiles one program; it serves
        every number of steps, every prompt, every guidance scale and every `eta`, and survives
        further training. A model keeps the 32 programs that were used last: another number of
        pictures is another program, and one more `batch_size` serves all numbers.

        The same seed gives the same pictures, and picture i is the same however many are asked for.
        Across backends that holds, to rounding, for samplers that draw no noise on the way: `DDPM`,
        `DDIM` with `eta`, `EDMSampler` with `churn`, and inpainting draw it from the backend's own
        generator, and each backend has its own pictures.

        Pictures can't be generated while another thread trains the model, nor in a process that was
        forked from one that has computed. Start such processes by spawning.

        Args:
            prompts: How many pictures, at least 1. For a model that takes prompts also a prompt, or
                several, one a picture, or what `encode_prompts` returned. Given a number, such a
                model paints what it likes. KerasHub's `{"prompts": ..., "negative_prompts": ...}`
                is understood.
            num_images: How many pictures, by name; beside one prompt, so many of it.
            noise: Standard normal noise to start from, one sample a picture, in the place of noise
                drawn from the seed: a way through noise, or what `ddim_inversion` returned.
            batch_size: How many pictures are sampled at a time, at least 1: memory grows with it,
                and the pictures stay the same. By default, all up to 128.
            **options: How to sample, by the names of `SamplingOptions`.

        Returns:
            uint8 pictures `(num_images, height, width, channels)` where `value_range` is
            `(0, 255)`, float32 samples otherwise.

        Raises:
            ValueError: If an argument is out of range.
            TypeError: If there is no option of a name.
            FloatingPointError: If the network gives NaN or infinity.
            RuntimeError: If another thread trains the model, or the process is a forked one.

        Example:
            ```python
            import imagegen

            model = imagegen.DiffusionModel.from_preset("flowers-64")
            images = model.generate(4, num_steps=5, seed=1)
            ```
        """
        samples = self.sample(
            prompts, num_images=num_images, noise=noise, batch_size=batch_size, **options
        )
        return self.to_images(samples)

    @checked
    def generate_steps(
        self,
        prompts: int | Prompts | Mapping[str, Prompts] | None = None,
        *,
        num_images: int | None = None,
        noise: Images | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generates pictures as `generate` does, and yields every step of the way.

        Args:
            prompts: How many pictures, or prompts, as for `generate`.
            num_images: How many pictures, as for `generate`.
            noise: Noise to start from, as for `generate`.
            **options: How to sample, by the names of `SamplingOptions`.

        Yields:
            After each step, the noisy pictures and the clean ones that the network saw in the
            noisier ones before. The last noisy pictures are what `generate` returns.

        Raises:
            ValueError: If an argument is out of range.
            FloatingPointError: If the network gives NaN or infinity.
        """
        for noisy, clean in self.sample_steps(
            prompts, num_images=num_images, noise=noise, **options
        ):
            yield self.to_images(noisy), self.to_images(clean)

    @checked
    def sample(
        self,
        prompts: int | Prompts | Mapping[str, Prompts] | None = None,
        *,
        num_images: int | None = None,
        noise: Images | None = None,
        batch_size: int | None = None,
        **options: Unpack[SamplingOptions],
    ) -> np.ndarray:
        """Generates samples: what `to_images` makes pictures of, such as latents.

        Args:
            prompts: How many samples, or prompts, as for `generate`.
            num_images: How many samples, as for `generate`.
            noise: Noise to start from, as for `generate`.
            batch_size: How many samples at a time, as for `generate`.
            **options: How to sample, by the names of `SamplingOptions`.

        Returns:
            Clean samples, float32 `(num_images, *sample_shape)`.

        Raises:
            ValueError: If an argument is out of range.
            MemoryError: If so many samples don't fit into memory.
        """
        way = self._way(prompts, num_images, options)
        if batch_size is not None:
            batch_size = check_integer(batch_size, "batch_size", minimum=1)
        num_parts = math.ceil(way.num_images / (batch_size or _LARGEST_BATCH))
        if num_parts == 1:
            noisy = way.first_noise(noise)
            return _painted(way.end(noisy, way.sampler.init(noisy, way.seed_tensor)))
        noise = None if noise is None else way.checked_noise(noise)
        size = math.ceil(way.num_images / num_parts)
        starts = tqdm(range(0, way.num_images, size), "batches", delay=1, leave=False)
        # What doesn't fit into memory is a MemoryError now, and not after hours.
        samples = np.empty((way.num_images, *self.sample_shape), "float32")
        for start in starts:
            samples[start : start + size] = way.part(start, size, noise)
        return _painted(samples)

    @checked
    def sample_steps(
        self,
        prompts: int | Prompts | Mapping[str, Prompts] | None = None,
        *,
        num_images: int | None = None,
        noise: Images | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generates samples as `sample` does, and yields every step of the way.

        Args:
            prompts: How many samples, or prompts, as for `generate`.
            num_images: How many samples, as for `generate`.
            noise: Noise to start from, as for `generate`.
            **options: How to sample, by the names of `SamplingOptions`.

        Yields:
            After each step, the noisy samples and the clean ones that the network saw in the
            noisier ones before: float32 `(num_images, *sample_shape)`.

        Raises:
            ValueError: If an argument is out of range.
        """
        way = self._way(prompts, num_images, options)
        first = way.first_noise(noise)
        for noisy, clean in way.steps(first, way.sampler.init(first, way.seed_tensor), chunk=1):
            yield _painted(noisy), _painted(clean)

    def _way(self, prompts: Any, num_images: int | None, options: Mapping[str, Any]) -> "Way":
        return self.begin(*subjects(prompts, num_images, options))

    @checked
    def begin(
        self, prompts: Prompts | None, num_images: int | None, options: Mapping[str, Any]
    ) -> "Way":
        """Returns the way from noise that sampling options describe.

        Args:
            prompts: Prompts, or `None`.
            num_images: How many pictures there are, or `None` for as many as prompts.
            options: Options by the names of `SamplingOptions`. What is left out is the model's own.

        Raises:
            ValueError: If an option is out of range, or the model can't be asked for the prompts.
            TypeError: If there is no option of a name.
        """
        check_readable(self.variables_read)
        chosen = checked_sampling({**DEFAULTS, **self.sampling, **options})
        guidance = None
        if prompts is not None or chosen["negative_prompts"] is not None:
            guidance = self.guidance(
                "" if prompts is None else prompts,
                chosen["negative_prompts"],
                chosen["guidance_scale"],
                chosen["guidance_rescale"],
                num_images=num_images,
            )
        if guidance is not None:
            num_images = len(guidance.positive[0])
        if num_images is None:
            raise ValueError(
                "`num_images` must be given where there are no prompts. Received: num_images=None"
            )
        return Way(
            self,
            self.schedule,
            num_images,
            guidance,
            chosen["num_steps"],
            chosen["sampler"],
            checked_seeds(chosen["seed"], num_images),
        )

    @checked
    def run(
        self,
        noisy: Tensor,
        state: State,
        table: np.ndarray,
        start: int,
        stop: int,
        *,
        sampler: Sampler,
        guidance: Guidance | None = None,
        chunk: int | None = None,
        label: str = "generate",
    ) -> Iterator[tuple[Any, Any]]:
        """Takes steps of sampling, from any level to any other.

        `generate` and the functions that edit pictures are made of it. It shows a progress bar
        when it takes more than a second.

        Args:
            noisy: Normalized samples `(batch, ...)` at the level `table[start]`, float32.
            state: The sampler's state there: what `sampler.init` returns.
            table: The levels, as `imagegen.samplers.levels` returns them.
            start: The first step.
            stop: One past the last step.
            sampler: How a step is taken.
            guidance: What the pictures should show, as the method `guidance` returns it. `None`
                leaves it to the model.
            chunk: How many steps there are between two yields; about a tenth of all by default.
            label: What the progress bar says.

        Yields:
            Samples at the level that is reached, and the clean samples that the last step believed
            in, both normalized.
        """
        self.check_ready()
        if guidance is None:
            guidance = self.guidance_of_nothing(len(noisy))
        chunk = chunk or math.ceil((stop - start) / _PROGRESS_CHUNKS) or 1
        table = ops.convert_to_tensor(table)
        scale = 1.0 if self.autoguidance is None else self.autoguidance.scale
        fixed = [ops.convert_to_tensor(number, "float32") for number in (*self.bounds, scale)]
        noisy, state, guidance = shared((noisy, state, guidance), len(noisy))
        # A backend keeps a program for every shape for as long as it knows the function. So that
        # some can be forgotten, each has a function of its own.
        run = self._program(sampler, _shapes((noisy, state, guidance)))
        with tqdm(total=stop - start, desc=label, unit="step", delay=1, leave=False) as bar:
            for first in range(start, stop, chunk):
                last = min(first + chunk, stop)
                steps = (ops.convert_to_tensor(step, "int32") for step in (first, last))
                noisy, clean, state = run(noisy, state, table, *steps, *fixed, guidance)
                yield whole(noisy), whole(clean)
                bar.update(last - first)

    def _program(self, sampler: Sampler, shapes: Hashable) -> Any:
        if self.jumps and not sampler.goes_straight():
            raise ValueError(
                "`sampler` must go straight to where a step ends, as DDIM() does, for a model that "
                f"jumps there. Received: {sampler!r}"
            )

        def run(
            noisy: Tensor,
            state: State,
            table: Tensor,
            start: Tensor,
            stop: Tensor,
            low: Tensor,
            high: Tensor,
            scale: Tensor,
            guidance: Guidance | None,
        ) -> tuple[Tensor, Tensor, Tensor]:
            denoise = self._guided(guidance, scale)

            def clipped(noisy: Tensor, time: Tensor, **until: Level) -> Tensor:
                return ops.clip(denoise(noisy, time, **until), low, high)

            return advance(sampler, clipped, noisy, state, table, start, stop, jumps=self.jumps)

        # What was replaced makes another program: its formulas are compiled in.
        key = (sampler._formulas(), self.formulas(), shapes)
        return self._programs.get(key, lambda: compiled(run, self.variables_read))

    def _guided(self, guidance: Guidance | None, scale: Tensor) -> Callable[..., Tensor]:
        if guidance is not None:
            return guidance.around(self.denoise)
        if self.autoguidance is not None:
            return self.autoguidance._replace(scale=scale).around(self.denoise)
        return self.denoise

    @functools.cached_property
    def _programs(self) -> Programs:
        return Programs()


@checked
@dataclasses.dataclass(frozen=True)
class Way:
    """The way from noise to some pictures of a model: what its `begin` returns.

    `generate` walks it whole. Functions that edit begin somewhere on it, or step otherwise.

    Attributes:
        model: The model.
        schedule: The schedule whose stops are visited. Its rates are those of the model's.
        num_images: How many pictures.
        guidance: What they should show, or `None`.
        num_steps: Steps of the whole way.
        sampler: How a step is taken.
        seed: The seed of all pictures, or a list of one for each, or of a pair for each: a seed,
            and which of its pictures.

    Example:
        ```python
        import imagegen

        model = imagegen.DiffusionModel.from_preset("flowers-64")
        way = model.begin(None, 2, {"num_steps": 4, "seed": 0})
        noisy = way.first_noise()
        samples = way.end(noisy, way.sampler.init(noisy, way.seed_tensor))
        images = model.to_images(samples)
        ```
    """

    model: ImageGenerator
    schedule: Schedule
    num_images: int
    guidance: Guidance | None
    num_steps: int
    sampler: Sampler
    seed: Any

    @functools.cached_property
    def table(self) -> np.ndarray:
        """The levels that are visited: what `imagegen.samplers.levels` returns."""
        return levels(self.schedule, self.num_steps)

    @property
    def seed_tensor(self) -> Any:
        """The seed as samplers take it."""
        return ops.convert_to_tensor(self.seed, "int32")

    def noise(self) -> np.ndarray:
        """Returns standard normal noise, one sample a picture."""
        return initial_noise(self.num_images, self.model.sample_shape, self.seed)

    @checked
    def first_noise(self, noise: Images | None = None) -> Any:
        """Returns noise, by default that of the seed, as it is at the first level."""
        noise = self.noise() if noise is None else self.checked_noise(noise)
        # With the deviation that normalized data have there.
        return ops.convert_to_tensor(noise * np.hypot(*self.table[0, 1:]), "float32")

    @checked
    def checked_noise(self, noise: Images) -> np.ndarray:
        """Returns noise as an array, or raises a ValueError when it has another shape."""
        noise = check_finite(noise, "noise")
        shape = (self.num_images, *self.model.sample_shape)
        if noise.shape != shape:
            raise ValueError(f"`noise` must have the shape {shape}. Received: shape {noise.shape}")
        return noise

    @checked
    def part(self, start: int, size: int, noise: np.ndarray | None) -> np.ndarray:
        """Samples some of the pictures alone, as they are among all of them.

        Args:
            start: The number of the first.
            size: How many; what is missing at the end is filled up, so that one program serves all
                parts.
            noise: Noise of all pictures, or `None` for that of the seed.

        Returns:
            Clean samples, float32, as many as there are.
        """
        way = self.at(start, size)
        noisy = way.first_noise(None if noise is None else noise[self._rows(start, size)])
        samples = way.end(noisy, way.sampler.init(noisy, way.seed_tensor))
        return ops.convert_to_numpy(samples)[: self.num_images - start]

    @checked
    def at(self, start: int, size: int) -> "Way":
        """Returns the way of some of the pictures alone, on which they are as among all of them.

        Args:
            start: The number of the first.
            size: How many; what is missing at the end is filled up with the last.
        """
        rows = self._rows(start, size)
        numbers = [
            (self.seed, int(row)) if np.ndim(self.seed) == 0 else (self.seed[row], 0)
            for row in rows
        ]
        guidance = None if self.guidance is None else self.guidance.at(rows)
        return dataclasses.replace(self, num_images=size, guidance=guidance, seed=numbers)

    def _rows(self, start: int, size: int) -> np.ndarray:
        return np.minimum(np.arange(start, start + size), self.num_images - 1)

    @checked
    def steps(
        self,
        noisy: Tensor,
        state: State,
        *,
        start: int = 0,
        sampler: Sampler | None = None,
        chunk: int | None = None,
        label: str = "generate",
    ) -> Iterator[tuple[Any, Any]]:
        """Takes the steps from `start` to the end: see `ImageGenerator.run`."""
        return self.model.run(
            noisy,
            state,
            self.table,
            start,
            self.num_steps,
            sampler=sampler or self.sampler,
            guidance=self.guidance,
            chunk=chunk,
            label=label,
        )

    @checked
    def end(self, noisy: Tensor, state: State, **options: Any) -> Tensor:
        """Takes these steps, and returns the clean samples at their end."""
        return last_of(self.steps(noisy, state, **options))


def _shapes(tensors: Any) -> Hashable:
    """What a compiled program of these depends on beside its formulas."""
    flat = keras.tree.flatten(tensors)
    return tuple(
        (tuple(tensor.shape), str(tensor.dtype)) if hasattr(tensor, "shape") else type(tensor)
        for tensor in flat
    )


def _painted(samples: Tensor) -> np.ndarray:
    """Samples as NumPy has them, or an error where they are no pictures."""
    array = ops.convert_to_numpy(samples)
    if not np.isfinite(array).all():
        raise FloatingPointError(
            "The network's output is not finite. Train again from a checkpoint, with a smaller "
            "learning rate; in place of float16, take bfloat16; give a smaller `noise`. "
            f"Received: NaN or infinity in samples of the shape {array.shape}"
        )
    return array


def last_of(steps: Iterator[tuple[Any, Any]]) -> Any:
    """Returns the samples after the last of some steps."""
    for samples, _ in steps:
        noisy = samples
    return noisy
