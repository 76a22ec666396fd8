import os

from imagegen.animation import Animation, save_animation
from imagegen.callbacks import ShowGenerated
from imagegen.images import center_square, fitted, grid, show, to_float, to_uint8

import keras
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

picture_shapes = st.tuples(
    st.sampled_from([(), (1,), (4,)]),
    st.tuples(st.integers(1, 5), st.sampled_from([2, 4, 5])),
    st.sampled_from([(), (1,), (3,)]),
).map(lambda parts: (*parts[0], *parts[1], *parts[2]))

# Drawing a figure takes some 10 ms, and the first one much more.
drawing = settings(deadline=None, max_examples=30)

DRAWN = {
    "grid": lambda images, folder: grid(images),
    "show": lambda images, folder: show(images),
    "save_animation": lambda images, folder: save_animation(images, folder / "a.gif"),
    "Animation": lambda images, folder: Animation(images),
}


@pytest.fixture
def shown(monkeypatch):
    """Returns a list that gains the pixels and the texts of each figure that is shown."""
    figures = []

    def capture():
        figure = plt.gcf()
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        figures.append((pixels, [text.get_text() for text in figure.texts]))

    monkeypatch.setattr(plt, "show", capture)
    return figures


# Conversion


@given(images=hnp.arrays("uint8", picture_shapes))
def test_bytes_survive_the_way_to_floats_and_back(images):
    floats = to_float(images)
    assert floats.dtype == np.float32
    assert floats.shape == images.shape
    np.testing.assert_array_equal(to_uint8(floats), images)


@given(images=hnp.arrays("uint8", picture_shapes), low=st.floats(-300, 300), span=st.floats(1, 500))
def test_value_range_maps_to_all_bytes(images, low, span):
    values = low + span * to_float(images).astype("float64")
    np.testing.assert_array_equal(to_uint8(values, value_range=(low, low + span)), images)


@given(values=hnp.arrays("float32", (3, 4), elements=st.floats(width=32, allow_nan=False)))
def test_to_uint8_clips_and_never_swaps_the_order(values):
    values = np.clip(values, np.finfo("float32").min, np.finfo("float32").max)
    images = to_uint8(values, value_range=(-1, 1))
    assert (images[values <= -1] == 0).all()
    assert (images[values >= 1] == 255).all()
    in_order = images.ravel()[np.argsort(values, axis=None)].astype(int)
    assert (np.diff(in_order) >= 0).all()


def test_to_uint8_rounds_to_the_nearest_byte():
    values = np.array([[0.0, 0.49, 0.51, 127.4, 254.6, 255.0]]) / 255
    assert to_uint8(values).tolist() == [[0, 0, 1, 127, 255, 255]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_to_uint8_takes_half_precision_tensors(dtype):
    values = keras.ops.cast([[0.0, 0.5, 1.0]], dtype)
    assert to_uint8(values).tolist() == [[0, 128, 255]]


def test_conversions_refuse_wrong_types_shapes_and_ranges():
    with pytest.raises(ValueError, match=r"`images` must hold floats. Received: dtype uint8"):
        to_uint8(np.zeros((2, 2), "uint8"))
    with pytest.raises(ValueError, match=r"`images` must be uint8. Received: dtype float64"):
        to_float(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`images` must be finite"):
        to_uint8([[np.nan]])
    for shape in [(3,), (2, 4, 4, 2), (2, 2, 4, 4, 3), (0, 4, 4), (2, 0, 4)]:
        with pytest.raises(ValueError, match=r"`images` must have the shape .*Received: shape"):
            to_float(np.zeros(shape, "uint8"))
        with pytest.raises(ValueError, match=r"`images` must have the shape .*Received: shape"):
            to_uint8(np.zeros(shape))
    with pytest.raises(ValueError, match=r"`value_range` must be two numbers, the first one sm"):
        to_uint8(np.zeros((2, 2)), value_range=(1, 0))


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_no_wrong_picture_is_drawn(draw, tmp_path):
    wrong = {
        "must be finite everywhere": np.full((2, 4, 4), np.nan),
        "floats from 0 to 1": np.full((2, 4, 4), 1.01),
        "floats from 0 to 1.* from -0.5": np.full((2, 4, 4), -0.5),
        "must be uint8, .*int64": np.full((2, 4, 4), 7),
        "must be uint8, .*bool": np.full((2, 4, 4), True),
        r"must have the shape .*\(2, 4, 4, 4\)": np.zeros((2, 4, 4, 4)),
        r"must have the shape .*\(4,\)": np.zeros(4),
        "must all have the same shape": [np.zeros((4, 4)), np.zeros((5, 5))],
        "must hold real numbers": [["a", "b"], ["c", "d"]],
    }
    for rule, images in wrong.items():
        with pytest.raises(ValueError, match=rule):
            draw(images, tmp_path)
    assert not plt.get_fignums()
    assert not list(tmp_path.iterdir())


# Grid


@given(
    images=st.tuples(
        st.integers(1, 9), st.integers(1, 4), st.sampled_from([2, 4, 5]), st.sampled_from([1, 3])
    ).flatmap(lambda shape: hnp.arrays("uint8", shape)),
    columns=st.integers(1, 10),
    padding=st.integers(0, 3),
)
def test_grid_puts_each_picture_in_its_row_and_column(images, columns, padding):
    num_images, height, width, _ = images.shape
    picture = grid(images, columns=columns, padding=padding)
    rows = -(-num_images // columns)
    assert picture.dtype == np.uint8
    assert picture.shape == (
        rows * (height + padding) - padding,
        columns * (width + padding) - padding,
        3,
    )
    rest = np.ones(picture.shape[:2], bool)
    for i, image in enumerate(images):
        top, left = i // columns * (height + padding), i % columns * (width + padding)
        place = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(picture[place], np.broadcast_to(image, (height, width, 3)))
        rest[place] = False
    assert (picture[rest] == 255).all()


@given(num_images=st.integers(1, 50))
def test_grid_is_about_square_by_default(num_images):
    rows, columns, _ = grid(np.zeros((num_images, 1, 2)), padding=0).shape
    columns //= 2
    assert rows <= columns <= rows + 1
    assert (rows - 1) * columns < num_images <= rows * columns


def test_grid_takes_every_shape_of_pictures():
    gray = np.random.default_rng(0).integers(0, 256, (2, 4, 5), "uint8")
    expected = grid(gray)
    np.testing.assert_array_equal(grid(gray[..., None]), expected)
    np.testing.assert_array_equal(grid(np.stack([gray] * 3, axis=-1)), expected)
    np.testing.assert_array_equal(grid(to_float(gray)), expected)
    np.testing.assert_array_equal(grid(list(gray)), expected)
    # A single picture is a grid of one, and a grid is a picture.
    np.testing.assert_array_equal(grid(gray[0]), grid(gray[:1]))
    np.testing.assert_array_equal(grid(expected), expected)


def test_grid_refuses_wrong_numbers():
    with pytest.raises(ValueError, match="`columns` must be an integer, at least 1"):
        grid(np.zeros((2, 4, 4)), columns=0)
    with pytest.raises(ValueError, match="`padding` must be an integer, at least 0"):
        grid(np.zeros((2, 4, 4)), padding=-1)
    with pytest.raises(ValueError, match="`padding` must fit"):
        grid(np.zeros((2, 4, 4)), columns=1, padding=10**9)
    with pytest.raises(ValueError, match="`padding` must fit"):
        grid(np.zeros((4, 4, 4)), padding=10**7)


# Figures


@drawing
@given(
    height=st.integers(1, 8),
    width=st.integers(4, 9),
    num_images=st.integers(1, 4),
    scale=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_figure_shows_every_pixel_as_an_equal_sharp_square(height, width, num_images, scale, seed):
    images = np.random.default_rng(seed).integers(0, 256, (num_images, height, width, 3), "uint8")
    with pytest.MonkeyPatch.context() as patch:
        pixels = []
        patch.setattr(plt, "show", lambda: pixels.append(render()))
        show(images, columns=2, scale=scale)
    expected = grid(images, columns=2).repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(pixels[0], expected)


def render():
    canvas = plt.gcf().canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def test_titles_stand_above_their_pictures_in_white_space(shown):
    images = np.zeros((3, 10, 10), "uint8")
    titles = [7, "a long title that takes more than one line", "c"]
    show(images, titles=titles, columns=2, scale=10)
    ((pixels, texts),) = shown
    assert [text.replace("\n", " ") for text in texts] == [str(title) for title in titles]
    assert "\n" in texts[1]
    # The pictures are black squares of 100 pixels: whole, and nowhere written over.
    black = (pixels == 0).all(axis=-1)
    full = np.flatnonzero(black[:, :100].all(axis=1))
    assert len(full) == 200
    assert black[full[:100], 120:220].all()
    # Something is written above each of the three.
    for top, left in [(0, 0), (0, 120), (full[99] + 1, 0)]:
        bottom = full[0] if top == 0 else full[100]
        assert (pixels[top:bottom, left : left + 100] < 128).any()


def test_show_leaves_no_figure_open_and_returns_nothing(shown):
    assert show(np.zeros((2, 4, 4))) is None
    assert len(shown) == 1
    assert not plt.get_fignums()


@drawing
@given(
    num_images=st.integers(1, 20), side=st.sampled_from([8, 28, 64, 150]), columns=st.integers(1, 9)
)
def test_figure_is_not_wider_than_a_page_unless_its_pictures_are(num_images, side, columns):
    widths = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: widths.append(plt.gcf().get_size_inches()[0] * 100))
        show(np.zeros((num_images, side, side)), columns=columns)
    assert widths[0] <= max(800, columns * (side + 2)) + 1e-6


def test_show_refuses_wrong_titles_and_scale():
    with pytest.raises(ValueError, match=r"`titles` must hold one title for each of 2 .*1 titles"):
        show(np.zeros((2, 4, 4)), titles=["a"])
    with pytest.raises(ValueError, match="`scale` must be an integer, at least 1"):
        show(np.zeros((2, 4, 4)), scale=0)
    assert not plt.get_fignums()


# The callback


class Painter(keras.Sequential):
    """Generates noise that its seed decides, brightened by what it has learnt."""

    def __init__(self):
        super().__init__([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        self.calls = []

    def generate(self, num_images, *, num_steps, seed):
        self.calls.append((num_images, num_steps, seed))
        noise = np.random.default_rng(seed).random((num_images, 4, 4, 3))
        weight = float(keras.ops.convert_to_numpy(keras.ops.sum(self.layers[0].kernel)))
        return to_uint8(noise + weight)


def train(callback, *, model=None, epochs=3):
    model = model or Painter()
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=epochs, callbacks=[callback], verbose=0)
    return model


def test_callback_saves_a_grid_of_the_same_noise_after_each_epoch(tmp_path):
    folder = tmp_path / "pictures"
    model = train(ShowGenerated(5, columns=3, num_steps=7, seed=11, folder=folder))
    assert model.calls == [(5, 7, 11)] * 3
    names = sorted(os.listdir(folder))
    assert names == ["epoch_0001.png", "epoch_0002.png", "epoch_0003.png"]
    pictures = [np.asarray(Image.open(folder / name)) for name in names]
    np.testing.assert_array_equal(
        pictures[-1], grid(model.generate(5, num_steps=1, seed=11), columns=3)
    )
    # Training brightens the same noise from epoch to epoch.
    assert pictures[0].mean() < pictures[1].mean() < pictures[2].mean()


def test_callback_shows_three_rows_of_six_by_default(shown):
    model = train(ShowGenerated(), epochs=2)
    assert model.calls == [(18, 20, 0)] * 2
    assert len(shown) == 2
    expected = grid(model.generate(18, num_steps=1, seed=0), columns=6)
    scale = shown[1][0].shape[0] // expected.shape[0]
    np.testing.assert_array_equal(shown[1][0][::scale, ::scale], expected)


def test_callback_draws_after_every_so_many_epochs(tmp_path):
    train(ShowGenerated(2, every=2, folder=tmp_path), epochs=5)
    assert sorted(os.listdir(tmp_path)) == ["epoch_0002.png", "epoch_0004.png"]


def test_callback_draws_after_the_epochs_that_are_listed(tmp_path):
    train(ShowGenerated(2, every=(1, 3, 9), folder=tmp_path), epochs=5)
    assert sorted(os.listdir(tmp_path)) == ["epoch_0001.png", "epoch_0003.png"]


def test_callback_asks_what_it_is_told_for_each_prompt(tmp_path):
    asked = []

    class Around:
        def generate(self, prompts, *, num_steps, seed):
            asked.append(prompts)
            return np.zeros((len(prompts), 4, 4, 3), dtype="uint8")

    callback = ShowGenerated(prompts=["a rose", "a daisy"], generator=Around(), folder=tmp_path)
    model = train(callback, epochs=2)
    assert asked == [["a rose", "a daisy"]] * 2
    assert not model.calls
    assert len(list(tmp_path.iterdir())) == 2


def test_callback_refuses_what_it_cannot_draw(tmp_path):
    class Broken(Painter):
        def generate(self, num_images, *, num_steps, seed):
            return np.full((num_images, 4, 4), np.nan)

    with pytest.raises(ValueError, match="`images` must be finite"):
        train(ShowGenerated(folder=tmp_path), model=Broken())
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match=r"needs a model with a method `generate`.*Sequential"):
        train(ShowGenerated(), model=keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(TypeError, match=r"needs a model with a method `generate`.*Received: str"):
        train(ShowGenerated(generator="a painter"))
    with pytest.raises(ValueError, match="`every` must be an integer, at least 1"):
        ShowGenerated(every=0)
    for listed in ([3, 0], "13", [True]):
        with pytest.raises(ValueError, match="`every` must be an integer"):
            ShowGenerated(every=listed)


@given(st.integers(1, 40), st.integers(0, 20), st.booleans())
def test_the_largest_square_is_cut_from_the_middle(side, margin, wide):
    shape = (side, side + 2 * margin, 3) if wide else (side + 2 * margin, side, 3)
    pixels = np.random.default_rng(side).integers(0, 256, shape, "uint8")
    middle = slice(margin, margin + side)
    expected = pixels[:, middle] if wide else pixels[middle]
    np.testing.assert_array_equal(center_square(Image.fromarray(pixels), side), expected)


def test_a_resized_square_keeps_the_mean_of_fine_stripes():
    """Without antialiasing, stripes of one pixel come out black or white, not grey."""
    pixels = np.zeros((128, 128, 3), "uint8")
    pixels[::2] = 255
    square = center_square(Image.fromarray(pixels), 32)
    np.testing.assert_allclose(square, 127.5, atol=25)
    assert square.mean() == pytest.approx(127.5, abs=2)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9))
def test_what_fits_is_cut_from_the_middle(height, width, margin):
    shape = (2, height, width + 2 * margin)
    images = np.random.default_rng(margin).integers(0, 256, (*shape, 3), "uint8")
    middle = slice(margin, margin + width)
    np.testing.assert_array_equal(fitted(images, height, width), images[:, :, middle])
    masks = images[..., 0] > 127
    assert fitted(masks, height, width).dtype == bool
    np.testing.assert_array_equal(fitted(masks, height, width), masks[:, :, middle])


def test_a_mask_grows_by_whole_pixels_and_a_picture_keeps_its_mean():
    mask = np.eye(4, dtype=bool)[None]
    np.testing.assert_array_equal(fitted(mask, 8, 8), mask.repeat(2, 1).repeat(2, 2))
    stripes = np.zeros((1, 64, 64, 3), "uint8")
    stripes[:, ::2] = 255
    assert fitted(stripes, 16, 16).mean() == pytest.approx(127.5, abs=2)
