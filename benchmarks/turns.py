"""Contenders that take turns, so that a busy machine slows all of them."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial


def median_seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Returns the median seconds of each contender; a first round only compiles."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


@contextmanager
def processes(
    script: str, backends: Mapping[str, str]
) -> Iterator[dict[str, Callable[[], object]]]:
    """Starts a script once for each contender, with its name, on its backend; `serve` is there.

    A backend is chosen once a process. Yields what has each do its work once, and ends them all.
    """
    started = {
        name: subprocess.Popen(
            [sys.executable, script, name],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, backend in backends.items()
    }
    try:
        yield {name: partial(ask, name, process) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def ask(name: str, process: subprocess.Popen) -> None:
    """Has a contender do its work once, and waits until it is done."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # Then it doesn't answer, either.
        process.stdin.write("go\n")
        process.stdin.flush()
    if not process.stdout.readline():
        raise SystemExit(
            f"{name} ended with exit status {process.wait()} before its turn was over. "
            "What it said is above; -9 is what a full memory leaves behind."
        )


def serve(run: Callable[[], object]) -> None:
    """Does a contender's work once for each line that comes in, and answers when it is done."""
    for _ in sys.stdin:
        run()
        print("done", flush=True)
