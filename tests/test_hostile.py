"""Damaged and hostile files: refused by an error that names the file, or read as what they say."""

import io
import json
import random
import zipfile

import imagegen
from imagegen import presets

import h5py
import numpy as np
import pytest


def flipped(content: bytes, count: int, seed: int = 0):
    """The content with one bit flipped, `count` times at random places."""
    source = random.Random(seed)
    for _ in range(count):
        place = source.randrange(len(content))
        yield (
            content[:place]
            + bytes([content[place] ^ 1 << source.randrange(8)])
            + content[place + 1 :]
        )


def besiege(path, read, count, seed=0):
    """How many of the damaged files are read; the others are refused by their name."""
    content, num_read = path.read_bytes(), 0
    read()  # It is whole so far.
    for damaged in flipped(content, count, seed):
        path.write_bytes(damaged)
        try:
            result = read()
        except (ValueError, OSError) as error:
            if path.name not in str(error):
                raise AssertionError(f"{path.name} is not named: {error!r}") from error
        else:
            num_read += 1
            assert result is None or np.isfinite(result).all()
    path.write_bytes(content)
    return num_read


@pytest.fixture(scope="module")
def vae():
    return imagegen.VAE(
        imagegen.image_encoder(8, [4], block_depth=0, latent_channels=2),
        imagegen.image_decoder(8, [4], block_depth=0, latent_channels=2),
    )


@pytest.fixture
def preset(vae, tmp_path):
    path = tmp_path / "small.keras"
    imagegen.save_preset(vae, path)
    return path


def weights_of(model):
    return np.concatenate([array.ravel() for array in model.get_weights()])


def test_flipped_bits_of_a_preset(preset):
    besiege(preset, lambda: weights_of(imagegen.VAE.from_preset(preset)), 40)


def test_flipped_bits_of_a_concept(tmp_path):
    path = tmp_path / "concept.json"
    imagegen.Concept("<mine>", np.linspace(-1, 1, 6)).save(path)
    # Without a checksum, a flipped digit is another digit.
    assert besiege(path, lambda: imagegen.Concept.load(path).vector, 500) < 400


def test_flipped_bits_of_a_picture_with_metadata(tmp_path):
    (path,) = imagegen.save_images(
        np.zeros((8, 8, 3)), tmp_path, metadata={"prompt": "a red flower", "seed": 3}
    )

    def read():
        found = imagegen.read_metadata(path)
        assert isinstance(found, dict)
        json.dumps(found)

    besiege(path, read, 500)


@pytest.mark.filterwarnings("ignore:.* are not the ones that were published")
def test_flipped_bits_of_digits(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    path = tmp_path / "mnist.npz"
    parts = {
        f"{name}_{part}": values
        for part in ("train", "test")
        for name, values in (
            ("x", rng.integers(0, 256, (3, 28, 28), "uint8")),
            ("y", np.arange(3, dtype="uint8")),
        )
    }
    np.savez(path, **parts)
    monkeypatch.setenv("IMAGEGEN_DATA", str(tmp_path))
    besiege(path, lambda: imagegen.datasets.digits("mnist").images, 300)


def test_flipped_bits_of_a_checkpoint(tmp_path):
    model = imagegen.DiffusionModel(imagegen.point_mlp(2, width=2, depth=1), value_range=None)
    model.compile(optimizer="sgd")
    model.optimizer.build(model.trainable_variables)
    checkpoint = imagegen.Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint.on_train_begin()
    checkpoint.on_epoch_end(0)

    def restore():
        checkpoint.restore(model)
        return weights_of(model)

    besiege(checkpoint.path, restore, 40)


def with_member(preset, name, content):
    """A preset in which one member is another."""
    with zipfile.ZipFile(preset) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    with zipfile.ZipFile(preset, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, its_content in (members | {name: content}).items():
            archive.writestr(one, its_content)


BYTES = presets._ANY_BYTES * 2


def test_a_preset_that_unpacks_to_very_much_is_refused(preset):
    with_member(preset, "more.txt", bytes(BYTES))
    assert preset.stat().st_size < BYTES / 200
    with pytest.raises(ValueError, match=r"small.keras cannot be loaded.*unpacks to more than"):
        imagegen.VAE.from_preset(preset)


def test_weights_that_unpack_to_very_much_are_refused(preset):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(
            "big", (BYTES,), "uint8", chunks=(1 << 20,), compression="gzip", fillvalue=0
        )
    with_member(preset, "model.weights.h5", buffer.getvalue())
    with pytest.raises(ValueError, match=r"small.keras cannot be loaded.*unpacks to more than"):
        imagegen.VAE.from_preset(preset)


def test_a_deep_configuration_is_refused(preset):
    with_member(preset, "config.json", b'{"config":' * 100_000 + b"1" + b"}" * 100_000)
    with pytest.raises(ValueError, match=r"small.keras cannot be loaded"):
        imagegen.VAE.from_preset(preset)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"word": "a", "vector": [1e999]}', "", "7"])
def test_a_hostile_concept_is_refused(tmp_path, content):
    path = tmp_path / "concept.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"concept.json holds no concept"):
        imagegen.Concept.load(path)


def test_a_truncated_preset_is_called_damaged(preset):
    preset.write_bytes(preset.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"small.keras cannot be loaded: it is damaged"):
        imagegen.VAE.from_preset(preset)
