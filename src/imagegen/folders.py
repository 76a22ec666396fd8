"""Pictures of your own: a folder, a list of files or an archive, as arrays or in batches."""

import codecs
import csv
import io
import json
import math
import os
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from imagegen._checks import check_choice, check_integer, check_size, warn
from imagegen._contracts import checked
from imagegen._devices import own_share
from imagegen.images import check_color, resized_to, upright
from imagegen.typing import Size

import keras
import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

_SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".avif"),
    # For these Pillow needs a plug-in. Without it they are named as broken.
    *(".heic", ".heif", ".jxl"),
}
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
# What needs more room than this as arrays is read batch by batch, unless somebody wants it.
_MEMORY = 2 << 30
# What is larger is no picture, but an attempt to fill the memory.
_MAX_FILE_BYTES = 1 << 28
_MAX_TEXT_BYTES = 1 << 26
# So many broken pictures are named in the warning.
_NAMED = 10

# The name of a file, with "/", and what reads its content.
Entry = tuple[str, Callable[[], bytes]]


@checked
@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Pictures of a folder: what `datasets.folder` returns.

    Attributes:
        images: uint8 `(num_images, height, width, 3)`, or `None` when they are read batch by batch.
        labels: The class of each picture, int64 `(num_images,)`, or `None` without sub-folders.
        names: The names of the classes, those of the sub-folders, in alphabetical order.
        captions: A caption for each picture, or `None` when there are none.
        paths: The file of each picture, relative to the folder.
        broken: What could not be read, and why.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import imagegen
        from PIL import Image

        path = Path(tempfile.mkdtemp())
        Image.new("RGB", (20, 10), "red").save(path / "a.png")
        (path / "a.txt").write_text("a red wall")
        pictures = imagegen.datasets.folder(path, image_size=8)
        assert pictures.images.shape == (1, 8, 8, 3)
        assert pictures.captions == ["a red wall"]
        ```
    """

    images: np.ndarray | None
    labels: np.ndarray | None
    names: list[str]
    captions: list[str] | None
    paths: list[str]
    broken: dict[str, str] = field(repr=False)
    # Where the files are and how they are read, which `folder` knows.
    _entries: Sequence[Entry] = field(init=False, repr=False, default=())
    _read: Callable[[bytes], np.ndarray] = field(init=False, repr=False, default=np.asarray)

    def __len__(self) -> int:
        return len(self.paths)

    @checked
    def batches(
        self,
        batch_size: int = 32,
        *,
        prompts: Sequence[str] | np.ndarray | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> "FolderBatches":
        """Returns batches for `fit`, in an order that depends on the seed and the epoch alone.

        Args:
            batch_size: Pictures in a batch, at least 1. The last one of an epoch can be smaller.
            prompts: What belongs to each picture, such as `captions` or `labels`, for a model that
                is told something.
            seed: The seed of the order.
            workers: Threads that read ahead.

        Returns:
            A `keras.utils.PyDataset`. Give `fit` no `shuffle`: the order is the data set's.

        Raises:
            ValueError: If a number is out of range, or there are not as many prompts as pictures.
        """
        return FolderBatches(self, batch_size, prompts, seed, workers)

    @checked
    def read(self, index: int) -> np.ndarray:
        """Returns a picture, uint8 `(height, width, 3)`, from memory or from its file.

        Args:
            index: Its place in `paths`.

        Raises:
            ValueError: If the file has been broken or removed since.
        """
        if self.images is not None:
            return self.images[index]
        try:
            return self._read(self._entries[index][1]())
        except Exception as error:
            raise ValueError(f"{self.paths[index]} can't be read: {_reason(error)}") from error


class FolderBatches(keras.utils.PyDataset):
    """Batches of an `ImageFolder`: what its `batches` returns."""

    def __init__(
        self,
        folder: ImageFolder,
        batch_size: int,
        prompts: Sequence[str] | np.ndarray | None,
        seed: int,
        workers: int,
    ):
        super().__init__(workers=check_integer(workers, "workers", minimum=1))
        self.folder = folder
        self.batch_size: int = check_integer(batch_size, "batch_size", minimum=1)
        self.seed: int = check_integer(seed, "seed", minimum=0)
        if prompts is not None and len(prompts) != len(folder):
            raise ValueError(
                f"`prompts` must be one for each of {len(folder)} pictures. "
                f"Received: {len(prompts)}"
            )
        self.prompts = prompts
        # Those of this epoch, of which its end tells.
        self.broken: dict[str, str] = {}
        self.epoch = 0
        self._shuffle()

    def __len__(self) -> int:
        return math.ceil(len(self.folder) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        if not -len(self) <= index < len(self):  # So that a loop over batches ends.
            raise IndexError(f"There are {len(self)} batches. Received: index={index}")
        first = index % len(self) * self.batch_size
        places = own_share(range(first, min(first + self.batch_size, len(self.folder))))
        rows, pictures = zip(*map(self._readable, places), strict=True)
        images = np.stack(pictures)
        if self.prompts is None:
            return (images,)
        return images, np.array([self.prompts[row] for row in rows])

    def on_epoch_end(self) -> None:
        _say(self.broken, len(self.folder))
        self.broken = {}
        self.epoch += 1
        self._shuffle()

    def _readable(self, place: int) -> tuple[int, np.ndarray]:
        """The picture at a place of the order, or else the next one that can be read."""
        for offset in range(len(self.folder)):
            row = self.order[(place + offset) % len(self.folder)]
            if self.folder.paths[row] in self.folder.broken:
                continue
            try:
                return int(row), self.folder.read(row)
            except ValueError as error:
                name = self.folder.paths[row]
                self.broken[name] = self.folder.broken[name] = str(error.__cause__ or error)
        raise ValueError(
            "A folder must hold pictures that can be read. "
            f"Received: {len(self.folder)}, of which none can be"
        )

    def _shuffle(self) -> None:
        random = np.random.default_rng([self.seed, self.epoch])
        self.order = random.permutation(len(self.folder))


@checked
def folder(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    image_size: Size = 64,
    *,
    resize: str = "crop",
    background: str = "white",
    stream: bool | None = None,
) -> ImageFolder:
    """Loads pictures of your own.

    Classes are the names of sub-folders, when every picture lies in one. Captions stand in a text
    file beside each picture, `rose.txt` beside `rose.jpg`; or in `metadata.csv` or
    `metadata.jsonl`, with the columns `file_name` and `text`.

    Pictures are read as a viewer shows them: turned as the camera says, of any mode and depth, and
    over a background where they are transparent. Files that can't be read are left out, and named
    in a warning at the end: of loading, or of the first epoch that meets them when they are
    streamed, where another picture takes their place. Hidden files are passed over.

    Args:
        path: A folder; an archive, `.zip` or `.tar` of any compression; or a list of files.
        image_size: Height and width, `(height, width)` or one number for a square.
        resize: `"crop"` cuts as much as there is of the right proportions out of the middle;
            `"pad"` keeps all of the picture, on the background.
        background: The colour behind what is transparent, by a name or as `"#rrggbb"`.
        stream: Whether pictures are read batch by batch, instead of at once. By default, when they
            would take more than 2 GB.

    Returns:
        The pictures and what is known of them, in the order of their names.

    Raises:
        ValueError: If there is no picture, an argument is out of range, or metadata name no file.
        OSError: If the folder or the archive can't be read.

    Example:
        ```python
        import tempfile
        from pathlib import Path

        import imagegen
        from PIL import Image

        path = Path(tempfile.mkdtemp())
        for name in ("oak", "rose"):
            (path / name).mkdir()
            Image.new("RGB", (20, 10)).save(path / name / "1.jpg")
        pictures = imagegen.datasets.folder(path, image_size=(8, 16))
        assert pictures.images.shape == (2, 8, 16, 3)
        assert pictures.names == ["oak", "rose"]
        assert pictures.labels.tolist() == [0, 1]
        ```
    """
    height, width = check_size(image_size, "image_size")
    check_choice(resize, "resize", ("crop", "pad"))
    check_color(background)
    read = partial(_picture, height=height, width=width, pad=resize == "pad", background=background)
    files = _files(path)
    entries = [entry for entry in files if _suffix(entry[0]) in _SUFFIXES]
    if not entries:
        raise ValueError(
            f"`path` must hold pictures, such as .jpg or .png. Received: {path!r}, with "
            f"{len(files)} other files"
        )
    broken: dict[str, str] = {}
    images = None
    if stream is None:
        stream = len(entries) * height * width * 3 > _MEMORY
    if not stream:
        images, entries = _decoded(entries, read, broken, (height, width, 3))
    names, labels = _classes([name for name, _ in entries])
    captions = _captions([name for name, _ in entries], dict(files))
    _say(broken, len(entries) + len(broken))
    pictures = ImageFolder(images, labels, names, captions, [name for name, _ in entries], broken)
    object.__setattr__(pictures, "_entries", entries)
    object.__setattr__(pictures, "_read", read)
    return pictures


def _files(path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Entry]:
    """All files, those of pictures and others, in the order of their names."""
    if not isinstance(path, str | os.PathLike):
        paths = [Path(each).expanduser() for each in path]
        missing = [each for each in paths if not each.is_file()]
        if missing:
            raise ValueError(f"`path` must be files that are there. Received: {missing[0]}")
        beside = {each.with_suffix(suffix) for each in paths for suffix in (".txt", ".TXT")}
        texts = sorted(each for each in beside - set(paths) if each.is_file())
        return [(each.as_posix(), partial(_content, each)) for each in [*paths, *texts]]
    root = Path(path).expanduser()
    if root.is_file() and root.name.casefold().endswith(_ARCHIVES):
        try:
            return sorted(_members(root), key=lambda entry: entry[0])
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, LZMAError) as error:
            raise ValueError(
                f"`path` must be an archive that is whole. Received: {str(root)!r}: "
                f"{_reason(error)}"
            ) from error
    if not root.is_dir():
        raise ValueError(f"`path` must be a folder, an archive or files. Received: {str(root)!r}")
    found = []
    # Links to folders aren't followed: they can lead round in a circle.
    for parent, folders, names in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():
                found.append((file.relative_to(root).as_posix(), partial(_content, file)))
    return sorted(found, key=lambda entry: entry[0])


def _raise(error: OSError) -> None:
    raise error


def _content(path: Path) -> bytes:
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"it has more than {_MAX_FILE_BYTES} bytes")
    return path.read_bytes()


def _members(archive: Path) -> list[Entry]:
    """The files of an archive. Nothing is unpacked to disk: their names can lead nowhere."""
    if archive.suffix.casefold() == ".zip":
        unpacked = zipfile.ZipFile(archive)
        return [
            (member.filename, partial(_zip_content, unpacked, member))
            for member in unpacked.infolist()
            if not member.is_dir() and not _is_hidden(member.filename)
        ]
    with tarfile.open(archive) as members:
        return [
            (member.name, partial(_given, _tar_content(members, member)))
            for member in members
            if member.isfile() and not _is_hidden(member.name)
        ]


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > _MAX_FILE_BYTES:
        raise ValueError(f"it unpacks to {member.file_size} bytes")
    return archive.read(member)


def _tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ValueError:
    if member.size > _MAX_FILE_BYTES:
        return ValueError(f"it unpacks to {member.size} bytes")
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _given(content: bytes | ValueError) -> bytes:
    if isinstance(content, ValueError):
        raise content
    return content


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.casefold()


def _picture(content: bytes, *, height: int, width: int, pad: bool, background: str) -> np.ndarray:
    with warnings.catch_warnings():
        # A picture so large that Pillow warns is treated as one that it refuses.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("RGB", (2 * width, 2 * height))
            return resized_to(upright(picture, background), height, width, pad, background)


def _decoded(
    entries: list[Entry],
    read: Callable[[bytes], np.ndarray],
    broken: dict[str, str],
    shape: tuple[int, int, int],
) -> tuple[np.ndarray, list[Entry]]:
    """The pictures that can be read, and their entries; the others go to `broken`."""

    def attempt(entry: Entry) -> np.ndarray | Exception:
        try:
            return read(entry[1]())
        except Exception as error:  # As many kinds as there are ways to be broken.
            return error

    kept: list[Entry] = []
    images = np.empty((len(entries), *shape), "uint8")
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = zip(entries, pool.map(attempt, entries), strict=True)
        for entry, result in tqdm(results, "pictures", len(entries), delay=1, leave=False):
            if isinstance(result, Exception):
                broken[entry[0]] = _reason(result)
            else:
                images[len(kept)] = result
                kept.append(entry)
    if not kept:
        name, reason = next(iter(broken.items()))
        raise ValueError(f"`path` must hold pictures that can be read. Received: {name}: {reason}")
    return images[: len(kept)], kept


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # Its text holds an address in memory.
        return "no picture of a kind that Pillow can read"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _say(broken: dict[str, str], total: int) -> None:
    if not broken:
        return
    named = [f"{name} ({reason})" for name, reason in list(broken.items())[:_NAMED]]
    more = "" if len(broken) <= _NAMED else f" and {len(broken) - _NAMED} more"
    warn(
        f"{len(broken)} of {total} pictures can't be read and are left out: "
        f"{', '.join(named)}{more}",
    )


def _classes(paths: list[str]) -> tuple[list[str], np.ndarray | None]:
    """The names of the first folders, and which one each file is in, when all are in one."""
    folders = [PurePosixPath(path).parts[0] if "/" in path else "" for path in paths]
    if "" in folders or any(PurePosixPath(path).is_absolute() for path in paths):
        return [], None
    names = sorted(set(folders))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[name] for name in folders], "int64")


def _captions(paths: list[str], files: dict[str, Callable[[], bytes]]) -> list[str] | None:
    """What is written about each picture; an empty caption where nothing is."""
    lower = {name.casefold(): content for name, content in files.items()}
    for name, parse in (("metadata.jsonl", _json_lines), ("metadata.csv", _csv_lines)):
        if name in lower:
            text = _text(lower[name](), name)
            try:
                lines = parse(text)
            except (ValueError, RecursionError, csv.Error) as error:
                raise ValueError(
                    f"{name} must be a table that can be read. Received: {_reason(error)}"
                ) from error
            return _listed(paths, lines, name)
    # `a.TXT` belongs to `a.jpg`, too.
    texts: dict[str, Callable[[], bytes]] = {}
    for name, content in files.items():
        if _suffix(name) != ".txt":
            continue
        text = str(PurePosixPath(name).with_suffix(".txt"))
        if text in texts:
            raise ValueError(
                f"`path` must hold one text for each picture. Received: {text!r} and {name!r}"
            )
        texts[text] = content
    beside = [str(PurePosixPath(path).with_suffix(".txt")) for path in paths]
    if not any(name in texts for name in beside):
        return None
    return [_text(texts[name](), name).strip() if name in texts else "" for name in beside]


def _text(content: bytes, name: str) -> str:
    if len(content) > _MAX_TEXT_BYTES:
        raise ValueError(
            f"A text must have at most {_MAX_TEXT_BYTES} bytes. "
            f"Received: {name}, of {len(content)} bytes"
        )
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"A text must be in UTF-8. Received: {name}: {error}") from error


def _json_lines(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _csv_lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _listed(paths: list[str], lines: list[dict[str, str]], name: str) -> list[str]:
    columns = ("text", "caption", "prompt")
    captions = {}
    for number, line in enumerate(lines, 1):
        found = columns if isinstance(line, dict) else ()
        column = next((column for column in found if column in line), "")
        if not column or "file_name" not in line:
            raise ValueError(
                f"{name} must have the columns 'file_name' and 'text'. "
                f"Received in entry {number}: {line!r:.200}"
            )
        caption = "" if line[column] is None else line[column]
        if isinstance(caption, list | dict):
            raise ValueError(
                f"{name} must hold one text for each picture. "
                f"Received in entry {number}: {caption!r:.200}"
            )
        path = str(PurePosixPath(str(line["file_name"])))
        if path in captions:
            raise ValueError(
                f"{name} must hold one text for each picture. "
                f"Received in entry {number}: another one for {path!r}"
            )
        captions[path] = str(caption)
    if not captions.keys() & set(paths):
        raise ValueError(
            f"{name} must name files of the folder, such as {paths[0]!r}. "
            f"Received: {next(iter(captions), 'nothing')!r}"
        )
    return [captions.get(path, "") for path in paths]
