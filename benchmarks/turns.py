"""Contenders that take turns, so that a busy machine slows all of them."""

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping


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


def asks(process: subprocess.Popen) -> Callable[[], object]:
    """Returns a contender in a process of its own, which runs once for each line that it reads."""
    assert process.stdin is not None
    assert process.stdout is not None
    write, read = process.stdin, process.stdout

    def run() -> None:
        write.write("go\n")
        write.flush()
        if not read.readline():
            raise RuntimeError(f"{process.args} has ended")

    return run
