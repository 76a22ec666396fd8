"""Laws of the loaders: the right arrays, or an error that says what to do; never half of them."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

from imagegen import _oxford, datasets, presets

import keras
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

NUM_PHOTOGRAPHS = 40
REAL_DATA = os.environ.get("IMAGEGEN_DATA")
# The small files of these tests are no more than made like the originals.
pytestmark = pytest.mark.filterwarnings("ignore:.* are not the ones that were published")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="IMAGEGEN_DATA is not set")


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Neither the user's cache nor a network: the addresses are those of a port nobody hears."""
    monkeypatch.setenv("IMAGEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IMAGEGEN_DATA", raising=False)
    monkeypatch.setattr(datasets, "_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    monkeypatch.setattr(datasets, "_OXFORD_URL", "http://127.0.0.1:9/")


def mnist_arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 28, 28), "uint8"),
        "y_train": np.arange(30, dtype="uint8") % 10,
        "x_test": rng.integers(0, 256, (10, 28, 28), "uint8"),
        "y_test": np.arange(10, dtype="uint8"),
    }


def jpeg(width, height, color):
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_archive(path, members):
    """Writes a tar.gz of names and contents; a TarInfo goes in as it is."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg() and not info.size:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)


def photographs(numbers):
    return [(f"jpg/image_{n:05d}.jpg", jpeg(12, 8, (n % 256, 99, n // 256))) for n in numbers]


@pytest.fixture(scope="session")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.savez_compressed(folder / "mnist.npz", **mnist_arrays())
    labels = np.arange(8189)[None] % 102 + 1
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels.astype("uint8")})
    write_archive(folder / "102flowers.tgz", photographs(range(NUM_PHOTOGRAPHS, 0, -1)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def data(good_files, tmp_path, monkeypatch):
    """A folder of small files with the originals' names and layout, named by IMAGEGEN_DATA."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in good_files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("IMAGEGEN_DATA", str(folder))
    return folder


def decoded_copies(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.npz"))


# Digits


@pytest.mark.parametrize("source", ["auto", "mnist"])
def test_digits_are_those_of_the_folder(data, source):
    arrays = mnist_arrays()
    for split in ("train", "test"):
        images, labels = datasets.digits(source, split)
        np.testing.assert_array_equal(images[..., 0], arrays[f"x_{split}"])
        np.testing.assert_array_equal(labels, arrays[f"y_{split}"])
        assert labels.dtype == np.int64
    images, labels = datasets.digits(source)
    np.testing.assert_array_equal(labels[:30], arrays["y_train"])
    np.testing.assert_array_equal(labels[30:], arrays["y_test"])
    assert images.shape == (40, 28, 28, 1)


def test_embedded_digits_need_nothing_and_keep_their_splits_apart():
    train, test = (datasets.digits("mnist-sample", split) for split in ("train", "test"))
    together = datasets.digits("mnist-sample")
    assert train.images.shape == (5000, 28, 28, 1)
    assert test.images.shape == (1000, 28, 28, 1)
    assert train.images.dtype == np.uint8
    for parts, whole in zip(zip(train, test, strict=True), together, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not {*map(bytes, train.images)} & {*map(bytes, test.images)}


def test_embedded_digits_are_handwriting_of_every_digit():
    images, labels = datasets.digits("mnist-sample")
    assert labels.dtype == np.int64
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 500
    # The ink of each of MNIST's digits has its centre of mass in the middle of the picture.
    ink = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    for axis in (1, 2):
        centers = (ink.sum(axis=axis) * np.arange(28)).sum(axis=1)
        assert np.abs(centers - 14).max() < 1
    assert images.max() == 255
    assert 0.1 < images.mean() / 255 < 0.16


def test_digits_and_labels_of_others_are_used_with_a_warning(data):
    for split in ("train", "test"):
        with pytest.warns(UserWarning, match="published") as warnings:
            datasets.digits("mnist", split)
        assert [str(warning.message).split(" in ")[0] for warning in warnings] == [
            f"x_{split}",
            f"y_{split}",
        ]
        assert {warning.filename for warning in warnings} == {__file__}
    with pytest.warns(UserWarning, match=r"^labels in .*imagelabels.mat are not the ones"):
        datasets.flowers("oxford", 8)


@needs_real_data
@pytest.mark.filterwarnings("error")
def test_the_real_files_hold_what_was_published(monkeypatch):
    monkeypatch.setenv("IMAGEGEN_DATA", REAL_DATA)
    datasets.digits("mnist")
    datasets.flowers("oxford", 8)


@needs_real_data
def test_one_flipped_bit_of_mnist_is_seen(tmp_path, monkeypatch):
    with np.load(os.path.join(REAL_DATA, "mnist.npz")) as arrays:
        changed = dict(arrays)
    changed["y_test"] = changed["y_test"].copy()
    changed["y_test"][123] ^= 1
    np.savez(tmp_path / "mnist.npz", **changed)
    monkeypatch.setenv("IMAGEGEN_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="y_test in .* are not the ones that were published"):
        datasets.digits("mnist", "test")


@needs_real_data
def test_embedded_digits_are_the_first_of_mnist(monkeypatch):
    monkeypatch.setenv("IMAGEGEN_DATA", REAL_DATA)
    for split in ("train", "test"):
        part, whole = (datasets.digits(source, split) for source in ("mnist-sample", "mnist"))
        for some, all_of_them in zip(part, whole, strict=True):
            np.testing.assert_array_equal(some, all_of_them[: len(some)])


@needs_real_data
def test_real_digits_have_their_known_order(monkeypatch):
    monkeypatch.setenv("IMAGEGEN_DATA", REAL_DATA)
    images, labels = datasets.digits()
    assert images.shape == (70000, 28, 28, 1)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert datasets.digits(split="train").images.shape == (60000, 28, 28, 1)
    assert datasets.digits(split="test").labels[:5].tolist() == [7, 2, 1, 0, 4]


# Flowers


def test_flowers_have_the_label_of_their_number(data):
    images, labels, names = datasets.flowers(image_size=8)
    assert images.shape == (NUM_PHOTOGRAPHS, 8, 8, 3)
    assert images.dtype == np.uint8
    numbers = np.arange(1, NUM_PHOTOGRAPHS + 1)
    np.testing.assert_array_equal(labels, (numbers - 1) % 102)
    assert labels.dtype == np.int64
    assert np.abs(images[:, 4, 4, 0] - numbers % 256.0).max() <= 3
    assert names == list(datasets.FLOWER_NAMES)
    assert len(names) == 102


def test_flowers_may_be_fewer(data):
    write_archive(data / "102flowers.tgz", photographs([7, 8000]))
    images, labels, _ = datasets.flowers(image_size=8)
    assert len(images) == 2
    assert labels.tolist() == [6, 7999 % 102]


@pytest.mark.parametrize("source", ["oxford", "painted"])
def test_splits_of_flowers_are_disjoint_and_exhaustive(data, source):
    write_archive(data / "102flowers.tgz", photographs(range(1, 621)))
    everything = datasets.flowers(source, 8).images
    train, test = (datasets.flowers(source, 8, split).images for split in ("train", "test"))
    assert len(test) == 500
    assert len(train) == len(everything) - 500
    assert sorted(map(bytes, [*train, *test])) == sorted(map(bytes, everything))


def test_flowers_held_out_from_all_are_held_out_from_every_part(data, monkeypatch):
    monkeypatch.setattr(datasets, "_NUM_TEST_FLOWERS", 30)

    def held_out(numbers):
        write_archive(data / "102flowers.tgz", photographs(numbers))
        _, labels, _ = datasets.flowers(image_size=8, split="test")
        return {label + 1 for label in labels.tolist()}

    part = set(range(1, 102, 2))
    of_all, of_part = held_out(range(1, 103)), held_out(sorted(part))
    assert len(of_all) == len(of_part) == 30
    assert of_all & part < of_part < part


def test_the_held_out_flowers_never_change():
    """A literal list: whatever moves it invalidates every figure measured on held-out flowers."""
    order = sorted(range(1, 8190), key=datasets._position)
    assert order[:6] == [3573, 6109, 3896, 7478, 3136, 6448]


def test_too_few_photographs_are_not_split(data):
    with pytest.raises(ValueError, match=r"more than 500 photographs .* Received: 40"):
        datasets.flowers(image_size=8, split="train")


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200), (333, 100), (16, 900)])
def test_photographs_become_their_largest_centred_square(width, height):
    """A disc in the middle stays a disc, and what lies outside the square is gone."""
    y, x = np.indices((height, width))
    side = min(width, height)
    centred = np.stack([x - (width - 1) / 2, y - (height - 1) / 2])
    pixels = np.zeros((height, width, 3), "uint8")
    pixels[np.abs(centred).max(0) > side / 2 + 8] = (255, 0, 0)
    pixels[np.hypot(*centred) < side / 4] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=98, subsampling=0)
    square = _oxford._photograph(file.getvalue(), 40, 40)[..., 1] / 255
    assert square.shape == (40, 40)
    assert abs(square.mean() - np.pi / 16) < 0.02
    assert abs(square.mean(0) - square.mean(1)).max() < 0.1
    for axis in (0, 1):
        assert abs((square.sum(axis) * np.arange(40)).sum() / square.sum() - 19.5) < 0.5


@pytest.mark.parametrize("side", [128, 500])
def test_photographs_are_resized_with_antialiasing(side):
    stripes = np.indices((side, side))[1] % 2 * 255
    file = io.BytesIO()
    Image.fromarray(stripes.astype("uint8")).save(file, "JPEG", quality=98)
    small = _oxford._photograph(file.getvalue(), 32, 32).astype(int)
    assert np.abs(small - 127.5).max() < 20


def test_painted_flowers_are_as_many_of_each_species():
    images, labels, names = datasets.flowers("painted")
    assert images.shape == (len(labels), 64, 64, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert names == list(datasets.FLOWER_NAMES)
    species, counts = np.unique(labels, return_counts=True)
    assert [names[label] for label in species] == painted_flowers()["columns"]
    assert len(species) == 89
    assert len(set(counts)) == 1


def test_the_painted_flowers_are_no_copies_of_one_another():
    images = datasets.flowers("painted").images
    assert len({*map(bytes, images)}) == len(images)


def test_every_species_is_painted_in_both_splits():
    for split in ("train", "test"):
        assert len(np.unique(datasets.flowers("painted", split=split).labels)) == 89


def test_the_painted_flowers_are_what_their_names_say():
    """Not only in some order: the package's classifier knows most of them."""
    images, labels, _ = datasets.flowers("painted", split="test")
    logits = presets.load("species-64", keras.Model).predict(images.astype("float32"), verbose=0)
    assert np.mean(logits.argmax(axis=1) == labels) > 0.7


@pytest.mark.parametrize("image_size", [16, 100])
def test_painted_flowers_of_other_sizes_are_resized_by_lanczos(image_size):
    painted, labels, _ = datasets.flowers("painted", split="test")
    resized = datasets.flowers("painted", image_size, split="test")
    np.testing.assert_array_equal(resized.labels, labels)
    assert resized.images.shape == (500, image_size, image_size, 3)
    for before, after in zip(painted[:5], resized.images[:5], strict=True):
        shape = (image_size, image_size)
        expected = Image.fromarray(before).resize(shape, Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(after, np.asarray(expected))


def painted_flowers():
    return json.loads((datasets._EMBEDDED / "painted-flowers.json").read_text())


def test_the_painted_flowers_are_called_what_they_are():
    about = painted_flowers()
    assert "None of them is a photograph" in about["description"]
    assert f"{len(datasets.flowers('painted').images):,} flowers" in about["description"]
    assert (Path(__file__).parents[1] / about["recipe"]).is_file()


@needs_real_data
def test_real_flowers_have_the_known_names():
    names = json.loads((Path(REAL_DATA) / "flower_names.json").read_text())
    assert list(datasets.FLOWER_NAMES) == names


# The decoded copy


def test_photographs_are_decoded_once(data, tmp_path, monkeypatch):
    first = datasets.flowers(image_size=8)
    assert len(decoded_copies(tmp_path)) == 1
    monkeypatch.setattr(_oxford, "_photograph", None)
    second = datasets.flowers(image_size=8)
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_changed_archive_is_decoded_anew(data):
    assert len(datasets.flowers(image_size=8).images) == NUM_PHOTOGRAPHS
    write_archive(data / "102flowers.tgz", photographs(range(1, 4)))
    assert len(datasets.flowers(image_size=8).images) == 3


def test_an_archive_of_another_time_is_decoded_anew(data, tmp_path):
    for seconds in (1, 2):
        os.utime(data / "102flowers.tgz", (seconds, seconds))
        datasets.flowers(image_size=8)
        assert len(decoded_copies(tmp_path)) == seconds


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_damaged_copy_is_decoded_anew(data, tmp_path, keep):
    expected = datasets.flowers(image_size=8).images
    (copy,) = decoded_copies(tmp_path)
    content = copy.read_bytes()
    copy.write_bytes(content[:keep])
    np.testing.assert_array_equal(datasets.flowers(image_size=8).images, expected)
    assert copy.read_bytes() == content


@pytest.mark.parametrize("field", [8, 10], ids=["encrypted", "compression"])
def test_a_copy_whose_directory_is_damaged_is_decoded_anew(data, tmp_path, field):
    before = datasets.flowers(image_size=16)
    (copy,) = decoded_copies(tmp_path)
    content = bytearray(copy.read_bytes())
    # One bit of what the zip file's directory says about its first member.
    content[content.index(b"PK\x01\x02") + field] |= 1
    copy.write_bytes(content)
    np.testing.assert_array_equal(datasets.flowers(image_size=16).images, before.images)


def test_a_changed_bit_in_the_copy_is_found(data, tmp_path):
    expected = datasets.flowers(image_size=8).images
    (copy,) = decoded_copies(tmp_path)
    content = bytearray(copy.read_bytes())
    content[5000] ^= 1
    copy.write_bytes(content)
    np.testing.assert_array_equal(datasets.flowers(image_size=8).images, expected)


def test_a_cache_that_cannot_be_written_is_done_without(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("IMAGEGEN_CACHE", str(tmp_path / "file"))
    assert len(datasets.flowers(image_size=8).images) == NUM_PHOTOGRAPHS


def test_a_copy_is_never_left_half_written(data, tmp_path, monkeypatch):
    def full_disk(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    datasets.flowers(image_size=8)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


# Where the data comes from


@pytest.mark.parametrize(
    ("load", "source", "instead"),
    [
        (datasets.digits, "mnist-sample", "the 6,000 digits of MNIST that travel in the package"),
        (datasets.flowers, "painted", "the preset flowers-64-species painted, none .* photograph"),
    ],
)
def test_the_embedded_default_comes_with_one_warning(load, source, instead):
    with pytest.warns(UserWarning, match=f"{instead}.* instead of the original") as warned:
        loaded = load(split="test")
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert f"source='{source}' to silence this" in str(warned[0].message)
    assert loaded.source == source
    np.testing.assert_array_equal(loaded.images, load(source, split="test").images)


@pytest.mark.parametrize(
    ("load", "sources"),
    [(datasets.digits, ["mnist", "mnist-sample"]), (datasets.flowers, ["oxford", "painted"])],
)
def test_what_is_loaded_says_where_it_is_from(data, load, sources):
    assert load().source == sources[0]
    for source in sources:
        assert load(source).source == source


@pytest.mark.parametrize("load", [datasets.digits, datasets.flowers])
def test_the_source_is_not_among_what_is_unpacked(data, load):
    loaded = load()
    assert loaded.source not in [part for part in loaded if isinstance(part, str)]
    assert [len(part) for part in loaded][:2] == [40, 40]
    with pytest.raises(AttributeError):
        loaded.source = "elsewhere"


def test_originals_are_downloaded_to_the_cache(good_files, tmp_path, monkeypatch):
    fetched = {}

    def fetch(url, path, **checksum):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(good_files[path.name])
        fetched[url] = (path, checksum)
        return path

    monkeypatch.setattr(datasets, "fetch", fetch)
    assert datasets.digits().images.shape == (40, 28, 28, 1)
    assert datasets.flowers(image_size=8).images.shape == (NUM_PHOTOGRAPHS, 8, 8, 3)
    for url, (path, checksum) in fetched.items():
        assert path == tmp_path / "cache" / url.rsplit("/")[-1]
        assert [len(digest) for digest in checksum.values()] in ([64], [32])
    assert len(fetched) == 3


@pytest.mark.parametrize("load", [datasets.digits, datasets.flowers])
@pytest.mark.parametrize("source", ["auto", "original"])
def test_a_set_but_unusable_folder_is_an_error(load, source, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEGEN_DATA", str(tmp_path / "nowhere"))
    source = {"auto": "auto", "original": "mnist" if load is datasets.digits else "oxford"}[source]
    with pytest.raises(FileNotFoundError, match=r"IMAGEGEN_DATA must .* Received: .*nowhere"):
        load(source)


@pytest.mark.parametrize(
    ("load", "source"), [(datasets.digits, "mnist"), (datasets.flowers, "oxford")]
)
def test_an_original_that_cannot_be_had_is_an_error_with_advice(load, source):
    with pytest.raises(OSError, match="Set IMAGEGEN_DATA to a folder with"):
        load(source)


@pytest.mark.parametrize("load", [datasets.digits, datasets.flowers])
@pytest.mark.parametrize("arguments", [{"source": "cifar"}, {"split": "valid"}])
def test_unknown_sources_and_splits_are_refused(load, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be one of .* Received: "):
        load(**arguments)


@pytest.mark.parametrize("image_size", [0, -1, 8.5, True, "8"])
def test_impossible_image_sizes_are_refused(image_size):
    with pytest.raises(ValueError, match="`image_size` must be an integer"):
        datasets.flowers("painted", image_size)


# Damaged and hostile files

LOADERS = {
    "mnist.npz": datasets.digits,
    "imagelabels.mat": lambda: datasets.flowers(image_size=8),
    "102flowers.tgz": lambda: datasets.flowers(image_size=8),
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("content", [b"", b"\0" * 600, b"<html>not found</html>" * 9])
def test_files_of_another_kind_are_refused(data, name, content):
    (data / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} must be "):
        LOADERS[name]()


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(data, good_files, name, fraction):
    content = good_files[name]
    (data / name).write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ValueError, match=f"{name} must be "):
        LOADERS[name]()


@pytest.mark.parametrize("lost", [1, 4, 8])
def test_an_archive_that_lost_its_last_bytes_is_refused(data, good_files, lost):
    """All photographs are there, but not the checksum that says they are right."""
    (data / "102flowers.tgz").write_bytes(good_files["102flowers.tgz"][:-lost])
    with pytest.raises(ValueError, match=r"102flowers\.tgz must be "):
        datasets.flowers(image_size=8)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["mnist.npz", "imagelabels.mat"]),
    place=st.floats(0, 1, exclude_max=True),
    insert=st.binary(max_size=8),
    remove=st.integers(0, 8),
)
def test_damaged_files_load_whole_or_are_refused(data, good_files, name, place, insert, remove):
    content = good_files[name]
    start = int(place * len(content))
    (data / name).write_bytes(content[:start] + insert + content[start + remove :])
    try:
        if name == "mnist.npz":
            images, labels = datasets.digits()
            assert images.shape[1:] == (28, 28, 1)
            assert set(labels) <= set(range(10))
        else:
            labels = _oxford.species_labels(data / name)
            assert labels.min() >= 0
            assert labels.max() < 102
    except ValueError as error:
        assert f"{name} must be " in str(error)  # noqa: PT017
    finally:
        (data / name).write_bytes(content)


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """A copy of what travels in the package, to be damaged."""
    folder = tmp_path / "embedded"
    shutil.copytree(datasets._EMBEDDED, folder)
    monkeypatch.setattr(datasets, "_EMBEDDED", folder)
    return folder


EMBEDDED_LOADERS = {
    "mnist-sample.npz": lambda: datasets.digits("mnist-sample"),
    "painted-flowers.webp": lambda: datasets.flowers("painted"),
    "painted-flowers.json": lambda: datasets.flowers("painted"),
}


@pytest.mark.parametrize("name", EMBEDDED_LOADERS)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "one bit"])
def test_damaged_embedded_files_are_refused(embedded, name, damage):
    path = embedded / name
    content = bytearray(path.read_bytes())
    # Of the JSON file, the first digit of the checksum; of the others, in the midst of pixels.
    middle = content.index(b'"sha256"') + 11 if name.endswith("json") else len(content) // 2
    content[middle] ^= 1
    changed = {"empty": b"", "truncated": content[: len(content) // 2], "one bit": content}
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])
    with pytest.raises(ValueError, match=r"(mnist-sample\.npz|painted-flowers\.webp) must be "):
        EMBEDDED_LOADERS[name]()


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.zeros((30, 28, 27), "uint8")},
        {"x_train": np.zeros((30, 28, 28), "float32")},
        {"x_test": np.zeros((0, 28, 28), "uint8"), "y_test": np.zeros(0, "uint8")},
        {"y_train": np.zeros(29, "uint8")},
        {"y_train": np.full(30, 10, "uint8")},
        {"y_train": np.full(30, -1)},
        {"y_test": np.zeros(10)},
        {"y_test": np.array([{}] * 10)},
    ],
)
def test_arrays_that_are_no_digits_are_refused(data, change):
    np.savez(data / "mnist.npz", **(mnist_arrays() | change))
    with pytest.raises(ValueError, match=r"mnist\.npz must be "):
        datasets.digits()


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(data, tmp_path):
    trap = tmp_path / "sprung"
    np.savez(data / "mnist.npz", **(mnist_arrays() | {"y_train": np.array([Trap(trap)] * 30)}))
    with pytest.raises(ValueError, match=r"mnist\.npz must be "):
        datasets.digits()
    assert not trap.exists()


@pytest.mark.parametrize("shape", ["(1000000000000, 28, 28)", "(-1, 28, 28)"])
def test_huge_declared_arrays_are_refused(data, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    np.savez(data / "mnist.npz", **{k: v for k, v in mnist_arrays().items() if k != "x_train"})
    with zipfile.ZipFile(data / "mnist.npz", "a") as archive:
        archive.writestr("x_train.npy", array)
    with pytest.raises(ValueError, match=r"mnist\.npz must be "):
        datasets.digits()


def test_a_zip_bomb_is_refused_unread(data, monkeypatch):
    monkeypatch.setattr(datasets, "_MAX_DIGITS_BYTES", 30000)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match="unpacks to more than 30000 bytes"):
        datasets.digits()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("number", [1, 2, 4, 5, 1000])
def test_labels_are_those_that_scipy_writes(data, dtype, compressed, number):
    labels = np.random.default_rng(number).integers(1, 103, (1, number)).astype(dtype)
    arrays = {"before": np.ones((3, 5)), "labels": labels, "after": np.zeros(3, "uint8")}
    scipy.io.savemat(data / "imagelabels.mat", arrays, do_compression=compressed)
    read = _oxford.species_labels(data / "imagelabels.mat")
    np.testing.assert_array_equal(read, labels[0].astype(int) - 1)


def test_labels_that_unpack_to_too_much_are_refused(data):
    labels = np.ones((1, 1 << 21), "uint8")
    scipy.io.savemat(data / "imagelabels.mat", {"labels": labels}, do_compression=True)
    with pytest.raises(ValueError, match="breaks off or is too large"):
        datasets.flowers(image_size=8)


@pytest.mark.parametrize("labels", [[[0, 1]], [[1, 103]], [[1.5, 2]], [[]], [["rose", "lily"]]])
def test_labels_of_no_species_are_refused(data, labels):
    scipy.io.savemat(data / "imagelabels.mat", {"labels": np.array(labels)})
    with pytest.raises(ValueError, match=r"imagelabels\.mat must be "):
        datasets.flowers(image_size=8)


def test_photographs_without_a_label_are_refused(data):
    scipy.io.savemat(data / "imagelabels.mat", {"labels": np.array([[1, 2, 3]])})
    with pytest.raises(ValueError, match="only 3 labels"):
        datasets.flowers(image_size=8)


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "upwards": ("../jpg/image_00002.jpg", jpeg(8, 8, "red")),
    "hidden upwards": ("jpg/../../image_00002.jpg", jpeg(8, 8, "red")),
    "absolute": ("/tmp/jpg/image_00002.jpg", jpeg(8, 8, "red")),
    "drive": ("C:\\jpg\\image_00002.jpg", jpeg(8, 8, "red")),
    "symbolic link": (special("jpg/image_00002.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""),
    "hard link": (special("jpg/image_00002.jpg", tarfile.LNKTYPE, "jpg/image_00001.jpg"), b""),
    "device": (special("jpg/image_00002.jpg", tarfile.CHRTYPE), b""),
    "pipe": (special("jpg/image_00002.jpg", tarfile.FIFOTYPE), b""),
    "folder": (special("jpg/image_00002.jpg", tarfile.DIRTYPE), b""),
    "linked folder": (special("jpg", tarfile.SYMTYPE, "/tmp"), b""),
    "number too large": ("jpg/image_99999.jpg", jpeg(8, 8, "red")),
    "number zero": ("jpg/image_00000.jpg", jpeg(8, 8, "red")),
    "other digits": ("jpg/image_0000٢.jpg", jpeg(8, 8, "red")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_touch_nothing(data, tmp_path, kind):
    write_archive(data / "102flowers.tgz", [*photographs([1, 3]), HOSTILE[kind]])
    before = sorted(path for path in tmp_path.rglob("*"))
    images, labels, _ = datasets.flowers(image_size=8)
    assert labels.tolist() == [0, 2]
    assert len(images) == 2
    new = set(tmp_path.rglob("*")) - set(before)
    assert {path.suffix for path in new if path.is_file()} == {".npz"}
    assert all(path.is_relative_to(tmp_path / "cache") for path in new)


def test_a_huge_declared_photograph_is_refused_unread(data):
    info = tarfile.TarInfo("jpg/image_00002.jpg")
    info.size = 1 << 40
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        archive.fileobj.write(info.tobuf())
    (data / "102flowers.tgz").write_bytes(raw.getvalue())
    with pytest.raises(ValueError, match="declares 1099511627776 bytes"):
        datasets.flowers(image_size=8)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", jpeg(64, 64, "red")[:-200], b"GIF89a" + bytes(50), bytes(1000)],
)
def test_photographs_that_are_none_are_refused(data, content):
    write_archive(data / "102flowers.tgz", [*photographs([1]), ("jpg/image_00002.jpg", content)])
    with pytest.raises(ValueError, match=r"102flowers\.tgz must be "):
        datasets.flowers(image_size=8)


def test_other_formats_under_a_photographs_name_are_refused(data):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    write_archive(data / "102flowers.tgz", [("jpg/image_00001.jpg", file.getvalue())])
    with pytest.raises(ValueError, match=r"102flowers\.tgz must be "):
        datasets.flowers(image_size=8)


# Points


@settings(max_examples=20, deadline=None)
@given(num_points=st.integers(1, 500), seed=st.integers(0, 2**32 - 1))
def test_points_without_noise_lie_on_two_circles(num_points, seed):
    points = datasets.s_curve(num_points, noise=0, seed=seed)
    assert points.shape == (num_points, 2)
    assert points.dtype == np.float32
    # The S is three quarters of a circle of radius 0.1 above, and three quarters of one below.
    centers = np.sign(points[:, 1]) * 0.1
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 1] - centers), 0.1, atol=1e-6)
    np.testing.assert_array_equal(points, datasets.s_curve(num_points, noise=0, seed=seed))


def test_the_noise_of_points_has_its_deviation():
    moved = datasets.s_curve(20000, noise=0.3) - datasets.s_curve(20000, noise=0)
    np.testing.assert_allclose(moved.std(0), 0.03, rtol=0.03)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_points": 0}, "num_points"),
        ({"num_points": 9, "noise": -1}, "noise"),
        ({"num_points": 9, "noise": np.nan}, "noise"),
        ({"num_points": 9, "seed": -1}, "seed"),
    ],
)
def test_impossible_points_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: "):
        datasets.s_curve(**arguments)
