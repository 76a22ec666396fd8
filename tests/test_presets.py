"""Laws of the presets: small, exact, reproducible, and refused when damaged."""

import io
import json
import re
import zipfile
from pathlib import Path

import imagegen
from imagegen import presets
from imagegen._download import DownloadError, file_sha256
from imagegen.autoencoders import digit_decoder, digit_encoder
from imagegen.vae import VAE

import h5py
import keras
import numpy as np
import pytest
from keras import layers

REPOSITORY = Path(__file__).parents[1]


def _network(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8,), name="input"),
            layers.Normalization(mean=3.0, variance=2.0, name="statistics"),
            layers.Dense(64, bias_initializer="normal", name="dense"),
            layers.BatchNormalization(name="normalization"),
            layers.Dense(3, name="output"),
        ],
        name="network",
    )


def _weights_file(path):
    with zipfile.ZipFile(path) as archive:
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")))


def _datasets(group):
    """Every array by its path; h5py's own walk would name an array with two names once."""
    found = {}
    for name, item in group.items():
        if isinstance(item, h5py.Dataset):
            found[name] = item
        else:
            found.update({f"{name}/{path}": array for path, array in _datasets(item).items()})
    return found


def test_bytes_are_off_by_at_most_half_a_step_of_their_channel(tmp_path):
    network = keras.Sequential([keras.Input((32,)), layers.Dense(64), layers.Dense(3)])
    kernel = network.layers[0].kernel
    kernel.assign(kernel * np.logspace(-6, 6, kernel.shape[-1]))
    presets.save_preset(network, tmp_path / "network.keras", bits=8)
    restored = presets.load(tmp_path / "network.keras", keras.Model)
    for ours, theirs in zip(network.get_weights(), restored.get_weights(), strict=True):
        axes = tuple(range(ours.ndim - 1))
        step = np.abs(ours).max(axes) / 127 if ours.size >= 1024 else 0
        tolerance = 0.5001 * step + 2**-11 * np.abs(ours) + 1e-7
        assert (np.abs(theirs - ours) <= (tolerance if ours.ndim >= 2 else 0)).all()


def test_bytes_take_half_the_room_and_keras_alone_refuses_them(tmp_path):
    network = keras.Sequential([keras.Input((64,)), layers.Dense(2048)])
    for bits in (8, 16):
        presets.save_preset(network, tmp_path / f"{bits}.keras", bits=bits)
    small, large = ((tmp_path / f"{bits}.keras").stat().st_size for bits in (8, 16))
    assert small < 0.65 * large
    with pytest.raises((KeyError, OSError, ValueError)):
        keras.saving.load_model(tmp_path / "8.keras")


@pytest.mark.parametrize("bits", [0, 7, 32, "8"])
def test_other_numbers_of_bits_are_refused(tmp_path, bits):
    with pytest.raises(ValueError, match="`bits`"):
        presets.save_preset(_network(), tmp_path / "network.keras", bits=bits)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder of presets that holds one untrained VAE."""
    monkeypatch.setattr(presets, "_FOLDER", tmp_path)
    presets._presets.cache_clear()
    sha256 = presets.save_preset(VAE(digit_encoder(), digit_decoder()), tmp_path / "small.keras")
    words = ("description", "data", "licence", "training", "metrics", "recipe")
    entry = {**dict.fromkeys(words, "None."), "sha256": sha256}
    (tmp_path / "presets.json").write_text(json.dumps({"small": entry}))
    yield tmp_path
    presets._presets.cache_clear()


def test_keras_itself_loads_a_preset_into_float32(tmp_path):
    network = _network()
    presets.save_preset(network, tmp_path / "network.keras")
    restored = keras.saving.load_model(tmp_path / "network.keras")
    assert [weight.dtype for weight in restored.weights] == [
        weight.dtype for weight in network.weights
    ]
    for ours, theirs in zip(network.get_weights(), restored.get_weights(), strict=True):
        # Half precision has 11 significant bits; vectors keep all of theirs.
        tolerance = {"rtol": 2**-11, "atol": 1e-7} if ours.ndim >= 2 else {"rtol": 0}
        np.testing.assert_allclose(theirs, ours, **tolerance)


def test_only_arrays_of_two_or_more_axes_are_halved(tmp_path):
    presets.save_preset(_network(), tmp_path / "network.keras")
    with _weights_file(tmp_path / "network.keras") as file:
        for dataset in _datasets(file).values():
            halved = dataset.ndim >= 2
            assert dataset.dtype == (np.float16 if halved else np.float32)


def test_values_beyond_half_precision_keep_float32(tmp_path):
    network = _network()
    network.get_layer("output").kernel.assign(np.full((64, 3), 1e6))
    presets.save_preset(network, tmp_path / "network.keras")
    restored = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(restored.get_weights()[-2], 1e6)


def test_integers_keep_their_type(tmp_path):
    network = keras.Sequential([keras.Input((2,)), layers.RandomFlip(), layers.Dense(2)])
    network.add(Counter())
    presets.save_preset(network, tmp_path / "network.keras")
    with _weights_file(tmp_path / "network.keras") as file:
        assert any(dataset.dtype == np.int32 for dataset in _datasets(file).values())
    restored = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(restored.get_weights()[-1], [[70_000, 70_001]])


@keras.saving.register_keras_serializable("imagegen_tests")
class Counter(layers.Layer):
    """Holds a matrix of integers that float16 could not tell apart."""

    def build(self, input_shape):
        self.count = self.add_weight(
            shape=(1, 2),
            dtype="int32",
            trainable=False,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor([[70_000, 70_001]], dtype),
        )

    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable("imagegen_tests")
class Pair(keras.Model):
    """A network and its averaged clone."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.network, self.averaged = _network(), _network()
        self.averaged.set_weights(self.network.get_weights())
        self.built = True

    def call(self, inputs):
        return self.averaged(inputs)


def test_equal_arrays_are_stored_once(tmp_path):
    pair = Pair()
    for name, model in (("pair", pair), ("one", pair.network)):
        presets.save_preset(model, tmp_path / f"{name}.keras")
    with (
        _weights_file(tmp_path / "pair.keras") as two,
        _weights_file(tmp_path / "one.keras") as one,
    ):
        arrays, single = _datasets(two), _datasets(one)
        assert len(arrays) == 2 * len(single)
        addresses = {h5py.h5o.get_info(dataset.id).addr for dataset in arrays.values()}
        assert len(addresses) <= len(single)
    inputs = np.ones((2, 8), "float32")
    restored = keras.saving.load_model(tmp_path / "pair.keras")
    expected = keras.saving.load_model(tmp_path / "one.keras").predict(inputs, verbose=0)
    np.testing.assert_allclose(restored.predict(inputs, verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(restored.network.predict(inputs, verbose=0), expected, rtol=1e-6)


def test_an_optimizer_is_left_out(tmp_path):
    digests = set()
    for trained in (False, True):
        network = _network()
        if trained:
            network.compile("adam", loss="mse")
            weights = network.get_weights()
            network.fit(np.ones((4, 8)), np.ones((4, 3)), verbose=0)
            network.set_weights(weights)
        digests.add(presets.save_preset(network, tmp_path / "network.keras"))
        with zipfile.ZipFile(tmp_path / "network.keras") as archive:
            assert b"compile_config" not in archive.read("config.json")
    assert len(digests) == 1


def test_equal_weights_give_equal_bytes(tmp_path):
    digests = {
        presets.save_preset(_network(seed), tmp_path / f"{number}.keras")
        for number, seed in enumerate((0, 0, 1))
    }
    assert len(digests) == 2
    assert (tmp_path / "0.keras").read_bytes() == (tmp_path / "1.keras").read_bytes()
    presets.save_preset(keras.saving.load_model(tmp_path / "0.keras"), tmp_path / "2.keras")
    weights = []
    for name in ("0.keras", "2.keras"):  # Halving a second time changes nothing.
        with zipfile.ZipFile(tmp_path / name) as archive:
            weights.append(archive.read("model.weights.h5"))
    assert weights[0] == weights[1]


def test_nothing_of_the_moment_is_stored(tmp_path):
    # Keras writes the date, and objects' addresses in memory: other bytes in each process.
    presets.save_preset(_network(), tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json")) == {"keras_version": keras.__version__}
        config = archive.read("config.json").decode()
    shared = [int(number) for number in re.findall(r'"shared_object_id": (\d+)', config)]
    assert shared
    assert max(shared) < len(shared)


def test_a_preset_is_small_and_holds_no_pickle(registry):
    path = registry / "small.keras"
    assert path.stat().st_size < 2 * (69_076 + 65_089) + 20_000
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        json.loads(archive.read("config.json"))
        assert archive.read("model.weights.h5").startswith(b"\x89HDF\r\n")
    with _weights_file(path) as file:
        assert all(dataset.dtype.kind in "fiu" for dataset in _datasets(file).values())


def test_half_precision_changes_no_picture_by_a_level(registry):
    vae = VAE(digit_encoder(), digit_decoder())
    presets.save_preset(vae, registry / "half.keras")
    latents = np.random.default_rng(0).normal(size=(128, 2))
    difference = 255 * (
        vae.decode(latents) - VAE.from_preset(registry / "half.keras").decode(latents)
    )
    assert np.abs(difference).mean(axis=(1, 2, 3)).max() < 1


def test_a_preset_is_loaded_by_name_and_by_path(registry):
    by_name, by_path = VAE.from_preset("small"), VAE.from_preset(registry / "small.keras")
    latents = np.zeros((1, 2))
    np.testing.assert_array_equal(by_name.decode(latents), by_path.decode(latents))
    assert not by_name.compiled


def test_two_names_can_stand_for_one_file():
    flowers, species = presets._find("flowers-64"), presets._find("flowers-64-species")
    assert flowers == species


def test_a_damaged_preset_is_refused(registry):
    path = registry / "small.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"'small' is missing or damaged.*Install imagegen again"):
        VAE.from_preset("small")
    path.unlink()
    with pytest.raises(ValueError, match="'small' is missing or damaged"):
        VAE.from_preset("small")


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_model_is_refused(registry, content):
    (registry / "other.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"^/.*other\.keras cannot be loaded: it is damaged"):
        VAE.from_preset(registry / "other.keras")


def test_a_file_that_carries_code_is_refused(registry):
    network = keras.Sequential([keras.Input((2,)), layers.Lambda(lambda x: x)])
    network.save(registry / "code.keras")
    with pytest.raises(ValueError, match="cannot be loaded"):
        presets.load(registry / "code.keras", keras.Model)


def test_a_model_of_another_class_is_refused(registry):
    presets.save_preset(_network(), registry / "network.keras")
    with pytest.raises(ValueError, match=r"must be a preset of VAE. Received: .*, a Sequential"):
        VAE.from_preset(registry / "network.keras")


def test_an_unknown_name_lists_the_known_ones(registry):
    with pytest.raises(ValueError, match=r"one of 'small'. Received: name='large'"):
        VAE.from_preset("large")


def test_an_address_must_carry_its_checksum(registry, monkeypatch):
    monkeypatch.setenv("IMAGEGEN_CACHE", str(registry))
    address = "http://127.0.0.1:9/model.keras"
    with pytest.raises(ValueError, match=r"must end in its checksum, #sha256="):
        VAE.from_preset(address)
    with pytest.raises(DownloadError):
        VAE.from_preset(f"{address}#sha256={'0' * 64}")
    # What was fetched before is there, and is checked: no network is needed.
    digest = file_sha256(registry / "small.keras")
    (registry / "presets").mkdir(exist_ok=True)
    (registry / "small.keras").rename(registry / "presets" / f"{digest}.keras")
    assert isinstance(VAE.from_preset(f"{address}#sha256={digest}"), VAE)


def test_only_a_keras_file_of_finite_weights_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in .keras. Received: path="):
        presets.save_preset(_network(), tmp_path / "network.h5")
    network = _network()
    network.get_layer("dense").bias.assign(np.full(64, np.nan))
    with pytest.raises(ValueError, match=r"weights must be finite. Received: NaN or infinity in "):
        presets.save_preset(network, tmp_path / "network.keras")
    assert not (tmp_path / "network.keras").exists()


@pytest.mark.parametrize("name", sorted(presets.list_presets()))
def test_every_listed_preset_is_described_and_intact(name):
    preset = presets.preset_info(name)
    assert preset.description.endswith(".")
    for sentence in (preset.data, preset.licence, preset.training, preset.metrics):
        assert re.search(r"\w", sentence)
    assert re.search(r"\d", preset.training)
    assert re.search(r"\d", preset.metrics)
    assert (REPOSITORY / preset.recipe).is_file()
    assert preset.url or presets._find(name).is_file()


@pytest.mark.parametrize("name", sorted(presets.list_presets()))
def test_sizes_in_a_description_are_those_of_the_model(name):
    """Of pictures and of latents: 64 x 64 pixels, 16 x 16 x 12 latents."""
    model, said = presets.load(name, keras.Model), presets.preset_info(name).description
    found = re.findall(r"\d+(?: x \d+)+", said)
    sizes = [tuple(map(int, size.split(" x "))) for size in found]
    if name.startswith("digits"):
        assert not sizes
        assert str(model.latent_shape[0]) in said.replace("two", "2")
    elif isinstance(model, imagegen.VAE):
        assert sizes == [model.decoder.output_shape[1:3], model.latent_shape]
    elif isinstance(model, imagegen.ImageGenerator):
        assert sizes == [model.image_shape[:2]]
        for species in re.findall(r"(\d+) species", said):
            assert len(model.encoder.names) == int(species)
    elif isinstance(model, imagegen.CLIP):
        assert sizes == [model.image_encoder.input_shape[1:3]]
        assert f"{model.dim} dimensions" in said
    else:
        assert sizes == [model.input_shape[1:3]]
        assert f"{model.output_shape[-1]} species" in said


def test_presets_fit_in_35_megabytes():
    assert sum(path.stat().st_size for path in presets._FOLDER.iterdir()) <= 35_000_000


def test_the_folder_of_weights_holds_the_listed_presets_and_nothing_else():
    shipped = {
        preset.name
        for preset in map(presets.preset_info, presets.list_presets())
        if not preset.url and not preset.file
    }
    assert {path.stem for path in presets._FOLDER.glob("*.keras")} == shipped
    assert {path.name for path in presets._FOLDER.glob("*")} == {
        "presets.json",
        *(f"{name}.keras" for name in shipped),
    }


@pytest.mark.slow(reason="paints 96 flowers in the sizes that are shipped")
@pytest.mark.parametrize(
    ("name", "num_steps"),
    [
        ("captioned-32", 12),
        ("captioned-64", 12),
        ("captioned-64-fast", 4),
        ("captioned-64-fast", 1),
    ],
)
def test_the_painters_of_captions_do_what_they_are_told(name, num_steps):
    rng, prompts = np.random.default_rng(0), []
    while len(prompts) < 24:
        flower = imagegen.drawn.sample_attributes(rng)
        if flower.num_petals <= 8:
            prompts.append(imagegen.drawn.caption(flower, name_center=True))
    images = presets.load(name, keras.Model).generate(prompts, num_steps=num_steps, seed=0)
    told = imagegen.drawn.prompt_adherence(images, prompts)
    assert min(told.petal_color, told.background_color) > 0.95
    assert min(told.center_color, told.num_petals) > 0.8


@pytest.mark.parametrize("write", ["write_bytes", "write_text"])
def test_a_full_disk_leaves_what_was_saved_before(tmp_path, monkeypatch, write):
    """Of a preset and of a learned word: half a file is none, and the old one is there still."""
    if write == "write_bytes":
        path, model = tmp_path / "model.keras", _network()

        def save():
            presets.save_preset(model, path)
    else:
        path = tmp_path / "word.json"

        def save():
            imagegen.Concept("<spots>", np.ones(4, "float32")).save(path)

    save()
    before = path.read_bytes()

    def half(self, content, *_):
        with self.open("wb") as file:
            file.write(
                content[: len(content) // 2].encode() if write == "write_text" else content[:9]
            )
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, write, half)
    with pytest.raises(OSError, match="No space"):
        save()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("way", ["link", "soft link", "storage"])
def test_a_preset_reads_no_other_file(tmp_path, way):
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.ones(64, "float32")
    path = tmp_path / "network.keras"
    presets.save_preset(_network(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        bias = next(name for name in _datasets(file) if file[name].shape == (64,))
        if way == "storage":
            del file[bias]
            file.create_dataset(bias, (64,), "float32", external=[(str(secret), 0, 256)])
        else:
            other = h5py.ExternalLink(str(secret), "/numbers")
            file.move(bias, "moved")
            file[bias] = other if way == "link" else h5py.SoftLink("/moved")
    members["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"cannot be loaded.*(link|another file)"):
        presets.load(path, keras.Model)
