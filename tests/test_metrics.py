"""Metrics against closed forms and second implementations."""

from imagegen import sliced_wasserstein_distance

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

counts = st.integers(1, 30)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(seed: int, size: int) -> np.ndarray:
    return np.linalg.qr(normal(seed, size, size))[0]


@given(seeds, counts, counts)
def test_on_a_line_the_sliced_distance_is_the_wasserstein_distance(seed, count1, count2):
    samples1, samples2 = normal(seed, count1, 1), 2 * normal(seed + 1, count2, 1) + 1
    expected = scipy.stats.wasserstein_distance(samples1[:, 0], samples2[:, 0])
    distance = sliced_wasserstein_distance(samples1, samples2, order=1, num_directions=2)
    assert distance == pytest.approx(expected, rel=1e-9)


@given(seeds, st.integers(1, 8), st.sampled_from([1, 1.5, 2, 4]))
def test_each_slice_is_the_cheapest_assignment(seed, count, order):
    samples1, samples2 = normal(seed, count, 1), normal(seed + 1, count, 1)
    costs = np.abs(samples1 - samples2.T) ** order
    cheapest = costs[scipy.optimize.linear_sum_assignment(costs)].mean() ** (1 / order)
    distance = sliced_wasserstein_distance(samples1, samples2, order=order)
    assert distance == pytest.approx(cheapest, rel=1e-9)


@pytest.mark.parametrize(("dimensions", "factor"), [(1, 1), (2, 2 / np.pi), (3, 1 / 2)])
def test_a_shift_costs_its_mean_length_along_the_directions(dimensions, factor):
    samples = normal(0, 50, dimensions)
    shift = 3 * np.eye(dimensions)[0]
    measured = {
        order: sliced_wasserstein_distance(
            samples, samples + shift, order=order, num_directions=20_000
        )
        for order in (1, 2)
    }
    assert measured[1] == pytest.approx(3 * factor, rel=0.02)
    assert measured[2] == pytest.approx(3 / np.sqrt(dimensions), rel=0.02)


@given(seeds, counts, counts, st.integers(1, 5))
def test_the_sliced_distance_is_a_distance_of_sets(seed, count1, count2, dimensions):
    samples1, samples2 = normal(seed, count1, dimensions), normal(seed + 1, count2, dimensions)
    distance = sliced_wasserstein_distance(samples1, samples2)
    assert sliced_wasserstein_distance(samples1, samples1[::-1]) == 0
    assert sliced_wasserstein_distance(samples2, samples1) == pytest.approx(distance, rel=1e-9)
    # A point that is there twice weighs as much as two: only the distribution counts.
    doubled = np.repeat(samples1, 2, axis=0)
    assert sliced_wasserstein_distance(doubled, samples2) == pytest.approx(distance, rel=1e-9)
    scaled = sliced_wasserstein_distance(-3 * samples1, -3 * samples2)
    assert scaled == pytest.approx(3 * distance, rel=1e-9)


def test_directions_are_uniform_so_a_rotation_changes_nothing_on_average():
    samples1, samples2 = normal(0, 200, 3), normal(1, 150, 3) * [1, 2, 3]
    turned = rotation(2, 3)
    distances = [
        sliced_wasserstein_distance(*pair, num_directions=20_000)
        for pair in ((samples1, samples2), (samples1 @ turned, samples2 @ turned))
    ]
    assert distances[0] == pytest.approx(distances[1], rel=0.01)


def test_the_seed_fixes_the_directions():
    samples1, samples2 = normal(0, 20, 3), normal(1, 20, 3)
    distance = sliced_wasserstein_distance(samples1, samples2, seed=1)
    assert sliced_wasserstein_distance(samples1, samples2, seed=1) == distance
    assert sliced_wasserstein_distance(samples1, samples2, seed=2) != distance


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(3), "must have the shape"),
        (np.zeros((0, 2)), "must not be empty"),
        (np.full((3, 2), np.nan), "must be finite"),
        (np.array([["a", "b"]]), "must hold real numbers"),
        (np.zeros((3, 5)), "must have the same num_dimensions"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein_distance(samples, np.zeros((3, 2)))


@pytest.mark.parametrize("option", [{"num_directions": 0}, {"order": 0.5}, {"seed": -1}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        sliced_wasserstein_distance(np.zeros((3, 2)), np.zeros((3, 2)), **option)
