"""What decides how a chapter comes out: its key changes when one of these does.

A chapter's text; the modules of the package that it uses; the presets and the data that it reads;
the versions of what is installed; and how figures are drawn and outputs are written down.

`import imagegen` loads every module, so what is loaded says nothing. What counts is what a chapter
names: `imagegen.inpaint` leads to `editing`, and the imports of `editing` lead on. A preset leads
to the modules of the classes that are stored in it.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
# What draws figures and writes outputs down. In which order chapters run changes nothing in them.
WRITERS = (
    "chapter_markdown.py",
    "figures.mplstyle",
    "figures.py",
    "notebooks.py",
    "pictures.py",
    "run_chapter.py",
)
VARIABLES = ("KERAS_BACKEND", "IMAGEGEN_SD3")
# What each data set is read from, where it is there.
ORIGINALS = {"digits": ("mnist.npz",), "flowers": ("102flowers.tgz", "imagelabels.mat")}
# What stands in for it: files of the package's folder `data`.
EMBEDDED = {"digits": "mnist*", "flowers": "painted*"}


@dataclass(frozen=True)
class Code:
    """What a piece of code mentions, found in one pass over its tree."""

    names: frozenset[str]
    strings: frozenset[str]
    data: frozenset[str]
    words: frozenset[str]
    uses_whole: bool

    @classmethod
    def read(cls, tree: ast.AST, package: str) -> Self:
        names, strings, data, words = set(), set(), set(), set()
        num_uses = num_attributes = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if f"{module}.".startswith(f"{package}."):
                    names |= {f"{module}.{alias.name}" for alias in node.names}
                if module.endswith(".datasets"):
                    data |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {a.name for a in node.names if a.name.startswith(f"{package}.")}
            elif isinstance(node, ast.Attribute):
                words.add(node.attr)
                base = getattr(node.value, "attr", getattr(node.value, "id", ""))
                if base == "datasets":
                    data.add(node.attr)
                if isinstance(node.value, ast.Name) and base == package:
                    num_attributes += 1
                    names.add(f"{package}.{node.attr}")
            elif isinstance(node, ast.Name):
                words.add(node.id)
                num_uses += node.id == package
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
        # Handed on as a whole, the package may be asked for anything.
        whole = num_uses > num_attributes
        return cls(*map(frozenset, (names, strings, data & ORIGINALS.keys(), words)), whole)


class Package:
    """The modules of a package, read without importing them.

    Args:
        folder: Where its `__init__.py` is.
    """

    def __init__(self, folder: Path):
        self.name = folder.name
        self.folder = folder
        paths = sorted(folder.rglob("*.py"))
        names = (".".join(p.relative_to(folder.parent).with_suffix("").parts) for p in paths)
        self.files = {
            name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)
        }
        trees = {name: ast.parse(path.read_text("utf-8")) for name, path in self.files.items()}
        body = trees[self.name].body
        self.exports = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        # The package's own file names all modules. What it does apart from that, every import does.
        start = ast.Module([node for node in body if not isinstance(node, ast.ImportFrom)], [])
        self.start = ast.dump(start).encode()
        self.classes = {
            node.name: module
            for module, tree in trees.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        }
        trees[self.name] = start
        self.code = {module: Code.read(tree, self.name) for module, tree in trees.items()}

    def module(self, dotted: str) -> str:
        """The module behind a dotted name: the longest part of it that is one, or its origin."""
        if dotted not in self.files and dotted.count(".") == 1:
            dotted = self.exports.get(dotted.partition(".")[2], self.name)
        while dotted not in self.files:
            dotted = dotted.rpartition(".")[0]
        return dotted

    def named_in(self, code: Code) -> set[str]:
        """The modules that some code names."""
        if code.uses_whole:
            return set(self.files)
        return {self.module(name) for name in code.names}

    def closure(self, modules: Iterable[str]) -> set[str]:
        """Those modules, all that they import, directly or not, and what every import runs."""
        called = self.code[self.name].words & self.exports.keys()
        found: set[str] = set()
        waiting = [self.name, *modules, *(self.module(self.exports[name]) for name in called)]
        while waiting:
            module = waiting.pop()
            if module not in found:
                found.add(module)
                waiting += self.named_in(self.code[module])
        return found - {self.name}

    def presets(self) -> dict[str, Path]:
        """The file of each preset."""
        weights = self.folder / "weights"
        entries = json.loads((weights / "presets.json").read_text("utf-8"))
        return {
            name: weights / f"{entry.get('file') or name}.keras" for name, entry in entries.items()
        }


@functools.lru_cache(maxsize=1)
def _package(folder: Path, changed: tuple[int, ...]) -> Package:
    return Package(folder)


def package(folder: Path = ROOT / "src" / "imagegen") -> Package:
    """The package, read anew only when one of its modules has changed."""
    paths = sorted(folder.rglob("*.py"))
    return _package(folder, tuple(hash((path, path.stat().st_mtime_ns)) for path in paths))


def dependencies(text: str, source: Package) -> dict[str, str]:
    """What a chapter depends on, apart from installed versions: a digest for each, by its name."""
    chapter = Code.read(ast.parse(text), source.name)
    found = {"text": _digest(text.encode()), "start": _digest(source.start)}
    presets = source.presets()
    used = set(presets) if "list_presets" in chapter.words else set()
    modules = source.closure(source.named_in(chapter))
    before: set[str] = set()
    while modules != before:
        before = modules
        for code in (chapter, *(source.code[module] for module in modules)):
            used |= code.strings & presets.keys()
        stored = {name for preset in used for name in stored_classes(presets[preset])}
        known = stored & source.classes.keys()
        modules = source.closure(modules | {source.classes[name] for name in known})

    found |= {preset: file_digest(presets[preset]) for preset in used}
    if used:
        found["presets.json"] = file_digest(source.folder / "weights" / "presets.json")
    for data in reads(text):
        found[f"data: {data}"] = data_state(data)
        found |= {path.name: file_digest(path) for path in embedded(source, data)}
    return found | {module: file_digest(source.files[module]) for module in modules}


def reads(text: str) -> list[str]:
    """The data sets that a chapter reads: `digits`, `flowers`, both or none."""
    return sorted(Code.read(ast.parse(text), "imagegen").data)


def key(path: Path, source: Package | None = None) -> str:
    """The key of a chapter: 16 hexadecimal digits that change with what it depends on."""
    found = dependencies(path.read_text("utf-8"), source or package())
    return _digest(json.dumps([sorted(found.items()), environment()]).encode())[:16]


@functools.cache
def environment() -> list[str]:
    """What all chapters depend on: versions, variables, and how figures are drawn and written."""
    versions = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    variables = [f"{name}={os.environ.get(name)}" for name in VARIABLES]
    writers = [file_digest(Path(__file__).with_name(name)) for name in WRITERS]
    return [platform.python_version(), *versions, *variables, *writers]


def data_files(data: str) -> list[Path]:
    """The original files of a data set, where they are kept, or an empty list."""
    folder = os.environ.get("IMAGEGEN_DATA") or _download_folder()
    paths = [Path(folder).expanduser() / name for name in ORIGINALS[data]]
    return paths if all(path.is_file() for path in paths) else []


def data_state(data: str) -> str:
    """A digest of a data set's original files, or the word `embedded`."""
    return " ".join(file_digest(path) for path in data_files(data)) or "embedded"


def embedded(source: Package, data: str) -> list[Path]:
    """The files in the package that stand in for a data set's originals."""
    return sorted((source.folder / "data").glob(EMBEDDED[data]))


def stored_classes(preset: Path) -> set[str]:
    """The names of the package's classes that are stored in a preset."""
    return _stored_classes(preset, preset.stat().st_mtime_ns)


@functools.lru_cache(maxsize=100)
def _stored_classes(preset: Path, changed: int) -> set[str]:
    with zipfile.ZipFile(preset) as archive:
        config = archive.read("config.json").decode()
    return set(re.findall(r'"registered_name": "imagegen>(\w+)"', config))


def file_digest(path: Path) -> str:
    """The SHA-256 digest of a file, read again only when the file has changed."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1000)
def _file_digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _download_folder() -> Path:
    """The folder that the package downloads to, as the package's own file says."""
    path = ROOT / "src" / "imagegen" / "_cache.py"
    spec = importlib.util.spec_from_file_location("cache", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cache_folder()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
