"""The checker of the built site finds every kind of fault, and nothing where there is none."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

MACHINERY = Path(__file__).parents[1] / "docs" / "_machinery"


def load(name):
    """Import a file of the site's machinery, which is no package."""
    spec = importlib.util.spec_from_file_location(name, MACHINERY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_site = load("check_site")

SOUND = """<!doctype html><html><head><link rel="canonical" href="https://example.org/">
<link rel="stylesheet" href="style.css">
<style>p { background: url(data:image/png;base64,A) }</style>
</head><body><h1 id="top">Title</h1><a href="#top">up</a><a href="other/">other</a>
<a href="other/#part%20two">part</a><a href="/other/index.html">root</a>
<a href="https://example.org/paper">a paper</a><a href="mailto:a@example.org">mail</a>
<img src="picture.png" alt="A picture" srcset="picture.png 2x, picture.png 1x">
<svg><use href="#top"></use></svg></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "index.html").write_text(SOUND, "utf-8")
    (tmp_path / "other" / "index.html").write_text('<h2 id="part two">Part</h2>', "utf-8")
    (tmp_path / "style.css").write_text("p { background: url('picture.png') }", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path


def test_a_sound_site_has_no_fault(site):
    assert check_site.faults(site) == []


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ('<a href="missing/">x</a>', "dead link: missing/"),
        ('<a href="../index.html">x</a>', "dead link: ../index.html"),
        ('<img src="missing.png" alt="x">', "dead link: missing.png"),
        ('<a href="#nowhere">x</a>', "dead anchor: #nowhere"),
        ('<a href="other/#nowhere">x</a>', "dead anchor: other/#nowhere"),
        ('<p id="top">x</p>', "id twice: top"),
        ('<img src="picture.png">', "picture without a description: picture.png"),
        ('<script src="https://example.org/a.js"></script>', "load from another host"),
        ('<script src="//example.org/a.js"></script>', "load from another host"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "load from another host"),
        ('<link rel="preconnect" href="https://example.org">', "load from another host"),
        ('<img alt="x" srcset="picture.png, https://example.org/a.png 2x">', "load from another"),
        ('<video poster="https://example.org/a.png"></video>', "load from another host"),
        ('<iframe src="https://example.org"></iframe>', "load from another host"),
        ('<p style="background: url(https://example.org/a.png)">x</p>', "load from another host"),
        ("<style>@import 'https://example.org/a.css';</style>", "load from another host"),
        ("<!--" + "x" * 200_000 + "-->", "bytes of HTML"),
    ],
)
def test_a_planted_fault_in_a_page_is_found(site, planted, expected):
    (site / "index.html").write_text(SOUND.replace("</body>", f"{planted}</body>"), "utf-8")
    (found,) = check_site.faults(site)
    assert found.startswith("index.html: ")
    assert expected in found


@pytest.mark.parametrize(
    ("css", "expected"),
    [
        ("@import url(https://example.org/a.css);", "load from another host"),
        ("@font-face { src: url('//example.org/a.woff2') }", "load from another host"),
        ("p { background: url(missing.png) }", "dead link"),
    ],
)
def test_a_planted_fault_in_a_style_sheet_is_found(site, css, expected):
    (site / "style.css").write_text(css, "utf-8")
    (found,) = check_site.faults(site)
    assert found.startswith("style.css: ")
    assert expected in found


def test_an_empty_site_is_a_fault(tmp_path):
    assert check_site.faults(tmp_path)


def test_no_prose_stands_in_a_cell_of_code():
    for path in sorted((MACHINERY.parent / "learn").glob("*.py")):
        for cell in path.read_text("utf-8").split("\n# %%")[1:]:
            header, *lines = cell.splitlines()
            if "[markdown]" not in header:
                assert not [line for line in lines if line == "#" or line.startswith("# #")], path


def test_the_page_about_quality_has_the_record_of_its_benchmark():
    root = MACHINERY.parents[1]
    record = (root / "benchmarks" / "flowers_training.csv").read_text("utf-8")
    page = (root / "docs" / "learn" / "how_good_is_it.py").read_text("utf-8")
    assert f'RECORD = """\\\n{record}"""' in page


# What follows needs the packages that build the site: the session `docs` runs it.


@pytest.fixture
def search():
    pytest.importorskip("mkdocs", reason="the site is built in the session `docs`")
    return load("search")


@pytest.mark.parametrize(
    "tag",
    [
        'div class="language-python highlight"',
        'div class="language-python doc-signature highlight"',
        'details class="mkdocstrings-source"',
        'div class="doc doc-backlinks"',
    ],
)
def test_listings_are_not_searched(search, tag):
    name, _, rest = tag.partition(" ")
    marked = search.on_page_content(f"<p>Prose.</p><{tag}>...", page=None, config=None, files=None)
    assert marked == f'<p>Prose.</p><{name} data-search-exclude="true" {rest}>...'


def test_words_for_a_section_that_is_gone_are_a_fault(search, tmp_path, monkeypatch, caplog):
    (tmp_path / "search").mkdir()
    index = tmp_path / "search" / "search_index.json"
    index.write_text('{"docs": [{"location": "a/#b"}]}', "utf-8")
    monkeypatch.setattr(search, "WORDS", {"a/#b": ["word"], "a/#gone": ["word"]})
    search.on_post_build(SimpleNamespace(site_dir=tmp_path))
    assert index.read_text("utf-8") == '{"docs":[{"location":"a/#b","tags":["word"]}]}'
    assert "a/#gone" in caplog.text
