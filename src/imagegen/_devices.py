"""Several devices: what `keras.distribution` leaves to those who compute outside `fit`."""

from typing import Any

import keras
import numpy as np
from keras import ops


def num_shares() -> int:
    """Into how many parts a batch is divided by the distribution that is set; 1 without any."""
    distribution: Any = keras.distribution.distribution()
    if distribution is None or distribution.batch_dim_name is None:
        return 1
    mesh = distribution.device_mesh
    return int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])


def check_shares(num_examples: int, batch_size: int) -> None:
    """Raises a ValueError when a batch of an epoch can't be divided equally between the devices.

    Args:
        num_examples: How many examples this process has.
        batch_size: How many of them are in a batch; the last one has the rest.
    """
    here = max(1, num_shares() // num_processes())
    rest = num_examples % batch_size
    if batch_size % here or rest % here:
        raise ValueError(
            f"`batch_size` must be a multiple of {here}, the devices that share a batch, and so "
            "must be what the last batch has. "
            f"Received: batch_size={batch_size}, {num_examples} examples, {rest} in the last batch"
        )


def num_processes() -> int:
    """How many processes compute together: what `keras.distribution.initialize` was told."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return int(jax.process_count())


def is_first_process() -> bool:
    """Whether this is the process that writes what all of them have."""
    if num_processes() == 1:
        return True
    import jax

    return int(jax.process_index()) == 0


def own_share(rows: Any) -> Any:
    """Returns those rows of a batch that this process has to load.

    Args:
        rows: The rows of a whole batch, a sequence of the same ones in every process.

    Raises:
        ValueError: If their number can't be divided.
    """
    count = num_processes()
    if count == 1:
        return rows
    import jax

    if len(rows) % count:
        raise ValueError(
            f"Every batch must be divided equally between {count} processes, the last one of an "
            f"epoch too. Received: a batch of {len(rows)}"
        )
    size = len(rows) // count
    return rows[jax.process_index() * size :][:size]


def shared(tensors: Any, count: int) -> Any:
    """Returns tensors whose rows are divided between the devices, where their number allows it.

    Args:
        tensors: Tensors in any nesting. One of `count` rows is divided; all else goes whole to
            every device.
        count: How many rows are shared out.
    """
    shares = num_shares()
    if shares == 1:
        return tensors
    distribution: Any = keras.distribution.distribution()

    def place(tensor: Any) -> Any:
        axes: list[str | None] = [None] * np.ndim(tensor)
        if axes and len(tensor) == count and count % shares == 0:
            axes[0] = distribution.batch_dim_name
        layout = keras.distribution.TensorLayout(axes, distribution.device_mesh)
        return keras.distribution.distribute_tensor(tensor, layout)

    return keras.tree.map_structure(place, tensors)


def whole(tensor: Any) -> Any:
    """Returns a tensor that can be read here, even if other processes have parts of it."""
    if num_shares() == 1 or getattr(tensor, "is_fully_addressable", True):
        return tensor
    from jax.experimental import multihost_utils

    return ops.convert_to_tensor(multihost_utils.process_allgather(tensor, tiled=True))
