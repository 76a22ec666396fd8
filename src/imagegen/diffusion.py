"""The diffusion model: a network that learns to denoise, and pictures made by it."""

import functools
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from imagegen import presets
from imagegen._batches import in_batches
from imagegen._checks import check_finite, check_number
from imagegen._contracts import checked
from imagegen._examples import are_texts, as_images, as_tokens, value_range_of
from imagegen._jit import compiled
from imagegen.averaging import averaged_weights, freeze, frozen_copy, move_averages
from imagegen.conditioning import Conditions, PromptEncoder
from imagegen.exporting import Exportable
from imagegen.generation import ImageGenerator
from imagegen.guidance import Autoguidance
from imagegen.predictions import NoisePrediction, PlainWeighting, Prediction, Weighting
from imagegen.sampling import Prompts, SamplingOptions, checked_sampling
from imagegen.schedules import CosineSchedule, Schedule
from imagegen.training import CarefulTraining
from imagegen.typing import Array, Batch, Config, Images, Tensor

import keras
import numpy as np
from keras import layers, ops

# An encoder is compiled once, for so many prompts at a time.
_PROMPTS_AT_ONCE = 16


@keras.saving.register_keras_serializable(package="imagegen")
class DiffusionModel(ImageGenerator, Exportable, CarefulTraining):
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

    With an `encoder`, pictures come with prompts: `fit((images, encoder.tokens(prompts)))`.

    Args:
        network: A functional Keras model of `[noisy, noise_rates]`, such as `imagegen.UNet`.
            The first input's shape is that of a sample. The second is `(1, ..., 1)`, of the same
            rank. The output has the shape of a sample. With an `encoder`, what that returns is
            the third input, and more when it returns a list.
        encoder: What turns prompts into conditions, such as `imagegen.LabelEncoder`; it learns
            together with the network. `None` is for a model that takes no prompts.
        prompt_dropout: The share of the training pictures, from 0 to 1, whose prompt is replaced
            by the empty one. So the model learns to do without, which guidance needs.
        guiding_network: A poorer network of `[noisy, noise_rates]`, trained on the same pictures
            for the same prediction: smaller, or for a shorter time. It doesn't learn here.
            Without prompts, `generate` and the functions that edit move away from what it believes
            in, and so towards fewer errors. With prompts it rests, as it knows none: guidance has
            the empty prompt to move away from.
        autoguidance_scale: How far they move away from it, at least 0. At 1 they don't; far above,
            pictures lose variety. The attribute of this name can be set at any time.
        schedule: The rates of noise and signal at every time. The attribute can be set, as those of
            `prediction` and `weighting` can: what follows uses the new one.
        prediction: What the network's output means.
        loss: The name of a Keras loss, or a loss, between the output and its target. *Deep
            Learning with Python* takes the mean absolute error; the mean squared error is the one
            of the theory.
        weighting: How much the loss at each noise rate counts.
        averaging: How much of the averaged weights survives a training step, in `[0, 1]`. It
            rises to this value over the first steps, so that the initial weights are soon
            forgotten.
        value_range: The lowest and the highest value in a picture. Estimates of clean pictures
            are clipped to it while sampling, and pictures in `(0, 255)` are generated as uint8.
            `None` is for samples that aren't pictures: nothing is clipped, and samples are
            float32.
        sampling: The sampling options that are this model's own, such as the sampler and the number
            of steps that measured best: `imagegen.SamplingOptions`. They are saved with it.

    Raises:
        ValueError: If the network's inputs don't fit together or an argument is out of range.

    Example:
        ```python
        import numpy as np
        import imagegen

        images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
        model = imagegen.DiffusionModel(imagegen.UNet(8, [8, 16], block_depth=1))
        model.normalizer.adapt(images)
        model.compile(optimizer="adamw")
        model.fit(images, epochs=1, verbose=0)
        assert model.generate(2, num_steps=3, seed=0).shape == (2, 8, 8, 3)
        ```

    Reference:
        Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
        2020, algorithm 1; continuous time as in Kingma et al., [Variational Diffusion
        Models](https://arxiv.org/abs/2107.00630), 2021. The guiding network: Karras et al.,
        [Guiding a Diffusion Model with a Bad Version of
        Itself](https://arxiv.org/abs/2406.02507), 2024.
    """

    # How many inputs of the network are noise rates.
    _num_rates = 1

    @checked
    def __init__(
        self,
        network: keras.Model,
        *,
        encoder: PromptEncoder | None = None,
        prompt_dropout: float = 0.1,
        guiding_network: keras.Model | None = None,
        autoguidance_scale: float = 1.5,
        schedule: Schedule = CosineSchedule(),
        prediction: Prediction = NoisePrediction(),
        loss: str | keras.losses.Loss | Callable[..., Any] = "mean_absolute_error",
        weighting: Weighting = PlainWeighting(),
        averaging: float = 0.999,
        value_range: tuple[float, float] | None = (0, 255),
        sampling: SamplingOptions | None = None,
        **kwargs: Any,
    ):
        # The mathematics around the network stays in float32, whatever the policy: half precision
        # can't hold the levels of a picture. The network's own layers follow the policy.
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.sample_shape = _sample_shape(network, encoder, self._num_rates)
        self.network = network
        self.encoder: Any = encoder
        self.prompt_dropout: float = check_number(
            prompt_dropout, "prompt_dropout", minimum=0, maximum=1
        )
        self.guiding_network = _checked_guide(guiding_network, self.sample_shape)
        self.autoguidance_scale: float = check_number(
            autoguidance_scale, "autoguidance_scale", minimum=0
        )
        self._schedule, self._prediction, self._weighting = schedule, prediction, weighting
        self.loss_function = _elementwise(loss)
        self.averaging: float = check_number(averaging, "averaging", minimum=0, maximum=1)
        self.value_range = _checked_range(value_range)
        self._sampling = checked_sampling(sampling or {})
        self.seed_generator = keras.random.SeedGenerator()
        # float32 whatever the policy: uint8 pictures have more levels than bfloat16 can tell apart.
        self.normalizer = layers.Normalization(dtype="float32")
        self.normalizer.build((None, *self.sample_shape))
        # A second network and not the optimizer's `use_ema`, with which a second `fit` fails on
        # JAX: live and averaged weights must never share a buffer.
        self.averaged = frozen_copy(network)
        self.averaged_encoder: Any = None if encoder is None else frozen_copy(encoder)
        self.steps_averaged = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="steps_averaged"
        )
        self.built = True

    @property
    def schedule(self) -> Schedule:
        """The rates of noise and signal at every time. A trained model can be given another."""
        return self._schedule

    @schedule.setter
    @checked
    def schedule(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._forget_steps()

    @property
    def prediction(self) -> Prediction:
        """What the network's output means."""
        return self._prediction

    @prediction.setter
    @checked
    def prediction(self, prediction: Prediction) -> None:
        self._prediction = prediction
        self._forget_steps()

    @property
    def weighting(self) -> Weighting:
        """How much the loss at each noise rate counts."""
        return self._weighting

    @weighting.setter
    @checked
    def weighting(self, weighting: Weighting) -> None:
        self._weighting = weighting
        self._forget_steps()

    @property
    def sampling(self) -> SamplingOptions:
        """The sampling options that are this model's own."""
        return self._sampling

    @sampling.setter
    @checked
    def sampling(self, sampling: SamplingOptions) -> None:
        self._sampling = checked_sampling(sampling)

    def _forget_steps(self) -> None:
        """The compiled steps of training hold the formulas that they were traced with."""
        self.train_function = self.test_function = None

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "network": serialize(self.network),
            "encoder": serialize(self.encoder),
            "prompt_dropout": self.prompt_dropout,
            "guiding_network": serialize(self.guiding_network),
            "autoguidance_scale": self.autoguidance_scale,
            "schedule": serialize(self.schedule),
            "prediction": serialize(self.prediction),
            "weighting": serialize(self.weighting),
            "loss": keras.losses.serialize(self.loss_function),
            "averaging": self.averaging,
            "value_range": self.value_range,
            "sampling": serialize(dict(self.sampling)),
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        config = dict(config)
        if "guiding_scale" in config:  # Its name in files from before the first release.
            config["autoguidance_scale"] = config.pop("guiding_scale")
        keys = {
            *("network", "encoder", "guiding_network"),
            *("schedule", "prediction", "weighting", "sampling"),
        }
        for key in keys & config.keys():
            config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        config["loss"] = keras.losses.deserialize(config["loss"], custom_objects)
        return cls(**config)

    @classmethod
    @checked
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
        model = presets.load(name, cls)
        # What a preset has learned stands for its average, and no longer for many steps of it.
        model.steps_averaged.assign(0)
        return model

    @checked
    def save_preset(self, path: str | Path, *, bits: int = 16) -> str:
        """Saves the averaged model, small enough to share.

        The learning network is stored with the averaged weights too, so that training can go on
        from there. The model itself stays as it is.

        Args:
            path: Where to write; the name ends in `.keras`.
            bits: 16, or 8 for a file half as large, as for `imagegen.save_preset`.

        Returns:
            The file's sha256.
        """
        with self.averaged_weights():
            return presets.save_preset(self, path, bits=bits)

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Gives the learning network the averaged weights, for as long as a `with` block runs."""
        return averaged_weights(self._averages())

    def call(self, images: Images, training: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Adds noise to pictures and lets the network find it.

        Args:
            images: Pictures `(batch, height, width, channels)` with values in `value_range`, or
                with an `encoder`, a tuple of pictures and tokens.
            training: Whether to use the learning network, in training mode.

        Returns:
            The estimated clean samples, the network's output and its target, all normalized and
            float32, of the shape of `images`, and the weights of the loss, one a sample.
        """
        network, examples, conditions = self._asked(images, training)
        clean = self._normalized(examples)
        return self.attempt(network, clean, conditions, self.seed_generator, training=training)

    def _asked(self, images: Any, training: bool) -> tuple[keras.Model, Any, list[Any]]:
        """The network that is meant, and what it learns from, taken apart."""
        network = self.network if training else self.averaged
        if self.encoder is None:
            return network, images, []
        if not isinstance(images, list | tuple) or len(images) != 2:
            raise ValueError(
                "A model with an encoder is trained on a tuple of pictures and tokens. "
                f"Received: {type(images).__name__}"
            )
        images, tokens = images
        return network, images, self._conditions(tokens, training)

    def attempt(
        self,
        network: keras.Model,
        clean: Tensor,
        conditions: Sequence[Tensor],
        seed: keras.random.SeedGenerator,
        *,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Adds noise to normalized samples at random times, and lets a network find it.

        Args:
            network: A network of this model's inputs.
            clean: Normalized samples `(batch, ...)`, float32.
            conditions: The network's further inputs.
            seed: Where times and noise come from.
            training: Whether to run the network in training mode.

        Returns:
            What `call` returns.
        """
        noise, noise_rates, signal_rates, noisy = self.mixed(clean, seed)
        output = self._output(
            network, noisy, noise_rates, signal_rates, conditions, training=training
        )
        estimate = self.prediction.denoised(noisy, output, noise_rates, signal_rates)
        target = self.prediction.target(clean, noise, noise_rates, signal_rates)
        return estimate, output, target, self.weighting(self.prediction, noise_rates, signal_rates)

    @checked
    def mixed(
        self, clean: Tensor, seed: keras.random.SeedGenerator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mixes normalized samples with noise at random times.

        Args:
            clean: Normalized samples `(batch, ...)`, float32.
            seed: Where times and noise come from.

        Returns:
            The noise, the noise rates and the signal rates, `(batch, 1, ...)`, and the noisy
            samples.
        """
        noise = keras.random.normal(ops.shape(clean), seed=seed)
        rates_shape = (ops.shape(clean)[0],) + (1,) * len(self.sample_shape)
        uniform = keras.random.uniform(rates_shape, seed=seed)
        noise_rates, signal_rates = self.schedule(self.schedule.training_times(uniform))
        return noise, noise_rates, signal_rates, signal_rates * clean + noise_rates * noise

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]:
        """Returns pictures, or a tuple of pictures and tokens, that the model can learn from.

        Args:
            x: Pictures `(num_images, *sample_shape)`, as an array or a list; with an `encoder` a
                tuple of them and of prompts or tokens, when `y` isn't given.
            y: A prompt for each picture, or its tokens: names or numbers of classes, captions.

        Returns:
            What `call` takes, and `None`.

        Raises:
            ValueError: If the pictures have another shape or range, or a value is not finite, or
                the encoder can't read a prompt.
        """
        self._check_encoder()
        if self.encoder is None:
            if y is not None or (isinstance(x, tuple) and len(x) != 1):
                raise ValueError(
                    "`x` must be pictures alone: the model has no `encoder` that would read what "
                    f"comes with them. Received: {_described(x, y)}"
                )
            return self._checked_images(x[0] if isinstance(x, tuple) else x), None
        if y is None:
            if not isinstance(x, list | tuple) or len(x) != 2:
                raise ValueError(
                    "A model with an encoder is trained on pictures and a prompt for each: "
                    f"fit(images, prompts). Received: {_described(x, y)}"
                )
            x, y = x
        images = self._checked_images(x)
        return (images, self._checked_tokens(y, len(images))), None

    def _checked_images(self, images: Batch) -> Any:
        images = as_images(images, self.sample_shape)
        found = value_range_of(images)
        if self.value_range is None or found is None:
            return images
        low, high = self.value_range
        small = images.dtype.kind in "bf" and self.value_range == (0, 255) and 0 < found[1] <= 1
        if found[0] < low or found[1] > high or small:
            raise ValueError(
                f"`images` must have values in the model's `value_range`, from {low:g} to "
                f"{high:g}. Received: {images.dtype} from {found[0]:g} to {found[1]:g}"
            )
        return images

    def _checked_tokens(self, prompts: Batch, count: int) -> Batch:
        if are_texts(prompts, self.encoder.empty):
            tokens = self.encoder.tokens(list(prompts))
        else:
            tokens = as_tokens(prompts, self.encoder.empty)
        num_names = len(getattr(self.encoder, "names", ()))
        if num_names and isinstance(tokens, np.ndarray):
            low, high = tokens.min(), tokens.max()
            # The last number is that of the empty prompt. Where the first class is missing among
            # many examples and all others are there, somebody counts from 1.
            many = tokens.size >= 4 * num_names and len(np.unique(tokens)) == num_names
            if low < 0 or high > num_names or (low == 1 and many):
                raise ValueError(
                    f"`prompts` must be numbers of classes from 0 to {num_names - 1}. "
                    f"Received: {low} to {high}"
                )

        def check(tokens: Any, empty: np.ndarray) -> None:
            if tuple(np.shape(tokens)) != (count, *empty.shape):
                raise ValueError(
                    f"`prompts` must be one for each picture, of the shape {(count, *empty.shape)} "
                    f"when they are tokens. Received: shape {tuple(np.shape(tokens))}"
                )

        keras.tree.map_structure(check, tokens, self.encoder.empty)
        return tokens

    def make_train_function(self, force: bool = False) -> Any:
        # Where `fit` begins: inside the compiled step nothing can be looked at.
        self.check_ready()
        for learning, copy in self._averages():
            if len(learning.weights) != len(copy.weights):
                raise ValueError(
                    "`network` and `encoder` must have the weights that they were handed in with, "
                    f"as their averages do. Received: {len(learning.weights)} weights, and "
                    f"{len(copy.weights)} averages. LoRA adds weights to both in "
                    "imagegen.with_lora(model, rank)"
                )
        return super().make_train_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        self.check_ready()
        return super().make_test_function(force)

    def compute_loss(
        self,
        x: Batch = None,
        y: Batch = None,
        y_pred: Batch = None,
        sample_weight: Batch = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss between the network's output and its target, and moves the averages."""
        if training:
            move_averages(self._averages(), self.steps_averaged, self.averaging)
        return sum(self.losses, start=self.loss_of(y_pred, sample_weight))

    def loss_of(
        self, attempt: tuple[Tensor, Tensor, Tensor, Tensor], sample_weight: Tensor | None = None
    ) -> Tensor:
        """Returns the mean weighed loss of what `attempt` or `call` returned, a scalar."""
        _, output, target, weights = attempt
        if sample_weight is not None:
            weights = ops.reshape(weights, (-1,)) * ops.cast(sample_weight, "float32")
        errors = self.loss_function(target, output)
        return ops.mean(ops.reshape(weights, (-1,) + (1,) * (ops.ndim(errors) - 1)) * errors)

    @checked
    def denoise(
        self, noisy: Tensor, time: Tensor, conditions: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Returns the clean samples that the averaged network sees in noisy ones.

        Args:
            noisy: Normalized noisy samples `(batch, ...)`, float32.
            time: The diffusion time in `[0, 1]`, a scalar or one a sample, `(batch,)`.
            conditions: What `encode_prompts` returned for one prompt a sample. `None` is the empty
                prompt.

        Returns:
            Normalized clean samples, float32 of the shape of `noisy`.
        """
        noisy = ops.convert_to_tensor(noisy, "float32")
        if conditions is None:
            conditions = self._conditions_of_nothing(ops.shape(noisy)[0])
        conditions = [ops.convert_to_tensor(condition, "float32") for condition in conditions]
        return self._denoised(self.averaged, noisy, time, conditions)

    def _denoised(
        self, network: keras.Model, noisy: Tensor, time: Tensor, conditions: Sequence[Tensor]
    ) -> Tensor:
        times = ops.reshape(ops.convert_to_tensor(time, "float32"), (-1,))
        times = ops.broadcast_to(times, (ops.shape(noisy)[0],))
        times = ops.reshape(times, (-1,) + (1,) * len(self.sample_shape))
        noise_rates, signal_rates = self.schedule(times)
        output = self._output(network, noisy, noise_rates, signal_rates, conditions, training=False)
        return self.prediction.denoised(noisy, output, noise_rates, signal_rates)

    @checked
    def encode_prompts(self, prompts: Prompts) -> Conditions:
        """Returns what prompts become before the network sees them.

        The arrays can be mixed, and given to `generate` in the place of prompts, as `Conditions`.

        Args:
            prompts: A prompt or several, or their tokens.

        Returns:
            float32 arrays `(num_prompts, ...)`, one for each further input of the network.

        Raises:
            ValueError: If the model has no encoder, or the encoder doesn't know a prompt.

        Example:
            ```python
            import imagegen

            network = imagegen.UNet(8, [8], block_depth=1, embedding_dim=8, condition_dim=4)
            encoder = imagegen.LabelEncoder(["daisy", "rose"], 4)
            model = imagegen.DiffusionModel(network, encoder=encoder)
            (vectors,) = model.encode_prompts(["rose", "daisy"])
            assert vectors.shape == (2, 4)
            ```
        """
        if self.encoder is None:
            return super().encode_prompts(prompts)
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if not len(prompts):
            raise ValueError("`prompts` must hold at least one prompt. Received: none")
        tokens = self.averaged_encoder.tokens(prompts)
        return Conditions(
            *in_batches(self._read_tokens, tokens, _PROMPTS_AT_ONCE, "encode prompts")
        )

    @functools.cached_property
    def _read_tokens(self) -> Any:
        encoder = self.averaged_encoder
        return compiled(lambda tokens: encoder(tokens, training=False), encoder.variables)

    def _conditions(self, tokens: Tensor, training: bool) -> list[Any]:
        if not training:
            return _listed(self.averaged_encoder(tokens, training=False))
        (count, *_), *_ = (ops.shape(part) for part in keras.tree.flatten(tokens))
        kept = keras.random.uniform((count,), seed=self.seed_generator) >= self.prompt_dropout

        def some(tokens: Tensor, empty: np.ndarray) -> Tensor:
            tokens = ops.convert_to_tensor(tokens, empty.dtype.name)
            return ops.where(ops.reshape(kept, (-1,) + (1,) * empty.ndim), tokens, empty)

        tokens = keras.tree.map_structure(some, tokens, self.encoder.empty)
        return _listed(self.encoder(tokens, training=True))

    def _conditions_of_nothing(self, count: Any) -> list[Any]:
        if self.encoder is None:
            return []

        def repeated(empty: np.ndarray) -> Any:
            return ops.broadcast_to(empty, (count, *empty.shape))

        tokens = keras.tree.map_structure(repeated, self.averaged_encoder.empty)
        return self._conditions(tokens, training=False)

    @staticmethod
    def _output(
        network: keras.Model,
        noisy: Tensor,
        noise_rates: Tensor,
        signal_rates: Tensor,
        conditions: Sequence[Tensor],
        *,
        training: bool,
    ) -> Tensor:
        # To unit variance, which changes nothing where a schedule preserves it. A network so sees
        # the same of every schedule: how noisy a sample is, from 0 to 1.
        scale = ops.rsqrt(noise_rates**2 + signal_rates**2)
        inputs = [noisy * scale, noise_rates * scale, *conditions]
        return ops.cast(network(inputs, training=training), "float32")

    @property
    def condition_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what `encode_prompts` returns, for one prompt."""
        return [tuple(tensor.shape[1:]) for tensor in self.network.inputs[1 + self._num_rates :]]

    @property
    def variables_read(self) -> Sequence[keras.Variable]:
        """Every variable that `denoise` reads: those of the averaged and the poorer network."""
        read = [copy for _, copy in self._averages()]
        read += [] if self.guiding_network is None else [self.guiding_network]
        return [variable for layer in read for variable in layer.variables]

    @property
    def autoguidance(self) -> Autoguidance | None:
        """The poorer network, and how far sampling without prompts moves away from it."""
        if self.guiding_network is None:
            return None

        def poorer(noisy: Tensor, time: Tensor) -> Tensor:
            return self._denoised(self.guiding_network, noisy, time, [])

        scale = check_number(self.autoguidance_scale, "autoguidance_scale", minimum=0)
        return Autoguidance(poorer, scale)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest normalized value of a channel."""
        mean, deviation = self._statistics()
        low, high = self.value_range or (-np.inf, np.inf)
        return (low - mean) / deviation, (high - mean) / deviation

    def formulas(self) -> Hashable:
        """The schedule and the prediction: they are compiled into `denoise`."""
        return self.schedule, self.prediction

    # A method: Keras follows properties when it saves, and this one would lead it in a circle.
    def diffusion_model(self) -> "DiffusionModel":
        """Returns the model that learns to denoise: this one."""
        return self

    def _normalized(self, images: Images) -> Any:
        # Not `self.normalizer(images)`: Keras's layer keeps copies of its variables, which a
        # compiled training step would hold as constants, blind to another `adapt`.
        mean, variance = self.normalizer.adapt_mean, self.normalizer.adapt_variance
        images = ops.cast(images, "float32")
        return (images - mean) / ops.maximum(ops.sqrt(variance), keras.config.epsilon())

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        mean = ops.convert_to_numpy(self.normalizer.adapt_mean)
        variance = ops.convert_to_numpy(self.normalizer.adapt_variance)
        return mean, np.maximum(np.sqrt(variance), keras.config.epsilon())

    @checked
    def to_samples(self, images: Images) -> np.ndarray:
        """Normalizes pictures: what the network is trained on, and `run` takes.

        Args:
            images: Pictures `(batch, height, width, channels)` with values in `value_range`.

        Returns:
            float32 array of the same shape.

        Raises:
            ValueError: If there is NaN or infinity in a picture, or the normalizer is not adapted.
        """
        self.check_ready()
        check_finite(images, "images")
        return ops.convert_to_numpy(self._normalized(images))

    @checked
    def to_images(self, samples: Array) -> np.ndarray:
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

    @checked
    def pictures_of(self, samples: Tensor) -> Tensor:
        """Returns pictures from 0 to 1 of normalized samples, in a way that can be compiled.

        Args:
            samples: Normalized samples, a tensor `(batch, ...)`.

        Returns:
            A float32 tensor of the same shape, not scaled where `value_range` is `None`.
        """
        mean, variance = self.normalizer.adapt_mean, self.normalizer.adapt_variance
        deviation = ops.maximum(ops.sqrt(variance), keras.config.epsilon())
        pictures = samples * deviation + mean
        if self.value_range is None:
            return pictures
        low, high = self.value_range
        return (ops.clip(pictures, low, high) - low) / (high - low)

    def _averages(self) -> list[tuple[Any, Any]]:
        """What learns, and its averaged copy."""
        encoders = [] if self.encoder is None else [(self.encoder, self.averaged_encoder)]
        return [(self.network, self.averaged), *encoders]

    def _check_encoder(self) -> None:
        # It can be set, too, but its averages would still be those of the first.
        if type(self.encoder) is not type(self.averaged_encoder):
            raise ValueError(
                "`encoder` must be the one that the model was made with. "
                f"Received: encoder={self.encoder!r}"
            )

    def check_ready(self) -> None:
        """Raises a ValueError when the normalizer or an attribute isn't fit for training."""
        for name in ("averaging", "prompt_dropout"):  # Both can be set at any time.
            check_number(getattr(self, name), name, minimum=0, maximum=1)
        self._check_encoder()
        if self.value_range is None:
            return
        mean, deviation = self._statistics()
        low, high = self.value_range
        if (deviation <= 2 * keras.config.epsilon()).all():
            raise ValueError(
                "`normalizer` must be adapted to pictures that differ. "
                f"Received: pictures whose every value is {mean.ravel()[0]:g}"
            )
        if mean.min() < low or mean.max() > high:
            raise ValueError(
                "`normalizer` must be adapted to pictures in the model's `value_range`, from "
                f"{low:g} to {high:g}. Received: pictures with a mean of {mean.mean():.3g}"
            )
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


def _described(x: Batch, y: Batch) -> str:
    kinds = [type(part).__name__ for part in (x if isinstance(x, list | tuple) else [x])]
    return f"{' and '.join(kinds[:3])}{'' if y is None else f', and y of {type(y).__name__}'}"


def _checked_guide(
    network: keras.Model | None, sample_shape: tuple[int, ...]
) -> keras.Model | None:
    if network is None:
        return None
    shape = _sample_shape(network, None)
    if shape != sample_shape:
        raise ValueError(
            f"`guiding_network` must take samples of the shape {sample_shape}. Received: {shape}"
        )
    freeze(network)
    return network


def _listed(conditions: Any) -> list[Any]:
    return list(conditions) if isinstance(conditions, list | tuple) else [conditions]


def _elementwise(loss: str | keras.losses.Loss | Callable[..., Any]) -> Any:
    """A loss that keeps the batch axis, so that its samples can be weighed."""
    try:
        loss = keras.losses.get(loss)
    except ValueError as error:
        raise ValueError(
            f"`loss` must be a loss of Keras, or its name. Received: loss={loss!r}"
        ) from error
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


def _sample_shape(network: keras.Model, encoder: Any, num_rates: int = 1) -> tuple[int, ...]:
    inputs = getattr(network, "inputs", None) or []
    shapes = [tuple(tensor.shape[1:]) for tensor in inputs]
    rates, others = shapes[1 : 1 + num_rates], shapes[1 + num_rates :]
    if not shapes or rates != [(1,) * len(shapes[0])] * num_rates:
        names = ", ".join(["noisy", "noise_rates", "end_rates"][: 1 + num_rates])
        raise ValueError(
            f"`network` must be a functional Keras model of [{names}], in which the rates have the "
            "rank of the noisy samples and the size 1 everywhere. "
            f"Received: {network!r} with input shapes {shapes}"
        )
    conditions: list[Any] = []
    if encoder is not None:
        one = keras.tree.map_structure(lambda empty: empty[None], encoder.empty)
        conditions = _listed(encoder(one))
    given = [tuple(array.shape[1:]) for array in conditions]
    if others != given:
        raise ValueError(
            "`network` must have one more input for everything that the encoder returns. "
            f"Received: further inputs of the shapes {others}, and from the encoder {given}"
        )
    return shapes[0]
