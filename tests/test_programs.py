"""Compiled programs outlive their process, and none is taken for another."""

import json
import os
import subprocess
import sys
from pathlib import Path

from imagegen._programs import remove_oldest

import pytest

# Two models of the same weights that differ in a formula, which is compiled in.
PROGRAM = """
import json, sys
import imagegen, jax, keras
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event.endswith("compilation_cache/cache_hits") else 0
)
pictures = []
for prediction in (imagegen.NoisePrediction(), imagegen.VelocityPrediction()):
    keras.utils.set_random_seed(0)
    network = imagegen.UNet(8, [8], block_depth=1)
    network.layers[-1].kernel.assign(0.1 + 0 * network.layers[-1].kernel)
    model = imagegen.DiffusionModel(network, prediction=prediction, value_range=None)
    pictures.append(model.generate(1, num_steps=3, seed=0).tolist())
print(json.dumps({"hits": len(hits), "pictures": pictures}))
"""


def paint(cache: Path, **environment: str) -> dict:
    """What a process of its own counts and paints."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("JAX_ENABLE_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR")
    }
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**inherited, "KERAS_BACKEND": "jax", "IMAGEGEN_CACHE": str(cache), **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, dict]:
    """A cache folder, and what the process painted that filled it."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, paint(folder)


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*-cache"))


def test_a_second_process_loads_what_the_first_has_compiled(first):
    folder, painted = first
    assert entries(folder)
    again = paint(folder)
    assert again["hits"] > painted["hits"]
    assert again["pictures"] == painted["pictures"]


def test_another_formula_is_another_program(first):
    _, painted = first
    noise, velocity = painted["pictures"]
    assert noise != velocity


def test_a_damaged_program_is_compiled_anew(first):
    folder, painted = first
    for path in entries(folder):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert paint(folder)["pictures"] == painted["pictures"]


@pytest.mark.parametrize("switch", ["JAX_ENABLE_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR"])
def test_the_user_decides(first, tmp_path, switch):
    elsewhere = tmp_path / "elsewhere"
    value = "false" if "ENABLE" in switch else str(elsewhere)
    everything = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    painted = paint(tmp_path / "unused", **{switch: value}, **everything)
    assert painted["pictures"] == first[1]["pictures"]
    assert not entries(tmp_path / "unused")
    assert bool(entries(elsewhere)) == (switch == "JAX_COMPILATION_CACHE_DIR")


def test_where_nothing_can_be_written_nothing_is_kept(first, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert paint(in_the_way)["pictures"] == first[1]["pictures"]


def test_the_oldest_programs_make_room(tmp_path):
    for number in range(5):
        path = tmp_path / str(number)
        path.write_bytes(bytes(1 << 17))
        os.utime(path, (number, number))
    remove_oldest(tmp_path, 3 << 17)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4"]
    for path in tmp_path.iterdir():
        path.write_bytes(b"small")
    remove_oldest(tmp_path, 1 << 17)
    assert len(list(tmp_path.iterdir())) == 2, "small ones count as 64 KiB"
