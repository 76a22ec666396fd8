"""Chapters as notebooks: with what their cells show, and without; each runs on a fresh machine.

`kept` is what running a chapter leaves behind for them. `finished` makes a notebook for readers of
it, or of a chapter that has not run: with a cell that installs the package, with the listings that
the page shows, and without what only the site understands.
"""

import base64
import io
import re
import textwrap
from collections.abc import Iterable

import listings
import nbformat
from dependencies import Package
from pictures import DARK, LIGHT
from PIL import Image

# Above so many bytes a picture is a photograph, and stored as one.
PHOTOGRAPH_BYTES = 80_000
SHOWN = ("stream", "display_data", "execute_result")
BOX = re.compile(
    r'^(?:!!!|\?\?\?\+?) \w+(?: "(?P<title>[^"]*)")?\n(?P<text>(?:(?:    .*)?(?:\n|\Z))+)',
    re.MULTILINE,
)
PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?\n?", re.MULTILINE)
ELEMENT = re.compile(r"^<div data-exhibit=.*</div>\n?", re.MULTILINE)
REFERENCE = re.compile(r"\[([^\]]+)\]\[(imagegen[\w.]*)\]")
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)]*)\)")
INSTALL = """\
# Once, {}: installs the package.
%pip install -q "{}"
"""
# Chapters on these need more than the package itself does.
EXTRA = re.compile("sd3|keras_hub|tensorflow")


def install(text: str, repository: str) -> str:
    """The cell that installs what a chapter needs, from a repository or from a copy of it."""
    extra = "[sd3]" if EXTRA.search(text) else ""
    if repository:
        return INSTALL.format("on a new machine", f"imagegen{extra} @ git+{repository}")
    return INSTALL.format("in the folder of a copy of the repository", f".{extra}")


def colab(name: str, repository: str) -> str:
    """Where a chapter's notebook opens in Colab: the workflow keeps them in a branch."""
    found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?", repository)
    path = f"blob/notebooks/{name}.ipynb"
    return f"https://colab.research.google.com/github/{found[1]}/{path}" if found else ""


def kept(cells: Iterable[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """A notebook of executed cells, whose pictures every reader of notebooks can show."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.from_dict(cell) for cell in cells]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [one for one in cell.outputs if is_shown(one)]
            cell.outputs = [] if "hide" in tags(cell) else [plain(one) for one in outputs]
    return notebook


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def is_shown(output: nbformat.NotebookNode) -> bool:
    return output.output_type in SHOWN and output.get("name") != "stderr"


def plain(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output whose figure is for light paper, in a form that is known everywhere."""
    data = output.get("data", {})
    data.pop(DARK, None)
    if LIGHT in data:
        kind, picture = for_notebooks(base64.b64decode(data.pop(LIGHT)))
        data[kind] = base64.b64encode(picture).decode()
        output.metadata = {}
    return output


def for_notebooks(webp: bytes) -> tuple[str, bytes]:
    """A figure at the size of the page, on white paper: PNG, or JPEG if it holds photographs."""
    figure = Image.open(io.BytesIO(webp)).convert("RGBA")
    figure = figure.reduce(2)
    paper = Image.new("RGBA", figure.size, "white")
    picture = Image.alpha_composite(paper, figure).convert("RGB")
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    if file.tell() <= PHOTOGRAPH_BYTES:
        return "image/png", file.getvalue()
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=88)
    return "image/jpeg", file.getvalue()


def finished(
    notebook: nbformat.NotebookNode,
    package: Package,
    *,
    install: str,
    site: str = "",
    with_outputs: bool = True,
) -> str:
    """A notebook for readers, as JSON.

    Args:
        notebook: What `kept` returned, or a chapter as it was read.
        package: Where listings come from.
        install: The first cell.
        site: The address of the site, for links. Without one, links become their text.
        with_outputs: Whether to keep what cells have shown.
    """
    result = nbformat.v4.new_notebook()
    result.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    result.cells = [nbformat.v4.new_code_cell(install.rstrip())]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            result.cells.append(nbformat.v4.new_markdown_cell(prose(cell.source, package, site)))
        elif cell.source:
            aside = {"hide", "fold", "output", "solution"} & set(tags(cell))
            metadata = {"jupyter": {"source_hidden": True}} if aside else {}
            outputs = cell.get("outputs", []) if with_outputs else []
            new = nbformat.v4.new_code_cell(cell.source, metadata=metadata, outputs=outputs)
            result.cells.append(new)
    for number, cell in enumerate(result.cells):
        cell.id = f"cell-{number}"  # Not a random one: the same chapter is the same file.
    nbformat.validate(result)
    return nbformat.writes(result)


def prose(markdown: str, package: Package, site: str) -> str:
    """Markdown as notebooks know it."""

    def listing(match: re.Match[str]) -> str:
        return f"```python\n{listings.code(match[1], package)}\n```"

    def box(match: re.Match[str]) -> str:
        title = f"**{match['title']}**\n\n" if match["title"] else ""
        text = title + textwrap.dedent(match["text"]).strip()
        return textwrap.indent(text, "> ", lambda line: True) + "\n\n"

    def reference(match: re.Match[str]) -> str:
        return match[1] if match[1].startswith("`") else f"`{match[1]}`"

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({address(match[2], site)})" if site else match[1]

    markdown = ELEMENT.sub("", PICTURE.sub("", listings.FENCE.sub(listing, markdown)))
    return LINK.sub(link, REFERENCE.sub(reference, BOX.sub(box, markdown))).strip()


def address(target: str, site: str) -> str:
    """Where a chapter's link leads, on the published site."""
    path, mark, anchor = target.partition("#")
    path = path.removeprefix("../") if path.startswith("../") else f"learn/{path}"
    path = re.sub(r"\.(?:py|md)(?=$|\?)", "/", path).replace("index/", "")
    return f"{site.rstrip('/')}/{path}{mark}{anchor}"
