"""Runs the chapters whose results are missing, several at a time.

    python docs/_machinery/execute.py                  all of them, the longest first
    python docs/_machinery/execute.py samplers         this one, with a reader's patience
    python docs/_machinery/execute.py --follow SITE    in reading order, and again after each
                                                       change; what is done goes into the site

A chapter that fails stops no other. The exit status is 1 when one failed. What is done is kept, so
after an interruption the same command goes on from there.
"""

import argparse
import errno
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import chapter_store
import dependencies
from chapter_store import ROOT, Chapter
from run_chapter import leave_with
from tqdm import tqdm

MACHINERY = Path(__file__).parent
# What a chapter may need at its peak, in bytes.
MEMORY = 3 << 30
# So much room compiled programs may take, in bytes.
PROGRAMS = 1 << 30
OFFLINE = {"IMAGEGEN_OFFLINE": "1"}
FETCH = """
import sys
from imagegen import datasets
try:
    for name in sys.argv[1:]:
        getattr(datasets, name)({"digits": "mnist", "flowers": "oxford"}[name])
except OSError:
    sys.exit(1)
"""


class Run:
    """A chapter that is being run in a process of its own."""

    def __init__(self, chapter: Chapter, environment: dict[str, str]):
        self.chapter = chapter
        self.start = time.monotonic()
        self.share = 0.0
        self.stopped = ""
        command = [sys.executable, MACHINERY / "run_chapter.py", chapter.path, chapter.folder]
        chapter.log.parent.mkdir(parents=True, exist_ok=True)
        with chapter.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is this program's business alone.
            )
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line)
            if "cells" in message:
                self.share = message["done"] / message["cells"]
            self.stopped = message.get("stopped", self.stopped)

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def cancel(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Progress:
    """One bar for all chapters: how many are done, what runs, and how long it will take.

    Where nobody sees a bar, in a log, each chapter gets a line when it is done.
    """

    def __init__(self, chapters: Sequence[Chapter], jobs: int):
        self.chapters = chapters
        self.jobs = jobs
        self.start = time.monotonic()
        self.expected = {chapter.name: chapter.seconds for chapter in chapters}
        self.missing = sum(c.seconds for c in chapters if not c.is_done)
        self.bar = tqdm(
            total=1.0,
            bar_format="{percentage:3.0f}% {bar:16} {desc}",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            leave=False,
        )

    def show(self, running: Sequence[Run]) -> None:
        done = sum(chapter.is_done for chapter in self.chapters)
        titles = ", ".join(run.chapter.title for run in running)
        self.bar.n = 1 - self.left(running) / max(self.missing, 1e-9)
        self.bar.set_description_str(
            f"{done} of {len(self.chapters)} chapters, {self.time_left(running)}: {titles}"
        )

    def left(self, running: Sequence[Run]) -> float:
        """The seconds of running that are left, if one chapter ran at a time."""
        begun = {run.chapter.name: run for run in running}
        return sum(
            self.expected[c.name] * (1 - begun[c.name].share if c.name in begun else 1)
            for c in self.chapters
            if not c.is_done and not c.failure
        )

    def time_left(self, running: Sequence[Run]) -> str:
        left = self.left(running)
        elapsed, worked = time.monotonic() - self.start, self.missing - left
        # As quick as so far, once enough is done to tell.
        seconds = left * (elapsed / worked if worked > 30 else 1 / self.jobs)
        return f"{seconds / 60:.0f} minutes left" if seconds > 90 else f"{seconds:.0f} s left"

    def tell(self, text: str) -> None:
        with self.bar.external_write_mode(sys.stdout):
            print(text, flush=True)

    def ended(self, run: Run, running: Sequence[Run]) -> None:
        chapter = run.chapter
        if chapter.failure:
            self.tell(chapter.complaint)
        elif run.stopped:
            self.tell(f"{chapter.title}: {run.stopped}")
        elif not chapter.is_done:
            self.tell(
                f"{chapter.title} has no result, and {chapter.log.relative_to(ROOT)} says why."
            )
        elif self.bar.disable:
            done = sum(c.is_done for c in self.chapters)
            self.tell(
                f"{chapter.title}: {run.seconds:.0f} s ({done} of {len(self.chapters)} chapters, "
                f"{self.time_left(running)})"
            )

    def close(self) -> None:
        self.bar.close()


class Renderer(threading.Thread):
    """Builds the site beside the one that is served, and moves over what is new, when told to.

    The server's own way would be to build in its place: nobody could read meanwhile, and every page
    that is open would be loaded again, the finished ones, too.
    """

    def __init__(self, site: Path):
        super().__init__(daemon=True)
        self.site = site
        self.wanted = threading.Event()
        self.over = False
        self.process: subprocess.Popen | None = None

    def run(self) -> None:
        while self.wanted.wait() and not self.over:
            self.wanted.clear()
            keys = [chapter.key for chapter in chapter_store.all_chapters()]
            with tempfile.TemporaryDirectory() as folder:
                built = self.build(folder)
                changed = keys != [chapter.key for chapter in chapter_store.all_chapters()]
                if built and not changed:  # Else the server itself reports it, or builds anew.
                    move_over(Path(folder), self.site)

    def build(self, folder: str) -> bool:
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder]
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "IMAGEGEN_PENDING": "1"}
        silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, **silence)
        return self.process.wait() == 0

    def stop(self) -> None:
        self.over = True
        self.wanted.set()
        if self.process is not None:
            self.process.terminate()
        self.join(10)


def move_over(folder: Path, site: Path) -> None:
    """Replaces what differs, file by file; pictures come before the pages that show them."""
    for path in sorted(folder.rglob("*.*"), key=lambda path: path.suffix == ".html"):
        target = site / path.relative_to(folder)
        if path.is_dir() or (target.is_file() and filecmp.cmp(path, target, shallow=False)):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}")
        shutil.copyfile(path, partial)
        partial.replace(target)


def execute(
    wanted: Callable[[], list[Chapter]],
    jobs: int,
    environment: dict[str, str],
    renderer: Renderer | None = None,
) -> list[Chapter]:
    """Runs chapters until all are done, or for ever; returns those that are not done in the end.

    Args:
        wanted: Gives the chapters as they are now, the one to run first in front.
        jobs: How many run at a time.
        environment: Further variables for the chapters.
        renderer: Renders each result, and then chapters are run again when they change, for ever.
    """
    chapters = wanted()
    running: list[Run] = []
    tried: set[Chapter] = set()
    progress = Progress(chapters, jobs)
    watched = snapshot()
    try:
        while renderer or running or any(not_done(chapters, tried)):
            if renderer and (now := snapshot()) != watched:
                watched, chapters = now, wanted()
                progress.close()
                progress = Progress(chapters, jobs)
                for run in running:
                    if run.chapter not in chapters:
                        run.cancel()
                        tried.discard(run.chapter)  # An edit that is undone brings it back.
            for run in [run for run in running if run.is_over]:
                running.remove(run)
                run.reader.join()
                if run.chapter.is_done:
                    run.chapter.took(run.seconds)
                if run.chapter in chapters:
                    progress.ended(run, running)
                    if renderer:
                        renderer.wanted.set()
            waiting = not_done(chapters, tried)
            while waiting and len(running) < jobs:
                tried.add(waiting[0])
                running.append(Run(waiting.pop(0), environment))
            if running:
                progress.show(running)
            elif renderer:
                progress.close()
            time.sleep(0.3)
    finally:
        for run in running:
            run.cancel()
        progress.close()
    return [chapter for chapter in chapters if not chapter.is_done]


def not_done(chapters: Sequence[Chapter], tried: set[Chapter]) -> list[Chapter]:
    return [c for c in chapters if c not in tried and not c.is_done]


def snapshot() -> dict[Path, int]:
    """When each file that chapters may depend on was last changed."""
    folders = (ROOT / "docs" / "learn", ROOT / "src", MACHINERY)
    paths = [ROOT / "mkdocs.yml", *(path for folder in folders for path in folder.rglob("*.*"))]
    return {path: path.stat().st_mtime_ns for path in paths if path.suffix != ".pyc"}


def fetch_data(chapters: Sequence[Chapter]) -> dict[str, str]:
    """Downloads what chapters read, once for all; without a network, tells them not to try."""
    texts = [chapter.path.read_text("utf-8") for chapter in chapters if not chapter.is_done]
    missing = {name for text in texts for name in dependencies.reads(text)}
    missing = sorted(name for name in missing if not dependencies.data_files(name))
    if not missing or "IMAGEGEN_OFFLINE" in os.environ:
        return {}
    command = [sys.executable, "-c", FETCH, *missing]
    environment = {"KERAS_BACKEND": "jax", **os.environ}
    if subprocess.run(command, env=environment, check=False).returncode == 0:
        return {}
    print("No network: the chapters use the data that come with the package.", flush=True)
    return OFFLINE


def prune(folder: Path) -> None:
    """Removes the oldest of the compiled programs, when they have become too many."""
    found = []
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # Another build may be at it, too.
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    room = PROGRAMS
    for _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0:
            path.unlink(missing_ok=True)


def num_jobs() -> int:
    """As many chapters at a time as there are cores and memory for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 8 << 30
    return max(1, min(cores or 1, memory // MEMORY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="chapters, such as samplers; by default all")
    parser.add_argument("--jobs", type=int, default=num_jobs(), help="how many at a time")
    parser.add_argument("--follow", type=Path, metavar="SITE", help="go on, for a site served")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.follow:
        threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    known = {chapter.name for chapter in chapter_store.all_chapters()}
    if unknown := set(options.names) - known:
        parser.error(f"no such chapter: {', '.join(sorted(unknown))}. There are {sorted(known)}")

    def wanted() -> list[Chapter]:
        chapters = chapter_store.all_chapters()
        chosen = [c for c in chapters if not options.names or c.name in options.names]
        return chosen if options.follow else sorted(chosen, key=lambda c: -c.seconds)

    prune(ROOT / ".cache" / "programs")
    for chapter in wanted():
        if chapter.failure:
            chapter.forget()
    environment = fetch_data(wanted())
    try:
        if options.follow:
            renderer = Renderer(options.follow)
            renderer.start()
            try:
                execute(wanted, options.jobs, environment, renderer)
            finally:
                renderer.stop()
        failed = execute(wanted, options.jobs, environment)
    except KeyboardInterrupt:
        sys.exit("Stopped. What is done is kept: the same command goes on from here.")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit("The disk is full. Make room and run again: what is done is kept.")
    if failed:
        sys.exit(f"{len(failed)} of the chapters failed.")


if __name__ == "__main__":
    main()
