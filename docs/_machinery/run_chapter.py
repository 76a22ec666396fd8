"""Runs one chapter and writes what came of it into a folder: `run_chapter.py CHAPTER FOLDER`.

Says on stdout, a line of JSON each, how far it is. The folder appears whole or not at all. When the
chapter fails, it holds what the cells before had to show, and `failure.json`. When the program that
started this one is gone, this one goes, too.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
import notebooks
from chapter_markdown import Writer, line_of
from filelock import FileLock
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

MACHINERY = Path(__file__).parent
CELL_SECONDS = 600
FLAGS = ["--xla_backend_optimization_level=1"]
# XLA ends the process at a flag that it doesn't know.
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 12):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
# What a chapter's process is told, unless the caller's environment says otherwise. A third of a
# chapter's time goes into compiling. So one chapter's programs serve all others, and are optimized
# less: that is quicker there and as quick afterwards, as convolutions come from a library.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "TQDM_DISABLE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "XLA_FLAGS": " ".join(FLAGS),
    "JAX_COMPILATION_CACHE_DIR": str(MACHINERY.parents[1] / ".cache" / "programs"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
SETUP = f"""
import sys
sys.path.append({str(MACHINERY)!r})
__import__("figures").install()
sys.path.pop()
del sys
"""
# Keras imports TensorFlow in places where it only asks for it: three seconds of work that a chapter
# on JAX makes no use of. KerasHub does.
WITHOUT_TENSORFLOW = """
import sys
class Hidden:
    def find_spec(name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden)
del Hidden
"""


def say(**message) -> None:
    print(json.dumps(message), flush=True)


def leave_with(parent: int) -> None:
    """Ends this process, and with it the kernel, when `parent` is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def run(chapter: Path, folder: Path) -> None:
    """Runs the chapter, unless another build has just done so."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if (folder / "page.md").is_file():
            return
        for left in folder.parent.glob("partial-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        text = chapter.read_text("utf-8")
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        try:
            notebook, failure = execute(text)
            Writer(partial, chapter.stem).write(notebook)
            kept = notebooks.kept(notebook.cells[1:])  # Without what sets up the kernel.
            (partial / "notebook.ipynb").write_text(nbformat.writes(kept), "utf-8")
            if failure:
                (partial / "failure.json").write_text(json.dumps(failure), "utf-8")
                say(failure=failure)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def execute(text: str) -> tuple[nbformat.NotebookNode, dict | None]:
    """Executes a chapter in a kernel and a folder of its own; and says what failed, if it did."""
    notebook = jupytext.reads(text, "py:percent")
    setup = SETUP if re.search("sd3|keras_hub|tensorflow", text) else WITHOUT_TENSORFLOW + SETUP
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup, metadata={"tags": ["hide"]}))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    done: list[int] = []

    def progress(cell, cell_index, **_):
        if cell.cell_type == "code":
            done.append(cell_index)
            say(done=len(done), cells=len(cells))

    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            on_cell_executed=progress,
            resources={"metadata": {"path": folder}},
            timeout=CELL_SECONDS,
        )
        kept = {"env": {**ENVIRONMENT, **os.environ}}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with client.setup_kernel(**kept, **quiet):
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index, execution_count=index + 1)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                    line, reason = told(error)
                    line = line_of(text, len(notebook.cells) - index, line)
                    return notebook, {"line": line, "error": reason}
    return notebook, None


def told(error: Exception) -> tuple[int, str]:
    """The line of the cell that failed, counted from 1, and the error in a sentence."""
    if isinstance(error, CellTimeoutError):
        return 1, f"the cell takes longer than {CELL_SECONDS} seconds"
    if isinstance(error, DeadKernelError):
        return 1, "the kernel died; perhaps the memory was full"
    # The first of the lines that the traceback names is the cell's own.
    found = re.search(r"Cell In\[\d+\], line (\d+)", re.sub(r"\x1b\[[0-9;]*m", "", error.traceback))
    return int(found[1]) if found else 1, f"{error.ename}: {error.evalue}"


def main() -> None:
    chapter, folder = map(Path, sys.argv[1:])
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    try:
        run(chapter, folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        say(stopped=f"the disk is full: {folder} could not be written. Make room and run again.")
    except KeyboardInterrupt:
        os._exit(130)  # At once: what waits for the kernel has nobody to complain to.


if __name__ == "__main__":
    main()
