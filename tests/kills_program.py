"""Run by test_saving.py: kills a process, as -9 does, before each thing that it does to a folder.

It forks for each kill, and what it forks only writes. So the start is paid for once.
"""

import functools
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import imagegen

import keras
import numpy as np

FOLDER = Path(sys.argv[1])
MOST = 60


def killed(work: Callable[[], object], folder: Path, moment: int) -> bool:
    """Whether a process was killed before it had touched `folder` more than `moment` times."""
    process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        assert status in (0, signal.SIGKILL), status
        return status != 0
    count = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal count
        if event.startswith(("open", "os.")) and any(str(folder) in str(one) for one in arguments):
            count += 1
            if count > moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        work()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def model_of(number: float) -> imagegen.DiffusionModel:
    keras.utils.set_random_seed(0)
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=8), value_range=None)
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, number))
    return model


def the_number(arrays: list[np.ndarray]) -> float:
    """The number that all of these are."""
    (number,) = {float(one) for array in arrays for one in np.ravel(array)}
    return number


def read_model(path: Path) -> float:
    return the_number(keras.saving.load_model(path).get_weights())


def read_checkpoint(path: Path) -> float:
    model = model_of(0)
    epoch = imagegen.Checkpoint(path.parent).restore(model)
    assert epoch == the_number(model.get_weights())
    return epoch


def read_concept(path: Path) -> float:
    return the_number([imagegen.Concept.load(path).vector])


def write_checkpoint(model: imagegen.DiffusionModel, path: Path) -> None:
    checkpoint = imagegen.Checkpoint(path.parent)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(int(the_number(model.get_weights())) - 1)


NUMBERS = (1, 2)
old, new = map(model_of, NUMBERS)
concepts = [imagegen.Concept("<x>", np.full(4000, number, "float32")) for number in NUMBERS]
# The file, how it is read, and how the old and the new one are written.
KINDS = {
    "save": ("m.keras", read_model, old.save, new.save),
    "save_preset": ("p.keras", read_model, old.save_preset, new.save_preset),
    "Checkpoint": (
        "checkpoint.keras",
        read_checkpoint,
        *(functools.partial(write_checkpoint, model) for model in (old, new)),
    ),
    "Concept.save": ("c.json", read_concept, *(concept.save for concept in concepts)),
}


def found(kind: str, moment: int) -> dict:
    """What is in a folder after a kill while something new was written over something old."""
    name, read, write_old, write_new = KINDS[kind]
    folder = FOLDER / f"{kind}-{moment}"
    folder.mkdir()
    path = folder / name
    write_old(path)
    end = killed(lambda: write_new(path), folder, moment)
    try:
        state = {NUMBERS[0]: "old", NUMBERS[1]: "new"}[read(path)]
    except Exception as error:
        state = repr(error)
    left = sorted(entry.name for entry in folder.iterdir() if entry != path)
    return {"killed": end, "state": state, "left": left}


def main() -> None:
    # Nothing is computed after the fork, which JAX can't know.
    warnings.simplefilter("ignore")
    answers = {}
    for kind in KINDS:
        answers[kind] = []
        while not answers[kind] or (answers[kind][-1]["killed"] and len(answers[kind]) < MOST):
            answers[kind].append(found(kind, len(answers[kind])))
    print(json.dumps(answers))


main()
