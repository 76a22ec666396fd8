import dataclasses

import imagegen
from imagegen import inpainting, super_resolution
from imagegen.samplers import Level, advance, levels

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

SIZE = 8
FLOWERS = imagegen.DiffusionModel.from_preset("flowers-64")
bytes_ = st.integers(0, 255)
small_pictures = arrays("uint8", (2, SIZE, SIZE, 3), elements=bytes_)
masks = arrays(bool, (SIZE, SIZE))


def random_pictures(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), "uint8")


def make_model() -> imagegen.DiffusionModel:
    """A model that believes in the noisy picture itself, scaled: its network gives zeros."""
    network = imagegen.UNet(SIZE, [4, 8], block_depth=1)
    model = imagegen.DiffusionModel(network, prediction=imagegen.VelocityPrediction())
    model.normalizer.adapt(random_pictures(8))
    return model


MODEL = make_model()


def block_means(images: np.ndarray, factor: int) -> np.ndarray:
    count, height, width, channels = images.shape
    shape = (count, height // factor, factor, width // factor, factor, channels)
    return images.reshape(shape).astype("float64").mean((2, 4))


@given(small_pictures, st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=20)
def test_strength_zero_gives_the_draft_back(images, num_steps, seed):
    edited = imagegen.image_to_image(
        MODEL, images, strength=0, num_steps=num_steps, sampler=imagegen.DDPM(), seed=seed
    )
    np.testing.assert_array_equal(edited, images)


@given(small_pictures, st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=20)
def test_strength_one_is_generating(images, num_steps, seed):
    edited = imagegen.image_to_image(MODEL, images, strength=1, num_steps=num_steps, seed=seed)
    np.testing.assert_array_equal(edited, MODEL.generate(2, num_steps=num_steps, seed=seed))


def test_more_strength_leads_further_from_the_draft():
    draft = FLOWERS.generate(2, num_steps=10, seed=5)
    distances = [
        np.abs(
            imagegen.image_to_image(FLOWERS, draft, strength=s, num_steps=10, seed=1).astype(float)
            - draft
        ).mean()
        for s in (0.2, 0.4, 0.6, 0.9)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 15 < distances[-1]


@pytest.mark.parametrize("strength", [0.07, 0.35, 0.55, 0.551, 0.57, 0.58])
def test_a_share_of_the_steps_is_taken(strength, monkeypatch):
    """Rounded, so that 0.55 of 100 steps, 55.00000000000001 of them, are 55 and not 56."""
    taken = []
    run = MODEL.run
    monkeypatch.setattr(MODEL, "run", lambda *a, **k: taken.append(a[4] - a[3]) or run(*a, **k))
    imagegen.image_to_image(MODEL, random_pictures(1), strength=strength, num_steps=100, seed=0)
    assert taken == [round(100 * strength)]


@given(st.floats(0.001, 0.999), st.integers(2, 30))
@settings(max_examples=20)
def test_between_nothing_and_everything_a_step_is_taken_and_a_step_is_left(strength, num_steps):
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODEL, "run", lambda *a, **k: taken.append(a[4] - a[3]) or iter([a[:2]]))
        imagegen.image_to_image(
            MODEL, random_pictures(1), strength=strength, num_steps=num_steps, seed=0
        )
    assert 1 <= taken[0] <= num_steps - 1


def edit_all(count: int, sampler: imagegen.Sampler, seed: int) -> list[np.ndarray]:
    images, mask = random_pictures(3)[:count], np.eye(SIZE, dtype=bool)
    small = random_pictures(3, SIZE // 2)[:count]
    options = {"num_steps": 4, "sampler": sampler, "seed": seed}
    return [
        imagegen.image_to_image(MODEL, images, **options),
        imagegen.inpaint(MODEL, images, mask, **options),
        imagegen.super_resolve(MODEL, small, 2, **options),
    ]


# One that draws new noise, one that asks twice, one that remembers; DDIM is in most other tests.
@pytest.mark.parametrize(
    "sampler", [imagegen.DDPM(), imagegen.Heun(), imagegen.DPMSolver2M()], ids=repr
)
def test_every_kind_of_sampler_edits_and_the_seed_decides(sampler):
    for first, again, other in zip(
        *(edit_all(3, sampler, seed) for seed in (7, 7, 8)), strict=True
    ):
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_a_picture_is_edited_the_same_whatever_is_beside_it():
    sampler = imagegen.DDPM()
    for three, two in zip(edit_all(3, sampler, 7), edit_all(2, sampler, 7), strict=True):
        # Another size of batch is another program, which may round otherwise.
        np.testing.assert_allclose(three[:2].astype(int), two, atol=1)


@given(small_pictures, masks, st.integers(0, 99))
@settings(max_examples=30)
def test_kept_pixels_come_back_exactly(images, mask, seed):
    painted = imagegen.inpaint(MODEL, images, mask, num_steps=3, num_resamplings=2, seed=seed)
    np.testing.assert_array_equal(painted[:, ~mask], images[:, ~mask])


def test_a_mask_of_one_picture_repaints_that_picture_alone():
    images = random_pictures(2)
    mask = np.zeros((2, SIZE, SIZE), bool)
    mask[1] = True
    painted = imagegen.inpaint(MODEL, images, mask, num_steps=3, seed=0)
    np.testing.assert_array_equal(painted[0], images[0])
    assert (painted[1] != images[1]).mean() > 0.9


def test_inpainting_everything_is_generating():
    white = np.full((SIZE, SIZE), 255, "uint8")
    painted = imagegen.inpaint(
        MODEL, random_pictures(3), white, num_steps=6, num_resamplings=1, seed=4
    )
    np.testing.assert_array_equal(painted, MODEL.generate(3, num_steps=6, seed=4))


@pytest.mark.parametrize("white", [True, 255, 128, 1.0, 0.5])
@pytest.mark.parametrize("black", [False, 0, 127, 0.0, 0.49])
def test_white_is_repainted_whatever_the_type_of_the_mask(white, black):
    dtype = np.asarray(white).dtype
    if np.asarray(black).dtype != dtype:
        return
    mask = np.where(np.eye(SIZE, dtype=bool), white, black)
    mask = mask.astype("uint8") if mask.dtype.kind == "i" else mask
    painted, expected = (
        imagegen.inpaint(MODEL, random_pictures(1), m, num_steps=2, seed=0)
        for m in (mask, np.eye(SIZE, dtype=bool))
    )
    np.testing.assert_array_equal(painted, expected)


def test_the_kept_part_is_put_in_place_with_the_noise_of_the_level():
    """What the sampler beneath is handed is signal_rate * kept + noise_rate * noise."""

    class Still(imagegen.Sampler):
        def step(self, denoise, noisy, now, after, state):
            return noisy, noisy, state

    kept = ops.convert_to_tensor(np.tile([2.0, -1.0], (20000, 1)), "float32")
    zero = ops.convert_to_tensor(0, "int32")
    repaint = ops.convert_to_tensor(np.array([[False, True]]))
    now, after = (Level(*map(np.float32, level)) for level in ((0.5, 0.6, 0.8), (0.4, 0.5, 0.87)))
    one = ops.convert_to_tensor(1, "int32")
    handed, _, _ = imagegen.RePaint(Still()).step(
        lambda *_: kept, ops.zeros_like(kept), now, after, (zero, zero, kept, repaint, one, ())
    )
    first, second = ops.convert_to_numpy(handed).T
    assert abs(first.mean() - 0.8 * 2) < 0.02
    assert abs(first.std() - 0.6) < 0.02
    assert (second == 0).all()


def test_resampling_finds_what_belongs_to_the_kept_part():
    """Of two correlated normal numbers one is kept: the law of the other is known.

    Given the first number a, the second has mean rho * a and variance 1 - rho^2. Without
    resampling it hardly hears of the first.
    """
    rho, num_points = 0.9, 4000
    covariance = np.array([[1, rho], [rho, 1]], "float32")
    schedule = imagegen.CosineSchedule(max_signal_rate=0.999)
    rng = np.random.default_rng(0)
    first = rng.standard_normal(num_points)
    kept = ops.convert_to_tensor(np.stack([first, 0 * first], 1), "float32")
    noisy = ops.convert_to_tensor(rng.standard_normal((num_points, 2)), "float32")
    repaint = ops.convert_to_tensor(np.array([[False, True]]))

    def denoise(noisy, time):
        noise_rate, signal_rate = schedule(time)
        spread = signal_rate**2 * covariance + noise_rate**2 * np.eye(2, dtype="float32")
        return signal_rate * ops.matmul(noisy, ops.matmul(ops.inv(spread), covariance))

    def repaint_with(num_resamplings: int) -> tuple[float, float]:
        sampler = imagegen.RePaint(imagegen.DDPM())
        integers = (3, 0, num_resamplings, 0, 50)
        seed, index, visits, start, stop = (
            ops.convert_to_tensor(number, "int32") for number in integers
        )
        table = ops.convert_to_tensor(levels(schedule, 50))
        state = (seed, index, kept, repaint, visits, sampler.base.init(noisy, seed))
        final, _, _ = advance(sampler, denoise, noisy, state, table, start, stop)
        second = ops.convert_to_numpy(final)[:, 1]
        slope = float((second * first).mean() / (first**2).mean())
        return slope, float(np.var(second - slope * first))

    slope, variance = repaint_with(20)
    assert abs(slope - rho) < 0.05
    assert abs(variance - (1 - rho**2)) < 0.05
    assert repaint_with(1)[0] < slope - 0.1


@given(st.integers(0, 11), st.integers(0, 11), st.integers(0, 11), st.integers(0, 11), st.data())
@settings(max_examples=15)
def test_outpainting_keeps_the_middle_and_leaves_nothing_empty(above, below, left, right, data):
    images = np.full((1, SIZE, SIZE, 3), 200, "uint8")
    wide = imagegen.outpaint(
        MODEL, images, (above, below, left, right), num_steps=2, num_resamplings=1, seed=0
    )
    assert wide.shape == (1, SIZE + above + below, SIZE + left + right, 3)
    middle = wide[:, above : above + SIZE, left : left + SIZE]
    np.testing.assert_array_equal(middle, images)
    # The canvas is black before it is painted; the model paints noise, in which no row and no
    # column is black.
    assert (wide.max(axis=(0, 2, 3)) > 0).all()
    assert (wide.max(axis=(0, 1, 3)) > 0).all()


def test_outpainting_paints_every_pixel_once(monkeypatch):
    """What a window has painted, the next one keeps."""

    def paint(model, images, mask, **options):
        assert (images[0, mask] == 0).all()
        return np.where(mask[..., None], 1, images)

    monkeypatch.setattr(inpainting, "inpaint", paint)
    wide = imagegen.outpaint(MODEL, np.full((1, 20, 10, 3), 9, "uint8"), (8, 12, 15, 5), seed=0)
    painted = (wide == 1).all(axis=(0, 3))
    assert wide.shape[1:3] == painted.shape
    assert painted.sum() == painted.size - 20 * 10


def test_outpainting_goes_on_from_what_is_there():
    """Windows overlap by half: beside the seam the picture continues, far from it, less so."""
    image = FLOWERS.generate(1, num_steps=20, seed=11)
    wide = imagegen.outpaint(
        FLOWERS, image, (0, 0, 0, 16), num_steps=10, num_resamplings=3, seed=0
    ).astype(float)
    neighbours = np.abs(wide[:, :, 63] - wide[:, :, 64]).mean()
    strangers = np.abs(wide[:, :, 63] - wide[:, ::-1, 64]).mean()
    assert neighbours < strangers


@given(arrays("uint8", (2, 4, 4, 3), elements=bytes_), st.integers(0, 99))
@settings(max_examples=30)
def test_the_means_of_blocks_are_the_small_picture(small, seed):
    large = imagegen.super_resolve(MODEL, small, 2, num_steps=3, seed=seed)
    assert np.abs(block_means(large, 2) - small).max() <= 1


def test_the_model_paints_with_the_small_picture_in_mind(monkeypatch):
    """Before the last correction the means are right already, up to clipping and rounding."""
    monkeypatch.setattr(super_resolution, "_with_block_means", lambda images, small, factor: images)
    real = FLOWERS.generate(2, num_steps=20, seed=1)
    small = np.rint(block_means(real, 4)).astype("uint8")
    large = imagegen.super_resolve(FLOWERS, small, 4, num_steps=10, seed=0)
    assert np.abs(block_means(large, 4) - small).mean() < 1


def test_inversion_leads_to_noise_and_back():
    images = FLOWERS.generate(2, num_steps=20, seed=3)
    noise = imagegen.ddim_inversion(FLOWERS, images, num_steps=100)
    assert 0.7 < noise.std() < 1.3
    again = FLOWERS.generate(2, noise=noise, num_steps=100, sampler=imagegen.DDIM())
    assert np.abs(again.astype(float) - images).mean() < 2


def test_iteration_makes_the_way_back_shorter():
    images = FLOWERS.generate(1, num_steps=20, seed=4)

    def error(num_iterations: int) -> float:
        noise = imagegen.ddim_inversion(
            FLOWERS, images, num_steps=25, num_iterations=num_iterations
        )
        again = FLOWERS.generate(1, noise=noise, num_steps=25, sampler=imagegen.DDIM())
        return float(np.abs(again.astype(float) - images).mean())

    assert error(3) < error(1) / 2


def test_the_step_backwards_undoes_ddims_step():
    """For a linear denoiser the fixed point is known, and DDIM leads from it to the start."""

    def denoise(noisy, time):
        return (1 - time) * noisy

    now, after = Level(0.2, 0.3, 0.954), Level(0.4, 0.6, 0.8)
    noisy = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(5, 2)), "float32")
    sampler = imagegen.InverseDDIM(60)
    state = sampler.init(noisy, ops.convert_to_tensor(0, "int32"))
    noisier, _, _ = sampler.step(denoise, noisy, now, after, state)
    back, _, _ = imagegen.DDIM().step(denoise, noisier, after, now, ())
    np.testing.assert_allclose(ops.convert_to_numpy(back), ops.convert_to_numpy(noisy), atol=1e-5)


def test_inversion_in_one_step_by_one_look():
    images = random_pictures(2)
    noise = imagegen.ddim_inversion(MODEL, images, num_steps=1, num_iterations=1)
    _, noise_rate, signal_rate = levels(MODEL.schedule, 1)[0].astype("float64")
    clean = MODEL.to_samples(images).astype("float64")
    # From no noise: the picture's share, and what is no signal in what the network sees of it.
    noisy = signal_rate * clean + (clean - signal_rate * signal_rate * clean)
    np.testing.assert_allclose(noise, noisy / np.hypot(noise_rate, signal_rate), atol=1e-4)


class Dark(imagegen.ImageGenerator):
    """Believes that all pictures are dark, on a straight line from picture to noise."""

    sample_shape, schedule, value_range = (4, 4, 3), imagegen.FlowSchedule(), (0, 255)

    def denoise(self, noisy, time, conditions=None):
        return 0 * noisy


def test_noise_has_the_deviation_that_it_has_at_the_first_level():
    """Where all is noise, a step scales, and how much it does is known."""
    images = random_pictures(2, 4)
    factor = 1.0
    stops = levels(Dark.schedule, 3)[:4].astype("float64")
    for (_, now, signal_after), (_, before, signal_now) in zip(stops[1:], stops[:-1], strict=True):
        factor *= signal_now / signal_after * (1 - now / before) + 1
    noise = imagegen.ddim_inversion(Dark(), images, num_steps=3, num_iterations=1)
    expected = images * factor / np.hypot(*stops[0, 1:])
    np.testing.assert_allclose(noise, expected, rtol=1e-4)


def test_where_the_network_looks_often_enough_the_way_back_is_exact():
    images = random_pictures(2)
    noise = imagegen.ddim_inversion(MODEL, images, num_steps=9, num_iterations=60)
    assert noise.dtype == "float32"
    again = MODEL.generate(2, noise=noise, num_steps=9, sampler=imagegen.DDIM())
    np.testing.assert_allclose(again.astype(int), images, atol=1)


def test_a_look_sees_the_present_sample_at_the_noisier_level():
    """The first one sees what there is, the second what the first one led to."""
    now, after = Level(0.2, 0.28, 0.96), Level(0.4, 0.6, 0.8)
    start = ops.convert_to_tensor(np.float32([[0.5, -2.0]]))

    def denoise(noisy, time):
        return (1 - time) * noisy

    def look(seen: np.ndarray) -> np.ndarray:
        noise = (seen - 0.8 * 0.6 * seen) / 0.6
        return 0.8 / 0.96 * (np.float64([[0.5, -2.0]]) - 0.28 * noise) + 0.6 * noise

    expected = np.float64([[0.5, -2.0]])
    for count in (1, 2, 3):
        clean, expected = 0.6 * expected, look(expected)
        sampler = imagegen.InverseDDIM(count)
        state = sampler.init(start, ops.convert_to_tensor(0, "int32"))
        noisier, seen, again = sampler.step(denoise, start, now, after, state)
        np.testing.assert_allclose(ops.convert_to_numpy(noisier), expected, rtol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(seen), clean, rtol=1e-5)
        assert int(again[0]) == count


def test_a_way_between_pictures_is_a_great_circle_between_their_noises():
    image1, image2 = images = random_pictures(2)
    first, last = noises = imagegen.ddim_inversion(MODEL, images, num_steps=4)
    middle = imagegen.slerp(0.5, noises[:1], noises[1:])[0]
    expected = MODEL.generate(
        3, noise=np.stack([first, middle, last]), num_steps=4, sampler=imagegen.DDIM()
    )
    frames = imagegen.interpolate_images(MODEL, image1, image2, 3, num_steps=4)
    np.testing.assert_allclose(frames.astype(int), expected, atol=1)
    assert len(imagegen.interpolate_images(MODEL, image1, image2, num_steps=1)) == 12
    assert len(imagegen.interpolate_images(MODEL, image1, image2, 2, num_steps=1)) == 2


def test_a_way_between_pictures_begins_and_ends_at_them():
    image1, image2 = images = FLOWERS.generate(2, num_steps=20, seed=6)
    frames = imagegen.interpolate_images(FLOWERS, image1, image2, 5, num_steps=60)
    assert frames.shape == (5, 64, 64, 3)
    for frame, image in zip(frames[[0, -1]], images, strict=True):
        assert np.abs(frame.astype(float) - image).mean() < 4
    # No frame is the mean of both, as it is where one fades into the other.
    faded = images.astype(float).mean(axis=0)
    assert np.abs(frames[2] - faded).mean() > 10


def test_variations_are_image_to_image_under_different_noise():
    image = random_pictures(1)
    some = imagegen.variations(MODEL, image[0], 3, num_steps=4, seed=2)
    drafts = np.repeat(image, 3, axis=0)
    np.testing.assert_array_equal(some, imagegen.image_to_image(MODEL, drafts, num_steps=4, seed=2))
    assert not np.array_equal(some[0], some[1])


def test_floats_from_zero_to_one_are_pictures_too():
    images = random_pictures(2)
    from_bytes, from_floats = (
        imagegen.image_to_image(MODEL, pictures, num_steps=4, seed=0)
        for pictures in (images, imagegen.to_float(images))
    )
    np.testing.assert_array_equal(from_bytes, from_floats)


def call(function, **options):
    defaults = {
        "image_to_image": {"images": random_pictures(1)},
        "variations": {"image": random_pictures(1)},
        "inpaint": {"images": random_pictures(1), "mask": np.ones((SIZE, SIZE), bool)},
        "outpaint": {"images": random_pictures(1), "pad": 4},
        "super_resolve": {"images": random_pictures(1, 4), "factor": 2},
        "ddim_inversion": {"images": random_pictures(1)},
        "interpolate_images": {"image1": random_pictures(1), "image2": random_pictures(1)},
    }[function]
    return getattr(imagegen, function)(**({"model": MODEL} | defaults | options))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("image_to_image", {"strength": 1.1}, "`strength` must"),
        ("image_to_image", {"strength": float("nan")}, "`strength` must"),
        ("image_to_image", {"num_steps": 0}, "`num_steps` must"),
        ("image_to_image", {"images": random_pictures(1, 9)}, "`images` must be 8 x 8 pixels"),
        (
            "image_to_image",
            {"images": np.full((8, 8, 3), 2.0)},
            "`images` must be uint8, or floats",
        ),
        ("image_to_image", {"images": np.full((8, 8, 3), np.nan)}, "`images` must be finite"),
        ("image_to_image", {"seed": -1}, "`seed` must"),
        ("image_to_image", {"seed": 2**31}, "`seed` must"),
        ("variations", {"image": random_pictures(2)}, "`image` must be one picture"),
        ("variations", {"num_images": 0}, "`num_images` must"),
        ("inpaint", {"mask": np.ones((8, 9), bool)}, "`mask` must have the shape"),
        ("inpaint", {"mask": np.full((8, 8), np.nan)}, "`mask` must be finite"),
        ("inpaint", {"mask": np.eye(8, dtype=int)}, "`mask` must hold booleans"),
        ("inpaint", {"mask": np.eye(8, dtype="uint8")}, "`mask` must hold booleans"),
        ("inpaint", {"mask": 255.0 * np.eye(8)}, "`mask` must hold booleans"),
        ("inpaint", {"num_resamplings": 0}, "`num_resamplings` must"),
        ("outpaint", {"pad": -1}, "`pad` must"),
        ("outpaint", {"pad": (1, 2)}, "`pad` must be one number or four"),
        ("outpaint", {"images": random_pictures(1, 5), "pad": 1}, "`pad` must make the height"),
        ("super_resolve", {"factor": 1}, "`factor` must"),
        ("super_resolve", {"factor": 3}, "`factor` must divide"),
        ("super_resolve", {"factor": 4}, "`images` must be 2 x 2 pixels"),
        ("ddim_inversion", {"num_iterations": 0}, "`num_iterations` must"),
        ("interpolate_images", {"image2": random_pictures(2)}, "`image2` must be one picture"),
        ("interpolate_images", {"num_frames": 1}, "`num_frames` must"),
    ],
)
def test_bad_input_is_refused_by_name(function, options, message):
    with pytest.raises(ValueError, match=message):
        call(function, **options)


def test_a_model_of_grey_pictures_edits_grey_pictures_of_its_shape():
    network = keras.Input((4, 8, 1)), keras.Input((1, 1, 1))
    output = keras.layers.Conv2D(1, 1)(network[0])
    model = imagegen.DiffusionModel(keras.Model(network, output))
    grey = random_pictures(2)[:, :4, :, :1]
    model.normalizer.adapt(grey)
    edited = imagegen.image_to_image(model, grey, strength=0, num_steps=2, seed=0)
    np.testing.assert_array_equal(edited, grey)
    edited[0] = 0  # The result is the caller's own.
    assert imagegen.outpaint(model, grey, 1, num_steps=2, seed=0).shape == (2, 6, 10, 1)
    with pytest.raises(ValueError, match="`images` must be grey pictures"):
        imagegen.image_to_image(model, random_pictures(2)[:, :4], num_steps=2)


def test_the_largest_seed_is_a_seed():
    edit_all(1, imagegen.DDPM(), 2**31 - 1)


def test_a_model_of_points_edits_no_pictures():
    points, rates = keras.Input((2,)), keras.Input((1,))
    network = keras.Model([points, rates], keras.layers.Dense(2)(points))
    model = imagegen.DiffusionModel(network, value_range=None)
    with pytest.raises(ValueError, match="`model` must be a model of pictures"):
        call("image_to_image", model=model)


# Pictures of any shape


def test_pictures_wider_than_high_go_everywhere():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 24, 3), "uint8")
    encoder = imagegen.LabelEncoder(["left", "right"], 4)
    network = imagegen.UNet((8, 24), [4, 8], block_depth=1, embedding_dim=8, condition_dim=4)
    model = imagegen.DiffusionModel(network, encoder=encoder)
    model.normalizer.adapt(images)
    model.compile("adam")
    model.fit(images, ["left", "right", "left", "right"], batch_size=2, verbose=0)
    options = {"num_steps": 2, "seed": 0}
    assert model.generate(["left"], **options).shape == (1, 8, 24, 3)
    assert imagegen.image_to_image(model, images, **options).shape == images.shape
    mask = np.zeros((8, 24), bool)
    mask[:, :12] = True
    kept = imagegen.inpaint(model, images, mask, num_resamplings=1, **options)
    np.testing.assert_array_equal(kept[:, :, 12:], images[:, :, 12:])
    wider = imagegen.outpaint(model, images, (2, 0, 0, 4), num_resamplings=1, **options)
    assert wider.shape == (4, 10, 28, 3)
    assert imagegen.variations(model, images[0], 2, **options).shape == (2, 8, 24, 3)
    small = images.reshape(4, 4, 2, 12, 2, 3).mean((2, 4)).astype("uint8")
    assert imagegen.super_resolve(model, small, 2, **options).shape == images.shape
    noise = imagegen.ddim_inversion(model, images, num_steps=2)
    assert noise.shape == images.shape
    frames = imagegen.prompt_walk(model, ["left", "right"], 3, **options)
    assert frames.shape == (3, 8, 24, 3)
    assert imagegen.resized(model, (16, 8)).generate(1, **options).shape == (1, 16, 8, 3)


def test_latents_of_pictures_wider_than_high():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 24, 3), "uint8")
    parts = [
        part((8, 24), [4, 8], block_depth=0)
        for part in (imagegen.image_encoder, imagegen.image_decoder)
    ]
    vae = imagegen.VAE(*parts)
    assert vae.latent_shape == (2, 6, 4)
    model = imagegen.DiffusionModel(
        imagegen.UNet((2, 6), [4], block_depth=1, channels=4), value_range=None
    )
    model.normalizer.adapt(vae.encode(images)[0])
    painter = imagegen.LatentDiffusion(model, vae)
    assert painter.generate(1, num_steps=2, seed=0).shape == (1, 8, 24, 3)
    edited = imagegen.image_to_image(painter, images, num_steps=2, seed=0)
    assert edited.shape == images.shape
    eyes = imagegen.clip_image_encoder((8, 24), [4, 8], 6)
    assert eyes(images / 255).shape == (4, 6)
    flowers = imagegen.datasets.flowers("painted", (16, 24), split="test").images
    assert flowers.shape == (500, 16, 24, 3)


@pytest.mark.parametrize("num_visits", [1, 2, 3])
def test_a_visit_begins_with_the_forward_process_from_the_next_level(num_visits):
    """Where the sampler beneath does nothing, only the noise of going back adds up."""

    class Still(imagegen.Sampler):
        def step(self, denoise, noisy, now, after, state):
            return noisy, noisy, state

    same = lambda noisy, time: noisy  # noqa: E731
    now, after = Level(0.5, 0.6, 0.8), Level(0.4, 0.28, 0.96)
    start = ops.ones((40_000, 1))
    numbers = (ops.convert_to_tensor(number, "int32") for number in (3, 0, num_visits))
    seed, index, visits = numbers
    repaint = ops.convert_to_tensor(np.array([[True]]))
    state = (seed, index, ops.zeros_like(start), repaint, visits, ())
    handed, _, (_, index, *_) = imagegen.RePaint(Still()).step(same, start, now, after, state)
    ratio = 0.8 / 0.96
    # What keeps the marginals: ratio^2 * 0.28^2 + added = 0.6^2.
    added = 0.6**2 - ratio**2 * 0.28**2
    handed = ops.convert_to_numpy(handed).astype("float64")
    variance = sum(added * ratio ** (2 * visit) for visit in range(num_visits - 1))
    assert handed.mean() == pytest.approx(ratio ** (num_visits - 1), abs=0.015)
    assert handed.var() == pytest.approx(variance, rel=0.03, abs=1e-12)
    assert int(index) == 2 * num_visits
    # From the clean sample nothing goes back.
    state = (seed, ops.zeros_like(index), ops.zeros_like(start), repaint, visits, ())
    last = Level(0.0, 0.0, 1.0)
    ended, _, (_, index, *_) = imagegen.RePaint(Still()).step(same, start, now, last, state)
    np.testing.assert_array_equal(ops.convert_to_numpy(ended), 1)
    assert int(index) == 2


# What is compiled


def churning(share: float, **numbers) -> imagegen.EDMSampler:
    return imagegen.EDMSampler(share, schedule=MODEL.schedule, **numbers)


@dataclasses.dataclass(frozen=True)
class Eager(imagegen.DDIM):
    """Reads its number itself, which is then compiled into its step."""

    def step(self, denoise, noisy, now, after, state):
        return super().step(denoise, self.eta * noisy, now, after, state)


def edits(function: str, sampler: imagegen.Sampler, model: imagegen.DiffusionModel) -> np.ndarray:
    options = {"num_steps": 3, "seed": 0, "sampler": sampler}
    given = {
        "inpaint": (random_pictures(1), np.eye(SIZE, dtype=bool)),
        "outpaint": (random_pictures(1), (0, 4, 0, 0)),
        "super_resolve": (random_pictures(1, SIZE // 2), 2),
        "image_to_image": (random_pictures(1),),
        "variations": (random_pictures(1), 1),
    }
    return getattr(imagegen, function)(model, *given[function], **options)


@pytest.mark.parametrize(
    "function", ["inpaint", "outpaint", "super_resolve", "image_to_image", "variations"]
)
def test_other_numbers_of_a_sampler_edit_with_the_same_program(function):
    model, kinds = make_model(), [imagegen.DDIM, churning]
    numbers = [
        *(make(number) for make in kinds for number in (0.2, 0.9)),
        churning(0.3, noise_scale=1.5),
        churning(0.3, sigma_range=(0.2, 5.0)),
    ]
    painted = [edits(function, sampler, model) for sampler in numbers]
    # Samplers of one kind share a program, and each paints what it says.
    assert len(model._programs) == len(kinds)
    assert len({pictures.tobytes() for pictures in painted}) == len(numbers)


@pytest.mark.parametrize("make", [imagegen.DDIM, churning, Eager])
@pytest.mark.parametrize("function", ["inpaint", "super_resolve"])
def test_a_program_edits_as_one_that_was_made_for_a_number(function, make):
    shared = make_model()
    edits(function, make(0.3), shared)
    np.testing.assert_array_equal(
        edits(function, make(0.8), shared), edits(function, make(0.8), make_model())
    )


@pytest.mark.parametrize(
    "sampler",
    [
        imagegen.DDIM(0.3),
        churning(0.3),
        imagegen.RePaint(imagegen.DDIM()),
        imagegen.WithBlockMeans(imagegen.DDIM(), 2),
        imagegen.InverseDDIM(2),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_sampler_with_steps_of_its_own_has_a_program_of_its_own(sampler):
    class Renamed(type(sampler)):
        pass

    class Changed(type(sampler)):
        def step(self, denoise, noisy, now, after, state):
            return super().step(denoise, 2 * noisy, now, after, state)

    renamed, changed = (kind(**sampler.get_config()) for kind in (Renamed, Changed))
    assert renamed._formulas() == sampler._formulas() != changed._formulas()


def test_every_number_of_iterations_and_of_resamplings_has_the_same_program():
    model = make_model()
    images = random_pictures(1)
    noises = [
        imagegen.ddim_inversion(model, images, num_steps=4, num_iterations=count)
        for count in (1, 2, 3)
    ]
    assert len(model._programs) == 1
    assert not np.allclose(noises[0], noises[1])
    for count in (1, 2, 3):
        imagegen.inpaint(
            model, images, np.eye(SIZE, dtype=bool), num_steps=2, num_resamplings=count, seed=0
        )
    assert len(model._programs) == 2


def visited(monkeypatch, pads, shape=(SIZE, SIZE)) -> np.ndarray:
    """The number of the window that paints each pixel, and 0 where the picture is."""
    numbers = iter(range(1, 1000))

    def paint(model, images, mask, **options):
        return np.where(mask[..., None], next(numbers), images).astype("uint8")

    monkeypatch.setattr(inpainting, "inpaint", paint)
    given = np.zeros((1, *shape, 3), "uint8")
    return imagegen.outpaint(MODEL, given, pads, seed=0)[0, ..., 0]


@pytest.mark.parametrize("side", range(4))
def test_outpainting_goes_outwards_by_half_a_window(side, monkeypatch):
    pads = [0, 0, 0, 0]
    pads[side] = 3 * SIZE // 2 + 2
    wide = visited(monkeypatch, pads)
    lines = wide if side < 2 else wide.T
    assert (lines == lines[:, :1]).all()
    outwards = lines[:, 0] if side % 2 else lines[::-1, 0]
    windows = np.unique(outwards)
    assert (np.diff(outwards.astype(int)) >= 0).all()
    assert windows.tolist() == [*range(len(windows))]
    counts = np.bincount(outwards)[1:]
    # Windows begin at the multiples of half, and at the end of the canvas.
    assert sorted(counts.tolist()) == [2, *[SIZE // 2] * 3]


def test_outpainting_begins_around_the_picture_wherever_it_lies(monkeypatch):
    wide = visited(monkeypatch, (SIZE // 2, 2 * SIZE, 2 * SIZE, SIZE // 2))
    rows, columns = np.nonzero(wide)
    middle = np.array([SIZE // 2 + SIZE / 2, 2 * SIZE + SIZE / 2])
    order = wide[rows, columns]
    distance = [
        np.hypot(
            rows[order == number].mean() - middle[0], columns[order == number].mean() - middle[1]
        )
        for number in np.unique(order)
    ]
    early, late = np.array_split(distance, 2)
    assert early.mean() < late.mean() - SIZE / 2
    assert max(distance[:4]) < SIZE


def test_windows_have_seeds_of_their_own_and_pictures_the_ones_they_have_alone(monkeypatch):
    handed = []

    def paint(model, images, mask, **options):
        handed.append(options["seed"])
        return images

    monkeypatch.setattr(inpainting, "inpaint", paint)
    imagegen.outpaint(MODEL, random_pictures(2), SIZE, seed=[3, 4])
    together, handed[:] = list(zip(*handed, strict=True)), []
    for number, seed in enumerate((3, 4)):
        imagegen.outpaint(MODEL, random_pictures(1), SIZE, seed=seed)
        assert tuple(handed) == together[number]
        handed.clear()
    assert len(set(together[0]) | set(together[1])) == 2 * len(together[0])
    assert all(0 <= seed < 2**31 for seeds in together for seed in seeds)


def test_a_latent_is_repainted_where_any_of_its_pixels_is():
    repaint = np.zeros((2, 8, 12, 1), bool)
    repaint[0, 5, 3] = repaint[1, 0, 11] = True
    latents = inpainting._of_samples(repaint, (4, 4, 3))
    assert latents.shape == (2, 4, 4, 1)
    assert np.argwhere(latents[..., 0]).tolist() == [[0, 2, 1], [1, 0, 3]]


def test_latents_without_a_place_in_the_picture_are_not_inpainted():
    class Listed(Dark):
        sample_shape, image_shape = (5,), (4, 4, 3)

    with pytest.raises(ValueError, match="`model` must have latents with a place"):
        imagegen.inpaint(Listed(), random_pictures(1, 4), np.eye(4, dtype=bool), num_steps=1)


@pytest.mark.parametrize(
    "mask",
    [
        np.full((SIZE, SIZE), -1.0),
        np.full((SIZE, SIZE), 1.5),
        np.ones((SIZE, SIZE), "uint8"),
        np.ones((SIZE, SIZE), "int32"),
        np.ones((1, SIZE, SIZE, 1), bool),
        np.ones((2, SIZE, SIZE), bool),
    ],
    ids=lambda mask: f"{mask.dtype} {mask.shape} {mask.max()}",
)
def test_masks_that_say_nothing_clear_are_refused(mask):
    with pytest.raises(ValueError, match="`mask` must"):
        imagegen.inpaint(MODEL, random_pictures(1), mask, num_steps=1, seed=0)
