"""The diffusion model: a network that learns to denoise, and pictures made by it."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from imagegen import presets
from imagegen._checks import check_finite, check_integer, check_number
from imagegen._jit import compiled
from imagegen.predictions import NoisePrediction, PlainWeighting, Prediction, Weighting
from imagegen.samplers import (
    DDIM,
    MAX_STEPS,
    Sampler,
    advance,
    checked_seed,
    initial_noise,
    levels,
)
from imagegen.schedules import CosineSchedule, Schedule

import keras
import numpy as np
from keras import layers, ops
from tqdm import tqdm

# How often the progress bar moves in a run; each stop costs a dispatch of the compiled program.
_PROGRESS_CHUNKS = 10


@keras.saving.register_keras_serializable(package="imagegen")
class DiffusionModel(keras.Model):
    """Trains a network to denoise, and generates pictures from noise.

    Training mixes each picture with noise at a random time, and the network learns what was
    mixed in:

        noisy = signal_rate * picture + noise_rate * noise

    Pictures are normalized to mean 0 and variance 1 first, as the noise is: call
    `model.normalizer.adapt(images)` once before `fit`. `fit` takes the pictures alone, with
    values in `value_range`, and reports the loss. The loss is given to the constructor, because it
    is part of what the network learns; `compile` takes the optimizer.

    Beside the network that learns, the model holds `averaged`: the same network, with weights
    that are an exponential moving average of the learning ones. Everything but training uses it.

    Args:
        network: A functional Keras model of `[noisy, noise_rates]`, such as `imagegen.UNet`.
            The first input's shape is that of a sample. The second is `(1, ..., 1)`, of the same
            rank. The output has the shape of a sample.
        schedule: The rates of noise and signal at every time.
        prediction: What the network's output means.
        loss: The name of a Keras loss, or a loss, between the output and its target. The book
            takes the mean absolute error; the mean squared error is the one of the theory.
        weighting: How much the loss at each noise rate counts.
        averaging: How much of the averaged weights survives a training step, in `[0, 1]`. It
            rises to this value over the first steps, so that the initial weights are soon
            forgotten.
        value_range: The lowest and the highest value in a picture. Estimates of clean pictures
            are clipped to it while sampling, and pictures in `(0, 255)` are generated as uint8.
            `None` is for samples that aren't pictures: nothing is clipped, and samples are
            float32.

    Raises:
        ValueError: If the network's inputs don't fit together or an argument is out of range.

    Example:
        ```python
        import numpy as np
        import imagegen

        images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
        model = imagegen.DiffusionModel(imagegen.UNet(8, [8, 16], 1))
        model.normalizer.adapt(images)
        model.compile(optimizer="adamw")
        model.fit(images, epochs=1, verbose=0)
        assert model.generate(2, num_steps=3, seed=0).shape == (2, 8, 8, 3)
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, algorithm 1; continuous time as in Kingma et al., [Variational Diffusion
        Models](https://arxiv.org/abs/2107.00630), 2021.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        schedule: Schedule = CosineSchedule(),
        prediction: Prediction = NoisePrediction(),
        loss: str | keras.losses.Loss = "mean_absolute_error",
        weighting: Weighting = PlainWeighting(),
        averaging: float = 0.999,
        value_range: tuple[float, float] | None = (0, 255),
        **kwargs: Any,
    ):
        # The mathematics around the network stays in float32, whatever the policy: half precision
        # can't hold the levels of a picture. The network's own layers follow the policy.
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.sample_shape = _sample_shape(network)
        self.network = network
        self._schedule = schedule
        self.prediction = prediction
        self.loss_function = _elementwise(loss)
        self.weighting = weighting
        self.averaging = check_number(averaging, "averaging", minimum=0, maximum=1)
        self.value_range = _checked_range(value_range)
        self.seed_generator = keras.random.SeedGenerator()
        # float32 whatever the policy: uint8 pictures have more levels than bfloat16 can tell apart.
        self.normalizer = layers.Normalization(dtype="float32")
        self.normalizer.build((None, *self.sample_shape))
        # A second network and not the optimizer's `use_ema`, with which a second `fit` fails on
        # JAX: live and averaged weights must never share a buffer.
        self.averaged = network.__class__.from_config(network.get_config())
        self.averaged.trainable = False
        self.averaged.set_weights(network.get_weights())
        self.steps_averaged = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="steps_averaged"
        )
        self.built = True
        self._programs: dict[tuple[Any, ...], Any] = {}

    @property
    def schedule(self) -> Schedule:
        """The rates of noise and signal at every time. A trained model can be given another."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: Schedule) -> None:
        self._schedule = schedule
        # They hold the schedule that they were traced with.
        self.train_function = self.test_function = None

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "network": serialize(self.network),
            "schedule": serialize(self.schedule),
            "prediction": serialize(self.prediction),
            "weighting": serialize(self.weighting),
            "loss": keras.losses.serialize(self.loss_function),
            "averaging": self.averaging,
            "value_range": self.value_range,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        config = dict(config)
        for key in {"network", "schedule", "prediction", "weighting"} & config.keys():
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        config["loss"] = keras.losses.deserialize(config["loss"], custom_objects)
        return cls(**config)

    @classmethod
    def from_preset(cls, name: str | Path) -> Self:
        """Returns a trained model, ready to generate or to be trained on.

        Args:
            name: A name out of `imagegen.list_presets()`, the path of a preset file, or its address
                followed by `#sha256=` and its checksum.

        Returns:
            The model.

        Raises:
            ValueError: If the name is unknown, or the file is damaged or holds another model.
            OSError: If the file has to be downloaded and can't be.

        Example:
            ```python
            import imagegen

            model = imagegen.DiffusionModel.from_preset("flowers-64")
            images = model.generate(2, num_steps=3, seed=0)
            ```
        """
        return presets.load(name, cls)

    def save_preset(self, path: str | Path) -> str:
        """Saves the averaged model in half precision, small enough to share.

        The learning network is stored with the averaged weights too, so that training can go on
        from there. The model itself stays as it is.

        Args:
            path: Where to write; the name ends in `.keras`.

        Returns:
            The file's sha256.
        """
        learning = self.network.get_weights()
        self.network.set_weights(self.averaged.get_weights())
        try:
            return presets.save_preset(self, path)
        finally:
            self.network.set_weights(learning)

    def call(self, images: Any, training: bool = False) -> tuple[Any, Any, Any, Any]:
        """Adds noise to pictures and lets the network find it.

        Args:
            images: Pictures `(batch, height, width, channels)` with values in `value_range`.
            training: Whether to use the learning network, in training mode.

        Returns:
            The estimated clean samples, the network's output and its target, all normalized and
            float32, of the shape of `images`, and the weights of the loss, one a sample.
        """
        clean = self._normalized(images)
        batch_size = ops.shape(clean)[0]
        noise = keras.random.normal(ops.shape(clean), seed=self.seed_generator)
        rates_shape = (batch_size,) + (1,) * len(self.sample_shape)
        uniform = keras.random.uniform(rates_shape, seed=self.seed_generator)
        noise_rates, signal_rates = self.schedule(self.schedule.training_times(uniform))
        noisy = signal_rates * clean + noise_rates * noise
        network = self.network if training else self.averaged
        output = _output(network, noisy, noise_rates, signal_rates, training=training)
        estimate = self.prediction.denoised(noisy, output, noise_rates, signal_rates)
        target = self.prediction.target(clean, noise, noise_rates, signal_rates)
        weights = self.weighting(self.prediction, noise_rates, signal_rates)
        return estimate, output, target, weights

    def make_train_function(self, force: bool = False) -> Any:
        # Where `fit` begins: inside the compiled step nothing can be looked at.
        self._check_adapted()
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        self._check_adapted()
        return super().make_test_function(force)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the loss between the network's output and its target, and moves the averages."""
        if y is not None or sample_weight is not None:
            raise ValueError(
                "`fit` and `evaluate` take the pictures alone. Received: targets or sample weights"
            )
        _, output, target, weights = y_pred
        if training:
            self._move_averages()
        errors = self.loss_function(target, output)
        weights = ops.reshape(weights, (-1,) + (1,) * (ops.ndim(errors) - 1))
        return sum(self.losses, start=ops.mean(weights * errors))

    def denoise(self, noisy: Any, time: Any) -> Any:
        """Returns the clean samples that the averaged network sees in noisy ones.

        Args:
            noisy: Normalized noisy samples `(batch, ...)`, float32.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample, `(batch,)`.

        Returns:
            Normalized clean samples, float32 of the shape of `noisy`.
        """
        noisy = ops.convert_to_tensor(noisy, "float32")
        times = ops.reshape(ops.convert_to_tensor(time, "float32"), (-1,))
        times = ops.broadcast_to(times, (ops.shape(noisy)[0],))
        times = ops.reshape(times, (-1,) + (1,) * len(self.sample_shape))
        noise_rates, signal_rates = self.schedule(times)
        output = _output(self.averaged, noisy, noise_rates, signal_rates, training=False)
        return self.prediction.denoised(noisy, output, noise_rates, signal_rates)

    def generate(
        self,
        num_images: int,
        *,
        num_steps: int = 20,
        sampler: Sampler = DDIM(),
        seed: int | None = None,
        noise: Any = None,
    ) -> np.ndarray:
        """Generates pictures from noise.

        The first call with a number of pictures and a sampler compiles one program; it serves
        every number of steps and survives further training. The same seed gives the same
        pictures, and picture i is the same however many are asked for.

        Args:
            num_images: How many pictures, at least 1.
            num_steps: Steps from noise to picture, from 1 to 1000. The work grows with it.
            sampler: How a step is taken.
            seed: A non-negative integer. `None` draws one from Keras's global random state.
            noise: Standard normal noise to start from, `(num_images, ...)`, in the place of noise
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
        chunk = math.ceil(num_steps / _PROGRESS_CHUNKS)
        for noisy, _ in self._sample(num_images, num_steps, sampler, seed, noise, chunk):
            final = noisy
        return self.to_images(final)

    def generate_steps(
        self,
        num_images: int,
        *,
        num_steps: int = 20,
        sampler: Sampler = DDIM(),
        seed: int | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generates pictures as `generate` does, and yields every step of the way.

        Args:
            num_images: How many pictures, at least 1.
            num_steps: Steps from noise to picture, from 1 to 1000.
            sampler: How a step is taken.
            seed: A non-negative integer. `None` draws one from Keras's global random state.

        Yields:
            After each step, the noisy pictures and the clean ones that the network saw in the
            noisier ones before. The last noisy pictures are what `generate` returns.

        Raises:
            ValueError: If an argument is out of range.
            FloatingPointError: If the network gives NaN or infinity.
        """
        for noisy, clean in self._sample(num_images, num_steps, sampler, seed, None, 1):
            yield self.to_images(noisy), self.to_images(clean)

    def _sample(
        self,
        num_images: int,
        num_steps: int,
        sampler: Sampler,
        seed: int | None,
        noise: Any,
        chunk: int,
    ) -> Iterator[tuple[Any, Any]]:
        shape = (check_integer(num_images, "num_images", minimum=1), *self.sample_shape)
        seed = checked_seed(seed)
        table = levels(self.schedule, num_steps)
        if noise is None:
            noise = initial_noise(num_images, self.sample_shape, seed)
        noise = check_finite(noise, "noise")
        if noise.shape != shape:
            raise ValueError(f"`noise` must have the shape {shape}. Received: shape {noise.shape}")
        # The deviation that normalized data have at the first level.
        noisy = ops.convert_to_tensor(noise * np.hypot(*table[0, 1:]), "float32")
        state = sampler.init(noisy, ops.convert_to_tensor(seed, "int32"))
        yield from self.run(noisy, state, table, 0, num_steps, sampler=sampler, chunk=chunk)

    def run(
        self,
        noisy: Any,
        state: Any,
        table: np.ndarray,
        start: int,
        stop: int,
        *,
        sampler: Sampler,
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
            chunk: How many steps there are between two yields; about a tenth of all by default.
            label: What the progress bar says.

        Yields:
            Samples at the level that is reached, and the clean samples that the last step believed
            in, both normalized.
        """
        self._check_adapted()
        chunk = chunk or math.ceil((stop - start) / _PROGRESS_CHUNKS) or 1
        run, table = self._program(sampler), ops.convert_to_tensor(table)
        bounds = [ops.convert_to_tensor(bound, "float32") for bound in self._bounds()]
        with tqdm(total=stop - start, desc=label, unit="step", delay=1, leave=False) as bar:
            for first in range(start, stop, chunk):
                last = min(first + chunk, stop)
                steps = (ops.convert_to_tensor(step, "int32") for step in (first, last))
                noisy, clean, state = run(noisy, state, table, *steps, *bounds)
                yield noisy, clean
                bar.update(last - first)

    def _program(self, sampler: Sampler) -> Any:
        def run(
            noisy: Any, state: Any, table: Any, start: Any, stop: Any, low: Any, high: Any
        ) -> tuple[Any, Any, Any]:
            def denoise(noisy: Any, time: Any) -> Any:
                return ops.clip(self.denoise(noisy, time), low, high)

            return advance(sampler, denoise, noisy, state, table, start, stop)

        key = (sampler, self.schedule, self.prediction)
        if key not in self._programs:
            self._programs[key] = compiled(run, self.averaged.variables)
        return self._programs[key]

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest normalized value of a channel."""
        mean, deviation = self._statistics()
        low, high = self.value_range or (-np.inf, np.inf)
        return (low - mean) / deviation, (high - mean) / deviation

    def _normalized(self, images: Any) -> Any:
        # Not `self.normalizer(images)`: Keras's layer keeps copies of its variables, which a
        # compiled training step would hold as constants, blind to another `adapt`.
        mean, variance = self.normalizer.adapt_mean, self.normalizer.adapt_variance
        images = ops.cast(images, "float32")
        return (images - mean) / ops.maximum(ops.sqrt(variance), keras.config.epsilon())

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        mean = ops.convert_to_numpy(self.normalizer.adapt_mean)
        variance = ops.convert_to_numpy(self.normalizer.adapt_variance)
        return mean, np.maximum(np.sqrt(variance), keras.config.epsilon())

    def to_samples(self, images: Any) -> np.ndarray:
        """Normalizes pictures: what the network is trained on, and `run` takes.

        Args:
            images: Pictures `(batch, height, width, channels)` with values in `value_range`.

        Returns:
            float32 array of the same shape.

        Raises:
            ValueError: If there is NaN or infinity in a picture, or the normalizer is not adapted.
        """
        self._check_adapted()
        check_finite(images, "images")
        return ops.convert_to_numpy(self._normalized(images))

    def to_images(self, samples: Any) -> np.ndarray:
        """Turns normalized samples back into pictures.

        Args:
            samples: Normalized samples `(batch, height, width, channels)`.

        Returns:
            uint8 pictures of the same shape where `value_range` is `(0, 255)`, and float32
            otherwise. Values out of the range are clipped.

        Raises:
            FloatingPointError: If there is NaN or infinity among the samples.
        """
        mean, deviation = self._statistics()
        pictures = mean + ops.convert_to_numpy(samples) * deviation
        if not np.isfinite(pictures).all():
            raise FloatingPointError(
                "The network's output is not finite: NaN or infinity reached the pictures. "
                "Train again from a checkpoint, with a smaller learning rate."
            )
        if self.value_range is None:
            return pictures
        low, high = self.value_range
        pictures = np.clip(pictures, low, high)
        return np.round(pictures).astype("uint8") if self.value_range == (0, 255) else pictures

    def _move_averages(self) -> None:
        # (1 + n) / (10 + n) starts near 0 and overtakes `averaging` late: an average over about
        # the last tenth of a short training, and over a fixed window of a long one.
        steps = self.steps_averaged
        kept = ops.minimum(self.averaging, (1 + steps) / (10 + steps))
        for averaged, live in zip(self.averaged.weights, self.network.weights, strict=True):
            live = ops.stop_gradient(live)
            averaged.assign(kept * averaged + (1 - kept) * ops.cast(live, averaged.dtype))
        steps.assign(steps + 1)

    def _check_adapted(self) -> None:
        if self.value_range is None:
            return
        mean, deviation = self._statistics()
        if not mean.any() and (deviation == 1).all():
            raise ValueError(
                "`normalizer` must be adapted to the pictures first: call "
                "`model.normalizer.adapt(images)`. Received: mean 0, variance 1"
            )
        if self.value_range == (0, 255) and (mean + 3 * deviation).max() <= 2:
            raise ValueError(
                "`value_range` must be the range of the pictures' values. Received: "
                f"value_range=(0, 255), and pictures with values around {mean.mean():.2g}. "
                "Pass value_range=(0, 1) for pictures from 0 to 1"
            )


def _output(
    network: keras.Model, noisy: Any, noise_rates: Any, signal_rates: Any, *, training: bool
) -> Any:
    # To unit variance, which changes nothing where a schedule preserves it. A network so sees the
    # same of every schedule: how noisy a sample is, from 0 to 1.
    scale = ops.rsqrt(noise_rates**2 + signal_rates**2)
    return ops.cast(network([noisy * scale, noise_rates * scale], training=training), "float32")


def _elementwise(loss: str | keras.losses.Loss) -> Any:
    """A loss that keeps the batch axis, so that its samples can be weighed."""
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        config = keras.losses.serialize(loss)
        config["config"]["reduction"] = None
        loss = keras.losses.deserialize(config)
    return loss


def _checked_range(value_range: Sequence[float] | None) -> tuple[float, float] | None:
    if value_range is None:
        return None
    low, high = (check_number(bound, "value_range") for bound in value_range)
    if low >= high:
        raise ValueError(
            f"`value_range` must be the lowest value and a higher one. Received: {value_range!r}"
        )
    return low, high


def _sample_shape(network: keras.Model) -> tuple[int, ...]:
    inputs = getattr(network, "inputs", None) or []
    shapes = [tuple(tensor.shape[1:]) for tensor in inputs]
    if len(shapes) != 2 or shapes[1] != (1,) * len(shapes[0]):
        raise ValueError(
            "`network` must be a functional Keras model of [noisy, noise_rates], in which the "
            "noise rates have the rank of the noisy samples and the size 1 everywhere. "
            f"Received: {network!r} with input shapes {shapes}"
        )
    return shapes[0]
