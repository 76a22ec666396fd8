from imagegen.interpolation import attribute_vector, latent_grid, lerp, slerp, walk

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

times = st.floats(0, 1)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
# All magnitudes, from the smallest subnormal float32 to 1e18, zero included.
LARGEST = float(np.float32(1e18))
anything = st.floats(-LARGEST, LARGEST, width=32, allow_subnormal=True)


@st.composite
def pairs(draw, elements=anything):
    shape = draw(shapes)
    v1 = draw(hnp.arrays("float32", shape, elements=elements))
    v2 = draw(
        st.one_of(
            hnp.arrays("float32", shape, elements=elements),
            st.sampled_from([v1, -v1, 2 * v1, -v1 / 2, np.zeros_like(v1)]),
        )
    )
    return v1, v2


@st.composite
def unit_pairs(draw):
    size = draw(st.integers(2, 20))
    seed = draw(st.integers(0, 2**32 - 1))
    v1, v2 = np.random.default_rng(seed).standard_normal((2, size))
    # From nearly parallel over nearly orthogonal to nearly antiparallel.
    v2 = draw(st.sampled_from([-1, 0, 1])) * v1 + 10 ** draw(st.floats(-8, 1)) * v2
    return v1 / np.linalg.norm(v1), v2 / np.linalg.norm(v2)


def angle_between(v1, v2):
    """Returns the angle, exact for small ones too, in float64."""
    v1, v2 = (np.float64(v) / np.linalg.norm(np.float64(v)) for v in (v1, v2))
    return 2 * np.arctan2(np.linalg.norm(v1 - v2), np.linalg.norm(v1 + v2))


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@given(pair=pairs())
def test_ends_are_exact(interpolation, pair):
    v1, v2 = pair
    np.testing.assert_array_equal(interpolation(0, v1, v2), v1)
    np.testing.assert_array_equal(interpolation(1, v1, v2), v2)


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@given(pair=pairs(), t=times)
def test_swapping_the_ends_reverses_the_way(interpolation, pair, t):
    v1, v2 = pair
    scale = max(np.linalg.norm(np.float64(v1)), np.linalg.norm(np.float64(v2)))
    difference = np.float64(interpolation(t, v1, v2)) - interpolation(1 - t, v2, v1)
    assert np.abs(difference).max() <= 1e-6 * scale + 1e-44


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@given(pair=pairs(), t=times)
def test_result_is_finite_float32_of_the_same_shape(interpolation, pair, t):
    result = interpolation(t, *pair)
    assert result.dtype == np.float32
    assert result.shape == pair[0].shape
    assert np.isfinite(result).all()


@given(pair=unit_pairs(), t=times)
def test_slerp_of_unit_vectors_is_a_unit_vector(pair, t):
    assert np.linalg.norm(slerp(t, *pair)) == pytest.approx(1, abs=1e-6)


@given(pair=unit_pairs(), lengths=st.tuples(*[st.floats(1e-3, 1e3)] * 2), t=times)
def test_slerp_turns_at_constant_speed_and_its_length_changes_linearly(pair, lengths, t):
    v1, v2 = (length * v for length, v in zip(lengths, pair, strict=True))
    result = slerp(t, v1, v2)
    angle = angle_between(v1, v2)
    assert angle_between(v1, result) == pytest.approx(t * angle, abs=2e-6)
    assert angle_between(result, v2) == pytest.approx((1 - t) * angle, abs=2e-6)
    length = (1 - t) * lengths[0] + t * lengths[1]
    assert np.linalg.norm(result) == pytest.approx(length, rel=1e-6)


@given(pair=unit_pairs(), t=times)
def test_slerp_of_equally_long_vectors_is_shoemakes_formula(pair, t):
    v1, v2 = (8 * v for v in pair)
    angle = angle_between(v1, v2)
    assume(1e-3 < angle < np.pi - 1e-3)
    expected = (np.sin((1 - t) * angle) * v1 + np.sin(t * angle) * v2) / np.sin(angle)
    np.testing.assert_allclose(slerp(t, v1, v2), expected, atol=1e-5)


@given(
    pair=pairs(st.floats(-1e3, 1e3, width=32)),
    # Times less than that, numbers lose their digits, and vectors their direction.
    factor=st.just(0.0) | st.floats(1e-6, 4),
    t=times,
)
def test_slerp_of_parallel_vectors_is_the_straight_line(pair, factor, t):
    v1 = pair[0].reshape(-1)
    v2 = np.float32(factor) * v1
    scale = np.abs([v1, v2]).max()
    np.testing.assert_allclose(slerp(t, v1, v2), lerp(t, v1, v2), rtol=0, atol=1e-6 * scale + 1e-44)


def test_slerp_of_antiparallel_vectors_goes_through_the_farthest_positive_axis():
    v1 = np.array([0.6, 0.8, 0.0])
    np.testing.assert_allclose(slerp(0.5, v1, -v1), [0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(slerp(0.5, -v1, v1), [0, 0, 1], atol=1e-7)
    # In the plane, and of several axes equally far, the first.
    np.testing.assert_allclose(slerp(0.5, [0.0, 2.0], [0.0, -2.0]), [2, 0], atol=1e-7)
    np.testing.assert_allclose(slerp(0.5, [1, 0, 0, 0], [-1, 0, 0, 0]), [0, 1, 0, 0], atol=1e-7)


def test_slerp_of_opposite_numbers_goes_through_zero():
    assert slerp(0.5, [3.0], [-3.0]).tolist() == [0.0]


def test_slerp_takes_its_angle_from_all_axes_but_the_first():
    v1, v2 = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    expected = [slerp(0.3, a, b) for a, b in zip(v1.reshape(3, 20), v2.reshape(3, 20), strict=True)]
    np.testing.assert_array_equal(slerp(0.3, v1, v2).reshape(3, 20), expected)


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@given(seed=st.integers(0, 2**32 - 1), num_rows=st.integers(1, 5))
def test_rows_of_a_batch_are_independent_and_have_their_own_time(interpolation, seed, num_rows):
    generator = np.random.default_rng(seed)
    v1, v2 = generator.standard_normal((2, num_rows, 4))
    t = generator.random(num_rows)
    expected = [interpolation(*row) for row in zip(t, v1, v2, strict=True)]
    np.testing.assert_array_equal(interpolation(t, v1, v2), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_loses_nothing(dtype):
    v1, v2 = np.random.default_rng(0).standard_normal((2, 1000))
    v1, v2 = (keras.ops.cast(keras.ops.convert_to_tensor(300 * v), dtype) for v in (v1, v2))
    exact = [np.asarray(keras.ops.convert_to_numpy(v)).astype("float64") for v in (v1, v2)]
    # The squares of the entries add up to far more than the largest float16, 65504.
    np.testing.assert_array_equal(slerp(0.25, v1, v2), slerp(0.25, *exact))


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(interpolation, wrong):
    good, bad = np.ones(3), np.array([1, wrong, 1])
    with pytest.raises(ValueError, match="`v1` must be finite"):
        interpolation(0.5, bad, good)
    with pytest.raises(ValueError, match="`v2` must be finite"):
        interpolation(0.5, good, bad)
    with pytest.raises(ValueError, match="`t` must be finite"):
        interpolation(wrong, good, good)


@pytest.mark.parametrize("interpolation", [lerp, slerp])
def test_wrong_shapes_and_times_are_refused(interpolation):
    with pytest.raises(ValueError, match=r"`v1` and `v2` must have the same shape.*\(2,\).*\(3,\)"):
        interpolation(0.5, np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="`v1` and `v2`"):
        interpolation(0.5, 1.0, 2.0)
    with pytest.raises(ValueError, match="`v1` and `v2`"):
        interpolation(0.5, np.ones((2, 0)), np.ones((2, 0)))
    with pytest.raises(ValueError, match=r"`t` must be a number or.*Received: t of shape \(3,\)"):
        interpolation(np.zeros(3), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="`t` must be a number or"):
        interpolation(np.zeros(2), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="`t` must be a number or"):
        interpolation(np.zeros(1), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"`t` must be from 0 to 1. Received: t=1.5"):
        interpolation(1.5, np.ones(2), np.ones(2))


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@given(
    num_points=st.integers(2, 5), steps=st.integers(1, 4), closed=st.booleans(), seed=st.integers(0)
)
def test_walk_meets_every_point_in_turn(interpolation, num_points, steps, closed, seed):
    points = np.random.default_rng(seed).standard_normal((num_points, 2, 3)).astype("float32")
    num_ways = num_points if closed else num_points - 1
    num_frames = num_ways * steps + (0 if closed else 1)
    frames = walk(points, num_frames, interpolation=interpolation, closed=closed)
    assert frames.shape == (num_frames, 2, 3)
    np.testing.assert_array_equal(frames[::steps], points)


@pytest.mark.parametrize("interpolation", [lerp, slerp])
@pytest.mark.parametrize("shape", [(6,), (4, 3), (4, 4, 3)])
def test_walk_turns_whole_points_whatever_their_shape(interpolation, shape):
    a, b = np.random.default_rng(0).standard_normal((2, *shape))
    middle = walk([a, b], 3, interpolation=interpolation)[1]
    np.testing.assert_allclose(middle, interpolation(0.5, a[None], b[None])[0], atol=1e-6)
    np.testing.assert_allclose(middle.ravel(), interpolation(0.5, a.ravel(), b.ravel()), atol=1e-6)


@given(num_frames=st.integers(2, 40), num_points=st.integers(2, 6))
def test_walk_includes_both_ends_and_keeps_its_pace(num_frames, num_points):
    frames = walk(np.arange(num_points)[:, None], num_frames, interpolation=lerp)
    expected = np.linspace(0, num_points - 1, num_frames)
    np.testing.assert_allclose(frames[:, 0], expected, atol=1e-6)
    assert frames[0] == 0
    assert frames[-1] == num_points - 1


@given(num_frames=st.integers(4, 40))
def test_closed_walk_has_no_seam(num_frames):
    corners = [[1, 0], [0, 1], [-1, 0], [0, -1]]
    frames = walk(corners, num_frames, closed=True)
    turns = np.diff(np.unwrap(np.arctan2(frames[:, 1], frames[:, 0])), append=2 * np.pi)
    np.testing.assert_allclose(turns, 2 * np.pi / num_frames, atol=1e-5)


@given(start=st.floats(0, 1), stop=st.floats(0, 1), num_frames=st.integers(2, 20))
def test_a_part_of_a_walk_goes_between_its_ends(start, stop, num_frames):
    frames = walk(np.arange(4)[:, None], num_frames, interpolation=lerp, between=(start, stop))
    expected = 3 * np.linspace(start, stop, num_frames)
    np.testing.assert_allclose(frames[:, 0], expected, atol=1e-6)


def test_a_part_out_of_range_or_of_a_closed_way_is_refused():
    for between in ((-0.1, 1), (0, 1.1)):
        with pytest.raises(ValueError, match="`between` must be a finite number from 0 to 1"):
            walk(np.eye(2), 3, between=between)
    with pytest.raises(ValueError, match=r"`between` must be \(0, 1\) where the way is closed"):
        walk(np.eye(2), 3, closed=True, between=(0.5, 1))


def test_walk_refuses_too_few_points_and_frames():
    with pytest.raises(ValueError, match=r"`points` must have the shape.*Received: shape \(1, 2\)"):
        walk(np.ones((1, 2)), 5)
    with pytest.raises(ValueError, match="`points` must have the shape"):
        walk(np.ones(3), 5)
    with pytest.raises(ValueError, match="`num_frames` must be an integer, at least 2"):
        walk(np.ones((2, 2)), 1)
    with pytest.raises(ValueError, match="`points` must be finite"):
        walk([[0.0], [np.nan]], 5)


@given(size=st.integers(2, 40), limit=st.none() | st.floats(0.1, 10))
def test_latent_grid_runs_rightwards_and_downwards(size, limit):
    points = latent_grid(size, limit=limit)
    assert points.shape == (size * size, 2)
    assert points.dtype == np.float32
    x, y = points.reshape(size, size, 2).transpose(2, 0, 1)
    assert (np.diff(x, axis=1) > 0).all()
    assert (np.diff(y, axis=0) < 0).all()
    assert (x == x[:1]).all()
    assert (y == y[:, :1]).all()
    np.testing.assert_allclose(points, -points[::-1], atol=1e-6)


@given(size=st.integers(2, 40), limit=st.floats(0.1, 10))
def test_latent_grid_spans_its_limit_in_equal_steps(size, limit):
    x = latent_grid(size, limit=limit)[:size, 0]
    np.testing.assert_allclose(x, np.linspace(-limit, limit, size), rtol=1e-6, atol=1e-6)


@given(size=st.integers(2, 40))
def test_latent_grid_without_limit_shares_the_normal_distribution_equally(size):
    x = latent_grid(size, limit=None)[:size, 0]
    expected = scipy.stats.norm.ppf((np.arange(size) + 0.5) / size)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-7)


def test_latent_grid_refuses_what_is_no_square():
    with pytest.raises(ValueError, match="`size` must be an integer, at least 2"):
        latent_grid(1)
    for limit in (0, -1):
        with pytest.raises(ValueError, match="`limit` must be positive"):
            latent_grid(3, limit=limit)
    with pytest.raises(ValueError, match="`limit` must be a finite number"):
        latent_grid(3, limit=np.nan)


@given(seed=st.integers(0, 2**32 - 1), split=st.integers(1, 9))
def test_attribute_vector_is_what_was_added_to_the_latents(seed, split):
    generator = np.random.default_rng(seed)
    base, concept = generator.standard_normal((2, 3, 4))
    has_attribute = generator.permutation(np.arange(10) < split)
    latents = base + has_attribute[:, None, None] * concept
    np.testing.assert_allclose(attribute_vector(latents, has_attribute), concept, atol=1e-6)
    np.testing.assert_allclose(attribute_vector(latents, ~has_attribute), -concept, atol=1e-6)


def test_attribute_vector_weighs_every_picture_of_a_group_equally():
    latents = np.array([[1.0], [2.0], [6.0], [10.0]])
    assert attribute_vector(latents, [True, True, True, False]).tolist() == [-7.0]


def test_attribute_vector_refuses_wrong_groups():
    latents = np.ones((3, 2))
    wanted = r"`has_attribute` must be true for some.*Received: 3 true"
    with pytest.raises(ValueError, match=wanted):
        attribute_vector(latents, [True, True, True])
    with pytest.raises(ValueError, match="`has_attribute` must be true for some"):
        attribute_vector(latents, np.zeros(3, bool))
    with pytest.raises(ValueError, match="`has_attribute` must hold one boolean"):
        attribute_vector(latents, [True, False])
    with pytest.raises(ValueError, match=r"`has_attribute` must hold one boolean.*int"):
        attribute_vector(latents, [0, 1, 1])
    with pytest.raises(ValueError, match="`latents` must be finite"):
        attribute_vector(latents * np.nan, [True, False, True])
