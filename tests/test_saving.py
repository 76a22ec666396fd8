"""A saved model is there whole, or as it was before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import imagegen

import keras
import pytest


def network():
    return imagegen.UNet(8, [8], block_depth=1)


def points():
    return imagegen.DiffusionModel(imagegen.point_mlp(2, width=8), value_range=None)


def latent():
    vae = imagegen.VAE(imagegen.digit_encoder(), imagegen.digit_decoder())
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=8), value_range=None)
    return imagegen.LatentDiffusion(model, vae)


WAYS = {"model.keras": "save", "model.weights.h5": "save_weights"}


def last_layer(model):
    """The class of the last layer that is saved."""
    layers = [one for one in model._flatten_layers() if not isinstance(one, keras.Model)]
    return next(type(one) for one in reversed(layers) if one.weights)


def stop(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("make", [network, points, latent])
def test_a_save_that_ends_early_leaves_the_file_before(tmp_path, name, make, monkeypatch):
    model, path = make(), tmp_path / "models" / name
    save = getattr(model, WAYS[name])
    save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(last_layer(model), "save_own_variables", stop)
        with pytest.raises(KeyboardInterrupt):
            save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_model_comes_back(tmp_path):
    model = points()
    model.save(str(tmp_path / "model.keras"))
    model.save_weights(tmp_path / "model.weights.h5")
    loaded, other = keras.saving.load_model(tmp_path / "model.keras"), points()
    other.load_weights(tmp_path / "model.weights.h5")
    for variables in zip(*(one.weights for one in (model, loaded, other)), strict=True):
        first, *others = map(keras.ops.convert_to_numpy, variables)
        assert all((first == one).all() for one in others)


def test_another_ending_is_kerass_affair(tmp_path):
    model = points()
    with pytest.raises(ValueError, match="filepath"):
        model.save(tmp_path / "model.txt")
    with pytest.raises(ValueError, match="filepath"):
        model.save_weights(tmp_path / "model.txt")
    model.save(tmp_path / "folder", zipped=False)
    assert (tmp_path / "folder" / "config.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> dict:
    """What was found after each kill, by what was being written."""
    run = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("kills_program.py"),
            tmp_path_factory.mktemp("k"),
        ],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has computed")
@pytest.mark.parametrize("kind", ["save", "save_preset", "Checkpoint", "Concept.save"])
def test_a_kill_leaves_the_file_before_or_the_whole_new_one(kills, kind):
    *killed, finished = kills[kind]
    assert finished == {"killed": False, "state": "new", "left": []}
    assert len(killed) >= 3
    assert all(one["killed"] for one in killed)
    # Once the new one is there, it stays.
    states = [one["state"] for one in killed]
    assert states == ["old"] * states.count("old") + ["new"] * states.count("new")
    assert states[0] == "old"
    # What is left is one file, with a name by which a later save knows it.
    left = [one["left"] for one in killed]
    assert any(left)
    assert all(len(names) <= 1 for names in left)
    assert all(name.startswith((".imagegen-", "unfinished")) for names in left for name in names)
