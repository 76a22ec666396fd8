"""Laws of prompt adherence: pictures read as they were drawn, and captions as they were written."""

import itertools
import math

from imagegen.drawn.captioned import captioned_flowers
from imagegen.drawn.captions import caption, partial_caption
from imagegen.drawn.drawing import COLORS, FlowerAttributes, draw_flowers, sample_attributes
from imagegen.drawn.reading import (
    _NUM_ANGLES,
    _RADII,
    FlowerReading,
    _on_rings,
    parse_caption,
    prompt_adherence,
    read_flowers,
)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from strategies import seeds

FIELDS = ("petal_color", "center_color", "background_color", "num_petals")
NOTHING = FlowerReading("none", "none", "none", 0)

flowers = seeds.map(lambda seed: sample_attributes(np.random.default_rng(seed)))


def to_bytes(pictures):
    return np.clip(np.round(pictures), 0, 255).astype("uint8")


def shares_right(images, attributes):
    """The share of pictures of which each field is read as it was drawn."""
    readings = read_flowers(images)
    return {
        field: np.mean(
            [
                getattr(r, field) == getattr(a, field)
                for r, a in zip(readings, attributes, strict=True)
            ]
        )
        for field in FIELDS
    }


@pytest.mark.parametrize("image_size", [32, 64])
def test_drawings_read_as_drawn(image_size):
    drawn = captioned_flowers(2000, image_size=image_size, seed=31)
    right = shares_right(drawn.images, drawn.attributes)
    assert min(right[field] for field in FIELDS[:3]) >= 0.995
    assert right["num_petals"] >= 0.98


def test_all_colors_and_counts_can_be_told_apart():
    colors = itertools.permutations(COLORS, 3)
    attributes = [
        FlowerAttributes(3 + index % 10, *trio, pattern=("plain", "stripes", "spots")[index % 3])
        for index, trio in enumerate(colors)
    ]
    read = read_flowers(draw_flowers(attributes))
    assert read == [
        (a.petal_color, a.center_color, a.background_color, a.num_petals) for a in attributes
    ]


def blurred(pictures, random):
    return gaussian_filter(pictures, (0, 0.5, 0.5, 0), mode="nearest")


def noisy(pictures, random):
    return pictures + random.normal(0, 8, pictures.shape)


def tinted(pictures, random):
    return pictures + random.uniform(-10, 10, (len(pictures), 1, 1, 3))


def shifted(pictures, random):
    return np.pad(pictures, ((0, 0), (1, 0), (0, 1), (0, 0)), mode="edge")[:, :-1, 1:]


@pytest.mark.parametrize(
    "spoil",
    [[blurred], [noisy], [tinted], [shifted], [blurred, shifted, tinted, noisy]],
    ids=["blurred", "noisy", "tinted", "shifted", "all"],
)
@pytest.mark.parametrize("image_size", [32, 64])
def test_drawings_as_imperfect_as_generated_ones_read_as_drawn(spoil, image_size):
    drawn = captioned_flowers(400, image_size=image_size, seed=7)
    random = np.random.default_rng(0)
    pictures = drawn.images.astype(float)
    for step in spoil:
        pictures = step(pictures, random)
    right = shares_right(to_bytes(pictures), drawn.attributes)
    assert min(right[field] for field in FIELDS[:3]) >= 0.99
    assert right["num_petals"] >= 0.95


@pytest.mark.parametrize("image_size", [32, 64])
def test_a_missing_petal_is_missed(image_size):
    drawn = captioned_flowers(300, image_size=image_size, seed=3)
    axis = (np.arange(image_size) + 0.5) * 2 / image_size - 1
    y, x = axis[:, None], axis[None, :]
    for image, flower in zip(drawn.images, drawn.attributes, strict=True):
        turned = np.exp(1j * (np.arctan2(y, x) - flower.rotation))
        sector = np.abs(np.angle(turned)) < np.pi / flower.num_petals
        image[sector & (np.hypot(x, y) > 0.3 * flower.size)] = image[0, 0]
    left = [flower.num_petals - 1 for flower in drawn.attributes]
    # Of three petals, two are left: no flower's number.
    expected = [count if count > 2 else 0 for count in left]
    read = [reading.num_petals for reading in read_flowers(drawn.images)]
    assert np.mean(np.equal(read, expected)) >= 0.98


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("spread", [8, 30, 64, 128])
def test_gaussian_noise_reads_nothing(spread, image_size):
    random = np.random.default_rng(spread)
    for mean in (60, 128, 200):
        noise = to_bytes(random.normal(mean, spread, (200, image_size, image_size, 3)))
        assert read_flowers(noise) == [NOTHING] * 200


@pytest.mark.parametrize("image_size", [32, 64])
def test_uniform_noise_reads_nothing(image_size):
    noise = np.random.default_rng(0).integers(0, 256, (500, image_size, image_size, 3))
    assert read_flowers(noise.astype("uint8")) == [NOTHING] * 500


@given(color=st.tuples(*[st.integers(0, 255)] * 3), image_size=st.sampled_from([24, 32, 64]))
def test_one_color_alone_reads_nothing(color, image_size):
    assert read_flowers(np.full((1, image_size, image_size, 3), color, "uint8")) == [NOTHING]


@pytest.mark.parametrize("power", [0.5, 1, 1.5])
def test_textures_hardly_ever_read_as_flowers(power):
    # Photographs have amplitudes that fall like 1 / frequency.
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    frequency[0, 0] = np.inf
    random = np.random.default_rng(0)
    waves = np.fft.fft2(random.normal(size=(500, 3, 32, 32))) / frequency**power
    textures = np.moveaxis(np.fft.ifft2(waves).real, 1, -1)
    readings = read_flowers(to_bytes(128 + 60 * textures / textures.std()))
    assert np.mean([reading == NOTHING for reading in readings]) > 0.98


def test_a_disc_has_colors_but_no_petals():
    axis = np.linspace(-1, 1, 32)
    disc = np.hypot(axis[:, None], axis)[..., None] < 0.7
    image = np.where(disc, COLORS["red"], COLORS["blue"]).astype("uint8")
    assert read_flowers(image[None]) == [("red", "red", "blue", 0)]


def test_rings_are_exact_on_a_slope():
    # Counts survive half a pixel of error in either direction, so they can't show one.
    axis = (np.arange(48, dtype="float32") + 0.5) / 24 - 1
    slope = 0.3 * axis[None, :] - 0.7 * axis[:, None]
    x, y = middle = np.array([0.02, -0.03], "float32")
    angles = np.arange(_NUM_ANGLES) * 2 * np.pi / _NUM_ANGLES
    expected = 0.3 * (x + np.outer(_RADII, np.cos(angles)))
    expected -= 0.7 * (y + np.outer(_RADII, np.sin(angles)))
    np.testing.assert_allclose(_on_rings(slope[None], middle[None])[0], expected, atol=1e-5)


@given(flower=flowers, image_size=st.sampled_from([32, 64]), seed=seeds)
def test_turned_and_mirrored_pictures_read_the_same(flower, image_size, seed):
    random = np.random.default_rng(seed)
    picture = to_bytes(draw_flowers([flower], image_size) + random.normal(0, 4, (1, 1, 1, 3)))[0]
    symmetries = [
        np.rot90(sight, turns) for sight in (picture, picture[:, ::-1]) for turns in range(4)
    ]
    assert len(set(read_flowers(symmetries))) == 1


def test_a_picture_reads_the_same_alone_and_in_a_batch():
    # More pixels than are read at once.
    images = captioned_flowers(300, image_size=32, seed=2).images
    assert [reading for image in images for reading in read_flowers(image[None])] == read_flowers(
        images
    )
    assert read_flowers(images[:0]) == []


@given(flower=flowers, name_center=st.booleans())
def test_captions_parse_to_what_they_were_written_from(flower, name_center):
    named = parse_caption(caption(flower, name_center=name_center))
    assert named == {
        field: getattr(flower, field) for field in FIELDS if field != "center_color" or name_center
    }


@given(flower=flowers, seed=seeds)
def test_partial_captions_name_some_of_what_they_were_written_from(flower, seed):
    text = partial_caption(flower, np.random.default_rng(seed))
    named = parse_caption(text)
    assert named.items() <= {field: getattr(flower, field) for field in FIELDS}.items()
    # As many as there are words that say something.
    silent = {"a", "an", "and", "on", "with", "flower", "petals", "centre", "background"}
    assert len(named) == len([word for word in text.split() if word not in silent])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", {}),
        ("a flower", {}),
        ("a red flower", {"petal_color": "red"}),
        ("a red alpine flower", {"petal_color": "red"}),
        ("a coastal flower", {}),
        ("Red petals.", {"petal_color": "red"}),
        ("seven petals", {"num_petals": 7}),
        ("twelve pink petals", {"num_petals": 12, "petal_color": "pink"}),
        ("a flower on a blue background", {"background_color": "blue"}),
        ("an orange centre", {"center_color": "orange"}),
        (
            "a flower with five petals and a yellow centre",
            {"num_petals": 5, "center_color": "yellow"},
        ),
        ("red petals, a white centre", {"petal_color": "red", "center_color": "white"}),
        ("a red flower with five red petals", {"petal_color": "red", "num_petals": 5}),
    ],
)
def test_prompts_may_leave_things_open(text, named):
    assert parse_caption(text) == named


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a mauve flower", "'mauve' is none of them"),
        ("a red tulip", "'tulip' is none of them"),
        ("two petals", "'two' is none of them"),
        ("a flower without petals", "'without' is none of them"),
        ("a red", "noun after 'red'"),
        ("a red meadow", "noun after 'red'"),
        ("a flower with five", "noun after 'five'"),
        ("a red and yellow flower", "noun after 'red'"),
        ("a red yellow flower", "one `petal_color`"),
        ("a red flower with blue petals", "one `petal_color`"),
        ("five petals and six petals", "one `num_petals`"),
        ("five backgrounds", "'backgrounds' is none of them"),
        ("a five background", "count petals only"),
        (5, "must be a string"),
        (None, "must be a string"),
    ],
)
def test_captions_without_a_meaning_are_refused(text, rule):
    with pytest.raises(ValueError, match=rf"`caption`.*{rule}.*Received: caption="):
        parse_caption(text)


@pytest.fixture(scope="module")
def drawn():
    return captioned_flowers(200, seed=12)


def test_drawings_adhere_to_their_captions_and_attributes(drawn):
    for prompts in (drawn.captions, drawn.attributes):
        adherence = prompt_adherence(drawn.images, prompts)
        assert adherence[:5] == (1, 1, 1, 1, 1)
    assert set(adherence.num_named.values()) == {200}


def test_only_pictures_whose_prompt_names_a_thing_are_counted(drawn):
    adherence = prompt_adherence(drawn.images, drawn.captions)
    named = sum("centre" in text for text in drawn.captions)
    assert 0 < named < 200
    assert adherence.num_named == dict.fromkeys((*FIELDS, "everything"), 200) | {
        "center_color": named
    }


@pytest.mark.parametrize("field", FIELDS)
def test_each_wrong_picture_lowers_its_own_share_and_that_of_everything(drawn, field):
    wrong = 17
    attributes = [vars(flower).copy() for flower in drawn.attributes]
    for values in attributes[:wrong]:
        if field == "num_petals":
            values[field] = 3 + (values[field] - 2) % 10
        else:
            taken = {values[name] for name in FIELDS[:3]}
            values[field] = next(name for name in COLORS if name not in taken)
    images = draw_flowers([FlowerAttributes(**values) for values in attributes])
    adherence = prompt_adherence(images, drawn.attributes)._asdict()
    for other in FIELDS:
        assert adherence[other] == (1 - wrong / 200 if other == field else 1)
    assert adherence["everything"] == 1 - wrong / 200


def test_what_no_prompt_names_has_no_share(drawn):
    adherence = prompt_adherence(
        drawn.images[:2], ["a flower", f"{drawn.captions[1].split()[1]} petals"]
    )
    assert adherence.petal_color == adherence.everything == 1
    assert all(math.isnan(getattr(adherence, field)) for field in FIELDS[1:])
    assert adherence.num_named == dict.fromkeys(FIELDS, 0) | {"petal_color": 1, "everything": 1}


def test_noise_adheres_to_no_caption(drawn):
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3)).astype("uint8")
    assert prompt_adherence(noise, drawn.captions)[:5] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((32, 32, 3), "uint8"),
        np.zeros((1, 32, 32, 1), "uint8"),
        np.zeros((1, 32, 48, 3), "uint8"),
        np.zeros((1, 16, 16, 3), "uint8"),
        np.zeros((1, 32, 32, 3), "float32"),
        [],
    ],
    ids=["one picture", "grey", "oblong", "small", "floats", "a list of none"],
)
def test_what_are_no_pictures_of_flowers_is_refused(images):
    with pytest.raises(ValueError, match=r"`images` must .*Received: "):
        read_flowers(images)


@pytest.mark.parametrize("prompts", ["a red flower", [], ["a flower"] * 2])
def test_prompts_that_do_not_match_the_pictures_are_refused(drawn, prompts):
    with pytest.raises(ValueError, match=r"`prompts` must be (one for each|a list).*Received: "):
        prompt_adherence(drawn.images[:3], prompts)
