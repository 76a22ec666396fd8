"""Ways between prompts: where they begin and end, and what stays the same on them."""

import imagegen
from imagegen.samplers import initial_noise

import numpy as np
import pytest
from test_conditioning import NAMES, conditional_model


@pytest.fixture(scope="module")
def model() -> imagegen.DiffusionModel:
    return conditional_model()


def painted(model, prompts) -> np.ndarray:
    """Each prompt under the one noise of a walk with the seed 3."""
    noise = np.repeat(initial_noise(1, model.sample_shape, 3), len(prompts), axis=0)
    return model.generate(prompts, num_steps=3, noise=noise, seed=3)


def differ(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_a_walk_begins_and_ends_at_its_prompts(model):
    frames = imagegen.prompt_walk(model, NAMES, 5, num_steps=3, seed=3)
    np.testing.assert_allclose(frames[[0, -1]].astype(int), painted(model, NAMES), atol=1)


def test_the_size_of_batches_changes_nothing(model):
    whole, parts = (
        imagegen.prompt_walk(model, NAMES, 5, num_steps=3, seed=3, batch_size=size)
        for size in (5, 2)
    )
    assert len(whole) == len(parts) == 5
    np.testing.assert_allclose(whole.astype(int), parts, atol=1)


def test_a_closed_walk_comes_back_by_the_same_steps(model):
    there_and_back = imagegen.prompt_walk(model, NAMES, 6, closed=True, num_steps=3, seed=3)
    np.testing.assert_allclose(there_and_back[1:3].astype(int), there_and_back[:3:-1], atol=1)


def test_frames_cohere_where_fresh_noise_does_not(model):
    frames = imagegen.prompt_walk(model, NAMES, 8, num_steps=3, seed=3)
    vectors = imagegen.walk(model.encode_prompts(NAMES)[0], 8)
    fresh = model.generate(imagegen.Conditions(vectors), num_steps=3, seed=3)
    assert differ(frames[1:], frames[:-1]) < differ(fresh[1:], fresh[:-1]) / 3


def test_a_part_of_the_way_is_walked(model):
    frames = imagegen.prompt_walk(model, NAMES, 3, between=(0.5, 1.0), num_steps=3, seed=3)
    whole = imagegen.prompt_walk(model, NAMES, 5, num_steps=3, seed=3)
    np.testing.assert_allclose(frames.astype(int), whole[2:], atol=1)


def test_a_walk_through_noise_is_a_circle_of_standard_normal_noise(model, monkeypatch):
    seen = []

    def painted(prompts, *, noise, **options):
        seen.append(noise)
        return np.zeros((len(noise), *model.image_shape), "uint8")

    monkeypatch.setattr(model, "generate", painted)
    frames = imagegen.noise_walk(model, NAMES[0], 8, seed=3, batch_size=8)
    assert len(frames) == 8
    (noise,) = seen
    first, second = initial_noise(2, model.sample_shape, 3)
    for index, expected in ((0, first), (2, second), (4, -first), (6, -second)):
        np.testing.assert_allclose(noise[index], expected, atol=1e-6)
    np.testing.assert_allclose(noise[1], (first + second) / 2**0.5, atol=1e-6)
    lengths = np.linalg.norm(np.diff(noise, axis=0, append=noise[:1]).reshape(8, -1), axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.1)


def test_the_first_frame_of_a_walk_through_noise_is_the_picture_of_its_seed(model):
    frames = imagegen.noise_walk(model, NAMES[0], 3, num_steps=3, seed=3)
    np.testing.assert_allclose(frames[:1].astype(int), painted(model, NAMES[:1]), atol=1)
    assert differ(frames[0], frames[1]) > 1


def test_a_grid_has_its_prompts_in_the_corners(model):
    prompts = [NAMES[0], NAMES[1], "", NAMES[0]]
    cells = imagegen.prompt_grid(model, prompts, 3, num_steps=3, seed=3)
    assert len(cells) == 9
    np.testing.assert_allclose(cells[[0, 2, 6, 8]].astype(int), painted(model, prompts), atol=1)


def test_an_edge_of_a_grid_is_a_walk(model):
    prompts = [NAMES[0], NAMES[1], "", NAMES[0]]
    cells = imagegen.prompt_grid(model, prompts, 3, num_steps=3, seed=3)
    frames = imagegen.prompt_walk(model, prompts[:2], 3, num_steps=3, seed=3)
    np.testing.assert_allclose(cells[:3].astype(int), frames, atol=1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (imagegen.prompt_walk, (["dark"], 5), "at least 2 prompts"),
        (imagegen.prompt_walk, ("dark", 5), "at least 2 prompts"),
        (imagegen.prompt_walk, (NAMES, 1), "`num_frames`"),
        (imagegen.noise_walk, (NAMES, 3), "must be 1 prompts"),
        (imagegen.noise_walk, (NAMES[0], 1), "`num_frames`"),
        (imagegen.prompt_grid, (NAMES, 3), "must be 4 prompts"),
        (imagegen.prompt_grid, ([*NAMES, *NAMES], 1), "`size`"),
    ],
)
def test_bad_arguments_are_named(model, function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(model, *arguments)
