"""Who may import whom, what importing the package loads, and that all of it is documented."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "imagegen"
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}
# The command line is a user of the package, as pages are, and no part of its ladder.
MODULES = sorted(FILES.keys() - {"__main__"})

# Every module's siblings, `_checks`, `_contracts` and `typing` aside, which all may use.
ALLOWED = {
    "_backend": "",
    "_batches": "",
    "_cache": "",
    "_checks": "",
    "_contracts": "",
    "_convolutions": "",
    "_devices": "",
    "_download": "_files",
    "_examples": "",
    "_files": "",
    "_jit": "",
    "_programs": "_cache",
    "_saving": "_files",
    "_oxford": "images _cache _download _files",
    "animation": "images _files",
    "autoencoders": "layers _weights",
    "averaging": "",
    "callbacks": "images _files",
    "checkpoints": "_devices _weights",
    "concepts": "generation images training _files",
    "conditioning": "_weights",
    "datasets": "drawn.captioned folders images _oxford _cache _download",
    "_tangents": "",
    "_weights": "layers _convolutions",
    "diffusion": "averaging exporting schedules predictions conditioning guidance generation "
    "sampling training presets _batches _examples _jit",
    "discrete": "schedules",
    "distillation": "averaging diffusion flow_maps generation latent samplers sampling schedules "
    "unet _examples",
    "flow_maps": "diffusion predictions samplers schedules _tangents",
    "editing": "generation sampling images",
    # The weights of the networks that features come from: a download, or else a preset.
    "exporting": "guidance samplers _files _saving",
    "features": "presets _batches _cache _download",
    "files": "images _files",
    "finetuning": "averaging diffusion layers training unet _weights",
    "folders": "images _devices",
    "images": "",
    "generation": "schedules samplers sampling guidance conditioning _devices _jit",
    "guidance": "samplers",
    "inpainting": "generation sampling editing samplers images",
    "super_resolution": "generation sampling editing samplers",
    "interpolation": "",
    "inversion": "generation samplers editing interpolation",
    "latent": "diffusion exporting conditioning guidance generation samplers sampling images "
    "presets schedules vae",
    "layers": "",
    "metrics": "neighbors",
    "neighbors": "",
    "networks": "layers _weights",
    "predictions": "schedules",
    "presets": "_cache _download _files",
    "samplers": "schedules",
    "sampling": "samplers conditioning",
    "schedules": "",
    "drawn": "drawn.captioned drawn.captions drawn.drawing drawn.patterns drawn.reading",
    "drawn.captioned": "drawn.captions drawn.drawing",
    "drawn.captions": "drawn.drawing",
    "drawn.drawing": "",
    "drawn.patterns": "drawn.drawing drawn.reading",
    "drawn.reading": "drawn.drawing",
    "sd3": "sd3.concepts sd3.loading sd3.model sd3.schedule sd3.toy",
    "sd3.concepts": "sd3.model concepts images training",
    "sd3.loading": "",
    "sd3.model": "sd3.schedule schedules generation sampling conditioning guidance images "
    "samplers _jit",
    "sd3.schedule": "schedules",
    "sd3.toy": "",
    "text": "_weights conditioning",
    "training": "_convolutions _devices _examples _jit _saving",
    "typing": "",
    "unet": "layers _jit _saving _weights",
    "vae": "layers presets training _batches _examples _jit",
    "walks": "generation sampling conditioning interpolation samplers",
    "clip": "text presets training _batches _examples _jit _weights",
}
# What may be imported only inside the function that needs it.
HEAVY = {"keras_hub", "matplotlib.pyplot", "tensorflow", "torch"}
OUTSIDE_CODE = sorted(
    [FILES["__main__"]]
    + [path for f in ("docs/learn", "recipes", "benchmarks") for path in (ROOT / f).glob("*.py")]
)


def imported(tree: ast.AST) -> set[str]:
    """The dotted names of everything that `tree` imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def siblings(names: set[str]) -> set[str]:
    """The modules of the package among `names`: of a package and a module in it, the module."""
    found = set()
    for name in names:
        parts = name.split(".")
        known = [".".join(parts[1:end]) for end in range(2, len(parts) + 1)]
        if parts[0] == "imagegen":
            found |= set([one for one in known if one in FILES][-1:])
    return found


def at_import_time(tree: ast.Module) -> set[str]:
    """What is imported when the module is: everything outside functions and type checking."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.ClassDef):
            node = ast.Module([n for n in node.body if not isinstance(n, ast.FunctionDef)], [])
        names |= imported(node)
    return names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_the_siblings_the_design_allows(module):
    names = imported(ast.parse(FILES[module].read_text("utf-8")))
    assert siblings(names) <= {"_checks", "_contracts", "typing", *ALLOWED[module].split()}
    assert "imagegen" not in names, "a module names the siblings it needs, not all of the package"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_inside_functions(module):
    names = at_import_time(ast.parse(FILES[module].read_text("utf-8")))
    assert not {name for name in names for heavy in HEAVY if name.startswith(heavy)}


@pytest.mark.parametrize("path", OUTSIDE_CODE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pages_recipes_and_benchmarks_use_public_names_only(path):
    names = imported(ast.parse(path.read_text("utf-8")))
    private = {name for name in names if re.match(r"imagegen\..*\b_\w", name)}
    inside = {name for name in names if name.count(".") > 1 and name.startswith("imagegen.")}
    assert not private | inside


def test_importing_the_package_loads_nothing_heavy_beyond_what_keras_does():
    # Keras itself imports pyplot where matplotlib is installed (3.15.1).
    code = f"""
import sys
import keras
before = set(sys.modules)
import imagegen
print(*({HEAVY!r} & (sys.modules.keys() - before)))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"KERAS_BACKEND": "jax", "PATH": ""},
    )
    assert run.stdout.strip() == ""


def public_names() -> list[str]:
    """The names that the package and the packages in it export by `X as X`."""
    names = []
    for prefix, folder in (("", PACKAGE), ("drawn.", PACKAGE / "drawn"), ("sd3.", PACKAGE / "sd3")):
        tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
        imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
        aliases = (alias for node in imports for alias in node.names)
        names += [prefix + alias.name for alias in aliases if alias.asname == alias.name]
    return names


def test_every_public_name_is_documented_on_exactly_one_page():
    pages = "\n".join(p.read_text("utf-8") for p in (ROOT / "docs" / "api").glob("*.md"))
    documented = re.findall(r"^::: imagegen\.([\w.]+)$", pages, re.MULTILINE)
    assert len(documented) == len(set(documented))
    missing = [
        name
        for name in public_names()
        if not any(target == name or target.startswith(f"{name}.") for target in documented)
    ]
    assert not missing


def entries() -> list[str]:
    """What the reference describes, by its name in the package."""
    pages = (path.read_text("utf-8") for path in sorted((ROOT / "docs" / "api").glob("*.md")))
    return [
        name
        for page in pages
        for name in re.findall(r"^::: imagegen\.([\w.]+)$", page, re.MULTILINE)
    ]


@pytest.mark.parametrize("name", entries())
def test_every_entry_of_the_reference_has_an_example(name):
    entry = functools.reduce(getattr, name.split("."), importlib.import_module("imagegen"))
    if isinstance(entry, type) and issubclass(entry, Exception):
        return  # It is raised, and not made.
    assert "Example:" in (inspect.getdoc(entry) or ""), f"{name} has no example"


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_docstrings_speak_one_dialect(path):
    """Conditions begin with "If", and the first axis of pictures has one name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        text = ast.get_docstring(node) or ""
        assert "(pictures," not in text, node.name
        section = re.search(r"^Raises:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
        conditions = re.findall(r"^    \w+: (.*)", section[1] if section else "", re.MULTILINE)
        assert not [line for line in conditions if not line.startswith("If ")], node.name
