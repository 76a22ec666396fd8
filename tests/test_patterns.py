"""Laws of reading patterns: pictures read as they were drawn, however they stand."""

import dataclasses
from collections import Counter

from imagegen.drawn.captioned import captioned_flowers
from imagegen.drawn.drawing import PATTERNS, FlowerAttributes, draw_flowers, sample_attributes
from imagegen.drawn.patterns import read_patterns

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from strategies import seeds


def to_bytes(pictures):
    return np.clip(np.round(pictures), 0, 255).astype("uint8")


def share_right(images, attributes):
    read = read_patterns(images)
    return np.mean([name == one.pattern for name, one in zip(read, attributes, strict=True)])


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("image_size", [32, 64])
def test_patterns_read_as_drawn(image_size, upright):
    drawn = captioned_flowers(250, image_size=image_size, seed=31, upright=upright)
    assert share_right(drawn.images, drawn.attributes) >= 0.99


def test_patterns_read_through_blur_and_noise():
    drawn = captioned_flowers(300, seed=32)
    noise = np.random.default_rng(0).normal(0, 12, drawn.images.shape)
    blurred = gaussian_filter(drawn.images.astype(float), (0, 0.5, 0.5, 0))
    assert share_right(to_bytes(blurred + noise), drawn.attributes) >= 0.97


@settings(max_examples=30, deadline=None)
@given(seed=seeds, pattern=st.sampled_from(PATTERNS))
def test_the_pattern_alone_decides(seed, pattern):
    flower = sample_attributes(np.random.default_rng(seed))
    flower = dataclasses.replace(flower, pattern=pattern, num_petals=3 + flower.num_petals % 6)
    assert read_patterns(draw_flowers([flower], 64)) == [pattern]


def test_a_mixture_of_patterns_is_called_by_the_larger_part():
    flower = FlowerAttributes(5, "yellow", "red", "blue", rotation=0.3)
    pictures = dict(
        zip(
            PATTERNS,
            draw_flowers([dataclasses.replace(flower, pattern=name) for name in PATTERNS]),
            strict=True,
        )
    )
    for one in PATTERNS:
        for other in PATTERNS:
            mixed = to_bytes(0.7 * pictures[one] + 0.3 * pictures[other].astype(float))
            assert read_patterns(mixed[None]) == [one]


def test_noise_and_plain_color_have_no_pattern():
    rng = np.random.default_rng(0)
    pictures = [
        *rng.integers(0, 256, (50, 32, 32, 3)).astype("uint8"),
        *np.full((5, 32, 32, 3), (205, 25, 40), "uint8"),
    ]
    assert Counter(read_patterns(np.array(pictures))) == {"none": 55}


def test_what_are_no_pictures_is_refused():
    with pytest.raises(ValueError, match=r"`images` must .*Received: "):
        read_patterns(np.zeros((1, 16, 16, 3), "uint8"))
