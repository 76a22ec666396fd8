"""Chapters run side by side, run again when what they use has changed, and are written as Markdown.

What runs a chapter needs the packages that build the site: the session `docs` runs those tests.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
MACHINERY = ROOT / "docs" / "_machinery"


@pytest.fixture(autouse=True)
def machinery(monkeypatch):
    """The files of the machinery import each other by name."""
    monkeypatch.syspath_prepend(str(MACHINERY))


# What a chapter depends on


@pytest.fixture
def package(tmp_path):
    """A package of four modules: `high` imports `low`; `stored` is only met in a preset."""
    folder = tmp_path / "imagegen"
    (folder / "weights").mkdir(parents=True)
    (folder / "data").mkdir()
    modules = {
        "__init__": "from imagegen._backend import choose\nchoose()\n"
        "from imagegen import datasets as datasets\nfrom imagegen.high import top as top\n"
        "from imagegen.low import bottom as bottom\n"
        "from imagegen.presets import load as load, list_presets as list_presets\n",
        "_backend": "def choose(): ...\n",
        "datasets": "def digits(): ...\ndef flowers(): ...\n",
        "high": "def top():\n    from imagegen.low import bottom\n    return bottom()\n",
        "low": "def bottom(): ...\n",
        "presets": "def load(name): ...\ndef list_presets(): ...\n",
        "stored": "class Layer: ...\n",
    }
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    presets = {"one": {}, "same": {"file": "one"}, "two": {}}
    (folder / "weights" / "presets.json").write_text(json.dumps(presets), "utf-8")
    for name, config in (("one", '{"registered_name": "imagegen>Layer"}'), ("two", "{}")):
        write_preset(folder, name, config)
    return folder


def write_preset(folder, name, config):
    import zipfile

    with zipfile.ZipFile(folder / "weights" / f"{name}.keras", "w") as archive:
        archive.writestr("config.json", config)


def key(text, folder):
    import dependencies

    return dependencies.dependencies(text, dependencies.Package(folder))


USES = {
    "imagegen.top()": {"high", "low"},
    "imagegen.bottom()": {"low"},
    "from imagegen import bottom": {"low"},
    "from imagegen.high import top": {"high", "low"},
    "import imagegen.high": {"high", "low"},
    "imagegen.high.top": {"high", "low"},
    "imagegen.load('one')": {"presets", "stored"},
    "imagegen.load('same')": {"presets", "stored"},
    "imagegen.load('two')": {"presets"},
    "imagegen.list_presets()": {"presets", "stored"},
    "imagegen.datasets.digits()": {"datasets"},
    "print(dir(imagegen))": {"datasets", "high", "low", "presets", "stored"},
    "print('imagegen.top')": set(),
}


@pytest.mark.parametrize(("text", "used"), USES.items())
def test_a_chapter_depends_on_the_modules_that_it_uses_and_no_others(package, text, used):
    before = key(text, package)
    for module in ("_backend", "datasets", "high", "low", "presets", "stored"):
        path = package / f"{module}.py"
        kept = path.read_text("utf-8")
        path.write_text(f"{kept}# changed\n", "utf-8")
        assert (key(text, package) != before) == (module in used | {"_backend"}), module
        path.write_text(kept, "utf-8")
    assert key(text, package) == before


def test_a_new_public_name_changes_no_chapter_that_does_not_use_it(package):
    before = key("imagegen.bottom()", package)
    init = package / "__init__.py"
    names = init.read_text("utf-8")
    init.write_text(f"{names}from imagegen.stored import Layer as Layer\n", "utf-8")
    assert key("imagegen.bottom()", package) == before
    init.write_text(f"{names}print('loading')\n", "utf-8")
    assert key("imagegen.bottom()", package) != before


def test_a_chapter_depends_on_the_presets_that_it_names(package):
    texts = {name: f"imagegen.load({name!r})" for name in ("one", "same", "two")}
    texts["none"] = "imagegen.bottom()"
    texts["all"] = "imagegen.list_presets()"
    before = {name: key(text, package) for name, text in texts.items()}
    write_preset(package, "one", '{"registered_name": "imagegen>Layer", "trained": "longer"}')
    changed = {name for name, text in texts.items() if key(text, package) != before[name]}
    assert changed == {"one", "same", "all"}


def test_a_chapter_depends_on_the_data_that_it_reads(package, tmp_path, monkeypatch):
    texts = ["imagegen.datasets.digits()", "imagegen.datasets.flowers()", "imagegen.bottom()"]
    monkeypatch.setenv("IMAGEGEN_DATA", str(tmp_path))
    embedded = [key(text, package) for text in texts]
    (package / "data" / "mnist-sample.npz").write_bytes(b"sample")
    sampled = [key(text, package) for text in texts]
    (tmp_path / "mnist.npz").write_bytes(b"original")
    original = [key(text, package) for text in texts]
    assert [a != b for a, b in zip(embedded, sampled, strict=True)] == [True, False, False]
    assert [a != b for a, b in zip(sampled, original, strict=True)] == [True, False, False]


def test_the_key_of_a_real_chapter_changes_with_its_text_and_the_backend(monkeypatch, tmp_path):
    import dependencies

    chapter = tmp_path / "chapter.py"
    chapter.write_text("import imagegen\nimagegen.slerp", "utf-8")
    keys = [dependencies.key(chapter)]
    assert dependencies.key(chapter) == keys[0]
    chapter.write_text("import imagegen\nimagegen.lerp", "utf-8")
    keys.append(dependencies.key(chapter))
    monkeypatch.setenv("KERAS_BACKEND", "another")
    dependencies.environment.cache_clear()
    keys.append(dependencies.key(chapter))
    dependencies.environment.cache_clear()
    assert len(set(keys)) == 3


def test_the_keys_are_the_same_whichever_is_asked_for_first():
    # Whoever runs chapters and whoever builds the site ask in different orders, and a look for the
    # data that one chapter reads must not change what another depends on.
    program = """
import json, sys
import chapter_store, dependencies
chapters = [chapter.path for chapter in chapter_store.all_chapters()]
order = reversed(chapters) if sys.argv[1] == "reversed" else chapters
keys = {path.stem: dependencies.key(path) for path in order}
print(json.dumps([keys, "imagegen" in sys.modules]))
"""
    found = []
    kept = {k: v for k, v in os.environ.items() if k not in ("IMAGEGEN_DATA", "KERAS_BACKEND")}
    for order in ("forwards", "reversed"):
        run = subprocess.run(
            [sys.executable, "-c", program, order],
            env=kept | {"PYTHONPATH": str(MACHINERY)},
            stdout=subprocess.PIPE,
            check=True,
        )
        found.append(json.loads(run.stdout))
    assert found[0] == found[1]
    # Three seconds, and variables that it sets.
    assert not found[0][1]


def test_every_embedded_file_belongs_to_a_data_set():
    import dependencies

    source = dependencies.package()
    known = {path for data in dependencies.EMBEDDED for path in dependencies.embedded(source, data)}
    assert known == set((source.folder / "data").iterdir())


# How a chapter is run and written down

CHAPTER = """
# %% [markdown]
# # Title

# %% alt="Two [dots]"
import sys
import matplotlib.pyplot as plt
plt.plot([0, 1], "o")
plt.show()
print("one")
print("two", flush=True)
print("to stderr", file=sys.stderr)
"three"

# %% tags=["hide"]
hidden = 6 * 7
print(hidden)

# %% tags=["fold"]
hidden
"""


@pytest.fixture
def chapter(tmp_path):
    pytest.importorskip("nbclient", reason="chapters run in the session `docs`")
    path = tmp_path / "chapter.py"
    path.write_text(CHAPTER, "utf-8")
    return path


def command(chapter, folder):
    return [sys.executable, MACHINERY / "run_chapter.py", chapter, folder]


@contextmanager
def started(chapter, folder):
    """A process that runs a chapter, and is gone afterwards, whatever happens."""
    with subprocess.Popen(command(chapter, folder), stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


# Many times what it takes on a machine that does nothing else.
SECONDS = 300


def run(chapter, folder):
    """Run a chapter; what the process said, and the page."""
    output = subprocess.check_output(command(chapter, folder), text=True, timeout=SECONDS)
    page = (folder / "page.md").read_text("utf-8")
    return [json.loads(line) for line in output.splitlines()], page


def test_a_chapter_shows_its_cells_but_no_hidden_ones_and_no_stderr(chapter, tmp_path):
    said, page = run(chapter, tmp_path / "result")
    assert said[-1]["done"] == said[-1]["cells"]
    assert page.startswith("# Title")
    assert '??? example "The code"\n\n    ```python\n    hidden\n    ```' in page
    assert "```text\n42\n```" in page
    assert "6 * 7" not in page
    assert "\nto stderr" not in page
    assert "figures" not in page


def test_the_lines_that_a_cell_shows_stand_in_one_box(chapter, tmp_path):
    _, page = run(chapter, tmp_path / "result")
    assert "```text\none\ntwo\n'three'\n```" in page
    assert page.count('<div class="output"') == 2


def test_columns_are_not_wrapped():
    pytest.importorskip("nbclient", reason="chapters run in the session `docs`")
    from chapter_markdown import printed

    assert printed("red    3\nblue  12\n") == "```{ .text .columns }\nred    3\nblue  12\n```"
    for wrapped in ("  one\n  two\n", f"red  {'very ' * 16}dark\n"):
        assert printed(wrapped).startswith("```text\n")


def test_neighbouring_cells_of_a_solution_fold_into_one_box(tmp_path):
    pytest.importorskip("nbclient", reason="chapters run in the session `docs`")
    path = tmp_path / "chapter.py"
    path.write_text(
        "# %% [markdown]\n# **1.** How many?\n\n"
        '# %% tags=["solution"]\nprint(6 * 7)\n\n'
        '# %% [markdown] tags=["solution"]\n# So many.\n\n'
        '# %% tags=["hide", "solution"]\nassert True\n\n'
        "# %% [markdown]\n# **2.** Why?\n",
        "utf-8",
    )
    _, page = run(path, tmp_path / "result")
    before, folded = page.split("<summary>Solution</summary>")
    folded, after = folded.split("</details>")
    assert before.startswith("**1.** How many?")
    assert "print(6 * 7)" in folded
    assert "42" in folded
    assert folded.rstrip().endswith("So many.")
    assert "assert True" not in page
    assert after.strip() == "**2.** Why?"


def test_the_best_picture_stands_at_the_top_too(chapter, tmp_path):
    text = CHAPTER.replace("# # Title\n", "# # Title\n#\n# Words.\n#\n# More.\n")
    header = '# %% alt="Two [dots]"'
    assert header in text
    header = header.replace("alt", 'tags=["hero"] caption="So *many*." alt')
    chapter.write_text(text.replace('# %% alt="Two [dots]"', header), "utf-8")
    _, page = run(chapter, tmp_path / "result")
    before, _, rest = page.partition('<div class="output hero"')
    assert before == "# Title\n\nWords.\n\n"
    hero, _, rest = rest.partition("</div>")
    assert hero.count("![Two") == rest.count("![Two") == 2
    assert hero.count(">So *many*.</p>") == rest.count(">So *many*.</p>") == 1
    assert "```text" not in hero
    # The caption stands under the picture, and not under the lines that follow it.
    assert rest.index(">So *many*.</p>") < rest.index("```text")
    assert rest.lstrip().startswith("More.")


def test_a_figure_comes_in_a_light_and_a_dark_form_of_one_size(chapter, tmp_path):
    import re

    from PIL import Image

    _, page = run(chapter, tmp_path / "result")
    forms = re.findall(r"!\[Two \\\[dots\\\]\]\((\S+?)#only-(\w+)\)\{ ([^}]*) \}", page)
    assert [form for _, form, _ in forms] == ["light", "dark"]
    assert {size for _, _, size in forms} == {
        'width=640 height=400 style="--narrowest: 415px" loading=lazy'
    }
    light, dark = (Image.open(tmp_path / "result" / path) for path, _, _ in forms)
    assert light.size == dark.size == (1280, 800)
    # Clear paper in both, and the axes' ink on the other side of grey.
    inks = []
    for image in (light, dark):
        pixels = np.asarray(image.convert("RGBA"), "int16").reshape(-1, 4)
        assert pixels[0, 3] == 0
        grey = (np.ptp(pixels[:, :3], axis=1) < 3) & (pixels[:, 3] == 255)
        inks.append(pixels[grey, 0].mean())
    assert inks[0] < 60
    assert inks[1] > 190


FILM = """
# %% [markdown]
# # Title

# %%
import numpy as np
import imagegen
frames = np.random.default_rng(0).integers(0, 256, (30, 31, 33, 3), dtype="uint8")
imagegen.Animation(frames, alt="Coloured noise", scale=2)
"""


def test_a_film_can_be_stopped_and_stays_small(chapter, tmp_path):
    chapter.write_text(FILM, "utf-8")
    _, page = run(chapter, tmp_path / "result")
    assert 'width="66" height="62"' in page
    assert 'aria-label="Coloured noise" controls loop muted playsinline preload="none"' in page
    (film,) = (tmp_path / "result" / "chapter").glob("*.mp4")
    assert 1000 < film.stat().st_size <= 300_000


EMBEDDED = """
# %% [markdown]
# # Title

# %%
import base64, io
import numpy as np
from IPython.display import HTML, Markdown, display
from PIL import Image
file = io.BytesIO()
Image.fromarray(np.zeros((20, 30, 3), "uint8")).save(file, "png")
data = base64.b64encode(file.getvalue()).decode()
display(Markdown(f'<img src="data:image/png;base64,{data}" alt="Night">'))
display(HTML(f'<img width="60" height="40" src="data:image/png;base64,{data}" alt="Night">'))
"""

MOVING = """
# %% [markdown]
# # Title

# %% alt="Day & night"
import io
from IPython.display import HTML, Image, display
import PIL.Image
import base64
day, night = (PIL.Image.new("RGB", (30, 20), color) for color in ("white", "black"))
file = io.BytesIO()
day.save(file, "gif", save_all=True, append_images=[night])
display(Image(file.getvalue()))
data = base64.b64encode(file.getvalue()).decode()
display(HTML(f'<img src="data:image/gif;base64,{data}" alt="Dusk">'))
"""


def test_whatever_moves_is_a_film_that_can_be_stopped(chapter, tmp_path):
    chapter.write_text(MOVING, "utf-8")
    _, page = run(chapter, tmp_path / "result")
    assert page.count('<video width="30" height="20"') == 2
    assert page.count('controls loop muted playsinline preload="none"') == 2
    assert 'aria-label="Day &amp; night"' in page
    assert 'aria-label="Dusk"' in page


def test_embedded_pictures_become_files_of_known_size(chapter, tmp_path):
    chapter.write_text(EMBEDDED, "utf-8")
    _, page = run(chapter, tmp_path / "result")
    (picture,) = (tmp_path / "result" / "chapter").iterdir()
    assert f'<img src="{picture.name}" alt="Night" width="30" height="20" loading="lazy">' in page
    assert f'<img src="{picture.name}" alt="Night" width="60" height="40" loading="lazy">' in page
    assert "base64" not in page.rpartition("```")[2]


def test_a_failing_cell_is_named_by_its_line_and_what_came_before_is_shown(chapter, tmp_path):
    chapter.write_text(CHAPTER.replace("hidden = 6 * 7\n", "hidden = 6 * 7\n\n1 / 0\n"), "utf-8")
    said, page = run(chapter, tmp_path / "result")
    expected = {"line": 18, "error": "ZeroDivisionError: division by zero"}
    assert CHAPTER.splitlines()[15] == "hidden = 6 * 7"
    assert said[-1]["failure"] == expected
    assert json.loads((tmp_path / "result" / "failure.json").read_text("utf-8")) == expected
    assert "```text\none\ntwo" in page
    assert "```text\n42" not in page


def test_two_builds_at_once_run_a_chapter_once(chapter, tmp_path):
    counted = "from pathlib import Path\nwith Path(MARK).open('a') as file: file.write('run ')\n"
    counted = counted.replace("MARK", repr(str(tmp_path / "mark")))
    chapter.write_text(CHAPTER.replace("import sys\n", f"import sys\n{counted}", 1), "utf-8")
    with started(chapter, tmp_path / "result") as one, started(chapter, tmp_path / "result") as two:
        assert [process.wait(SECONDS) for process in (one, two)] == [0, 0]
    assert (tmp_path / "mark").read_text("utf-8") == "run "


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_chapter_leaves_nothing_and_runs_again(chapter, tmp_path, how):
    slow = "import os, time\nfrom pathlib import Path\nPath(MARK).write_text(str(os.getpid()))\n"
    slow = slow.replace("MARK", repr(str(tmp_path / "mark"))) + "time.sleep(100)\n"
    chapter.write_text(CHAPTER.replace("import sys\n", f"{slow}import sys\n", 1), "utf-8")
    with started(chapter, tmp_path / "results" / "key") as process:
        while not (tmp_path / "mark").is_file() or not (tmp_path / "mark").read_text():
            time.sleep(0.1)
        process.send_signal(how)
        assert process.wait(SECONDS) != 0
    assert not (tmp_path / "results" / "key").exists()
    kernel = int((tmp_path / "mark").read_text())
    for _ in range(5 * SECONDS):
        if not is_running(kernel):
            break
        time.sleep(0.2)
    assert not is_running(kernel)
    chapter.write_text(CHAPTER, "utf-8")
    run(chapter, tmp_path / "results" / "key")
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["key", "lock"]


def test_a_build_that_was_killed_while_it_noted_the_time_stops_no_other(tmp_path, monkeypatch):
    import chapter_store

    monkeypatch.setattr(chapter_store, "CACHE", tmp_path)
    chapter = chapter_store.Chapter(Path("title.py"), "key")
    (tmp_path / "title").mkdir()
    (tmp_path / "title" / "seconds").write_text("7.5")
    assert chapter.seconds == 7.5
    (tmp_path / "title" / "seconds").write_text("")
    assert chapter.seconds == chapter_store.GUESS


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_fences_in_an_output_end_nothing(chapter):
    from chapter_markdown import fenced

    assert fenced("```\ncode\n```", "text") == "````text\n```\ncode\n```\n````"


# How chapters are queued


@pytest.fixture
def course(package, tmp_path):
    """A course of three chapters, the second of which fails."""
    pytest.importorskip("nbclient", reason="chapters run in the session `docs`")
    root = tmp_path / "course"
    (root / "src").mkdir(parents=True)
    package.rename(root / "src" / "imagegen")
    shutil.copytree(MACHINERY, root / "docs" / "_machinery")
    learn = root / "docs" / "learn"
    learn.mkdir()
    for name, code in {"first": "1 + 1", "second": "\n1 / 0", "third": "2 + 2"}.items():
        (learn / f"{name}.py").write_text(
            f"# %% [markdown]\n# # The {name}\n\n# %%\n{code}\n", "utf-8"
        )
    pages = "".join(f"  - learn/{name}.py\n" for name in ("first", "second", "third"))
    (root / "mkdocs.yml").write_text(f"nav:\n{pages}", "utf-8")
    return root


def execute(course):
    """Run what is missing; the exit status, what was said, and when each result was written."""
    done = subprocess.run(
        [sys.executable, course / "docs" / "_machinery" / "execute.py", "--jobs", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    pages = course.glob(".cache/chapters/*/*/page.md")
    return done.returncode, done.stdout, {path: path.stat().st_mtime_ns for path in pages}


def test_a_failing_chapter_stops_no_other_and_fails_the_build(course):
    status, said, written = execute(course)
    assert status == 1
    assert "docs/learn/second.py:6: The second failed: ZeroDivisionError: division by zero" in said
    assert len(written) == 3

    # What is done is kept; what failed is tried again.
    status, said, later = execute(course)
    assert status == 1
    assert "second.py:6" in said
    assert {path.parts[-3] for path in later if later[path] != written[path]} == {"second"}

    path = course / "docs" / "learn" / "second.py"
    path.write_text(path.read_text("utf-8").replace("1 / 0", "1 / 1"), "utf-8")
    status, said, _ = execute(course)
    assert (status, said.splitlines()[0][:12]) == (0, "The second: ")
    status, said, _ = execute(course)
    assert (status, said) == (0, "")
