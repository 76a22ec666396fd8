"""What `fit` of the package's models does beyond Keras's: it looks first, and loses nothing."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imagegen._checks import check_finite
from imagegen._convolutions import quick_kernel_gradients
from imagegen._devices import check_shares, num_shares
from imagegen.typing import Batch, Config

import keras
import numpy as np

_BATCH_SIZE = 32  # Keras's, where none is given.
# What Keras's trainer on JAX hands from step to step, in training and in evaluation.
_WEIGHTS = ("trainable_variables", "non_trainable_variables")
_STATE = {
    4: (*_WEIGHTS, "optimizer_variables", "metrics_variables"),
    3: (*_WEIGHTS, "metrics_variables"),
}


class CarefulTraining(keras.Model):
    """A Keras model whose training is refused before its first step, or leaves whole steps behind.

    A class that derives from it says in `check_examples` what it learns from. Where a step fails,
    or somebody presses Stop, the model is what its last whole step made of it: it can be trained
    on, saved, and asked. Keras's trainer on JAX would leave it without weights.
    """

    train_function: Callable[..., Any] | None
    test_function: Callable[..., Any] | None

    def check_examples(self, x: Batch, y: Batch = None) -> tuple[Batch, Batch]:
        """Returns arrays, or one batch of a data set, as the model takes them, or raises."""
        return x, y

    def compile(self, optimizer: Any = "rmsprop", **options: Any) -> None:
        """Prepares the model for `fit`.

        Args:
            optimizer: An optimizer, or its name.
            **options: As of `keras.Model.compile`, but for losses and metrics: the model has its
                own.

        Raises:
            ValueError: If there is a loss or a metric among them, or the optimizer averages weights
                itself.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if options.get(name) is not None:
                raise ValueError(
                    f"`{name}` must be left out: a {type(self).__name__} computes its own loss. "
                    f"Received: {name}={options[name]!r}"
                )
        optimizer = keras.optimizers.get(optimizer)
        if getattr(optimizer, "use_ema", False):
            raise ValueError(
                "`optimizer` must not average weights: on JAX a second `fit` fails with it. A "
                "DiffusionModel has averages of its own. Received: use_ema=True"
            )
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if _computes_in(self, "float16") and not scaled:
            # Keras asks for the policy of the model itself, whose mathematics is in float32.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer, **options)

    def get_compile_config(self) -> Config | None:
        if any(getattr(layer, "lora_enabled", False) for layer in self._flatten_layers()):
            # A file holds the sums of kernels and additions, and no optimizer's moments fit them.
            return None
        config = super().get_compile_config()
        # Of the backend that the model was compiled for; another one chooses anew.
        return config and config | {"jit_compile": "auto"}

    def compile_from_config(self, config: Config) -> None:
        # Keras leaves it to those who have a `compile` of their own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x: Batch = None, y: Batch = None, **options: Any) -> keras.callbacks.History:
        """Trains the model: see `keras.Model.fit`.

        Arrays are looked at as a whole before the first step, and of a data set the first batch.

        Args:
            x: What the model learns from.
            y: What belongs to it, for a model that is told something.
            **options: As of `keras.Model.fit`.

        Returns:
            The history of the losses.

        Raises:
            ValueError: If the model can't learn from this.
        """
        _check_half_precision(self)
        batch_size = options.get("batch_size") or _BATCH_SIZE
        x, y = self._checked(x, y, batch_size)
        if (class_weight := options.pop("class_weight", None)) is not None:
            options["sample_weight"] = _weights(x, class_weight, options.get("sample_weight"))
        if options.get("sample_weight") is not None:
            y = _placeholder(options["sample_weight"])
        validation = options.get("validation_data")
        if validation is not None:
            data, *rest = validation if isinstance(validation, list | tuple) else (validation,)
            size = options.get("validation_batch_size") or batch_size
            data, target = self._checked(data, rest[0] if rest else None, size)
            weight = rest[1:] if rest[1:] != [None] else []
            target = _placeholder(weight[0]) if weight else target
            options["validation_data"] = (data, target, *weight) if _is_arrays(data) else data
        with self._whole_steps():
            return super().fit(x, y, **options)

    def evaluate(self, x: Batch = None, y: Batch = None, **options: Any) -> Any:
        """Measures the loss: see `keras.Model.evaluate`.

        What the model draws at random is the same in every call, so that losses compare.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            **options: As of `keras.Model.evaluate`.

        Returns:
            The loss, or all losses.

        Raises:
            ValueError: If the model can't learn from this.
        """
        if "_use_cached_eval_dataset" not in options:  # `fit` has looked already.
            x, y = self._checked(x, y, options.get("batch_size") or _BATCH_SIZE)
        if options.get("sample_weight") is not None and _is_arrays(x):
            y = _placeholder(options["sample_weight"])
        with self._same_draws(), self._whole_steps():
            return super().evaluate(x, y, **options)

    def make_train_function(self, force: bool = False) -> Any:
        super().make_train_function(force)
        self.train_function = self._kept(self.train_function)

    def make_test_function(self, force: bool = False) -> Any:
        super().make_test_function(force)
        self.test_function = self._kept(self.test_function)

    def _checked(self, x: Batch, y: Batch, batch_size: int) -> tuple[Batch, Batch]:
        if _is_arrays(x) and not isinstance(x, keras.utils.PyDataset):
            x, y = self.check_examples(x, y)
            check_shares(len(keras.tree.flatten(x)[0]), batch_size)
            return x, y
        return _Looking.at(x, self), y

    def _kept(self, function: Any) -> Callable[..., Any]:
        """A step that leaves where it began what it didn't finish, and stops between two others."""
        if hasattr(function, "within"):
            return function

        def step(*arguments: Any) -> Any:
            if keras.backend.backend() == "jax":
                # Until the step is done, what it began with is what the model has. Keras empties
                # the model's variables meanwhile.
                names = _STATE[len(arguments[0])]
                self._jax_state = dict(zip(names, arguments[0], strict=True))
            if _STOP.is_set():
                raise KeyboardInterrupt
            with quick_kernel_gradients():
                return function(*arguments)

        step.within = function  # type: ignore[attr-defined]
        return step

    @contextlib.contextmanager
    def _whole_steps(self) -> Iterator[None]:
        try:
            with _stopping_between_steps():
                yield
        except BaseException as error:
            # What was traced for a wrong input would be taken for the next one.
            self.train_function = self.test_function = None
            if type(error).__name__ == "IndivisibleError":  # JAX's, which is not public.
                raise ValueError(
                    f"Every batch must be divided equally between {num_shares()} devices, the last "
                    f"one of an epoch too. Received: {error}"
                ) from error
            raise
        finally:
            if keras.backend.backend() == "jax":
                self.jax_state_sync()

    @contextlib.contextmanager
    def _same_draws(self) -> Iterator[None]:
        """Draws from a fixed state for as long as a `with` block runs, and then goes on."""
        seeds = [
            layer.seed_generator.state
            for layer in self._flatten_layers()
            if hasattr(layer, "seed_generator")
        ]
        before = [keras.ops.convert_to_numpy(seed) for seed in seeds]
        for seed in seeds:
            seed.assign(np.zeros_like(before[0]))
        try:
            yield
        finally:
            for seed, state in zip(seeds, before, strict=True):
                seed.assign(state)


# Set while Stop waits for the end of a step. There is one main thread that it can reach.
_STOP = threading.Event()


@contextlib.contextmanager
def _stopping_between_steps() -> Iterator[None]:
    """Lets Stop, a SIGINT, wait for the end of a step; a second one doesn't wait."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if _STOP.is_set():
            signal.default_int_handler(number, frame)
        _STOP.set()

    signal.signal(signal.SIGINT, ask)
    try:
        yield
        if _STOP.is_set():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _STOP.clear()


class _Looking(keras.utils.PyDataset):
    """A data set whose every batch is checked, and brought into the form that a model takes."""

    def __init__(self, data: keras.utils.PyDataset, model: CarefulTraining):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.model = data, model

    def __len__(self) -> int:
        return len(self.data)

    @property
    def num_batches(self) -> int | None:
        return self.data.num_batches

    def __getitem__(self, index: int) -> Batch:
        return _batch(self.data[index], self.model)

    def on_epoch_begin(self) -> None:
        self.data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.data.on_epoch_end()

    @staticmethod
    def at(data: Batch, model: CarefulTraining) -> Batch:
        """What gives the batches of `data`, checked: of its kind where Keras knows that."""
        if isinstance(data, keras.utils.PyDataset):
            return _Looking(data, model)
        if hasattr(data, "element_spec"):  # TensorFlow's
            first = next(iter(data.take(1).as_numpy_iterator()))
            _batch(first, model)
            if isinstance(first, tuple) and len(first) > 1:
                return data.map(lambda x, y, *rest: ((x, y), None, *rest))
            return data
        if hasattr(data, "__iter__"):
            return (_batch(batch, model) for batch in data)
        return data


def _batch(batch: Batch, model: CarefulTraining) -> Batch:
    """A batch `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` as the model takes it."""
    x, y, weight = (
        keras.utils.unpack_x_y_sample_weight(batch)
        if isinstance(batch, tuple)
        else (batch, None, None)
    )
    x, y = model.check_examples(x, y)
    y = y if weight is None else _placeholder(weight)
    return keras.utils.pack_x_y_sample_weight(x, y, weight)


def _is_arrays(data: Batch) -> bool:
    """Whether `fit` was given the examples themselves, and not what gives batches of them."""
    if isinstance(data, str | list | tuple | dict):
        return True
    return hasattr(data, "shape") or not hasattr(data, "__iter__")


def _placeholder(weights: Any) -> np.ndarray:
    """Targets that nobody looks at: without any, Keras leaves the weights out."""
    return np.zeros(len(weights), "float32")


def _weights(x: Batch, class_weight: Mapping[int, float], others: Any) -> np.ndarray:
    """The weight of each example, from the weights of its class."""
    labels = x[1] if isinstance(x, tuple) else None
    if not isinstance(labels, np.ndarray) or labels.ndim != 1:
        raise ValueError(
            "`class_weight` must come with arrays of pictures and their classes. Give "
            "`sample_weight` otherwise, one for each picture. "
            f"Received: class_weight={class_weight!r}"
        )
    weights = np.array([class_weight.get(int(label), 1.0) for label in labels], "float32")
    return weights if others is None else weights * np.asarray(others, "float32")


def as_images(images: Batch, shape: tuple[int, ...], name: str = "images") -> Any:
    """Returns pictures of one shape as an array or a tensor, or raises.

    Args:
        images: An array or a tensor `(num_images, *shape)`, or a list of pictures.
        shape: The shape of a picture.
        name: What they are called in an error.

    Raises:
        ValueError: If they have another shape, or a value is NaN or infinite.
    """
    if isinstance(images, list | tuple):
        sizes = {np.shape(image) for image in images}
        if len(sizes) > 1:
            raise ValueError(
                f"`{name}` must all have the shape {shape}. Received: {sorted(sizes)[:3]}"
            )
        images = np.stack(images)
    if not hasattr(images, "shape"):
        raise ValueError(f"`{name}` must be an array. Received: {type(images).__name__}")
    if tuple(images.shape[1:]) != tuple(shape):
        raise ValueError(
            f"`{name}` must have the shape (num_images, {', '.join(map(str, shape))}). "
            f"Received: shape {tuple(images.shape)}"
        )
    if not len(images):
        raise ValueError(f"`{name}` must hold at least one picture. Received: none")
    if isinstance(images, np.ndarray):
        check_finite(images, name)
    return images


def value_range_of(images: Any) -> tuple[float, float] | None:
    """The lowest and the highest value of an array; `None` for a tensor."""
    return (float(images.min()), float(images.max())) if isinstance(images, np.ndarray) else None


def _computes_in(model: keras.Model, dtype: str) -> bool:
    return any(layer.compute_dtype == dtype for layer in model._flatten_layers())


def on_a_cpu() -> bool:
    """Whether the backend has no accelerator."""
    if keras.backend.backend() == "torch":
        import torch

        return not torch.cuda.is_available()
    return all("cpu" in device.lower() for device in keras.distribution.list_devices())


def _check_half_precision(model: keras.Model) -> None:
    if _computes_in(model, "float16") and on_a_cpu():
        raise ValueError(
            "The policy must be 'float32' or 'mixed_bfloat16' on a CPU, which has no arithmetic of "
            "float16. Received: a network that computes in float16"
        )
