"""Metrics: how far generated samples are from real ones."""

from typing import Any

from imagegen._checks import check_finite, check_integer, check_number, check_rank

import numpy as np


def sliced_wasserstein_distance(
    samples1: Any,
    samples2: Any,
    *,
    num_directions: int = 256,
    order: float = 2,
    seed: int = 0,
) -> float:
    r"""Measures how far two sets of points are apart, by their shadows on random lines.

    $$\mathrm{SW}_p = \Big( \frac1K \sum_{k=1}^K \int_0^1
    \left| F^{-1}_k(q) - G^{-1}_k(q) \right|^p dq \Big)^{1/p}$$

    with $F^{-1}_k$ and $G^{-1}_k$ the quantile functions of the two sets projected on the unit
    vector $k$, drawn uniformly. On a line the cheapest transport moves points in order, so each
    integral is exact, also between sets of different sizes.

    Args:
        samples1: Points of shape `(num_samples, num_dimensions)`, of any range.
        samples2: Points to compare with, of the same number of dimensions, as many or not.
        num_directions: Number $K$ of random directions, at least 1. In one dimension one is enough.
        order: The power $p$ of a move's cost, at least 1.
        seed: Number from which the directions are drawn, at least 0. Compare distances that were
            measured along the same directions.

    Returns:
        The distance, in the unit of the points: 0 for equal sets.

    Raises:
        ValueError: When a set is empty, of another shape, or holds NaN or infinity, or an option
            is outside its range.

    Example:
        ```python
        import numpy as np
        from imagegen import sliced_wasserstein_distance

        points = np.random.default_rng(0).normal(size=(1000, 2))
        assert sliced_wasserstein_distance(points, points[::-1]) < 1e-12
        # A shift by s costs |s| / sqrt(num_dimensions) at order 2, on the average of directions.
        assert 1.8 < sliced_wasserstein_distance(points, points + [0, 3]) < 2.4
        ```

    Reference:
        [Bonneel et al., 2015](https://doi.org/10.1007/s10851-014-0506-3), section 2.
    """
    points1, points2 = _check_pair(samples1, samples2, "samples1", "samples2", "num_dimensions")
    num_directions = check_integer(num_directions, "num_directions", minimum=1)
    order = check_number(order, "order", minimum=1)
    random = np.random.default_rng(check_integer(seed, "seed", minimum=0))
    directions = random.normal(size=(num_directions, points1.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    # Both quantile functions are constant between neighbouring levels i / n and j / m.
    levels = [np.arange(1, len(points) + 1) / len(points) for points in (points1, points2)]
    ends = np.union1d(*levels)
    widths = np.diff(ends, prepend=0)
    ranks1, ranks2 = (np.searchsorted(level, ends - widths / 2) for level in levels)
    costs = []
    for direction in directions:
        quantiles1 = np.sort(points1 @ direction)[ranks1]
        quantiles2 = np.sort(points2 @ direction)[ranks2]
        costs.append(widths @ np.abs(quantiles1 - quantiles2) ** order)
    return float(np.mean(costs) ** (1 / order))


def _check_pair(
    array1: Any, array2: Any, name1: str, name2: str, columns: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two float64 arrays of shape (count, columns), or raises when they don't match."""
    checked = []
    for array, name in ((array1, name1), (array2, name2)):
        array = check_rank(check_finite(array, name), name, 2, f"(num_samples, {columns})")
        if 0 in array.shape:
            raise ValueError(f"`{name}` must not be empty. Received: shape {array.shape}")
        checked.append(array.astype("float64"))
    if checked[0].shape[1] != checked[1].shape[1]:
        raise ValueError(
            f"`{name1}` and `{name2}` must have the same {columns}. "
            f"Received: shapes {checked[0].shape} and {checked[1].shape}"
        )
    return checked[0], checked[1]
