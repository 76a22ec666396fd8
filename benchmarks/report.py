"""What a benchmark found, as one line beside its claim, and where asked as a row of the table.

Every script says `report(claim, result)`. `nox -s benchmarks` sets `IMAGEGEN_BENCHMARKS_TABLE`, the
path of the table, and then each result is also a new row there, with its date, the machine and the
versions. So no figure is typed.
"""

import datetime
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

_LINE = "claim: {claim}; result: {result}"
# What a script imports of these is what its row names.
_PACKAGES = {
    "keras": "Keras",
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "keras_hub": "KerasHub",
    "diffusers": "diffusers",
    "denoising_diffusion_pytorch": "denoising-diffusion-pytorch",
    "torchmetrics": "torchmetrics",
    "cleanfid": "clean-fid",
    "torchvision": "torchvision",
}
# The table is the only one whose header begins so.
_HEADER = "| date | machine |"


def report(claim: str, result: str, *packages: str) -> None:
    """Prints a claim and what came of it; adds them to the table that the environment names.

    Args:
        claim: What the project says, or "none".
        result: What was measured.
        packages: Further packages that other processes of the script imported, by module name.
    """
    print(_LINE.format(claim=claim, result=result), flush=True)
    table = os.environ.get("IMAGEGEN_BENCHMARKS_TABLE")
    if table:
        path = Path(table)
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        cells = (str(datetime.date.today()), _machine(), _versions(packages), f"`{command}`")
        row = "| " + " | ".join((*cells, claim, result)).replace("\n", " ") + " |"
        path.write_text(_with_row(path.read_text(encoding="utf-8"), row), encoding="utf-8")


def _with_row(text: str, row: str) -> str:
    """Returns a text with one more row at the end of its table of results."""
    lines = text.split("\n")
    end = next(i for i, line in enumerate(lines) if line.startswith(_HEADER))
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[:end], row, *lines[end:]])


def _machine() -> str:
    """Processor and cores, and whether others had work for them."""
    cores = os.cpu_count() or 1
    machine = platform.machine().replace("x86_64", "x86-64")
    # The script itself keeps all cores busy: what is above that is others'.
    shared = hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.5 * cores
    return f"{cores} {'shared ' if shared else ''}cores, {machine}"


def _versions(packages: tuple[str, ...]) -> str:
    seen = [module for module in _PACKAGES if module in sys.modules or module in packages]
    return ", ".join(f"{_PACKAGES[module]} {_version(module).split('+')[0]}" for module in seen)


def _version(module: str) -> str:
    names = metadata.packages_distributions().get(module, [module])
    return metadata.version(names[0])
