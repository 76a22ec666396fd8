"""Metrics against closed forms and second implementations."""

import itertools

from imagegen import (
    VAE,
    frechet_inception_distance,
    kernel_inception_distance,
    metrics,
    nearest_neighbors,
    negative_elbo,
    precision_and_recall,
    sliced_wasserstein_distance,
)

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.spatial
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from keras import layers
from strategies import seeds

counts = st.integers(1, 30)
DISTANCES = [
    lambda x, y: sliced_wasserstein_distance(x, y, num_directions=20),
    lambda x, y: kernel_inception_distance(x, y).distance,
    frechet_inception_distance,
]
COMPARISONS = [*DISTANCES, precision_and_recall]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(seed: int, size: int) -> np.ndarray:
    return np.linalg.qr(normal(seed, size, size))[0]


# All distances of two sets


@pytest.mark.parametrize("distance", DISTANCES)
@given(seed=seeds, count1=st.integers(3, 30), count2=st.integers(3, 30), size=st.integers(1, 5))
def test_a_distance_depends_on_the_sets_and_not_on_their_order(
    distance, seed, count1, count2, size
):
    x, y = normal(seed, count1, size), normal(seed + 1, count2, size) + 1
    expected = pytest.approx(distance(x, y), rel=1e-9, abs=1e-12)
    assert distance(x[::-1], y) == expected
    assert distance(x, np.roll(y, 1, axis=0)) == expected
    assert distance(y, x) == expected
    assert distance(x.astype("float32"), y) == pytest.approx(distance(x, y), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("distance", COMPARISONS)
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(3), "must have the shape"),
        (np.zeros((0, 2)), "must hold at least"),
        (np.full((3, 2), np.nan), "must be finite"),
        (np.array([["a", "b"]] * 3), "must hold real numbers"),
        (np.zeros((3, 5)), "must have the same num_"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(distance, samples, message):
    for pair in ((samples, np.zeros((3, 2))), (np.zeros((3, 2)), samples)):
        with pytest.raises(ValueError, match=message):
            distance(*pair)


@pytest.mark.parametrize("distance", COMPARISONS[1:])
def test_one_picture_has_no_spread(distance):
    with pytest.raises(ValueError, match="must hold at least"):
        distance(np.zeros((1, 4)), np.zeros((10, 4)))


# Sliced Wasserstein distance


@given(seeds, counts, counts)
def test_on_a_line_the_sliced_distance_is_the_wasserstein_distance(seed, count1, count2):
    x, y = normal(seed, count1, 1), 2 * normal(seed + 1, count2, 1) + 1
    expected = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])
    distance = sliced_wasserstein_distance(x, y, order=1, num_directions=2)
    assert distance == pytest.approx(expected, rel=1e-9)


@given(seeds, st.integers(1, 8), st.sampled_from([1, 1.5, 2, 4]))
def test_each_slice_is_the_cheapest_assignment(seed, count, order):
    x, y = normal(seed, count, 1), normal(seed + 1, count, 1)
    costs = np.abs(x - y.T) ** order
    cheapest = costs[scipy.optimize.linear_sum_assignment(costs)].mean() ** (1 / order)
    assert sliced_wasserstein_distance(x, y, order=order) == pytest.approx(cheapest, rel=1e-9)


@pytest.mark.parametrize(("dimensions", "factor"), [(1, 1), (2, 2 / np.pi), (3, 1 / 2)])
def test_a_shift_costs_its_mean_length_along_the_directions(dimensions, factor):
    x = normal(0, 50, dimensions)
    y = x + 3 * np.eye(dimensions)[0]
    measured = {
        order: sliced_wasserstein_distance(x, y, order=order, num_directions=20_000)
        for order in (1, 2)
    }
    assert measured[1] == pytest.approx(3 * factor, rel=0.02)
    assert measured[2] == pytest.approx(3 / np.sqrt(dimensions), rel=0.02)


@given(seeds, counts, counts, st.integers(1, 5))
def test_the_sliced_distance_weighs_points_and_scales_with_them(seed, count1, count2, size):
    x, y = normal(seed, count1, size), normal(seed + 1, count2, size)
    distance = sliced_wasserstein_distance(x, y)
    assert sliced_wasserstein_distance(x, x[::-1]) == 0
    doubled = np.repeat(x, 2, axis=0)
    assert sliced_wasserstein_distance(doubled, y) == pytest.approx(distance, rel=1e-9)
    assert sliced_wasserstein_distance(-3 * x, -3 * y) == pytest.approx(3 * distance, rel=1e-9)


def test_directions_are_uniform_so_a_rotation_changes_nothing_on_average():
    x, y, turned = normal(0, 200, 3), normal(1, 150, 3) * [1, 2, 3], rotation(2, 3)
    distances = [
        sliced_wasserstein_distance(*pair, num_directions=20_000)
        for pair in ((x, y), (x @ turned, y @ turned))
    ]
    assert distances[0] == pytest.approx(distances[1], rel=0.01)


def test_the_seed_fixes_the_directions():
    x, y = normal(0, 20, 3), normal(1, 20, 3)
    distance = sliced_wasserstein_distance(x, y, seed=1)
    assert sliced_wasserstein_distance(x, y, seed=1) == distance
    assert sliced_wasserstein_distance(x, y, seed=2) != distance


@pytest.mark.parametrize("option", [{"num_directions": 0}, {"order": 0.5}, {"seed": -1}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        sliced_wasserstein_distance(np.zeros((3, 2)), np.zeros((3, 2)), **option)


# Kernel inception distance


def plain_kid(x, y) -> float:
    """The formula, term by term."""

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    return (
        np.mean([kernel(*pair) for pair in itertools.permutations(x, 2)])
        + np.mean([kernel(*pair) for pair in itertools.permutations(y, 2)])
        - 2 * np.mean([kernel(a, b) for a in x for b in y])
    )


@given(seeds, st.integers(3, 6), st.integers(3, 6), st.integers(1, 4))
def test_kid_and_its_jackknife_are_those_of_plain_loops(seed, count1, count2, size):
    x, y = normal(seed, count1, size), normal(seed + 1, count2, size) + 0.5
    distance, standard_error = kernel_inception_distance(x, y)
    assert distance == pytest.approx(plain_kid(x, y), rel=1e-9, abs=1e-9)
    left_x = [plain_kid(np.delete(x, i, axis=0), y) for i in range(count1)]
    left_y = [plain_kid(x, np.delete(y, i, axis=0)) for i in range(count2)]
    variance = (count1 - 1) * np.var(left_x) + (count2 - 1) * np.var(left_y)
    assert standard_error == pytest.approx(np.sqrt(variance), rel=1e-6, abs=1e-9)


def kid_draws(shift: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    draws = [
        kernel_inception_distance(
            random.standard_normal((30, 4)), random.standard_normal((40, 4)) + shift
        )
        for _ in range(600)
    ]
    return np.array(draws).T


def test_kid_of_equal_distributions_is_0_on_the_average():
    distances, standard_errors = kid_draws(0)
    assert abs(distances.mean()) < 3 * distances.std() / np.sqrt(len(distances))
    assert (distances < 0).any()
    # Of degenerate statistics the jackknife gives twice the variance.
    ratio = np.sqrt(np.mean(standard_errors**2)) / distances.std()
    assert ratio == pytest.approx(np.sqrt(2), rel=0.1)


def test_kid_of_a_shift_is_its_closed_form_and_the_standard_error_is_calibrated():
    size, shift = 4, 0.8
    distances, standard_errors = kid_draws(shift)

    def mean_kernel(s, t):
        """The mean of (1 + x.y / d)^3 for x ~ N(s, 1), y ~ N(t, 1), from the moments of x.y."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(4)
        weights = weights / weights.sum()
        products = np.multiply.outer(nodes + s, nodes + t)
        moments = [np.sum(np.multiply.outer(weights, weights) * products**k) for k in range(4)]
        first = size * moments[1]
        second = size * moments[2] + size * (size - 1) * moments[1] ** 2
        third = (
            size * moments[3]
            + 3 * size * (size - 1) * moments[2] * moments[1]
            + size * (size - 1) * (size - 2) * moments[1] ** 3
        )
        return 1 + 3 * first / size + 3 * second / size**2 + third / size**3

    exact = mean_kernel(0, 0) + mean_kernel(shift, shift) - 2 * mean_kernel(0, shift)
    assert distances.mean() == pytest.approx(exact, abs=3 * distances.std() / np.sqrt(600))
    ratio = np.sqrt(np.mean(standard_errors**2)) / distances.std()
    assert ratio == pytest.approx(1, abs=0.1)
    assert np.mean(np.abs(distances - exact) < 1.96 * standard_errors) > 0.9


# Fréchet inception distance


def with_moments(seed: int, count: int, mean, covariance) -> np.ndarray:
    """Points whose sample mean and covariance are exactly these."""
    x = normal(seed, count, len(mean))
    x = x - x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T)).T)
    return x @ np.linalg.cholesky(covariance).T + mean


@given(seeds)
def test_fid_of_two_gaussians_is_the_frechet_distance(seed):
    size = 4
    means = normal(seed, 2, size)
    roots = normal(seed + 1, 2, size, size) + 2 * np.eye(size)
    covariances = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(size)
    x, y = (with_moments(seed + i, 30, means[i], covariances[i]) for i in (0, 1))
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert frechet_inception_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_fid_of_independent_features_is_a_sum_over_them():
    mean, deviations = np.array([1.0, -2, 0]), np.array([0.5, 1, 3])
    x = with_moments(0, 20, np.zeros(3), np.eye(3))
    y = with_moments(1, 40, mean, np.diag(deviations**2))
    expected = np.sum(mean**2 + (deviations - 1) ** 2)
    assert frechet_inception_distance(x, y) == pytest.approx(expected)


@given(seeds, st.integers(2, 30), st.integers(2, 30), st.integers(1, 40))
def test_fid_is_unchanged_by_rotations_and_exact_with_more_features_than_samples(
    seed, count1, count2, size
):
    x, y, turned = normal(seed, count1, size), normal(seed + 1, count2, size), rotation(seed, size)
    distance = frechet_inception_distance(x, y)
    assert distance >= 0
    assert frechet_inception_distance(x @ turned + 5, y @ turned + 5) == pytest.approx(
        distance, rel=1e-7, abs=1e-9
    )
    assert 0 <= frechet_inception_distance(x, x) < 1e-10
    # Features that never vary add nothing.
    constant = np.ones((1, 7))
    padded = [np.hstack([z, np.repeat(constant, len(z), axis=0)]) for z in (x, y)]
    assert frechet_inception_distance(*padded) == pytest.approx(distance, rel=1e-7, abs=1e-9)


# Nearest neighbours


@given(seeds, counts, st.integers(5, 40), st.integers(1, 5))
def test_nearest_neighbors_are_those_of_a_search_tree(seed, count, training_count, num_neighbors):
    samples, training = normal(seed, count, 3), normal(seed + 1, training_count, 3)
    expected, _ = scipy.spatial.KDTree(training).query(samples, k=[*range(1, num_neighbors + 1)])
    indices, distances = nearest_neighbors(samples, training, num_neighbors=num_neighbors)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)
    measured = np.linalg.norm(samples[:, None] - training[indices], axis=-1)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


def test_chunks_change_nothing(monkeypatch):
    samples, training = normal(0, 20, 3), normal(1, 50, 3)
    distance = kernel_inception_distance(samples, training)
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", 40)
    assert kernel_inception_distance(samples, training) == pytest.approx(distance)


def test_copies_of_pictures_are_found_at_distance_0():
    training = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype="uint8")
    indices, distances = nearest_neighbors(training[[30, 4]], training, num_neighbors=2)
    assert indices[:, 0].tolist() == [30, 4]
    assert not distances[:, 0].any()
    assert (distances[:, 1] > 0).all()
    brighter = np.minimum(training[[30]], 250) + np.uint8(3)
    assert nearest_neighbors(brighter, np.minimum(training, 250)).distances == pytest.approx(
        3 * np.sqrt(16 * 16 * 3)
    )


def test_a_tiny_difference_of_large_features_is_measured_exactly():
    training = 1e6 + normal(0, 10, 5)
    distances = nearest_neighbors(training + 1e-4, training).distances
    np.testing.assert_allclose(distances, 1e-4 * np.sqrt(5), rtol=1e-3)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 5), "uint8"), "one shape and kind"),
        (np.zeros((2, 4)), "one shape and kind"),
        (np.zeros((0, 4), "uint8"), "not be empty"),
        (np.zeros(4, "uint8"), "must have the shape"),
        (np.full((2, 4), np.inf), "must be finite"),
    ],
)
def test_samples_that_do_not_match_the_training_samples_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbors(samples, np.zeros((6, 4), "uint8"))


@pytest.mark.parametrize("num_neighbors", [0, 7, 1.5])
def test_there_are_only_so_many_neighbors(num_neighbors):
    with pytest.raises(ValueError, match="num_neighbors"):
        nearest_neighbors(np.zeros((2, 4)), np.zeros((6, 4)), num_neighbors=num_neighbors)


# Precision and recall


def plain_precision(generated, real, num_neighbors) -> float:
    """The definition, sample by sample."""
    near = 0
    for sample in generated:
        for index, center in enumerate(real):
            others = sorted(np.linalg.norm(np.delete(real, index, axis=0) - center, axis=1))
            if np.linalg.norm(sample - center) <= others[num_neighbors - 1]:
                near += 1
                break
    return near / len(generated)


@given(seeds, st.integers(4, 15), st.integers(4, 15), st.integers(1, 3), st.integers(1, 3))
def test_precision_and_recall_are_those_of_plain_loops(seed, count1, count2, size, num_neighbors):
    x, y = normal(seed, count1, size), 1.5 * normal(seed + 1, count2, size) + 0.5
    measured = precision_and_recall(x, y, num_neighbors=num_neighbors)
    assert measured.precision == pytest.approx(plain_precision(x, y, num_neighbors))
    assert measured.recall == pytest.approx(plain_precision(y, x, num_neighbors))


@given(seeds, st.integers(4, 30), st.integers(4, 30), st.integers(1, 5))
def test_swapping_the_sets_swaps_precision_and_recall(seed, count1, count2, size):
    x, y = normal(seed, count1, size), normal(seed + 1, count2, size) + 0.5
    assert precision_and_recall(y, x) == precision_and_recall(x, y)[::-1]


@given(seeds, st.integers(4, 30), st.integers(1, 50), st.sampled_from([0, 1e3]))
def test_a_set_is_all_near_itself_and_a_far_one_is_not(seed, count, size, offset):
    x = normal(seed, count, size) + offset
    assert precision_and_recall(x, x) == (1, 1)
    assert precision_and_recall(x, x[::-1]) == (1, 1)
    assert precision_and_recall(x + 1000, x) == (0, 0)


def test_few_modes_cost_recall_and_no_precision():
    modes = 10 * np.eye(10)
    real = np.repeat(modes, 50, axis=0) + 0.1 * normal(0, 500, 10)
    precision, recall = precision_and_recall(real[:150], real)
    assert precision == 1
    assert recall == pytest.approx(0.3)
    blurred = real + 5 * normal(1, 500, 10)
    precision, recall = precision_and_recall(blurred, real)
    assert precision == 0
    assert recall > 0.9


def test_copies_are_near_however_far_from_zero_they_are():
    # Two of each: the nearest of the others is a copy, and the balls have radius 0.
    pairs = np.repeat(1e6 + normal(0, 20, 8), 2, axis=0)
    assert precision_and_recall(pairs, pairs, num_neighbors=1) == (1, 1)
    assert precision_and_recall(pairs + 1e-3, pairs, num_neighbors=1) == (0, 0)


def test_more_neighbors_make_larger_balls():
    x, y = normal(0, 60, 4), normal(1, 60, 4) + 1
    shares = [precision_and_recall(x, y, num_neighbors=count) for count in (1, 3, 10, 59)]
    assert shares == sorted(shares)
    assert shares[0].precision < shares[1].precision < 1
    assert shares[-1] == (1, 1)


def test_chunks_change_no_share(monkeypatch):
    x, y = normal(0, 40, 3), normal(1, 50, 3) + 1
    whole = precision_and_recall(x, y)
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", 40)
    assert precision_and_recall(x, y) == whole


@pytest.mark.parametrize("chunk", [1, 40, 1000])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (50, 3), (50, 30), (7, 2000)])
def test_parts_of_a_set_and_the_pairs_of_their_rows_fit_a_chunk(chunk, rows, columns, monkeypatch):
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", chunk)
    array = np.arange(rows * columns).reshape(rows, columns)
    parts = [array[part] for part in metrics._slices(array)]
    np.testing.assert_array_equal(np.concatenate(parts), array)
    for part in parts:
        assert part.size <= max(chunk, columns)
        assert len(part) ** 2 <= chunk
    # No smaller than they have to be.
    assert len(parts[0]) == rows or (len(parts[0]) + 1) * max(columns, len(parts[0]) + 1) > chunk


@pytest.mark.parametrize(
    ("num_neighbors", "rule"), [(0, "from 1 to 3"), (4, "from 1 to 3"), (1.5, "an integer")]
)
def test_there_are_only_so_many_others(num_neighbors, rule):
    for sets in ((np.zeros((9, 2)), np.zeros((4, 2))), (np.zeros((4, 2)), np.zeros((9, 2)))):
        with pytest.raises(ValueError, match=f"{rule}.*num_neighbors={num_neighbors}"):
            precision_and_recall(*sets, num_neighbors=num_neighbors)


# The ELBO of a VAE

MEAN, LOG_VARIANCE, PROBABILITY = 0.7, -1.2, 0.3


def constant_vae(logit: float = np.log(PROBABILITY / (1 - PROBABILITY))) -> VAE:
    """Sees the same distribution in all images, and decodes all latents to the same image."""
    images, latents = keras.Input((2, 3, 1)), keras.Input((2,))
    flat = layers.Flatten()(images)
    constants = [
        layers.Dense(2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(c))
        for c in (MEAN, LOG_VARIANCE)
    ]
    decoded = layers.Dense(
        6,
        "sigmoid",
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(logit),
    )(latents)
    return VAE(
        keras.Model(images, [constant(flat) for constant in constants]),
        keras.Model(latents, layers.Reshape((2, 3, 1))(decoded)),
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_elbo_of_a_constant_vae_has_a_closed_form(dtype):
    grey = np.array([[0, 51, 102], [153, 204, 255]], "uint8").reshape(1, 2, 3, 1)
    images = np.concatenate([grey, grey[:, ::-1], 255 - grey])
    levels = images / 255
    bound = negative_elbo(constant_vae(), images if dtype == "uint8" else levels.astype(dtype))
    expected = -np.mean(
        np.sum(
            levels * np.log(PROBABILITY) + (1 - levels) * np.log(1 - PROBABILITY), axis=(1, 2, 3)
        )
    )
    kl = 2 * (MEAN**2 + np.exp(LOG_VARIANCE) - 1 - LOG_VARIANCE) / 2
    assert bound.reconstruction == pytest.approx(expected, rel=1e-5)
    assert bound.kl == pytest.approx(kl, rel=1e-5)
    assert bound.nats == bound.reconstruction + bound.kl
    assert bound.bits_per_dimension == pytest.approx(bound.nats / 6 / np.log(2))


def test_certainty_costs_much_and_not_infinitely_much_where_it_is_wrong():
    white = np.full((1, 2, 3, 1), 255, "uint8")
    cost = negative_elbo(constant_vae(logit=-200), white).reconstruction / 6
    assert cost == pytest.approx(-np.log(1e-7), rel=1e-3)
    assert negative_elbo(constant_vae(logit=200), white).reconstruction == pytest.approx(
        0, abs=1e-5
    )


def identity_vae() -> VAE:
    """Encodes a pixel as its value and decodes the sigmoid of its latent."""
    images, latents = keras.Input((1, 1, 1)), keras.Input((1,))
    mean = layers.Flatten()(images)
    log_variance = layers.Dense(
        1,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(LOG_VARIANCE),
    )(mean)
    decoded = layers.Reshape((1, 1, 1))(layers.Activation("sigmoid")(latents))
    return VAE(keras.Model(images, [mean, log_variance]), keras.Model(latents, decoded))


def test_latents_are_drawn_from_what_the_encoder_says():
    # For white pixels the reconstruction costs log(1 + e^-z), z normal: a one-dimensional integral.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    latents = 1 + np.exp(LOG_VARIANCE / 2) * nodes
    exact = weights @ np.log1p(np.exp(-latents)) / weights.sum()
    white = np.full((2000, 1, 1, 1), 255, "uint8")
    bound = negative_elbo(identity_vae(), white, num_draws=10)
    assert bound.reconstruction == pytest.approx(exact, abs=0.005)
    again = negative_elbo(identity_vae(), white, num_draws=10)
    assert again == bound
    assert negative_elbo(identity_vae(), white, seed=1) != bound


def test_the_elbo_is_the_loss_of_the_vae():
    images = np.random.default_rng(0).integers(0, 256, (500, 2, 3, 1), dtype="uint8")
    vae = constant_vae()
    vae.compile("adam")
    losses = vae.evaluate(images, verbose=0, return_dict=True)
    bound = negative_elbo(vae, images)
    assert bound.nats == pytest.approx(losses["loss"], rel=1e-5)
    assert bound.kl == pytest.approx(losses["kl_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 2, 3, 1), "int32"), "uint8"),
        (np.full((2, 2, 3, 1), np.nan, "float32"), "finite"),
        (np.zeros((0, 2, 3, 1), "uint8"), "empty"),
        (np.zeros((2, 3, 3, 1), "uint8"), "shape"),
    ],
)
def test_images_that_the_vae_cannot_take_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        negative_elbo(constant_vae(), images)


def test_neighbours_are_found_however_far_all_is_from_zero():
    rng = np.random.default_rng(0)
    features = 1e6 + rng.normal(size=(50, 8))
    indices, distances = nearest_neighbors(features[[7, 9]], features)
    assert indices.ravel().tolist() == [7, 9]
    np.testing.assert_allclose(distances, 0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_high_order_neither_vanishes_nor_overflows(scale):
    rng = np.random.default_rng(0)
    first, second = scale * rng.normal(size=(2, 100, 2))
    distance = sliced_wasserstein_distance(first, second, order=200)
    assert 0.01 * scale < distance < 10 * scale
