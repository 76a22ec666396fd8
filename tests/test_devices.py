"""Many devices learn and paint what one does, and several processes what one would.

The devices are eight that JAX is told to see in one CPU, and the processes meet on this machine.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

HERE = Path(__file__).parent
# Many times what it takes on a machine that does nothing else.
SECONDS = 600

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution divides work on JAX alone"
)


def start(program: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, HERE / program, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process: subprocess.Popen) -> tuple[str, str]:
    """Output and errors of a process, which is gone afterwards, whatever happens."""
    with process:
        try:
            return process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def answers(process: subprocess.Popen) -> dict:
    output, errors = printed(process)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    return answers(start("devices_program.py", tmp_path_factory.mktemp("checkpoints")))


def assert_same_training(one: dict, other: dict, epochs: int = 2) -> None:
    np.testing.assert_allclose(one["losses"][-epochs:], other["losses"][-epochs:], rtol=3e-6)
    np.testing.assert_allclose(one["weights"], other["weights"], rtol=1e-5, atol=1e-5)
    # A level of difference where rounding was close.
    assert np.abs(np.subtract(one["pictures"], other["pictures"])).max() <= 1


@pytest.mark.parametrize("count", ["2", "8"])
def test_devices_that_share_a_batch_train_and_paint_as_one(found, count):
    assert found["on"][count]["devices"] == int(count)
    assert_same_training(found["on"]["1"], found["on"][count])


def test_a_network_that_is_spread_over_devices_is_the_same(found):
    assert found["split"]["split"] >= 10, "kernels lie on one device each"
    assert_same_training(found["on"]["1"], found["split"])


def test_sampling_is_shared(found):
    assert found["shares"] == 8
    # A number of pictures that doesn't divide is painted all the same.
    assert np.abs(np.subtract(found["on"]["8"]["few"], found["on"]["1"]["few"])).max() <= 1


def test_noise_does_not_repeat_across_devices(found):
    pictures = np.array(found["on"]["8"]["pictures"])
    same_prompt = pictures[::2]
    for first in range(4):
        for second in range(first):
            assert (same_prompt[first] != same_prompt[second]).mean() > 0.5


def test_what_does_not_divide_is_refused_before_the_first_step(found):
    size, rest, data = found["refused"]
    for message in (size, rest, data):
        assert message.startswith("True: "), "the model has changed"
    assert "`batch_size` must be a multiple of 8" in size
    assert "14 in the last batch" in rest
    assert "divided equally between 8 devices" in data


@pytest.mark.parametrize("way", ["8 to 1", "1 to 8"])
def test_a_checkpoint_goes_on_with_another_number_of_devices(found, way):
    assert len(found[way]["losses"]) == 1
    assert_same_training(found["on"]["1"], found[way], epochs=1)


def test_two_processes_train_as_one_and_go_on_after_one_was_killed(tmp_path):
    def train(folder: str, end: str, count: int) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [
            start("processes_program.py", number, count, port, tmp_path / folder, end)
            for number in range(count)
        ]

    alone = answers(*train("one", "whole", 1))
    survivor, victim = train("two", "killed", 2)
    # The end of one is an error of the other, and not a wait without end.
    _, errors = printed(survivor)
    printed(victim)
    assert survivor.returncode != 0
    assert errors

    first, second = map(answers, train("two", "whole", 2))
    assert first == second
    assert first["done"] == 1, "the first epoch is not done again"
    assert (alone["devices"], first["devices"]) == (2, 4)
    assert_same_training(alone, first, epochs=1)
