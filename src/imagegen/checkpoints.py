"""Training that survives a crash: checkpoints, and batches in an order that can be repeated."""

import json
import math
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

from imagegen._checks import check_integer
from imagegen._contracts import check_kind, checked, shortened
from imagegen._devices import is_first_process, own_share
from imagegen._weights import serialized
from imagegen.typing import Array, Logs

import keras
import numpy as np

_MEMBER = "training.json"

# What is of no consequence in a configuration: names are given by counting, seeds are drawn, and
# what leads from layer to layer shows in the weights.
_INCIDENTAL = {
    "build_config",
    "compile_config",
    "inbound_nodes",
    "input_layers",
    "name",
    "output_layers",
    "seed",
    "shared_object_id",
}


class Checkpoint(keras.callbacks.Callback):
    """Saves everything about a training after each epoch, so that it can go on after a crash.

    The file `checkpoint.keras` in the folder is an ordinary Keras file of the compiled model, with
    weights, averaged weights and the optimizer's state, that `keras.saving.load_model` opens. One
    member more holds what Keras leaves out: the number of epochs and the state of every random
    generator in the model. The file is replaced in one step, so that a crash at any moment leaves
    a whole one.

    With `ShuffledBatches`, a training that was killed and started again by the same program ends
    with the weights of one that never stopped, bit for bit on a CPU. What the killed epoch had
    done is done again. The program has to call `keras.utils.set_random_seed` first, for the case
    that it is killed before the first checkpoint.

    Keep it the last of the callbacks: what another one draws from the model's generators after
    it, a resumed training would draw again. Callbacks that have a memory of their own, like
    `keras.callbacks.EarlyStopping`, begin anew. Under PyTorch, Keras's `Dropout` draws from
    PyTorch's own global generator, which is not saved.

    A checkpoint knows nothing of devices: one of eight goes on with one, and the other way round.
    Where several processes train together, the first one writes, and all read.

    Args:
        folder: Where the checkpoint is kept; made when it is missing.
        batches: What `fit` trains on. The callback tells it which epoch begins.

    Example:
        ```python
        import tempfile
        import imagegen
        import keras
        import numpy as np

        keras.utils.set_random_seed(1)
        points = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=8), value_range=None)
        model.compile(optimizer="adam")

        batches = imagegen.ShuffledBatches(points, batch_size=32, seed=1)
        checkpoint = imagegen.Checkpoint(tempfile.mkdtemp(), batches)
        epochs_done = checkpoint.restore(model)  # 0 when there is nothing yet
        model.fit(
            batches,
            shuffle=False,
            initial_epoch=epochs_done,
            epochs=2,
            callbacks=[checkpoint],
            verbose=0,
        )
        assert checkpoint.restore(model) == 2
        ```
    """

    @checked
    def __init__(self, folder: str | os.PathLike[str], batches: "ShuffledBatches | None" = None):
        super().__init__()
        self.path: Path = Path(folder) / "checkpoint.keras"
        self.batches = batches
        self._restored: tuple[keras.Model, str] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        # A restored model was described before the checkpoint was in it: callbacks may have changed
        # its learning rate since the program made it.
        if self._restored is None or self._restored[0] is not self.model:
            self._restored = (self.model, _description(self.model))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.batches is not None:
            self.batches.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if is_first_process():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self.path, epoch)
            return
        # Reading the variables is work that all processes do together. One of them keeps it.
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder) / self.path.name, epoch)

    def _write(self, path: Path, epoch: int) -> None:
        seeds = [keras.ops.convert_to_numpy(state).tolist() for state in _seed_states(self.model)]
        # Always the same name, so that killed programs leave one unfinished file and not many.
        unfinished = path.with_name("unfinished.keras")
        # Keras's own: this class takes care itself that a file is whole.
        keras.Model.save(self.model, unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            training = {"epoch": epoch + 1, "seeds": seeds}
            if self._restored is not None:
                training["model"] = self._restored[1]
            archive.writestr(_MEMBER, json.dumps(training))
        unfinished.replace(path)

    @checked
    def restore(self, model: keras.Model) -> int:
        """Puts a model into the state in which the last epoch left it.

        Args:
            model: A built and compiled model, made as the saved one was.

        Returns:
            How many epochs were finished: what `fit` takes as `initial_epoch`. 0 when there is
            no checkpoint; the model then stays as it is.

        Raises:
            ValueError: If the model is not built or not compiled, or the checkpoint is of another
                model, or is no checkpoint. Another model is also one of another schedule,
                prediction, loss, optimizer or learning rate, which is refused before anything is
                restored. A file that is damaged may be partly in the model.
        """
        if not self.path.exists():
            return 0
        if not model.built or getattr(model, "optimizer", None) is None:
            raise ValueError(
                "`model` must be built and compiled before a checkpoint is restored. "
                f"Received: {model!r}"
            )
        # Keras loads the state of an optimizer only into one that has its variables.
        model.optimizer.build(model.trainable_variables)
        states = _seed_states(model)
        described = _description(model)
        try:
            with zipfile.ZipFile(self.path) as archive:
                training = json.loads(archive.read(_MEMBER))
            if len(training["seeds"]) != len(states):
                raise ValueError("It has another number of random generators.")
            if training.get("model", described) != described:
                raise ValueError(_difference(json.loads(training["model"]), json.loads(described)))
            with warnings.catch_warnings():
                # Keras only warns when it leaves out what doesn't fit, such as the state of
                # another optimizer.
                warnings.simplefilter("error", UserWarning)
                model.load_weights(self.path)
            for state, value in zip(states, training["seeds"], strict=True):
                state.assign(value)
        except (ValueError, KeyError, OSError, UserWarning, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{self.path} cannot be restored: it is no checkpoint of this model. {error}"
            ) from error
        self._restored = (model, described)
        return int(training["epoch"])


def _description(model: keras.Model) -> str:
    """What a model and its optimizer are made of, as JSON: the same for what the same code made."""
    parts = {
        "model": serialized(model),
        "optimizer": keras.saving.serialize_keras_object(model.optimizer),
    }
    return json.dumps(_essential(parts), sort_keys=True)


def _essential(config: Any) -> Any:
    """A configuration without what differs between equal models."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key not in _INCIDENTAL}
        return {str(key): _essential(value) for key, value in kept.items()}
    if isinstance(config, list | tuple):
        return [_essential(value) for value in config]
    if config is None or isinstance(config, str | int | float | bool):
        return config
    # A layer or a schedule in a configuration, or a number of NumPy's.
    if hasattr(config, "get_config"):
        return {type(config).__name__: _essential(config.get_config())}
    return _essential(config.tolist()) if hasattr(config, "tolist") else type(config).__name__


def _difference(saved: Any, present: Any, path: str = "") -> str:
    """The first difference of two configurations, in words."""
    if isinstance(saved, dict) and isinstance(present, dict):
        for key in sorted({*saved, *present}):
            if saved.get(key) != present.get(key):
                return _difference(saved.get(key), present.get(key), f"{path}.{key}".strip("."))
    if isinstance(saved, list) and isinstance(present, list) and len(saved) == len(present):
        for number, pair in enumerate(zip(saved, present, strict=True)):
            if pair[0] != pair[1]:
                return _difference(*pair, f"{path}[{number}]")
    return f"Its {path} is {shortened(saved)}, and the model's is {shortened(present)}."


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    """The states of all random generators, which are no weights for Keras and not saved."""
    others = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in others]


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of arrays, shuffled in every epoch in an order that can be repeated.

    The order is a function of the seed and the epoch alone. `fit` shuffles arrays by itself, but
    in an order that depends on all that was drawn before, which a program that starts again can't
    know. Every sample comes once in an epoch; the last batch is smaller where the numbers don't
    divide. Call `fit` with `shuffle=False`, or Keras shuffles the batches among themselves.

    Where several processes train together, each loads its share of every batch. They see the same
    batches as one process would.

    Args:
        arrays: Samples `(num_samples, ...)`, such as pictures; or a tuple of arrays of one length,
            such as pictures and tokens, which are shuffled alike.
        batch_size: Samples in a batch.
        seed: A non-negative integer.

    Raises:
        ValueError: If an array is empty, the lengths differ or a number is out of range.

    Example:
        ```python
        import imagegen
        import numpy as np

        batches = imagegen.ShuffledBatches(np.arange(10), batch_size=4, seed=0)
        assert [len(batches[i]) for i in range(len(batches))] == [4, 4, 2]
        ```
    """

    @checked
    def __init__(self, arrays: Any, batch_size: int, *, seed: int):
        super().__init__()
        given = arrays if isinstance(arrays, tuple) else (arrays,)
        self.arrays: tuple[np.ndarray, ...] = tuple(
            np.asarray(check_kind(array, "arrays", Array)) for array in given
        )
        shapes = [array.shape for array in self.arrays]
        if len({shape[:1] for shape in shapes}) != 1 or shapes[0][:1] in ((), (0,)):
            raise ValueError(
                "`arrays` must hold at least one sample, and equally many each. "
                f"Received: shapes {shapes}"
            )
        self._alone = not isinstance(arrays, tuple)
        self.batch_size: int = check_integer(batch_size, "batch_size", minimum=1)
        self.seed: int = check_integer(seed, "seed", minimum=0)
        self.epoch = 0
        self._running = False

    def __len__(self) -> int:
        return math.ceil(len(self.arrays[0]) / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be from 0 to {len(self) - 1}. Received: index={index}")
        start = index * self.batch_size
        chosen = own_share(self._order[start : start + self.batch_size])
        batch = tuple(array[chosen] for array in self.arrays)
        # A tuple in a tuple: Keras takes the second of a plain pair for targets.
        return batch[0] if self._alone else (batch,)

    @property
    def epoch(self) -> int:
        """The epoch whose batches these are, from 0. Keras moves it on after each."""
        return self._epoch

    @epoch.setter
    @checked
    def epoch(self, epoch: int) -> None:
        self._epoch = check_integer(epoch, "epoch", minimum=0)
        self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.arrays[0]))

    def on_epoch_begin(self) -> None:
        self._running = True

    def on_epoch_end(self) -> None:
        # Keras also calls this before the first epoch begins.
        self.epoch += self._running
        self._running = False
