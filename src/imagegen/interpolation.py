"""Ways between points of a latent space: lines, great circles, walks, grids, concept vectors."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

from imagegen._checks import check_finite, check_integer, check_number, check_rank
from imagegen._contracts import checked
from imagegen.typing import Array

import keras
import numpy as np

# Below this length the sum of two unit vectors is mostly rounding error, and no longer tells in
# which plane they lie. In float64 it is still orthogonal to their difference to ten digits.
_OPPOSITE = 1e-6


@checked
def lerp(t: Array, v1: Array, v2: Array) -> np.ndarray:
    """Interpolates linearly: a straight line from `v1` to `v2`.

    ```
    lerp(t, v1, v2) = (1 - t) v1 + t v2
    ```

    Halfway between two independent Gaussian vectors of many dimensions, the line passes through
    points that are shorter by a factor of sqrt(2): no sample of the Gaussian lies there. `slerp`
    keeps the length.

    Args:
        t: From 0 (`v1`) to 1 (`v2`). A number or, where `v1` has a batch axis, an array of shape
            `(batch,)`: one `t` for each row.
        v1: The start, of any shape but a scalar's.
        v2: The end, of the same shape.

    Returns:
        A float32 array of the shape of `v1`. `t=0` gives `v1` and `t=1` gives `v2` exactly.

    Raises:
        ValueError: If an argument has NaN or infinity in it, `t` is outside of 0 to 1, or the
            shapes do not fit.

    Example:
        ```python
        import imagegen

        middle = imagegen.lerp(0.5, [0.0, 2.0], [4.0, 2.0])
        assert middle.tolist() == [2.0, 2.0]
        ```
    """
    v1, v2 = _pair(v1, v2)
    t, rows1, rows2 = _rows(t, v1, v2)
    return ((1 - t) * rows1 + t * rows2).reshape(v1.shape).astype("float32")


@checked
def slerp(t: Array, v1: Array, v2: Array) -> np.ndarray:
    """Interpolates spherically: the direction turns at a constant speed along a great circle.

    With the angle `w` between `v1` and `v2`, and their directions `u1` and `u2`,

    ```
    slerp(t, v1, v2) = ((1 - t) |v1| + t |v2|) (sin((1 - t) w) u1 + sin(t w) u2) / sin(w)
    ```

    The length goes linearly from one to the other. Where both are equal, as for unit vectors, this
    is Shoemake's formula. Noise and embeddings of many dimensions all have about the same length,
    and `slerp` stays among them.

    The angle is that of whole vectors: over the only axis of rank-1 input, and otherwise over all
    axes but the first, which counts the rows of a batch. The arithmetic is in float64, whatever
    the input's precision. The formula's gaps are filled so:

    - **Parallel** vectors, and a **zero** vector with any other: the straight line, as `lerp`.
    - **Antiparallel** vectors have many great circles between them. The path takes the one through
      the coordinate axis at the largest angle to them, on its positive side; of several such axes
      the first. With one dimension there is no way around, and the path goes through zero.

    Args:
        t: From 0 (`v1`) to 1 (`v2`). A number or, where `v1` has a batch axis, an array of shape
            `(batch,)`: one `t` for each row.
        v1: The start, of shape `(size,)` or `(batch, ...)`.
        v2: The end, of the same shape.

    Returns:
        A float32 array of the shape of `v1`. `t=0` gives `v1` and `t=1` gives `v2` exactly, and
        `slerp(t, v1, v2)` equals `slerp(1 - t, v2, v1)`.

    Raises:
        ValueError: If an argument has NaN or infinity in it, `t` is outside of 0 to 1, or the
            shapes do not fit.

    Example:
        ```python
        import imagegen

        middle = imagegen.slerp(0.5, [1.0, 0.0], [0.0, 1.0])
        assert abs(middle[0] - 0.5**0.5) < 1e-6
        assert abs(middle[1] - 0.5**0.5) < 1e-6
        ```

    Reference:
        Shoemake, [Animating Rotation with Quaternion
        Curves](https://doi.org/10.1145/325165.325242), 1985, section 3.3, for equal lengths.
    """
    v1, v2 = _pair(v1, v2)
    t, rows1, rows2 = _rows(t, v1, v2)
    length1, direction1 = _length_and_direction(rows1)
    length2, direction2 = _length_and_direction(rows2)
    direction1 = np.where(length1 > 0, direction1, direction2)
    direction2 = np.where(length2 > 0, direction2, direction1)

    # The great circle around its own middle, cos(a) middle + sin(a) across. Unlike the formula by
    # sines, it divides by nothing that vanishes between parallel vectors, and swapping the ends
    # only flips the sign of `a` and of `across`. The arctangent of two lengths keeps all digits
    # of the angle where an arccosine loses half of them.
    sum_length, middle = _length_and_direction(direction1 + direction2)
    chord_length, across = _length_and_direction(direction2 - direction1)
    middle = np.where(sum_length < _OPPOSITE, _orthogonal(across), middle)
    angle = (2 * t - 1) * np.arctan2(chord_length, sum_length)
    direction = np.cos(angle) * middle + np.sin(angle) * across

    path = ((1 - t) * length1 + t * length2) * direction
    path = np.where(t == 0, rows1, np.where(t == 1, rows2, path))
    return path.reshape(v1.shape).astype("float32")


@checked
def walk(
    points: Array,
    num_frames: int,
    *,
    interpolation: Callable[[Any, Any, Any], Any] = slerp,
    closed: bool = False,
    between: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Walks through key points, with the same number of frames' time between each two.

    Args:
        points: The key points, at least two, of shape `(points, ...)`.
        num_frames: How many frames, at least two.
        interpolation: A function of `(t, v1, v2)`, such as `slerp` or `lerp`. It is called once,
            with batches: `t` of shape `(num_frames,)`, `v1` and `v2` of shape `(num_frames, ...)`.
        closed: Whether to go back from the last point to the first. The frame that would repeat
            the first one is left out, so that an animation in a loop does not stutter.
        between: The part of the way to walk, from 0 to 1: where it begins and where it ends. It
            applies to ways that are not closed.

    Returns:
        An array of shape `(num_frames, ...)`. Of the whole way, its first frame is the first point;
        unless closed, its last frame is the last point. Every point is met exactly when the number
        of steps (`num_frames - 1`, or `num_frames` when closed) is a multiple of the number of ways
        between points.

    Raises:
        ValueError: If there are fewer than two points or frames, or NaN in a point.

    Example:
        ```python
        import imagegen

        frames = imagegen.walk([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], 5, interpolation=imagegen.lerp)
        assert frames[1].tolist() == [0.5, 0.0]
        assert frames[-1].tolist() == [1.0, 1.0]
        ```
    """
    points = check_finite(keras.ops.convert_to_numpy(points), "points")
    if points.ndim < 2 or len(points) < 2:
        raise ValueError(
            "`points` must have the shape (points, ...) with at least two points. "
            f"Received: shape {points.shape}"
        )
    num_frames = check_integer(num_frames, "num_frames", minimum=2)
    if closed:
        points = np.concatenate([points, points[:1]])
    num_ways = len(points) - 1
    start, stop = (check_number(end, "between", minimum=0, maximum=1) for end in between)
    if closed and (start, stop) != (0, 1):
        raise ValueError(
            f"`between` must be (0, 1) where the way is closed. Received: between={between!r}"
        )
    positions = np.linspace(start * num_ways, stop * num_ways, num_frames, endpoint=not closed)
    starts = np.minimum(positions.astype(int), num_ways - 1)
    return interpolation(positions - starts, points[starts], points[starts + 1])


@checked
def latent_grid(size: int = 30, *, limit: float | None = 1.0) -> np.ndarray:
    """Lays a square grid of points over a latent plane, in the order in which pictures are read.

    The first point is top left: x smallest, y largest. x grows to the right within a row, y falls
    from row to row. So `imagegen.grid(decoded, columns=size)` shows the plane as a diagram would,
    x to the right and y upwards.

    Args:
        size: How many points there are along each side, at least two.
        limit: The grid spans the square from `-limit` to `limit` in equal steps. With None it has
            no limit: the coordinates are the standard normal distribution's quantiles at
            `(i + 0.5) / size`, so that each point stands for an equal share of the prior of a
            variational autoencoder.

    Returns:
        A float32 array of shape `(size * size, 2)`: x and y.

    Raises:
        ValueError: If `size` is no integer of at least two, or `limit` is not positive.

    Example:
        ```python
        import imagegen

        points = imagegen.latent_grid(3)
        assert points[0].tolist() == [-1.0, 1.0]
        assert points[-1].tolist() == [1.0, -1.0]
        ```
    """
    size = check_integer(size, "size", minimum=2)
    if limit is None:
        normal = NormalDist()
        coordinates = np.array([normal.inv_cdf((i + 0.5) / size) for i in range(size)])
    else:
        if check_number(limit, "limit") <= 0:
            raise ValueError(f"`limit` must be positive. Received: limit={limit!r}")
        coordinates = np.linspace(-limit, limit, size)
    x, y = np.meshgrid(coordinates, coordinates[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1).astype("float32")


@checked
def attribute_vector(latents: Array, has_attribute: Array) -> np.ndarray:
    """Finds how latents of pictures with an attribute differ from those without, on average.

    ```
    vector = mean(latents with the attribute) - mean(latents without it)
    ```

    Adding the vector to a latent adds the attribute to its picture: the form of a four, a smile.
    Another name is concept vector.

    Args:
        latents: Encoded pictures, of shape `(num_images, ...)`.
        has_attribute: Booleans of shape `(num_images,)`, such as `labels == 4`. Both values occur.

    Returns:
        A float32 array of the shape of one latent.

    Raises:
        ValueError: If there is NaN in the latents, the shapes do not fit, or no picture is with the
            attribute, or none without.

    Example:
        ```python
        import imagegen

        latents = [[0.0, 1.0], [0.0, 3.0], [5.0, 2.0]]
        vector = imagegen.attribute_vector(latents, [False, False, True])
        assert vector.tolist() == [5.0, 0.0]
        ```

    Reference:
        White, [Sampling Generative Networks](https://arxiv.org/abs/1609.04468), 2016, section 3.
    """
    latents = check_finite(keras.ops.convert_to_numpy(latents), "latents").astype("float64")
    has_attribute = check_rank(np.asarray(has_attribute), "has_attribute", 1, "(num_images,)")
    if has_attribute.dtype != bool or latents.shape[:1] != has_attribute.shape:
        raise ValueError(
            "`has_attribute` must hold one boolean for each of `latents`. "
            f"Received: {has_attribute.dtype} of shape {has_attribute.shape}, "
            f"latents of shape {latents.shape}"
        )
    if has_attribute.all() or not has_attribute.any():
        raise ValueError(
            "`has_attribute` must be true for some latents and false for others. "
            f"Received: {has_attribute.sum()} true of {len(has_attribute)}"
        )
    difference = latents[has_attribute].mean(axis=0) - latents[~has_attribute].mean(axis=0)
    return difference.astype("float32")


def _pair(v1: Array, v2: Array) -> tuple[np.ndarray, np.ndarray]:
    v1 = check_finite(keras.ops.convert_to_numpy(v1), "v1").astype("float64")
    v2 = check_finite(keras.ops.convert_to_numpy(v2), "v2").astype("float64")
    if v1.shape != v2.shape or v1.ndim == 0 or v1.size == 0:
        raise ValueError(
            "`v1` and `v2` must have the same shape, with at least one axis and no empty one. "
            f"Received: shapes {v1.shape} and {v2.shape}"
        )
    return v1, v2


def _rows(t: Array, v1: np.ndarray, v2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `t` as a column, and the vectors as the rows of a matrix each."""
    num_rows = 1 if v1.ndim == 1 else len(v1)
    t = check_finite(keras.ops.convert_to_numpy(t), "t").astype("float64")
    if t.ndim > 0 and (v1.ndim == 1 or t.shape != (num_rows,)):
        raise ValueError(
            "`t` must be a number or, for vectors with a batch axis, have the shape (batch,). "
            f"Received: t of shape {t.shape}, vectors of shape {v1.shape}"
        )
    if ((t < 0) | (t > 1)).any():
        raise ValueError(f"`t` must be from 0 to 1. Received: t={t}")
    return t.reshape(-1, 1), v1.reshape(num_rows, -1), v2.reshape(num_rows, -1)


def _length_and_direction(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the length of each row, and the row at length 1, or 0 where it is zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return length, rows / np.where(length > 0, length, 1)


def _orthogonal(rows: np.ndarray) -> np.ndarray:
    """Returns unit vectors orthogonal to unit `rows`, the same for a row and its opposite."""
    farthest = np.argmin(np.abs(rows), axis=1, keepdims=True)
    axes = np.zeros_like(rows)
    np.put_along_axis(axes, farthest, 1, axis=1)
    shared = np.take_along_axis(rows, farthest, axis=1)
    return _length_and_direction(axes - shared * rows)[1]
