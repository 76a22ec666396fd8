"""Metrics: how far generated samples are from real ones, in what way, and how varied they are.

All of it is arithmetic on NumPy arrays, in double precision. `imagegen.features` has the features.
"""

from typing import Any, NamedTuple

from imagegen._checks import check_finite, check_integer, check_number, check_rank
from imagegen._contracts import checked
from imagegen.neighbors import nearest_neighbors
from imagegen.typing import Array

import numpy as np

# How many numbers are held at once where two large sets meet: 32 MB.
_CHUNK_VALUES = 1 << 22
# More than the share of two squared lengths by which rounding moves a squared distance.
_ROUNDING = 1e-12


class KernelInceptionDistance(NamedTuple):
    """A kernel inception distance.

    Attributes:
        distance: The estimate; without bias, so it can be below 0 where the distance is small.
        standard_error: The standard error of `distance`.

    Example:
        ```python
        import imagegen
        import numpy as np

        features = np.random.default_rng(0).standard_normal((2, 100, 8))
        distance, standard_error = imagegen.kernel_inception_distance(*features)
        ```
    """

    distance: float
    standard_error: float


class PrecisionAndRecall(NamedTuple):
    """How good and how varied generated samples are, two shares from 0 to 1.

    Attributes:
        precision: The share of generated samples that are near real ones.
        recall: The share of real samples that are near generated ones.

    Example:
        ```python
        import imagegen
        import numpy as np

        real = np.random.default_rng(0).standard_normal((50, 4))
        assert imagegen.precision_and_recall(real, real) == (1.0, 1.0)
        ```
    """

    precision: float
    recall: float


@checked
def sliced_wasserstein_distance(
    samples: Array,
    reference_samples: Array,
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
        samples: Points of shape `(num_samples, num_dimensions)`, of any range.
        reference_samples: Points to compare with, of the same number of dimensions, as many or not.
        num_directions: Number $K$ of random directions, at least 1. In one dimension one is enough.
        order: The power $p$ of a move's cost, at least 1.
        seed: Number from which the directions are drawn, at least 0. Compare distances that were
            measured along the same directions.

    Returns:
        The distance, in the unit of the points: 0 for equal sets.

    Raises:
        ValueError: If a set is empty, of another shape, or holds NaN or infinity, or an option
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
    points1, points2 = _check_pair(samples, reference_samples, "samples", "num_dimensions")
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
    distances = []
    for direction in directions:
        quantiles1 = np.sort(points1 @ direction)[ranks1]
        quantiles2 = np.sort(points2 @ direction)[ranks2]
        distances.append(np.abs(quantiles1 - quantiles2))
    # As shares of the largest, whose powers neither vanish nor overflow.
    largest = np.max(distances)
    if largest == 0:
        return 0.0
    costs = (np.stack(distances) / largest) ** order @ widths
    return float(largest * np.mean(costs) ** (1 / order))


@checked
def kernel_inception_distance(
    features: Array, reference_features: Array
) -> KernelInceptionDistance:
    r"""Measures how far two sets of features are apart, without bias.

    $$\mathrm{KID} = \frac{1}{m (m-1)} \sum_{i \ne j} k(x_i, x_j)
    + \frac{1}{n (n-1)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{m n} \sum_{i, j} k(x_i, y_j)$$

    $$k(x, y) = \left(\tfrac1d x^\top y + 1\right)^3$$

    is the squared maximum mean discrepancy with a cubic kernel over $d$ features. Whatever the
    number of samples, its mean over many draws of them is the distance of their distributions. The
    standard error is the jackknife's, from leaving out one sample at a time. Where the two
    distributions are equal it is too large, by a factor of up to $\sqrt 2$.

    Args:
        features: Features of shape `(num_samples, num_features)`, of 3 samples or more.
        reference_features: Features to compare with, of as many samples or not.

    Returns:
        `KernelInceptionDistance(distance, standard_error)`.

    Raises:
        ValueError: If a set is too small, of another shape, or holds NaN or infinity.

    Example:
        ```python
        import numpy as np
        from imagegen import kernel_inception_distance

        real, generated = np.random.default_rng(0).normal(size=(2, 500, 16))
        distance, standard_error = kernel_inception_distance(real, generated)
        assert abs(distance) < 4 * standard_error
        assert kernel_inception_distance(real, generated + 1).distance > 0.5
        ```

    Reference:
        [Binkowski et al., 2018](https://arxiv.org/abs/1801.01401), section 4, with the unbiased
        estimate of [Gretton et al., 2012](https://jmlr.org/papers/v13/gretton12a.html), equation 3.
    """
    x, y = _check_pair(features, reference_features, "features", "num_features", minimum=3)
    within_x, within_y = (_kernel_sums(z, z) - (np.mean(z**2, axis=1) + 1) ** 3 for z in (x, y))
    across_x, across_y = _kernel_sums(x, y), _kernel_sums(y, x)
    distance = (
        within_x.sum() / (len(x) * (len(x) - 1))
        + within_y.sum() / (len(y) * (len(y) - 1))
        - 2 * across_x.sum() / (len(x) * len(y))
    )
    variance = 0.0
    for within, across, others in ((within_x, across_x, len(y)), (within_y, across_y, len(x))):
        # The two terms that sample i is part of, without it.
        kept = len(within) - 1
        within_left = (within.sum() - 2 * within) / (kept * (kept - 1))
        across_left = (across.sum() - across) / (kept * others)
        variance += kept * np.var(within_left - 2 * across_left)
    return KernelInceptionDistance(float(distance), float(np.sqrt(variance)))


@checked
def frechet_inception_distance(features: Array, reference_features: Array) -> float:
    r"""Measures how far two sets of features are apart, taking both for normal distributions.

    $$\mathrm{FID} = \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr} \left( \Sigma_1 + \Sigma_2
    - 2 \, (\Sigma_1 \Sigma_2)^{1/2} \right)$$

    with the means and covariances of the features. It is biased: fewer samples give larger values.
    So compare equal numbers of samples, many times as many as there are features.

    Args:
        features: Features of shape `(num_samples, num_features)`, of 2 samples or more.
        reference_features: Features to compare with, of as many samples or not.

    Returns:
        The square of the distance of Fréchet, at least 0.

    Raises:
        ValueError: If a set is too small, of another shape, or holds NaN or infinity.

    Example:
        ```python
        import numpy as np
        from imagegen import frechet_inception_distance

        features = np.random.default_rng(0).normal(size=(500, 16))
        assert frechet_inception_distance(features, features) < 1e-9
        # A shift changes the means alone, here by 1 in each of 16 features.
        assert abs(frechet_inception_distance(features, features + 1) - 16) < 1e-9
        ```

    Reference:
        [Heusel et al., 2017](https://arxiv.org/abs/1706.08500), equation 6.
    """
    x, y = _check_pair(features, reference_features, "features", "num_features", minimum=2)
    means = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    # Each covariance is R^T R. The trace of (R1^T R1 R2^T R2)^1/2 is the sum of the singular values
    # of R1 R2^T: real and not negative, also where there are more features than samples.
    root_x, root_y = (
        np.linalg.qr(z - z.mean(axis=0), mode="r") / np.sqrt(len(z) - 1) for z in (x, y)
    )
    overlap = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    covariances = np.sum(root_x**2) + np.sum(root_y**2) - 2 * overlap
    return float(means + max(covariances, 0.0))


@checked
def precision_and_recall(
    features: Array, reference_features: Array, *, num_neighbors: int = 3
) -> PrecisionAndRecall:
    r"""Measures how good generated samples are, and apart from that how varied.

    $$\mathrm{precision} = \frac1m \sum_{i=1}^m \Big[ \min_j \frac{\lVert g_i - r_j \rVert}
    {\rho_j} \le 1 \Big], \quad
    \mathrm{recall} = \frac1n \sum_{j=1}^n \Big[ \min_i \frac{\lVert r_j - g_i \rVert}
    {\sigma_i} \le 1 \Big]$$

    with $\rho_j$ the distance of the real sample $r_j$ to its $k$-th nearest among the other real
    ones, and $\sigma_i$ that of the generated sample $g_i$ among the generated ones. So each set
    is taken for a union of balls, and the shares are those of the other set's samples in it.

    Real samples against other real ones stay below 1 as well: compare with what they reach, and at
    equal numbers of samples. A single outlier has a large ball, which covers too much.

    Args:
        features: Features of what is generated, `(num_samples, num_features)`.
        reference_features: Features of real samples, as many or not.
        num_neighbors: The number $k$, from 1 to one less than the samples of the smaller set.

    Returns:
        `PrecisionAndRecall(precision, recall)`.

    Raises:
        ValueError: If a set is too small, of another shape, or holds NaN or infinity, or
            `num_neighbors` is out of range.

    Example:
        ```python
        import numpy as np
        from imagegen import precision_and_recall

        real = np.random.default_rng(0).normal(size=(500, 8))
        assert precision_and_recall(real, real) == (1, 1)
        # One good sample, again and again: nothing is wrong with it, and nearly all is missing.
        precision, recall = precision_and_recall(np.repeat(real[:1], 500, axis=0), real)
        assert precision == 1
        assert recall == 1 / 500
        ```

    Reference:
        [Kynkäänniemi et al., 2019](https://arxiv.org/abs/1904.06991), equations 1 and 2.
    """
    generated, real = _check_pair(
        features, reference_features, "features", "num_features", minimum=2
    )
    check_integer(
        num_neighbors, "num_neighbors", minimum=1, maximum=min(len(generated), len(real)) - 1
    )
    # The nearest of all is the sample itself.
    generated_radii, real_radii = (
        nearest_neighbors(samples, samples, num_neighbors=num_neighbors + 1).distances[:, -1]
        for samples in (generated, real)
    )
    return PrecisionAndRecall(
        precision=_share_covered(generated, real, real_radii),
        recall=_share_covered(real, generated, generated_radii),
    )


def _kernel_sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sum of the cubic kernel between each row of `x` and all rows of `y`."""
    # scikit-learn's kernel would hold all pairs at once: 800 MB for two sets of 10,000.
    sums = [
        sum(((x[rows] @ y[others].T / x.shape[1] + 1) ** 3).sum(axis=1) for others in _slices(y))
        for rows in _slices(x)
    ]
    return np.concatenate(sums)


def _share_covered(samples: np.ndarray, centers: np.ndarray, radii: np.ndarray) -> float:
    """The share of samples that lie in at least one of the balls."""
    middle = centers.mean(axis=0)
    samples, centers = samples - middle, centers - middle
    covered = np.zeros(len(samples), bool)
    for rows in _slices(samples):
        lengths = np.sum(samples[rows] ** 2, axis=1)[:, None]
        for others in _slices(centers):
            lengths_of_both = lengths + np.sum(centers[others] ** 2, axis=1)
            squares = lengths_of_both - 2 * samples[rows] @ centers[others].T
            # A copy is in a ball of radius 0, whatever rounding makes of its distance.
            inside = squares <= radii[others] ** 2 + _ROUNDING * lengths_of_both
            covered[rows] |= inside.any(axis=1)
    return float(covered.mean())


def _slices(array: np.ndarray) -> list[slice]:
    """Cuts rows into parts, so small that two of them and all pairs of their rows fit a chunk."""
    rows = min(max(1, _CHUNK_VALUES // array.shape[1]), int(_CHUNK_VALUES**0.5))
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


def _check_pair(
    array: Any, reference: Any, name: str, columns: str, *, minimum: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two float64 arrays of shape (num_samples, columns), or raises."""
    checked, names = [], (name, f"reference_{name}")
    for values, called in zip((array, reference), names, strict=True):
        rows = check_rank(check_finite(values, called), called, 2, f"(num_samples, {columns})")
        if len(rows) < minimum or rows.shape[1] == 0:
            raise ValueError(
                f"`{called}` must hold at least {minimum} samples, of at least 1 value each. "
                f"Received: shape {rows.shape}"
            )
        checked.append(rows.astype("float64"))
    if checked[0].shape[1] != checked[1].shape[1]:
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must have the same {columns}. "
            f"Received: shapes {checked[0].shape} and {checked[1].shape}"
        )
    return checked[0], checked[1]
