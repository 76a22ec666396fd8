"""Nearest neighbours: which training samples a sample is most like, and whether it is a copy."""

from typing import NamedTuple

from imagegen._checks import check_finite, check_integer
from imagegen._contracts import checked
from imagegen.typing import Array

import numpy as np


class Neighbors(NamedTuple):
    """Nearest neighbours, the nearest first.

    Attributes:
        indices: Which training samples they are: int64, `(num_samples, num_neighbors)`.
        distances: How far they are: float64, of the same shape.

    Example:
        ```python
        import imagegen
        import numpy as np

        samples = np.random.default_rng(0).standard_normal((10, 4))
        indices, distances = imagegen.nearest_neighbors(samples[:3], samples)
        assert indices[:, 0].tolist() == [0, 1, 2]
        ```
    """

    indices: np.ndarray
    distances: np.ndarray


@checked
def nearest_neighbors(
    samples: Array, reference_samples: Array, *, num_neighbors: int = 1
) -> Neighbors:
    r"""Finds the training samples that are nearest to given ones.

    A distance near 0 means a copy. How near is near, held-out samples tell, which no model can
    have learnt by heart.

    $$d(x, y) = \sqrt{\textstyle\sum_i (x_i - y_i)^2}$$

    over all values of a sample. Divided by the square root of their number, it is the root mean
    square difference of two values.

    Args:
        samples: Pictures `(num_samples, height, width, channels)`, or features
            `(num_samples, num_features)`.
        reference_samples: The samples to search, such as those of the training set, of the same
            kind and shape but for their number.
        num_neighbors: How many to find for each sample, from 1 to the number of training samples.

    Returns:
        `Neighbors(indices, distances)`, int64 and float64 of shape `(num_samples, num_neighbors)`,
        the nearest first.

    Raises:
        ValueError: If the two sets don't match, a value is NaN or infinite, or `num_neighbors` is
            out of range.

    Example:
        ```python
        import numpy as np
        from imagegen import nearest_neighbors

        training = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype="uint8")
        indices, distances = nearest_neighbors(training[[3, 7]], training)
        assert indices.tolist() == [[3], [7]]
        assert not distances.any()
        ```
    """
    x, y = check_finite(samples, "samples"), check_finite(reference_samples, "reference_samples")
    for name, array in (("samples", x), ("reference_samples", y)):
        if array.ndim < 2 or 0 in array.shape:
            raise ValueError(
                f"`{name}` must have the shape (num_samples, ...) and not be empty. "
                f"Received: shape {array.shape}"
            )
    if x.shape[1:] != y.shape[1:] or (x.dtype == np.uint8) != (y.dtype == np.uint8):
        raise ValueError(
            "`samples` and `reference_samples` must have one shape and kind of values. "
            f"Received: {x.dtype} of shape {x.shape} and {y.dtype} of shape {y.shape}"
        )
    check_integer(num_neighbors, "num_neighbors", minimum=1, maximum=len(y))
    return Neighbors(*_nearest(x.reshape(len(x), -1), y.reshape(len(y), -1), num_neighbors))


def _nearest(x: np.ndarray, y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices and distances of the `count` rows of `y` that are nearest to each row of `x`."""
    from sklearn.neighbors import NearestNeighbors

    # It expands squares, which lose the digits of a small difference, the more the farther all is
    # from 0: so the middle is taken away.
    middle = y.mean(axis=0, dtype="float64")
    dtype = np.result_type(x, y, "float32")
    near, found = (np.subtract(rows, middle, dtype=dtype, casting="same_kind") for rows in (y, x))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(near)
    indices = search.kneighbors(found, return_distance=False)
    # What was found is measured again.
    distances = np.stack(
        [
            np.linalg.norm(sample.astype("float64") - y[rows], axis=1)
            for sample, rows in zip(x, indices, strict=True)
        ]
    )
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)
