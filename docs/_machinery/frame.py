"""What stands at the head of a chapter: its place in the course, its time, and what it takes.

Nothing of it is typed. The place comes from the navigation; the time to read from the chapter's
words, the time to run from `seconds.json`; the data and presets from its code. What to read first
is in the header of the chapter's first cell: `# %% [markdown] needs=["latent_spaces"]`.
"""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

import dependencies
import jupytext
import notebooks
from chapter_store import GUESS, Chapter
from mkdocs.exceptions import PluginError

# The sections of the navigation whose pages are chapters. What else is executed is no chapter.
PARTS = ("Foundations", "Diffusion", "Steering", "Beyond")
WORDS_PER_MINUTE = 200
SECONDS = json.loads(Path(__file__).with_name("seconds.json").read_text("utf-8"))
DATA = {
    ("digits", True): "MNIST, 70,000 handwritten digits",
    ("digits", False): "6,000 of MNIST's 70,000 handwritten digits, which come with the package",
    ("flowers", True): "photographs from Oxford Flowers 102",
    ("flowers", False): "painted flowers: pictures that the package's own model made, and that "
    "come with it, none of them a photograph",
}
HEAD = """\
<div class="frame" markdown="1">

{}

</div>
"""
LEARN = Path(__file__).parents[1] / "learn"
# An item of the list of chapters, which begins with a link to one.
LISTED = re.compile(r"^- (?P<text>\[[^\]]+\]\((?P<name>\w+)\.py\).*(?:\n  .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a chapter stands in the course.

    Args:
        number: Its number. What prepares for the first chapter has 0.
        title: Its title in the navigation.
        part: The title of its part.
    """

    number: int
    title: str
    part: str


places: dict[str, Place] = {}


def number(nav) -> None:
    """Numbers the chapters in reading order, in the navigation, too."""
    places.clear()
    sections = [one for item in nav.items for one in item.children or [] if one.is_section]
    for section in sections:
        for page in section.children if section.title in PARTS else []:
            name = Path(page.file.src_uri).stem
            places[name] = Place(len(places), page.title, section.title)
            if places[name].number:
                page.title = f"{places[name].number}. {page.title}"


def head(chapter: Chapter, repository: str = "") -> str:
    """The lines under a chapter's title, with what Colab opens where the repository is known."""
    text = chapter.path.read_text("utf-8")
    place = places.get(chapter.name)
    lines = [f":material-clock-outline: {times(chapter.path)}"]
    if place and place.number:
        last = max(one.number for one in places.values())
        where = f"{place.part}, chapter {place.number} of {last}"
        lines.insert(0, f":material-map-marker-outline: {where}")
    if first := needs(text, place):
        lines.append(f":material-school-outline: Read first: {first}")
    if made_with := uses(text):
        lines.append(f":material-database-outline: Made with {made_with}")
    lines.append(f":material-download-outline: Download: {downloads(chapter)}")
    if colab := notebooks.colab(chapter.name, repository):
        lines.append(f":material-open-in-new: [Open in Colab]({colab})")
    return HEAD.format("\n".join(f"- {line}." for line in lines))


def downloads(chapter: Chapter) -> str:
    """Links to a chapter's files."""
    kinds = {
        f"{chapter.name}.ipynb": "notebook",
        f"{chapter.name}_empty.ipynb": "notebook without outputs",
        f"{chapter.name}.py": "Python file",
    }
    if not chapter.is_done:
        kinds.pop(f"{chapter.name}.ipynb")
    return ", ".join(f'<a href="{file}" download>{kind}</a>' for file, kind in kinds.items())


def times(path: Path) -> str:
    """How long a chapter takes to read, and to run on two cores."""
    reading = max(1, round(words(path.read_text("utf-8")) / WORDS_PER_MINUTE))
    running = SECONDS.get(path.stem, GUESS)
    minutes = round(running / 60)
    run = f"{minutes} minute{'s' * (minutes > 1)}" if minutes else f"{running:.0f} seconds"
    return f"{reading} minutes to read, about {run} to run on two cores"


def words(text: str) -> int:
    """The words of a chapter: of its prose, and of the code that it shows."""
    folded = {"hide", "output", "fold", "solution"}
    return sum(
        len(cell.source.split())
        for cell in jupytext.reads(text, "py:percent").cells
        if not folded & set(cell.metadata.get("tags", []))
    )


def needs(text: str, place: Place | None) -> str:
    """Links to the chapters that a chapter builds on."""
    cells = jupytext.reads(text, "py:percent").cells
    first = next(cell for cell in cells if cell.cell_type == "markdown")
    names = first.metadata.get("needs", [])
    for name in names:
        if name not in places or (place and places[name].number >= place.number):
            raise PluginError(f"A page needs {name}, which doesn't come before it.")
    return ", ".join(f"[{places[name].title}]({name}.py)" for name in names)


def uses(text: str) -> str:
    """The data that a chapter reads, and the presets that it names."""
    kinds = [DATA[name, bool(dependencies.data_files(name))] for name in dependencies.reads(text)]
    strings = dependencies.Code.read(ast.parse(text), "imagegen").strings
    named = sorted(strings & dependencies.package().presets().keys())
    if named and len(named) < 6:
        presets = ", ".join(f"`{name}`" for name in named)
        kinds.append(f"the [preset{'s' * (len(named) > 1)}](presets.py) {presets}")
    return "; ".join(kinds)


def contents(markdown: str) -> str:
    """Numbers the list of chapters, and says how long each takes."""

    def entry(match: re.Match[str]) -> str:
        number = places[match["name"]].number if match["name"] in places else ""
        bold = f"**{number}.** " if number else ""
        time = times(LEARN / f"{match['name']}.py").capitalize()
        return f'- {bold}{match["text"]} <span class="times">{time}.</span>'

    return LISTED.sub(entry, markdown)
