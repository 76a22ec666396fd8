"""Oxford Flowers 102 as it is published: a MAT-file of labels, an archive of photographs."""

import gzip
import hashlib
import io
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from imagegen._cache import cache_folder
from imagegen._download import reading
from imagegen._files import remove_orphans, whole_file
from imagegen.images import resized_to, upright

import numpy as np
from PIL import Image
from tqdm import tqdm

_NUM_PHOTOGRAPHS = 8189
# What is beyond these is no photograph and no label, but an attempt to fill the memory.
_MAX_PHOTOGRAPH_BYTES = 1 << 24
_MAX_LABELS_BYTES = 1 << 20
# The types of a MAT-file's elements that `imagelabels.mat` can have.
_MAT_NUMBERS = {
    **{1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4"},
    **{9: "<f8", 12: "<i8", 13: "<u8"},
}
_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
# Part of the name of a decoded copy: raise it when `_photograph` changes what it returns.
_DECODING = 1
# The species, in the order of their labels.
_SPECIES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger
lily, moon orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king
protea, spear thistle, yellow iris, globe-flower, purple coneflower, peruvian lily, balloon
flower, giant white arum lily, fire lily, pincushion flower, fritillary, red ginger, grape
hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke, sweet william,
carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped
cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil,
sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common
dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura,
geranium, orange dahlia, pink-yellow dahlia, cautleya spicata, japanese anemone, black-eyed
susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris, windflower,
tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus
lotus, toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree
mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove,
bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower, trumpet creeper,
blackberry lily
"""
FLOWER_NAMES = tuple(_SPECIES.strip().replace("\n", " ").split(", "))


def species_labels(path: Path) -> np.ndarray:
    """Reads the labels of all photographs, counted from 0, in the order of their file numbers."""
    with reading(path, f"a MAT-file with labels from 1 to {len(FLOWER_NAMES)}"):
        labels = _mat_array(path.read_bytes(), b"labels")
        if not np.array_equal(labels, labels.astype("int64")):
            raise ValueError(f"the labels are no whole numbers, but {labels.dtype}")
        if labels.min() < 1 or labels.max() > len(FLOWER_NAMES):
            raise ValueError(f"the labels are {labels.min()} to {labels.max()}")
    return labels.astype("int64") - 1


def _mat_array(content: bytes, name: bytes) -> np.ndarray:
    """Reads one real array from a MAT-file of version 5, flattened.

    Not by SciPy, whose reader ends the whole process with a segmentation fault on some damaged
    files.
    """
    if content[126:128] != b"IM":
        raise ValueError("it is no little-endian MAT-file of version 5")
    for kind, data in _mat_elements(content[128:]):
        if kind == _MAT_COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, _MAX_LABELS_BYTES)
            if not unpacker.eof:
                raise ValueError("its compressed data breaks off or is too large")
            kind, data = next(_mat_elements(unpacked))
        if kind == _MAT_MATRIX:
            _, (_, shape), (_, found), (number_type, values) = islice(_mat_elements(data), 4)
            if found == name:
                array = np.frombuffer(values, _MAT_NUMBERS[number_type])
                if len(array) != np.frombuffer(shape, "<i4").prod(dtype="int64"):
                    raise ValueError("its data doesn't fill its shape")
                return array
    raise ValueError(f"it has no {name.decode()}")


def _mat_elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the type and the data of each element that `content` is made of."""
    end = 0
    while end < len(content):
        kind, size = struct.unpack_from("<II", content, end)
        start = end + 8
        if small_size := kind >> 16:  # Up to four bytes are part of the tag.
            kind, size, start = kind & 0xFFFF, small_size, end + 4
        yield kind, content[start : start + size]
        end = start + size if kind == _MAT_COMPRESSED else start + size + -(start + size) % 8


def decoded_photographs(archive: Path, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the archive's photographs and their numbers, from the last time if possible."""
    identity = f"{archive.resolve()} {archive.stat().st_size} {archive.stat().st_mtime_ns}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = cache_folder() / "flowers" / f"decoded-{_DECODING}-{height}x{width}-{key}.npz"
    remove_orphans(path.parent)
    try:
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], arrays["numbers"]
    # Missing, or damaged, which the checksums of the zip format reveal: decode anew. As with any
    # damaged archive, the kinds of errors are many.
    except Exception:
        pass
    images, numbers = _decode_photographs(archive, height, width)
    # A cache that can't be written costs time, nothing else.
    with suppress(OSError), whole_file(path) as partial:
        np.savez(partial, images=images, numbers=numbers)
    return images, numbers


def _decode_photographs(archive: Path, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    with reading(archive, "a tar.gz archive of photographs jpg/image_00001.jpg, ..."):
        photographs = {
            number: _photograph(content, height, width)
            for number, content in tqdm(_members(archive), desc="flowers", delay=1, leave=False)
        }
        if not photographs:
            raise ValueError("there is none in it")
    numbers = np.array(sorted(photographs))
    return np.stack([photographs[number] for number in numbers]), numbers


def _members(archive: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the number and content of each photograph in the archive.

    Nothing is unpacked to disk, and what is not a plain file of the expected name is passed over:
    so names that lead elsewhere, links and devices can do no harm.
    """
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as members:
        for member in members:
            name = re.fullmatch(r"(?:\./)?jpg/image_(\d{5})\.jpg", member.name, re.ASCII)
            if name is None or not member.isreg() or not 1 <= int(name[1]) <= _NUM_PHOTOGRAPHS:
                continue
            if member.size > _MAX_PHOTOGRAPH_BYTES:
                raise ValueError(f"{member.name} declares {member.size} bytes")
            file = members.extractfile(member)
            assert file is not None
            yield int(name[1]), file.read()
        # A tar file that breaks off between two members looks complete. Its compression doesn't.
        while stream.read(1 << 20):
            pass


def _photograph(content: bytes, height: int, width: int) -> np.ndarray:
    """Decodes the largest centred part of a photograph, resized with antialiasing."""
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        # The decoder can halve on the way: 1.4 instead of 3.3 ms for one of 500 x 667 pixels, with
        # a mean difference of one grey level, since the last halving is left to the Lanczos filter.
        image.draft("RGB", (2 * width, 2 * height))
        return resized_to(upright(image), height, width)
