"""Writes an executed chapter down as plain Markdown, its pictures and films as files beside it.

Tags steer a code cell: `hide` runs it and shows nothing, `output` shows only what comes out of it,
`fold` shows its code on request.
`alt="..."` in the cell's header describes its pictures to those who can't see them, and
`caption="..."` is a line below them for everybody. The picture of a cell with the tag `hero` also
stands at the top of the page, under the first words: readers see first what a chapter leads to.
"""

import base64
import hashlib
import html
import io
import itertools
import math
import re
import subprocess
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import imageio_ffmpeg
import nbformat
import numpy as np
from pictures import DARK, LIGHT, encoded
from PIL import Image

FILM_BYTES = 300_000
# As long as lines of code.
LINE = 80
PICTURES = (LIGHT, "image/png", "image/jpeg", "image/gif")
# The title, and the first paragraph.
OPENING = re.compile(r"\A# .+\n\n(?:.+\n)+", re.MULTILINE)
BOX = '<div class="output{}" markdown="1" data-search-exclude>\n\n{}\n\n</div>'
CAPTION = '\n\n<p class="caption" markdown="span">{}</p>'
EMBEDDED = re.compile(r"<img\b[^>]*\bsrc=\"data:image/\w+;base64,([A-Za-z0-9+/=\s]+)\"[^>]*>")
SOLUTION = """\
<details class="success" markdown="1">
<summary>Solution</summary>

{}

</details>"""
# Keras's summaries carry colours for one kind of paper.
COLOURS = re.compile(r' style="[^"]*color:[^"]*"')


class Writer:
    """Writes chapters into a folder: `page.md`, and pictures in a folder named like the chapter.

    Args:
        folder: Where to write.
        name: The chapter's name, which is that of its page.
    """

    def __init__(self, folder: Path, name: str):
        self.folder = folder
        self.name = name
        self.pictures = folder / name
        self.pictures.mkdir(parents=True, exist_ok=True)

    def write(self, notebook: nbformat.NotebookNode) -> None:
        """Writes all cells, executed or not."""
        page = whole(notebook.cells, self.cell)
        heroes = [cell for cell in notebook.cells if "hero" in cell.metadata.get("tags", [])]
        if heroes and (shown := self.hero(heroes[0])):
            page = OPENING.sub(lambda match: f"{match[0]}\n{shown}\n", page, count=1)
        (self.folder / "page.md").write_text(f"{page}\n", "utf-8")

    def cell(self, cell: nbformat.NotebookNode) -> str:
        """A cell's prose, or its code and what came out of it."""
        text = self.prose_and_code(cell)
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "hide" in tags or not cell.source:
            return text
        alt = cell.metadata.get("alt", "What the code above draws.")
        shown = "\n\n".join(captioned(self.outputs(cell.outputs, alt), caption(cell)))
        box = BOX.format("", shown) if shown else ""
        return "\n\n".join(filter(None, [text, box]))

    def hero(self, cell: nbformat.NotebookNode) -> str:
        """A cell's first picture, to stand at the top; nothing, if the cell was not run."""
        shown = self.outputs(cell.outputs, cell.metadata.get("alt", ""))
        pictures = [piece for piece in shown if piece.startswith("![")]
        return BOX.format(" hero", pictures[0] + caption(cell)) if pictures else ""

    @staticmethod
    def prose_and_code(cell: nbformat.NotebookNode) -> str:
        """A cell's prose or its code, without what came out of it."""
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code":
            return cell.source
        if {"hide", "output"} & set(tags) or not cell.source:
            return ""
        code = fenced(cell.source, "python")
        if "fold" not in tags:
            return code
        return '??? example "The code"\n\n' + textwrap.indent(code, "    ")

    def outputs(self, outputs: list[nbformat.NotebookNode], alt: str) -> list[str]:
        """What a cell shows, piece by piece. Lines that follow each other are one piece."""
        pieces: list[str] = []
        lines = ""
        for output in outputs:
            text, piece = self.output(output, alt)
            if text:
                lines += text if text.endswith("\n") else f"{text}\n"
            elif piece:
                pieces += [printed(lines), piece] if lines else [piece]
                lines = ""
        return [*pieces, printed(lines)] if lines else pieces

    def output(self, output: nbformat.NotebookNode, alt: str) -> tuple[str, str]:
        """One output, as lines of text or as Markdown. What went to stderr is not shown."""
        if output.output_type == "error":
            return "", ""
        if output.output_type == "stream":
            return (output.text if output.name == "stdout" else ""), ""
        data = output.data
        for kind in PICTURES:
            if kind in data:
                size = output.metadata.get(kind, {})
                light = self.picture(base64.b64decode(data[kind]), alt, size)
                if DARK not in data:
                    return "", light
                dark = self.picture(base64.b64decode(data[DARK]), alt, size, "#only-dark")
                return "", f"{light.replace('.webp)', '.webp#only-light)')}\n{dark}"
        if "text/html" in data:
            return "", EMBEDDED.sub(self.embedded, COLOURS.sub("", data["text/html"]))
        if "text/markdown" in data:
            return "", EMBEDDED.sub(self.embedded, data["text/markdown"])
        if data["text/plain"].startswith("<Figure size"):  # IPython hides why.
            raise ValueError("A figure could not be drawn: figures.both_forms raised an error")
        return data["text/plain"], ""

    def picture(self, data: bytes, alt: str, size: dict[str, int], mark: str = "") -> str:
        """A picture in Markdown, loaded when it comes into view, and its file."""
        image = Image.open(io.BytesIO(data))
        size = size or {"width": image.width, "height": image.height}
        if is_film(image):
            return self.film(image, html.escape(alt), size)
        path = self.file(data if image.format == "WEBP" else encoded(image), "webp")
        sides = " ".join(f"{side}={size[side]}" for side in ("width", "height"))
        if size.get("narrowest"):
            sides += f' style="--narrowest: {size["narrowest"]}px"'
        alt = re.sub(r"([\[\]\\])", r"\\\1", " ".join(alt.split()))
        return f"![{alt}]({path}{mark}){{ {sides} loading=lazy }}"

    def embedded(self, match: re.Match[str]) -> str:
        """An embedded picture as a file: a film where it moves."""
        image = Image.open(io.BytesIO(base64.b64decode(match[1])))
        attributes = dict(re.findall(r'\b(alt|width|height)="([^"]*)"', match[0]))
        alt = attributes.pop("alt", "")
        size = {"width": image.width, "height": image.height} | attributes
        if is_film(image):
            return self.film(image, alt, size)
        path = self.file(encoded(image), "webp").rpartition("/")[2]
        return f'<img src="{path}" alt="{alt}" {as_attributes(size)} loading="lazy">'

    def film(self, image: Image.Image, alt: str, size: dict[str, int | str]) -> str:
        """A film that can be stopped: H.264, which every browser plays, behind its last frame."""
        frames, milliseconds = [], 0.0
        for index in range(image.n_frames):
            image.seek(index)
            # Films keep one colour for each 2 x 2 pixels: doubled, every pixel keeps its own.
            frames.append(np.asarray(image.convert("RGB")).repeat(2, axis=0).repeat(2, axis=1))
            milliseconds += image.info.get("duration", 100) / image.n_frames
        film = self.file(compressed(np.stack(frames), 1000 / milliseconds), "mp4")
        poster = self.file(encoded(Image.fromarray(frames[-1])), "webp")
        film, poster = (path.rpartition("/")[2] for path in (film, poster))
        return (
            f'<figure class="film"><video {as_attributes(size)} poster="{poster}" src="{film}" '
            f'aria-label="{alt}" controls loop muted playsinline preload="none">'
            f"</video></figure>"
        )

    def file(self, data: bytes, suffix: str) -> str:
        """Writes a file once; its path in Markdown, seen from the chapter."""
        name = f"{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
        (self.pictures / name).write_bytes(data)
        return f"{self.name}/{name}"


def caption(cell: nbformat.NotebookNode) -> str:
    """The line below a cell's pictures."""
    return CAPTION.format(cell.metadata["caption"]) if "caption" in cell.metadata else ""


def captioned(pieces: list[str], caption: str) -> list[str]:
    """What a cell shows, with the caption right under its last picture."""
    pictures = [index for index, piece in enumerate(pieces) if piece.startswith("![")]
    below = (pictures or [len(pieces) - 1])[-1]
    return [piece + caption * (index == below) for index, piece in enumerate(pieces)]


def printed(lines: str) -> str:
    """Lines of text as a cell prints them. Columns that fit the page are not to be wrapped."""
    columns = re.search(r"\S {2,}\S", lines) and max(map(len, lines.splitlines())) <= LINE
    return fenced(lines, "{ .text .columns }" if columns else "text")


def whole(
    cells: Iterable[nbformat.NotebookNode], write: Callable[[nbformat.NotebookNode], str]
) -> str:
    """A page of all cells. Neighbours with the tag `solution` are folded into one box."""
    parts = []
    for is_solution, group in itertools.groupby(
        cells, lambda cell: "solution" in cell.metadata.get("tags", [])
    ):
        text = "\n\n".join(filter(None, map(write, group)))
        parts.append(SOLUTION.format(text) if is_solution else text)
    return "\n\n".join(filter(None, parts))


def is_film(image: Image.Image) -> bool:
    return getattr(image, "n_frames", 1) > 1


def as_attributes(size: dict[str, int | str]) -> str:
    return f'width="{size["width"]}" height="{size["height"]}"'


def fenced(text: str, language: str) -> str:
    """Fence `text`, with more backticks than it holds itself."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def compressed(frames: np.ndarray, frames_per_second: float) -> bytes:
    """Frames as MP4, as fine as `FILM_BYTES` allow."""
    _, height, width, _ = frames.shape
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {frames_per_second:g} -i -"
    coarseness, coarsest = 20, 44
    while True:
        # A film needs a file that can be wound back, which a pipe can't: fragments do without.
        target = (
            f"-c:v libx264 -preset medium -crf {coarseness} -pix_fmt yuv420p "
            "-movflags frag_keyframe+empty_moov+default_base_moof -f mp4 -"
        )
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw.split()]
        film = subprocess.run(
            [*command, *target.split()], input=frames.tobytes(), capture_output=True, check=True
        ).stdout
        if len(film) <= FILM_BYTES or coarseness == coarsest:
            return film
        # Six more of this measure are half of the bytes.
        excess = math.ceil(6 * math.log2(len(film) / FILM_BYTES))
        coarseness = min(coarseness + max(excess, 2), coarsest)


def line_of(text: str, cells_left: int, line: int) -> int:
    """The line of a chapter in which a line of one of its cells is, both counted from 1.

    Args:
        text: The chapter.
        cells_left: How many cells there are from this one on, with itself.
        line: The line in the cell, from 1.
    """
    rows = text.splitlines()
    marks = [number for number, row in enumerate(rows, 1) if row.startswith("# %%")]
    start = marks[-cells_left]
    while start < len(rows) and not rows[start].strip():  # Such lines are no part of a cell.
        start += 1
    return start + line
