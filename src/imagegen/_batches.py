"""Arrays through a function in batches of one size."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm


def in_batches(
    function: Callable[[Any], Any], inputs: Any, batch_size: int, label: str
) -> list[np.ndarray]:
    """Returns what `function` makes of `inputs`, as float32 arrays with a row for each of them.

    The last batch is filled up with zeros: what is compiled for one batch serves any number of
    inputs. It shows a progress bar when it takes more than a second.

    Args:
        function: From a batch to a tensor or several, in any nesting.
        inputs: An array `(num_inputs, ...)` of at least one, or several in any nesting.
        batch_size: How many inputs are computed at a time.
        label: What the progress bar says.
    """
    count, outputs = len(keras.tree.flatten(inputs)[0]), []
    for start in tqdm(range(0, count, batch_size), desc=label, delay=1, leave=False):
        size = min(batch_size, count - start)

        def filled(array: np.ndarray, start: int = start, size: int = size) -> np.ndarray:
            padding = [(0, batch_size - size)] + [(0, 0)] * (array.ndim - 1)
            return np.pad(array[start : start + size], padding)

        tensors = keras.tree.flatten(function(keras.tree.map_structure(filled, inputs)))
        arrays = (ops.convert_to_numpy(ops.cast(tensor, "float32")) for tensor in tensors)
        outputs.append([array[:size] for array in arrays])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
