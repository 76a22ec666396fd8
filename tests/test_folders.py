"""A folder as people have them becomes arrays, and nothing of it is lost silently."""

import io
import itertools
import json
import os
import tarfile
import zipfile

import imagegen
from imagegen import datasets

import keras
import numpy as np
import pytest
from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path, color=RED, size=(20, 10), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)
    return path


@pytest.fixture
def classes(tmp_path):
    """Three classes, of 2, 1 and 1 pictures, and files that are none of them."""
    save(tmp_path / "rose" / "b.png")
    save(tmp_path / "rose" / "a.PNG", BLUE)
    save(tmp_path / "daisy" / "deep" / "c.webp", lossless=True)
    save(tmp_path / "lily" / "d.jpeg")
    save(tmp_path / ".hidden" / "e.png")
    save(tmp_path / "rose" / ".f.png")
    (tmp_path / "rose" / "notes.txt").write_text("no picture")
    return tmp_path


def test_sub_folders_are_classes(classes):
    found = datasets.folder(classes, 8)
    assert found.paths == ["daisy/deep/c.webp", "lily/d.jpeg", "rose/a.PNG", "rose/b.png"]
    assert found.names == ["daisy", "lily", "rose"]
    assert found.labels.tolist() == [0, 1, 2, 2]
    assert (found.images.shape, found.images.dtype) == ((4, 8, 8, 3), np.uint8)
    assert found.images[2].reshape(-1, 3).tolist() == [list(BLUE)] * 64
    assert found.captions is None
    assert not found.broken


def test_pictures_beside_folders_have_no_classes(classes):
    save(classes / "z.png")
    assert datasets.folder(classes, 8).labels is None


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "files"])
def test_an_archive_or_a_list_gives_what_the_folder_does(classes, tmp_path_factory, kind):
    expected = datasets.folder(classes, 8)
    files = [classes / path for path in expected.paths]
    if kind == "files":
        found = datasets.folder(files, 8)
        np.testing.assert_array_equal(found.images, expected.images)
        return
    archive = tmp_path_factory.mktemp("archive") / f"flowers.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as writer:
            for path, file in zip(expected.paths, files, strict=True):
                writer.write(file, path)
            writer.writestr("__MACOSX/rose/._b.png", b"no picture")
    else:
        with tarfile.open(archive, "w:gz") as writer:
            for path, file in zip(expected.paths, files, strict=True):
                writer.add(file, path)
            link = tarfile.TarInfo("rose/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            writer.addfile(link)
    found = datasets.folder(archive, 8)
    assert (found.paths, found.names) == (expected.paths, expected.names)
    np.testing.assert_array_equal(found.images, expected.images)


def test_captions_stand_beside_the_pictures(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("\ufeffa red wall\n", "utf-8")
    assert datasets.folder(tmp_path, 8).captions == ["a red wall", ""]
    assert datasets.folder([tmp_path / "b.png", tmp_path / "a.png"], 8).captions == [
        "",
        "a red wall",
    ]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_captions_stand_in_metadata(tmp_path, kind):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "train" / "b.png")
    rows = [{"file_name": "train/b.png", "text": 'blue, "dark"'}, {"file_name": "x", "text": ""}]
    if kind == "jsonl":
        text = "\n".join(map(json.dumps, rows))
    else:
        text = 'file_name,text\ntrain/b.png,"blue, ""dark"""\nx,\n'
    (tmp_path / f"metadata.{kind}").write_text(text, "utf-8")
    assert datasets.folder(tmp_path, 8).captions == ["", 'blue, "dark"']
    (tmp_path / f"metadata.{kind}").write_text(text.replace("train/b.png", "b"), "utf-8")
    with pytest.raises(ValueError, match=rf"metadata.{kind} must name files"):
        datasets.folder(tmp_path, 8)
    (tmp_path / f"metadata.{kind}").write_text(text.replace("text", "words"), "utf-8")
    with pytest.raises(ValueError, match=rf"metadata.{kind} must have the columns"):
        datasets.folder(tmp_path, 8)


def test_broken_files_are_left_out_and_named(classes):
    (classes / "rose" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    whole = (classes / "lily" / "d.jpeg").read_bytes()
    (classes / "rose" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (classes / "rose" / "empty.png").touch()
    with pytest.warns(
        UserWarning, match=r"3 of 7 pictures can't be read.*rose/broken.jpg"
    ) as caught:
        found = datasets.folder(classes, 8)
    assert len(caught) == 1
    assert set(found.broken) == {"rose/broken.jpg", "rose/cut.jpg", "rose/empty.png"}
    assert len(found) == len(found.images) == len(found.labels) == 4


def test_what_holds_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`path` must hold pictures"):
        datasets.folder(tmp_path)
    with pytest.raises(ValueError, match="`path` must be a folder"):
        datasets.folder(tmp_path / "missing")
    with pytest.raises(ValueError, match="`path` must be files that are there"):
        datasets.folder([tmp_path / "missing.png"])
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"pictures that can be read. Received: a.png"):
        datasets.folder(tmp_path)


def test_pictures_keep_their_proportions(tmp_path):
    picture = Image.new("RGB", (40, 20), RED)
    picture.paste(BLUE, (10, 0, 30, 20))
    picture.save(tmp_path / "a.png")
    (square,) = datasets.folder(tmp_path, 8).images
    assert np.abs(square - np.int64(BLUE)).max() <= 60  # The red is cut away, but for its edge.
    (wide,) = datasets.folder(tmp_path, (8, 16)).images
    assert wide.shape == (8, 16, 3)
    assert wide[4, 0].tolist() == list(RED)
    (whole,) = datasets.folder(tmp_path, 8, resize="pad", background="#00ff00").images
    assert whole[0, 4].tolist() == [0, 255, 0]
    assert whole[4, 0].tolist() == list(RED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "`image_size`"),
        ({"image_size": (8, 8, 3)}, "`image_size`"),
        ({"resize": "squash"}, "`resize`"),
    ],
)
def test_options_out_of_range_are_refused(classes, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.folder(classes, **options)


def numbered(path, count):
    """Pictures whose grey level is their number."""
    for number in range(count):
        save(path / f"{number:03d}.png", (number, number, number), (8, 8))


def levels(batches):
    return [batch[0][:, 0, 0, 0].tolist() for batch in (batches[i] for i in range(len(batches)))]


@pytest.mark.parametrize("stream", [False, True])
def test_batches_hold_every_picture_once_an_epoch_in_an_order_of_their_own(tmp_path, stream):
    numbered(tmp_path, 11)
    found = datasets.folder(tmp_path, 8, stream=stream)
    assert (found.images is None) == stream
    batches = found.batches(4, prompts=[f"number {n}" for n in range(11)], seed=5)
    first = levels(batches)
    assert [len(batch) for batch in first] == [4, 4, 3]
    assert sorted(itertools.chain(*first)) == list(range(11))
    images, prompts = batches[0]
    assert prompts.tolist() == [f"number {n}" for n in images[:, 0, 0, 0]]
    batches.on_epoch_end()
    second = levels(batches)
    assert sorted(itertools.chain(*second)) == list(range(11))
    assert second != first
    again = datasets.folder(tmp_path, 8, stream=not stream).batches(4, seed=5)
    assert levels(again) == first
    assert levels(found.batches(4, seed=6)) != first


def test_a_model_learns_from_a_folder(classes):
    found = datasets.folder(classes, 8, stream=True)
    network = imagegen.UNet(8, [8], block_depth=1, norm="group", embedding_dim=8, condition_dim=4)
    model = imagegen.DiffusionModel(network, encoder=imagegen.LabelEncoder(found.names, 4))
    model.normalizer.adapt(datasets.folder(classes, 8).images)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(found.batches(2, prompts=found.labels), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    words = [found.names[label] for label in found.labels]
    model.fit(found.batches(2, prompts=words), verbose=0)


def test_a_picture_that_breaks_while_it_is_streamed_is_named(tmp_path):
    for number in range(6):
        Image.new("RGB", (9, 9), (40 * number,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    pictures = imagegen.datasets.folder(tmp_path, 8, stream=True)
    with pytest.raises(ValueError, match=r"3.png can't be read"):
        pictures.read(3)
    batches = pictures.batches(2, prompts=[str(number) for number in range(6)])
    images, names = map(np.concatenate, zip(*(batches[i] for i in range(3)), strict=True))
    # Another picture takes its place, with its own prompt.
    assert len(names) == 6
    assert set(names) == {"0", "1", "2", "4", "5"}
    np.testing.assert_array_equal(images[:, 0, 0, 0], [40 * int(name) for name in names])
    with pytest.warns(UserWarning, match=r"1 of 6 pictures can't be read.*3.png"):
        batches.on_epoch_end()
    assert list(pictures.broken) == ["3.png"]
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="of which none can be"):
        batches[0]
    with pytest.raises(ValueError, match="`prompts` must be one for each of 6"):
        pictures.batches(1, prompts=["one"])


# What a viewer shows


def read(picture, tmp_path, **options):
    path = tmp_path / f"picture.{options.pop('kind', 'png')}"
    picture.save(path, **options)
    return datasets.folder([path], picture.size[::-1]).images[0]


def test_a_camera_that_was_turned_is_turned_back(tmp_path):
    picture = Image.new("RGB", (16, 32), RED)
    picture.paste(BLUE, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise.
    path = tmp_path / "turned.jpg"
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    (image,) = datasets.folder([path], (32, 16)).images
    assert np.abs(image[2, 8] - np.int64(BLUE)).max() < 12
    assert np.abs(image[28, 8] - np.int64(RED)).max() < 12
    np.testing.assert_array_equal(imagegen.center_square(path, 8)[7], np.full((8, 3), image[30, 8]))


def test_depths_and_modes_are_shown_as_a_viewer_does(tmp_path):
    grey = np.tile(np.linspace(0, 255, 16).round().astype("uint8"), (4, 1))
    expected = np.repeat(grey[..., None], 3, axis=-1)
    for array in (
        grey,
        grey.astype("uint16") * 257,
        grey.astype("int32") * 257,
        grey / np.float32(255),
    ):
        shown = imagegen.images.upright(Image.fromarray(array))
        np.testing.assert_allclose(np.asarray(shown), expected, atol=1)
    sixteen = read(Image.fromarray(grey.astype("uint16") * 257), tmp_path)
    np.testing.assert_allclose(sixteen, expected, atol=1)
    for mode in ("L", "CMYK", "P", "YCbCr", "1"):
        picture = Image.new("RGB", (4, 4), RED if mode != "1" else "white").convert(mode)
        shown = np.asarray(imagegen.images.upright(picture))
        np.testing.assert_allclose(shown, np.asarray(picture.convert("RGB")), atol=1, err_msg=mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_the_background(tmp_path, mode):
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 2, 4))
    kind = "gif" if mode == "P" else "png"
    path = tmp_path / f"clear.{kind}"
    (picture if mode == "P" else picture.convert(mode)).save(path)
    (image,) = datasets.folder([path], 4, background="red").images
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 3].tolist() == [255, 0, 0]
    with pytest.raises(ValueError, match="background"):
        datasets.folder([path], 4, background="no colour")


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), "uint8"), 3, None])
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(ValueError, match="`picture` must be a PIL"):
        imagegen.center_square(wrong, 8)


def test_one_picture_with_transparency_is_one_picture():
    picture = Image.new("RGBA", (20, 16), (255, 0, 0, 0))
    assert imagegen.grid(picture).shape == (16, 20, 3)
    assert (imagegen.grid(picture) == 255).all()
    assert imagegen.grid([picture, picture], columns=2, padding=0).shape == (16, 40, 3)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        imagegen.grid(np.asarray(picture))


def test_a_huge_picture_is_broken_and_not_decoded(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "png")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    save(tmp_path / "fine.png")
    with pytest.warns(UserWarning, match=r"1 of 2 pictures can't be read.*bomb.png"):
        assert len(datasets.folder(tmp_path, 8)) == 1


# Relatives of these: folders as other programs and systems leave them


def test_a_picture_without_its_decoder_is_named(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"no decoder reads this")
    with pytest.warns(UserWarning, match=r"1 of 2 .* b\.heic \(no picture of a kind"):
        assert list(datasets.folder(tmp_path, 8).broken) == ["b.heic"]


def test_a_picture_with_nan_is_named(tmp_path):
    save(tmp_path / "a.png")
    Image.fromarray(np.full((8, 8), np.nan, "float32")).save(tmp_path / "b.tif")
    with pytest.warns(UserWarning, match=r"b\.tif \(`picture` must be finite"):
        assert len(datasets.folder(tmp_path, 8)) == 1


def test_captions_are_found_in_any_case_and_with_the_mark_of_utf_16(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.TXT").write_text("Straße", "utf-16")
    assert datasets.folder(tmp_path, 8).captions == ["Straße"]
    assert datasets.folder([tmp_path / "a.png"], 8).captions == ["Straße"]
    (tmp_path / "METADATA.CSV").write_text("file_name,text\n./a.png,a wall\n")
    assert datasets.folder(tmp_path, 8).captions == ["a wall"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Straße".encode("latin-1"), r"UTF-8. Received: a\.txt"),
        ("metadata.jsonl", b"nonsense", r"metadata\.jsonl must be a table"),
        ("metadata.jsonl", b"[" * 100_000, r"metadata\.jsonl must be a table"),
        (
            "metadata.jsonl",
            b'{"file_name": "a.png", "text": ["x", "y"]}',
            r"one text for each picture. Received in entry 1: \['x', 'y'\]",
        ),
        (
            "metadata.csv",
            b"file_name,text\na.png,a wall\n./a.png,a door\n",
            r"one text for each picture. Received in entry 2: another one for 'a\.png'",
        ),
    ],
)
def test_captions_that_cannot_be_read_are_refused(tmp_path, name, content, message):
    save(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.folder(tmp_path, 8)


def test_a_second_text_beside_a_picture_is_refused(tmp_path):
    save(tmp_path / "a.png")
    for name, text in (("a.txt", "a wall"), ("a.TXT", "a door")):
        (tmp_path / name).write_text(text)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("a file system on which both are one file")
    with pytest.raises(ValueError, match=r"one text for each picture. Received: .*a\.(txt|TXT)"):
        datasets.folder(tmp_path, 8)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([[0.0, 0.5, 1.0]], [0, 128, 255]),
        ([[0.0, 51.0, 255.0]], [0, 51, 255]),
        ([[0, 51, 255]], [0, 51, 255]),
        ([[0, 13107, 65535]], [0, 51, 255]),
        ([[0.0, 300.0]], None),
        ([[-0.5, 1.0]], None),
        ([[0, 70_000]], None),
        ([[-1, 200]], None),
    ],
)
def test_a_tiff_of_32_bits_is_scaled_or_refused(tmp_path, values, shown):
    kind = "float32" if isinstance(values[0][0], float) else "int32"
    Image.fromarray(np.array(values, kind)).save(tmp_path / "a.tif")
    if shown is None:
        with pytest.raises(ValueError, match=r"a\.tif: `picture` must have values"):
            datasets.folder(tmp_path, (1, len(values[0])))
    else:
        found = datasets.folder(tmp_path, (1, len(values[0])))
        assert found.images[0, 0, :, 0].tolist() == shown


@pytest.mark.parametrize("line", ['{"file_name": "a.png", "text": null}', "a.png"])
def test_a_caption_that_is_missing_is_empty(tmp_path, line):
    save(tmp_path / "a.png")
    kind, head = ("jsonl", "") if line.startswith("{") else ("csv", "file_name,text\n")
    (tmp_path / f"metadata.{kind}").write_text(head + line + "\n")
    assert datasets.folder(tmp_path, 8).captions == [""]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar"])
@pytest.mark.parametrize("content", [b"", b"junk" * 200, b"PK\3\4", b"\x1f\x8b\x08\0" * 9])
def test_an_archive_that_is_damaged_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"`path` must be an archive that is whole.*a\."):
        datasets.folder(tmp_path / name, 8)


@pytest.mark.parametrize("stream", [True, False])
def test_a_colour_that_is_none_is_no_fault_of_the_pictures(tmp_path, stream):
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"^`background` must be a colour"):
        datasets.folder(tmp_path, 8, background="no colour", stream=stream)


def test_a_folder_inside_that_cannot_be_read_is_no_empty_class(tmp_path, monkeypatch):
    save(tmp_path / "rose" / "a.png")
    (tmp_path / "oak").mkdir()
    scan = os.scandir

    def denied(path):
        if os.fspath(path).endswith("oak"):
            raise PermissionError(13, "denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(PermissionError, match="oak"):
        datasets.folder(tmp_path, 8)


def test_a_loop_over_batches_ends(tmp_path):
    for index in range(3):
        save(tmp_path / f"{index}.png")
    batches = datasets.folder(tmp_path, 8).batches(2)
    assert [len(batches[index][0]) for index in (0, 1, -1)] == [2, 1, 1]
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"index={index}"):
            batches[index]
