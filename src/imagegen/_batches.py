"""Arrays through a function in batches of one size."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm


def in_batches(
    function: Callable[[np.ndarray], Any], inputs: np.ndarray, batch_size: int, label: str
) -> list[np.ndarray]:
    """Returns what `function` makes of `inputs`, as float32 arrays with a row for each of them.

    The last batch is filled up with zeros: what is compiled for one batch serves any number of
    inputs. It shows a progress bar when it takes more than a second.

    Args:
        function: From a batch to a tensor or several, in any nesting.
        inputs: An array `(num_inputs, ...)` of at least one.
        batch_size: How many inputs are computed at a time.
        label: What the progress bar says.
    """
    outputs = []
    for start in tqdm(range(0, len(inputs), batch_size), desc=label, delay=1, leave=False):
        batch = inputs[start : start + batch_size]
        padding = [(0, batch_size - len(batch))] + [(0, 0)] * (batch.ndim - 1)
        tensors = keras.tree.flatten(function(np.pad(batch, padding)))
        arrays = (ops.convert_to_numpy(ops.cast(tensor, "float32")) for tensor in tensors)
        outputs.append([array[: len(batch)] for array in arrays])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
