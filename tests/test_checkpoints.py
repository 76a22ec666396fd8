import multiprocessing
import time
import zipfile
from pathlib import Path
from typing import Any

import imagegen

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

NUM_KILLS = 4
JAX = keras.backend.backend() == "jax"


def make_model(width: int = 8) -> imagegen.DiffusionModel:
    """A small network with everything that has a state: averages, batch statistics, dropout."""
    keras.utils.set_random_seed(3)
    points, rates = keras.Input((2,)), keras.Input((1,))
    x = keras.layers.Concatenate()([points, rates])
    x = keras.layers.Dense(width, activation="swish")(x)
    x = keras.layers.BatchNormalization()(x)
    if keras.backend.backend() != "torch":  # Whose dropout draws from a global generator.
        x = keras.layers.Dropout(0.2)(x)
    network = keras.Model([points, rates], keras.layers.Dense(2)(x))
    model = imagegen.DiffusionModel(network, value_range=None)
    model.compile(optimizer=keras.optimizers.AdamW(1e-2))
    return model


def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(70, 2)).astype("float32")


def train(folder: Path, epochs: int, *callbacks: keras.callbacks.Callback) -> keras.Model:
    """The program that is killed and started again: it begins, or goes on, and ends."""
    model = make_model()
    batches = imagegen.ShuffledBatches(points(), batch_size=16, seed=5)
    checkpoint = imagegen.Checkpoint(folder, batches)
    model.fit(
        batches,
        shuffle=False,
        initial_epoch=checkpoint.restore(model),
        epochs=epochs,
        validation_data=(points(),),
        callbacks=[*callbacks, checkpoint],
        verbose=0,
    )
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    """Every number that a model's future depends on."""
    trackers = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in trackers]
    return [keras.ops.convert_to_numpy(v) for v in variables + model.optimizer.variables]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for array1, array2 in zip(first, second, strict=True):
        np.testing.assert_array_equal(array1, array2)


class Announce(keras.callbacks.Callback):
    """Says when an epoch is done and its checkpoint about to be written."""

    def __init__(self, training: Any):
        super().__init__()
        self.training = training

    def on_epoch_end(self, epoch, logs=None):
        self.training.set()


def train_to_file(folder: Path, epochs: int, training: Any) -> None:
    np.savez(folder / "state.npz", *state(train(folder, epochs, Announce(training))))


def saved_state(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "state.npz") as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


@pytest.mark.skipif(not JAX, reason="starts many processes; the other backends resume in-process")
def test_training_that_is_killed_ends_with_the_weights_of_one_that_is_not(tmp_path):
    # Slow, some 15 s: each run compiles its own program. The processes are forked from one that
    # has imported everything and computed nothing.
    epochs = 5 * NUM_KILLS
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()

    def start(folder: Path) -> tuple[Any, float]:
        training = context.Event()
        process = context.Process(target=train_to_file, args=(folder, epochs, training))
        process.start()
        assert training.wait(60)
        return process, time.monotonic()

    process, began = start(whole)
    process.join()
    epoch_seconds = (time.monotonic() - began) / epochs

    resumed_from = []
    for moment in np.random.default_rng(1).uniform(0, 3, NUM_KILLS) * epoch_seconds:
        process, _ = start(killed)
        process.join(moment)
        process.kill()
        process.join()
        resumed_from.append(imagegen.Checkpoint(killed).restore(make_model()))
    assert 0 < resumed_from[-1] < epochs
    start(killed)[0].join()
    assert_equal(saved_state(killed), saved_state(whole))


def test_training_in_two_parts_equals_training_in_one(tmp_path):
    train(tmp_path / "parts", epochs=2)
    parts = train(tmp_path / "parts", epochs=4)
    assert_equal(state(parts), state(train(tmp_path / "one", epochs=4)))


def test_a_file_cut_short_never_takes_the_place_of_a_whole_one(tmp_path, monkeypatch):
    train(tmp_path, epochs=1)

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, epochs=2)
    monkeypatch.undo()
    assert imagegen.Checkpoint(tmp_path).restore(make_model()) == 1


def test_a_checkpoint_takes_the_place_of_the_old_one_in_one_step(tmp_path):
    """Who reads the old file reads it to its end: it was replaced, not written over."""
    train(tmp_path, epochs=1)
    path = tmp_path / "checkpoint.keras"
    content = path.read_bytes()
    with path.open("rb") as old:
        train(tmp_path, epochs=2)
        assert old.read() == content
    assert path.read_bytes() != content


def test_the_checkpoint_is_an_ordinary_keras_file(tmp_path):
    model = train(tmp_path, epochs=1)
    loaded = keras.saving.load_model(tmp_path / "checkpoint.keras")
    np.testing.assert_array_equal(
        loaded.generate(3, num_steps=2, seed=0), model.generate(3, num_steps=2, seed=0)
    )


def test_without_a_checkpoint_nothing_is_restored(tmp_path):
    model = make_model()
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert imagegen.Checkpoint(tmp_path / "missing").restore(model) == 0
    assert_equal(before, [keras.ops.convert_to_numpy(variable) for variable in model.variables])


def test_a_checkpoint_of_another_model_or_no_checkpoint_is_refused(tmp_path):
    model = train(tmp_path, epochs=1)
    checkpoint = imagegen.Checkpoint(tmp_path)
    other_optimizer = make_model()
    other_optimizer.compile(optimizer="sgd")
    with pytest.raises(ValueError, match=r"cannot be restored.*optimizer"):
        checkpoint.restore(other_optimizer)
    with pytest.raises(ValueError, match=r"checkpoint\.keras cannot be restored"):
        checkpoint.restore(make_model(width=9))
    model.save(checkpoint.path)
    with pytest.raises(ValueError, match=r"cannot be restored: it is no checkpoint"):
        checkpoint.restore(make_model())
    checkpoint.path.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match="cannot be restored"):
        checkpoint.restore(make_model())
    uncompiled = imagegen.DiffusionModel(model.network, value_range=None)
    with pytest.raises(ValueError, match="`model` must be built and compiled"):
        checkpoint.restore(uncompiled)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32), st.integers(0, 5))
def test_every_sample_comes_once_in_an_epoch(num_samples, batch_size, seed, epoch):
    batches = imagegen.ShuffledBatches(np.arange(num_samples), batch_size, seed=seed)
    batches.epoch = epoch
    seen = np.concatenate([batches[index] for index in range(len(batches))])
    assert sorted(seen) == list(range(num_samples))
    assert {len(batches[index]) for index in range(len(batches) - 1)} <= {batch_size}


@given(st.integers(1, 40), st.integers(1, 12))
def test_arrays_of_a_tuple_stay_together(num_samples, batch_size):
    numbers = np.arange(num_samples)
    batches = imagegen.ShuffledBatches((numbers, 10 * numbers), batch_size, seed=0)
    (first, second), *nothing = batches[len(batches) - 1]
    assert not nothing
    np.testing.assert_array_equal(10 * first, second)


@given(st.integers(0, 2**32), st.integers(0, 9), st.integers(0, 9))
def test_the_order_depends_on_seed_and_epoch_alone(seed, epoch, other):
    batches, again = (imagegen.ShuffledBatches(np.arange(99), 99, seed=seed) for _ in range(2))
    batches.epoch = other
    batches.epoch = again.epoch = epoch
    np.testing.assert_array_equal(batches[0], again[0])
    again.epoch = other
    assert np.array_equal(batches[0], again[0]) == (epoch == other)


def test_fit_shuffles_anew_in_every_epoch_and_checkpoints_name_the_epoch(tmp_path):
    orders = []

    class Recorder(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            orders.append((epoch, batches.epoch, batches[0].tolist()))

    model = make_model()
    batches = imagegen.ShuffledBatches(points(), batch_size=32, seed=0)
    checkpoint = imagegen.Checkpoint(tmp_path, batches)
    model.fit(batches, shuffle=False, epochs=3, callbacks=[checkpoint, Recorder()], verbose=0)
    assert [order[:2] for order in orders] == [(0, 0), (1, 1), (2, 2)]
    assert orders[0][2] != orders[1][2] != orders[2][2]


def test_without_checkpoints_too_the_first_epoch_is_the_first():
    epochs = []

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            epochs.append(batches.epoch)

    batches = imagegen.ShuffledBatches(points(), batch_size=70, seed=0)
    make_model().fit(batches, shuffle=False, epochs=3, callbacks=[Recorder()], verbose=0)
    assert epochs == [0, 1, 2]


def test_there_is_no_batch_after_the_last():
    batches = imagegen.ShuffledBatches(np.arange(5), 2, seed=0)
    for index in (-1, 3):
        with pytest.raises(IndexError, match="`index` must be from 0 to 2"):
            batches[index]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("arrays", []),
        ("arrays", (np.zeros(2), np.zeros(3))),
        ("batch_size", 0),
        ("seed", -1),
        ("epoch", -1),
    ],
)
def test_batches_refuse_what_they_cannot_do(argument, value):
    arguments = {"arrays": [1.0], "batch_size": 1, "seed": 0} | {argument: value}
    epoch = arguments.pop("epoch", 0)
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        imagegen.ShuffledBatches(**arguments).epoch = epoch


OTHERS = {
    "schedule": {"schedule": imagegen.FlowSchedule()},
    "prediction": {"prediction": imagegen.VelocityPrediction()},
    "loss": {"loss": "mean_squared_error"},
    "averaging": {"averaging": 0.9},
}


def untrained(optimizer=None, **options) -> imagegen.DiffusionModel:
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=4), value_range=None, **options)
    model.compile(optimizer=optimizer or keras.optimizers.Adam(1e-2))
    return model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> imagegen.Checkpoint:
    checkpoint = imagegen.Checkpoint(tmp_path_factory.mktemp("another"))
    model = untrained()
    checkpoint.set_model(model)
    model.optimizer.build(model.trainable_variables)
    checkpoint.on_train_begin()
    # As a callback may, which is no reason to refuse.
    model.optimizer.learning_rate = 1e-3
    checkpoint.on_epoch_end(0)
    return checkpoint


@pytest.mark.parametrize("part", OTHERS)
def test_a_checkpoint_of_other_formulas_is_refused(part, checkpoint):
    model = untrained(**OTHERS[part])
    before = model.network.get_weights()
    with pytest.raises(ValueError, match=f"no checkpoint of this model.*{part}"):
        imagegen.Checkpoint(checkpoint.path.parent).restore(model)
    assert_equal(before, model.network.get_weights())


@pytest.mark.parametrize(("optimizer", "rate"), [("Adam", 0.1), ("AdamW", 1e-2)])
def test_a_checkpoint_of_another_optimizer_is_refused(optimizer, rate, checkpoint):
    model = untrained(getattr(keras.optimizers, optimizer)(rate))
    with pytest.raises(ValueError, match=r"no checkpoint of this model.*optimizer"):
        imagegen.Checkpoint(checkpoint.path.parent).restore(model)


def test_a_checkpoint_of_the_same_program_is_not(checkpoint):
    model = untrained()
    assert imagegen.Checkpoint(checkpoint.path.parent).restore(model) == 1
    assert abs(float(model.optimizer.learning_rate.value) - 1e-3) < 1e-9
