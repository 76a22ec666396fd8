"""Files keep pictures and how they were made."""

import json
import os
import pathlib

import imagegen

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), "uint8")
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=30)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=st.dictionaries(st.text(), plain, max_size=4))
def test_what_is_kept_with_a_picture_comes_back(tmp_path, format, told):
    paths = imagegen.save_images(PICTURES, tmp_path, format=format, metadata=[told] * 3)
    assert [imagegen.read_metadata(path) for path in paths] == [told] * 3
    for path, picture in zip(paths, PICTURES, strict=True):
        with Image.open(path) as image:
            if format != "jpeg":
                np.testing.assert_array_equal(np.asarray(image), picture)
            assert image.size == (9, 8)


def test_each_picture_keeps_its_own(tmp_path):
    told = {
        "prompt": ["a", "b", "c"],
        "seed": np.int64(3),
        "sampler": imagegen.DDIM(),
        "size": [8, 9],
    }
    found = [
        imagegen.read_metadata(p) for p in imagegen.save_images(PICTURES, tmp_path, metadata=told)
    ]
    assert [one["prompt"] for one in found] == ["a", "b", "c"]
    assert all((one["seed"], one["size"]) == (3, [8, 9]) for one in found)
    assert "DDIM" in found[0]["sampler"]


def test_numbers_go_on_and_nothing_is_overwritten(tmp_path):
    first = imagegen.save_images(PICTURES, tmp_path)
    assert [path.name for path in first] == ["image_0001.png", "image_0002.png", "image_0003.png"]
    before = first[0].read_bytes()
    (tmp_path / "image_notes.txt").touch()
    (next_one,) = imagegen.save_images(PICTURES[0, ..., 0], tmp_path, format="webp")
    assert next_one.name == "image_0004.webp"
    assert first[0].read_bytes() == before
    assert imagegen.save_images(PICTURES[:1], tmp_path, name="rose")[0].name == "rose_0001.png"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "gif"}, "`format` must be one of"),
        ({"quality": 0}, "`quality`"),
        ({"name": "a/b"}, "`name`"),
        ({"metadata": {"a": float("nan")}}, "`metadata` must be what JSON"),
        ({"metadata": {"a": object()}}, "`metadata` must be what JSON"),
        ({"metadata": [{}]}, "one for each of 3"),
        ({"metadata": {"a": "x" * 70_000}, "format": "jpeg"}, "65,000 bytes"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_leaves_no_file(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        imagegen.save_images(PICTURES, tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "longest"), [("webp", 16_383), ("jpeg", 65_500)])
def test_pictures_fill_the_format_and_no_more(tmp_path, format, longest):
    picture = np.zeros((1, longest + 1), "uint8")
    with pytest.raises(ValueError, match=r"at most .* Received: 1 x"):
        imagegen.save_images(picture, tmp_path / "none", format=format)
    assert not (tmp_path / "none").exists()
    imagegen.save_images(picture[:, 1:], tmp_path, format=format)


def test_a_hostile_file_is_refused(tmp_path):
    path = tmp_path / "a.png"
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a picture"):
            imagegen.read_metadata(path)
    from PIL import PngImagePlugin

    for text in ("[" * 100_000, "[1]", "{", '"' + "x" * (1 << 20) + '"'):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("imagegen", text)
        Image.new("L", (1, 1)).save(path, pnginfo=info)
        with pytest.raises(ValueError, match="must be a picture"):
            imagegen.read_metadata(path)
    with pytest.raises(FileNotFoundError):
        imagegen.read_metadata(tmp_path / "missing.png")


# The command line


@pytest.fixture
def painter(tmp_path):
    network = imagegen.UNet(8, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=4)
    model = imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(["lily", "rose"], 4))
    model.normalizer.adapt(PICTURES)
    imagegen.save_preset(model, tmp_path / "tiny.keras")
    return str(tmp_path / "tiny.keras")


def command(*words):
    from imagegen.__main__ import main

    return main([str(word) for word in words])


def test_pictures_are_painted_to_files(painter, tmp_path, capsys):
    folder = tmp_path / "out"
    options = ["--num-images", 2, "--num-steps", 2, "--seed", 5, "--sampler", "ddpm"]
    assert command("paint", painter, "rose", "lily", *options, "--folder", folder) == 0
    paths = capsys.readouterr().out.split()
    assert [path.rpartition("/")[2] for path in paths] == [f"tiny_{n:04d}.png" for n in range(1, 5)]
    model = imagegen.DiffusionModel.from_preset(painter)
    expected = model.generate(
        ["rose", "rose", "lily", "lily"], num_steps=2, seed=5, sampler=imagegen.DDPM()
    )
    for path, picture in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert command("info", paths[2]) == 0
    told = json.loads(capsys.readouterr().out)
    chosen = {"seed": 5, "num_steps": 2, "sampler": "ddpm"}
    assert told == {"model": painter, "number": 2, "prompt": "lily"} | chosen


def test_presets_are_listed(capsys):
    assert command("presets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == imagegen.list_presets()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["paint", "no-such-model"], "one of 'captioned-32'"),
        (["paint", "digits-2d"], "`model` must be one that paints"),
        (["info", "missing.png"], "`path` must be a file"),
    ],
)
def test_errors_end_in_a_sentence(words, message, capsys):
    assert command(*words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("imagegen: ")
    assert message in printed.err
    assert not printed.out


def test_an_option_out_of_range_ends_in_a_sentence(painter, capsys):
    assert command("paint", painter, "oak") == 2
    assert "'oak'" in capsys.readouterr().err
    assert command("paint", painter, "--num-steps", 0) == 2
    assert "`num_steps`" in capsys.readouterr().err


# Where it goes


def test_a_path_may_begin_with_the_users_folder(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    pictures = np.zeros((2, 8, 8, 3), "uint8")
    for folder in ("~/pictures", pathlib.Path("~/pictures")):
        imagegen.save_images(pictures, folder)
    imagegen.save_animation(pictures, "~/moving.gif")
    imagegen.Concept("<word>", np.ones(3)).save("~/word.json")
    imagegen.save_preset(imagegen.VAE.from_preset("digits-2d"), "~/vae.keras")
    imagegen.Checkpoint("~/run")
    assert len(imagegen.datasets.folder("~/pictures", image_size=8).images) == 4
    assert imagegen.VAE.from_preset("~/vae.keras").latent_dim == 2
    assert {path.name for path in home.iterdir()} >= {"pictures", "moving.gif", "vae.keras"}
    # Where no user has that name, it is a file's; a folder of nobody is a mistake.
    imagegen.save_images(pictures, "~copies")
    with pytest.raises(ValueError, match="`folder` must begin with the folder of a user"):
        imagegen.save_images(pictures, "~nobody-of-that-name/pictures")
    assert [path.name for path in elsewhere.iterdir()] == ["~copies"]


# What killed programs leave


def test_what_a_killed_program_had_begun_is_removed_later(tmp_path):
    old, young = (tmp_path / f".imagegen-{number}-image_0001.png" for number in (1, 2))
    mine = tmp_path / ".imagegen-notes"
    for path in (old, young, mine):
        path.write_bytes(b"half")
    # Models that are exported are folders. In the second, something is being written.
    dead, alive = (tmp_path / f".imagegen-{number}-painter" for number in (1, 2))
    for path in (dead, alive):
        (path / "variables").mkdir(parents=True)
        (path / "variables" / "variables.index").write_bytes(b"half")
    for path in (old, mine, dead / "variables" / "variables.index", dead, alive):
        os.utime(path, (0, 0))
    imagegen.save_images(np.zeros((2, 8, 8)), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"image_0001.png", "image_0002.png", young.name, mine.name, alive.name}
