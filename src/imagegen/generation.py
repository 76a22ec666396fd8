"""From a denoiser to pictures: prompts, guidance and the compiled loop of steps."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number
from imagegen._jit import compiled
from imagegen.conditioning import Guidance, guide, rescaled
from imagegen.predictions import Prediction
from imagegen.samplers import (
    DDIM,
    MAX_STEPS,
    Sampler,
    advance,
    checked_seed,
    initial_noise,
    levels,
)
from imagegen.schedules import Schedule

import numpy as np
from keras import ops
from tqdm import tqdm

# How often the progress bar moves in a run; each stop costs a dispatch of the compiled program.
_PROGRESS_CHUNKS = 10


class ImageGenerator:
    """Generates pictures with whatever can denoise: what every generating model derives from.

    The loop, prompts and guidance are written here once. A subclass says what it denoises, and how:

    - `sample_shape`, the shape of what sampling works on, and `image_shape`, that of a picture;
    - `schedule`, the rates of noise and signal at every time, and `prediction`, what the network's
      output means;
    - `denoise(noisy, time, conditions)`, the clean samples that it sees in noisy ones;
    - `encode(prompts)`, what prompts become before the network sees them;
    - `to_samples(images)` and `to_images(samples)`, the way in and the way out;
    - `_variables()`, every Keras variable that `denoise` reads.
    """

    sample_shape: tuple[int, ...]
    schedule: Schedule
    prediction: Prediction
    guiding_scale: float = 1.0
    # Whether functions that edit cut pictures of other sizes to the model's, or refuse them.
    fits_pictures: bool = False

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a picture: that of a sample, unless samples are latents."""
        return self.sample_shape

    def denoise(self, noisy: Any, time: Any, conditions: Sequence[Any] | None = None) -> Any:
        """Returns the clean samples that the model sees in noisy ones."""
        raise NotImplementedError

    def encode(self, prompts: Any) -> list[np.ndarray]:
        """Returns what prompts become before the network sees them."""
        raise NotImplementedError

    def to_samples(self, images: Any) -> np.ndarray:
        """Turns pictures into samples."""
        raise NotImplementedError

    def to_images(self, samples: Any) -> np.ndarray:
        """Turns samples into pictures."""
        raise NotImplementedError

    def _condition_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what `encode` returns, for one prompt."""
        raise NotImplementedError

    def _variables(self) -> list[Any]:
        raise NotImplementedError

    def _check_ready(self) -> None:
        """Raises a ValueError when the model can't generate yet."""

    def _bounds(self) -> tuple[Any, Any]:
        """The lowest and the highest value of a clean sample."""
        return -np.inf, np.inf

    def _repelled(self, clean: Any, noisy: Any, time: Any, scale: Any) -> Any:
        """Moves the estimate away from a poorer network's."""
        return clean

    def guidance(
        self,
        prompts: Any,
        negative_prompts: Any = None,
        guidance_scale: float | None = 3.0,
        guidance_rescale: float = 0.0,
        *,
        num_images: int | None = None,
    ) -> Guidance:
        """Returns what `run` needs to paint what prompts say.

        Args:
            prompts: A prompt or several, one a picture, or what `encode` returned.
            negative_prompts: What the pictures shall not show: one prompt for all, one a picture,
                or what `encode` returned. `None` is the empty prompt.
            guidance_scale: How far sampling moves away from the negative prompts, at least 0. 1 is
                the model as it learned. `None` is the same without a look at negative prompts, in
                half of the time.
            guidance_rescale: How much of the contrast that guidance adds is taken back, from 0 to
                1.
            num_images: How many pictures there are, when one prompt shall serve all of them.

        Raises:
            ValueError: If the model has no encoder, it doesn't know a prompt, or the numbers of
                prompts don't fit.
        """
        rescale = check_number(guidance_rescale, "guidance_rescale", minimum=0, maximum=1)
        if guidance_scale is None:
            if negative_prompts is not None:
                raise ValueError(
                    "`guidance_scale` must be a number where there are negative prompts. "
                    "Received: guidance_scale=None"
                )
            return Guidance(self._checked_conditions(prompts, "prompts", num_images))
        scale = check_number(guidance_scale, "guidance_scale", minimum=0)
        positive = self._checked_conditions(prompts, "prompts", num_images)
        negative_prompts = "" if negative_prompts is None else negative_prompts
        negative = self._checked_conditions(negative_prompts, "negative_prompts", len(positive[0]))
        scales = (ops.convert_to_tensor(number, "float32") for number in (scale, rescale))
        return Guidance(positive, negative, *scales)

    def _checked_conditions(self, prompts: Any, name: str, count: int | None) -> tuple[Any, ...]:
        """Encoded prompts as tensors; one prompt is repeated to `count`."""
        encoded = isinstance(prompts, list | tuple) and prompts and np.ndim(prompts[0]) > 0
        arrays = prompts if encoded else self.encode(prompts)
        shapes = self._condition_shapes()
        arrays = [check_finite(array, name) for array in arrays]
        if [array.shape[1:] for array in arrays] != shapes or len({*map(len, arrays)}) != 1:
            raise ValueError(
                f"`{name}` must be prompts, or arrays (num_prompts, ...) with the rest of the "
                f"shape {shapes}. Received: shapes {[array.shape for array in arrays]}"
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

    def generate(
        self,
        prompts: Any,
        *,
        negative_prompts: Any = None,
        guidance_scale: float | None = 3.0,
        guidance_rescale: float = 0.0,
        num_steps: int = 20,
        sampler: Sampler = DDIM(),
        seed: int | Sequence[int] | None = None,
        noise: Any = None,
    ) -> np.ndarray:
        """Generates pictures from noise.

        The first call with a number of pictures and a sampler compiles one program; it serves
        every number of steps, every prompt and every guidance scale, and survives further
        training. The same seed gives the same pictures, and picture i is the same however many are
        asked for.

        Args:
            prompts: How many pictures, at least 1. For a model with an encoder also a prompt, or
                several, one a picture, or what `encode` returned. Given a number, such a model
                paints what it likes.
            negative_prompts: What the pictures shall not show: one prompt for all, one a picture,
                or what `encode` returned.
            guidance_scale: How far sampling moves away from the negative prompts, or without any
                from the empty one, at least 0. At 1 the model paints what it learned; above, it
                follows the prompts more firmly, and its pictures are less varied. It is not used
                without prompts. `None` paints as 1 does, in half of the time: for a model that was
                trained to need no guidance.
            guidance_rescale: How much of the contrast that guidance adds is taken back, from 0 to
                1. It keeps strongly guided pictures from burning out.
            num_steps: Steps from noise to picture, from 1 to 1000. The work grows with it.
            sampler: How a step is taken.
            seed: A non-negative integer, or one for each picture, which then is the picture that
                its seed gives alone. `None` draws one from Keras's global random state.
            noise: Standard normal noise to start from, one sample a picture, in the place of noise
                drawn from the seed: a way through noise, or what `ddim_inversion` returned.

        Returns:
            uint8 pictures `(num_images, height, width, channels)` where `value_range` is
            `(0, 255)`, float32 samples otherwise.

        Raises:
            ValueError: If an argument is out of range.
            FloatingPointError: If the network gives NaN or infinity.

        Example:
            ```python
            import imagegen

            model = imagegen.DiffusionModel.from_preset("flowers-64")
            images = model.generate(4, num_steps=5, seed=1)
            ```
        """
        check_integer(num_steps, "num_steps", minimum=1, maximum=MAX_STEPS)
        count, guidance = self._subjects(
            prompts, negative_prompts, guidance_scale, guidance_rescale
        )
        chunk = math.ceil(num_steps / _PROGRESS_CHUNKS)
        for noisy, _ in self._sample(count, guidance, num_steps, sampler, seed, noise, chunk):
            final = noisy
        return self.to_images(final)

    def generate_steps(
        self,
        prompts: Any,
        *,
        negative_prompts: Any = None,
        guidance_scale: float | None = 3.0,
        guidance_rescale: float = 0.0,
        num_steps: int = 20,
        sampler: Sampler = DDIM(),
        seed: int | Sequence[int] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generates pictures as `generate` does, and yields every step of the way.

        Args:
            prompts: How many pictures, at least 1, or prompts as `generate` takes them.
            negative_prompts: What the pictures shall not show, as `generate` takes it.
            guidance_scale: How firmly prompts are followed, as for `generate`.
            guidance_rescale: How much added contrast is taken back, as for `generate`.
            num_steps: Steps from noise to picture, from 1 to 1000.
            sampler: How a step is taken.
            seed: A non-negative integer, or one for each picture, as for `generate`.

        Yields:
            After each step, the noisy pictures and the clean ones that the network saw in the
            noisier ones before. The last noisy pictures are what `generate` returns.

        Raises:
            ValueError: If an argument is out of range.
            FloatingPointError: If the network gives NaN or infinity.
        """
        count, guidance = self._subjects(
            prompts, negative_prompts, guidance_scale, guidance_rescale
        )
        for noisy, clean in self._sample(count, guidance, num_steps, sampler, seed, None, 1):
            yield self.to_images(noisy), self.to_images(clean)

    def _subjects(
        self, prompts: Any, negative_prompts: Any, scale: float | None, rescale: float
    ) -> tuple[int, Guidance | None]:
        """How many pictures there shall be, and of what."""
        count = None
        if isinstance(prompts, int | np.integer):
            count = check_integer(prompts, "prompts", minimum=1)
            if negative_prompts is None:
                return count, None
            prompts = ""
        guidance = self.guidance(prompts, negative_prompts, scale, rescale, num_images=count)
        return len(guidance.positive[0]), guidance

    def _sample(
        self,
        num_images: int,
        guidance: Guidance | None,
        num_steps: int,
        sampler: Sampler,
        seed: int | Sequence[int] | None,
        noise: Any,
        chunk: int,
    ) -> Iterator[tuple[Any, Any]]:
        shape = (num_images, *self.sample_shape)
        seed = _checked_seeds(seed, num_images)
        table = levels(self.schedule, num_steps)
        if noise is None:
            noise = initial_noise(num_images, self.sample_shape, seed)
        noise = check_finite(noise, "noise")
        if noise.shape != shape:
            raise ValueError(f"`noise` must have the shape {shape}. Received: shape {noise.shape}")
        # The deviation that normalized data have at the first level.
        noisy = ops.convert_to_tensor(noise * np.hypot(*table[0, 1:]), "float32")
        state = sampler.init(noisy, ops.convert_to_tensor(seed, "int32"))
        yield from self.run(
            noisy, state, table, 0, num_steps, sampler=sampler, guidance=guidance, chunk=chunk
        )

    def run(
        self,
        noisy: Any,
        state: Any,
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
            guidance: What the pictures shall show, as the method `guidance` returns it. `None`
                leaves it to the model.
            chunk: How many steps there are between two yields; about a tenth of all by default.
            label: What the progress bar says.

        Yields:
            Samples at the level that is reached, and the clean samples that the last step believed
            in, both normalized.
        """
        self._check_ready()
        chunk = chunk or math.ceil((stop - start) / _PROGRESS_CHUNKS) or 1
        run, table = self._program(sampler), ops.convert_to_tensor(table)
        fixed = [*self._bounds(), check_number(self.guiding_scale, "guiding_scale", minimum=0)]
        fixed = [ops.convert_to_tensor(number, "float32") for number in fixed]
        with tqdm(total=stop - start, desc=label, unit="step", delay=1, leave=False) as bar:
            for first in range(start, stop, chunk):
                last = min(first + chunk, stop)
                steps = (ops.convert_to_tensor(step, "int32") for step in (first, last))
                noisy, clean, state = run(noisy, state, table, *steps, *fixed, guidance)
                yield noisy, clean
                bar.update(last - first)

    def _program(self, sampler: Sampler) -> Any:
        def run(
            noisy: Any,
            state: Any,
            table: Any,
            start: Any,
            stop: Any,
            low: Any,
            high: Any,
            guiding_scale: Any,
            guidance: Guidance | None,
        ) -> tuple[Any, Any, Any]:
            def denoise(noisy: Any, time: Any) -> Any:
                return ops.clip(self._guided(noisy, time, guidance, guiding_scale), low, high)

            return advance(sampler, denoise, noisy, state, table, start, stop)

        # What was replaced makes another program: its formulas are compiled in.
        key = (sampler, self.schedule, self.prediction)
        if key not in self._programs:
            self._programs[key] = compiled(run, self._variables())
        return self._programs[key]

    @functools.cached_property
    def _programs(self) -> dict[tuple[Any, ...], Any]:
        return {}

    def _guided(self, noisy: Any, time: Any, guidance: Guidance | None, guiding_scale: Any) -> Any:
        if guidance is None:
            return self._repelled(self.denoise(noisy, time), noisy, time, guiding_scale)
        if guidance.negative is None:
            return self.denoise(noisy, time, guidance.positive)
        pairs = zip(guidance.positive, guidance.negative, strict=True)
        conditions = [ops.concatenate(pair) for pair in pairs]
        both = self.denoise(ops.concatenate([noisy, noisy]), time, conditions)
        positive, negative = ops.split(both, 2)
        return rescaled(guide(positive, negative, guidance.scale), positive, guidance.rescale)


def _checked_seeds(seed: int | Sequence[int] | None, count: int) -> int | list[int]:
    """Returns the seed of all pictures, or a list of one for each."""
    if seed is None or np.ndim(seed) == 0:
        return checked_seed(seed)  # type: ignore[arg-type]
    seeds = [check_integer(one, "seed", minimum=0, maximum=2**31 - 1) for one in seed]  # type: ignore[union-attr]
    if len(seeds) != count:
        raise ValueError(
            f"`seed` must be one for all {count} pictures or one for each. Received: {len(seeds)}"
        )
    return seeds
