"""JAX is the default backend, and never replaces one that somebody chose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[1] / "src" / "imagegen" / "_backend.py"


def chosen(home, *, variable=None, before=""):
    """Returns `KERAS_BACKEND` after `choose_backend` in a new process: empty where it is unset.

    The module is run from its file: importing it by name would import the package, and Keras.
    """
    code = f"""
import os, runpy
{before}
runpy.run_path({str(MODULE)!r})["choose_backend"]()
print(os.environ.get("KERAS_BACKEND", ""))
"""
    environment = {name: text for name, text in os.environ.items() if name != "KERAS_BACKEND"}
    environment["KERAS_HOME"] = str(home)
    if variable is not None:
        environment["KERAS_BACKEND"] = variable
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return run.stdout.strip()


@pytest.mark.parametrize("variable", [None, ""])
def test_jax_is_the_default(tmp_path, variable):
    assert chosen(tmp_path, variable=variable) == "jax"


@pytest.mark.parametrize(
    "content",
    ['{"backend": "tensorflow"}', '{"floatx": "float32"}', '{"backend": ', "[]", "\udcff", ""],
)
def test_a_keras_json_that_is_nobodys_choice_changes_nothing(tmp_path, content):
    # Keras writes TensorFlow into the file by itself. The rest is damaged, or names no backend.
    (tmp_path / "keras.json").write_text(content, "utf-8", errors="surrogateescape")
    assert chosen(tmp_path) == "jax"


@pytest.mark.parametrize("variable", [None, ""])
def test_a_keras_json_that_names_another_backend_is_a_choice(tmp_path, variable):
    # Keras reads the file itself: the variable stays as it was.
    (tmp_path / "keras.json").write_text('{"backend": "torch"}', "utf-8")
    assert chosen(tmp_path, variable=variable) == ""


@pytest.mark.parametrize("variable", ["tensorflow", "torch", "jax"])
def test_the_variable_is_a_choice(tmp_path, variable):
    assert chosen(tmp_path, variable=variable) == variable


def test_a_keras_that_is_imported_already_keeps_its_backend(tmp_path):
    # Another module stands for Keras, whose import takes seconds.
    assert chosen(tmp_path, before="import sys; sys.modules['keras'] = os") == ""
