"""What `fit` of the package's models does beyond Keras's: it looks first, and loses nothing."""

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imagegen._checks import check_integer, check_number
from imagegen._convolutions import quick_kernel_gradients
from imagegen._devices import check_shares, num_shares
from imagegen._examples import is_arrays, looked_at, weighted, weights_of_classes
from imagegen._jit import training
from imagegen._saving import SavedWhole
from imagegen.typing import Batch, Config

import keras
import numpy as np

_BATCH_SIZE = 32  # Keras's, where none is given.
# What Keras's trainer on JAX hands from step to step, in training, in evaluation and in prediction.
_WEIGHTS = ("trainable_variables", "non_trainable_variables")
_STATE = {
    4: (*_WEIGHTS, "optimizer_variables", "metrics_variables"),
    3: (*_WEIGHTS, "metrics_variables"),
    2: _WEIGHTS,
}


class CarefulTraining(SavedWhole, keras.Model):
    """A Keras model whose training is refused before its first step, or leaves whole steps behind.

    A class that derives from it says in `check_examples` what it learns from. Where a step fails,
    or somebody presses Stop, the model is what its last whole step made of it: it can be trained
    on, saved, and asked. Keras's trainer on JAX would leave it without weights.
    """

    train_function: Callable[..., Any] | None
    test_function: Callable[..., Any] | None
    predict_function: Callable[..., Any] | None

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

        Arrays are looked at as a whole before the first step, and of a data set every batch as it
        comes.

        Args:
            x: What the model learns from.
            y: What belongs to it, for a model that is told something.
            **options: As of `keras.Model.fit`.

        Returns:
            The history of the losses.

        Raises:
            ValueError: If the model can't learn from this.
        """
        if not self.compiled:
            raise ValueError(
                f"A {type(self).__name__} must be compiled before `fit`, as by "
                '`compile("adam")`. Received: one that is not'
            )
        _check_half_precision(self)
        _check_options(options)
        batch_size = _size(options, "batch_size", _BATCH_SIZE)
        x, y = self._checked(x, y, batch_size)
        if (class_weight := options.pop("class_weight", None)) is not None:
            others = options.get("sample_weight")
            options["sample_weight"] = weights_of_classes(x, class_weight, others)
        if options.get("sample_weight") is not None and is_arrays(x):
            options["sample_weight"], y = weighted(options["sample_weight"], x)
        validation = options.get("validation_data")
        if validation is not None:
            if isinstance(validation, list | tuple) and not 1 <= len(validation) <= 3:
                raise ValueError(
                    "`validation_data` must be pictures, or a tuple of pictures, prompts and "
                    f"weights. Received: {len(validation)} parts"
                )
            data, *rest = validation if isinstance(validation, list | tuple) else (validation,)
            size = _size(options, "validation_batch_size", batch_size)
            data, target = self._checked(data, rest[0] if rest else None, size)
            if is_arrays(data):
                weight = rest[1] if len(rest) > 1 else None
                last = (target,) if weight is None else weighted(weight, data)[::-1]
                data = (data, *last)
            options["validation_data"] = data
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
            x, y = self._checked(x, y, _size(options, "batch_size", _BATCH_SIZE))
        if options.get("sample_weight") is not None and is_arrays(x):
            options["sample_weight"], y = weighted(options["sample_weight"], x)
        with self._same_draws(), self._whole_steps():
            return super().evaluate(x, y, **options)

    def train_on_batch(
        self,
        x: Batch,
        y: Batch = None,
        sample_weight: Batch = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Takes a single step: see `keras.Model.train_on_batch`.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            sample_weight: As for `fit`.
            class_weight: As for `fit`.
            return_dict: Whether to return a dictionary.

        Returns:
            The loss.

        Raises:
            ValueError: If the model can't learn from this.
        """
        _check_half_precision(self)
        x, y = self.check_examples(x, y)
        if class_weight is not None:
            sample_weight = weights_of_classes(x, class_weight, sample_weight)
        if sample_weight is not None:
            sample_weight, y = weighted(sample_weight, x)
        with self._whole_steps():
            return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(
        self,
        x: Batch,
        y: Batch = None,
        sample_weight: Batch = None,
        return_dict: bool = False,
    ) -> Any:
        """Measures the loss of a single batch: see `keras.Model.test_on_batch`.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            sample_weight: As for `fit`.
            return_dict: Whether to return a dictionary.

        Returns:
            The loss.

        Raises:
            ValueError: If the model can't learn from this.
        """
        x, y = self.check_examples(x, y)
        if sample_weight is not None:
            sample_weight, y = weighted(sample_weight, x)
        with self._same_draws(), self._whole_steps():
            return super().test_on_batch(x, y, sample_weight, return_dict=return_dict)

    def predict(self, x: Batch, **options: Any) -> Any:
        """Returns what `call` does, batch by batch: see `keras.Model.predict`."""
        with self._whole_steps():
            return super().predict(x, **options)

    def make_predict_function(self, force: bool = False) -> Any:
        super().make_predict_function(force)
        self.predict_function = self._kept(self.predict_function)
        return self.predict_function

    def make_train_function(self, force: bool = False) -> Any:
        super().make_train_function(force)
        self.train_function = self._kept(self.train_function)

    def make_test_function(self, force: bool = False) -> Any:
        super().make_test_function(force)
        self.test_function = self._kept(self.test_function)

    def _checked(self, x: Batch, y: Batch, batch_size: int) -> tuple[Batch, Batch]:
        if is_arrays(x) and not isinstance(x, keras.utils.PyDataset):
            x, y = self.check_examples(x, y)
            check_shares(len(keras.tree.flatten(x)[0]), batch_size)
            return x, y
        return looked_at(x, self), y

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
            with training(self.variables), stopping_later():
                yield
        except BaseException as error:
            # What was traced for a wrong input would be taken for the next one.
            self.train_function = self.test_function = self.predict_function = None
            refused = self.__dict__.pop("_refused", None)
            if refused is not None and type(error).__module__.startswith("tensorflow"):
                raise refused from None
            # JAX's, of a type that is not public, and of another one in older versions.
            shares = re.search("(?is)sharding.*(divisible by|evenly divide)", str(error))
            if isinstance(error, ValueError) and shares:
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
def stopping_later() -> Iterator[None]:
    """Lets Stop, a SIGINT, wait: for the end of a step in `fit`, and of the block without one.

    A second one doesn't wait.
    """
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


def _size(options: Config, name: str, default: int) -> int:
    """How many examples a batch has. Keras takes 0 for its default."""
    size = options.get(name)
    return default if size is None else check_integer(size, name, minimum=1)


def _check_options(options: Config) -> None:
    """Names what is wrong among the options of `fit`, which Keras would find in the middle."""
    check_integer(options.get("epochs", 1), "epochs", minimum=0)
    check_integer(options.get("initial_epoch", 0), "initial_epoch", minimum=0)
    for name in ("steps_per_epoch", "validation_steps", "validation_freq"):
        if options.get(name) is not None:
            check_integer(options[name], name, minimum=1)
    split = options.get("validation_split")
    if split is not None and not 0 <= check_number(split, "validation_split", minimum=0) < 1:
        raise ValueError(f"`validation_split` must be below 1. Received: {split}")
    callbacks = options.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList | None):
        return
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                f"`callbacks` must be a list of Keras's callbacks. Received: {callback!r}"
            )


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
