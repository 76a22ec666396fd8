"""JAX is the default backend, where nobody chose another."""

import json
import os
import sys
from pathlib import Path


def choose_backend() -> None:
    """Sets `KERAS_BACKEND` to JAX, unless the user chose a backend.

    A choice is the environment variable, a Keras that is already imported, or a `keras.json` that
    names another backend than TensorFlow. Keras writes TensorFlow into that file by itself, so
    that name alone is nobody's choice. Nor is an empty variable, to Keras as here.
    """
    if os.environ.get("KERAS_BACKEND") or "keras" in sys.modules:
        return
    home = os.environ.get("KERAS_HOME")
    folder = Path(home) if home else Path.home() / ".keras"
    try:
        chosen = json.loads((folder / "keras.json").read_text()).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        chosen = "tensorflow"
    if chosen == "tensorflow":
        os.environ["KERAS_BACKEND"] = "jax"
