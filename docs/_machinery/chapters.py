"""A MkDocs hook: mkdocs-jupyter runs the chapters, MkDocs renders what came out as Markdown.

mkdocs-jupyter turns an executed page into HTML by itself, apart from the rest of the site: 575 KB
of style sheets in each page, dead anchors and doubled ids, links that nobody checks, code that the
search index holds twice, no formulas. Handing it a converter that answers in Markdown cures all of
that at once, because MkDocs then treats a chapter like any other page.

Two tags steer a code cell: `hide` runs it and shows nothing, `fold` shows its code on request.
`alt="..."` in the cell's header describes its pictures to those who can't see them.
"""

import base64
import hashlib
import html
import importlib.metadata
import os
import re
import shutil
import tempfile
import textwrap
from pathlib import Path

import jupytext
import mkdocs_jupyter.convert
import nbformat
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "chapters"

# What a page's process is told, unless the caller's environment says otherwise.
ENVIRONMENT = {"KERAS_BACKEND": "jax", "TQDM_DISABLE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

# Figures at twice the resolution, for screens with dense pixels, and uncropped, so that their size
# on the page is the one that the code asks for.
SETUP = f"""
from matplotlib_inline.backend_inline import set_matplotlib_formats
import matplotlib.pyplot
set_matplotlib_formats("retina", bbox_inches=None)
matplotlib.pyplot.style.use({str(Path(__file__).with_name("figures.mplstyle"))!r})
"""

OUTPUT = '<div class="output" markdown="1" data-search-exclude>'
PICTURES = ("image/png", "image/webp", "image/gif", "image/jpeg")
EMBEDDED = re.compile(r"data:(?:image|video)/(\w+);base64,([A-Za-z0-9+/=\s]+)")


def fingerprint() -> str:
    """Hash everything but the page itself that decides what a page shows when it is run."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("src/**/*"), *Path(__file__).parent.glob("*.*")]):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    versions = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    names = ("KERAS_BACKEND", "IMAGEGEN_DATA", "IMAGEGEN_SD3")
    variables = [os.environ.get(name) for name in names]
    digest.update(repr((versions, variables)).encode())
    return digest.hexdigest()[:16]


def fenced(text: str, language: str) -> str:
    """Fence `text`, with more backticks than it holds itself."""
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def output_to_markdown(output: nbformat.NotebookNode, alt: str) -> str:
    """Render one output: a picture, HTML, Markdown or text. What went to stderr is not shown."""
    if output.output_type == "stream":
        return fenced(output.text, "text") if output.name == "stdout" else ""
    for kind in PICTURES:
        if kind in output.data:
            size = output.metadata.get(kind, {})
            attributes = "".join(f' {name}="{size[name]}"' for name in ("width", "height") if size)
            source = f"data:{kind};base64,{output.data[kind].strip()}"
            return f'<img src="{source}" alt="{html.escape(alt)}"{attributes}>'
    for kind in ("text/html", "text/markdown"):
        if kind in output.data:
            return output.data[kind]
    return fenced(output.data["text/plain"], "text")


def cell_to_markdown(cell: nbformat.NotebookNode) -> str:
    """Render one executed cell."""
    tags = cell.metadata.get("tags", [])
    if cell.cell_type != "code":
        return cell.source
    if "hide" in tags or not cell.source:
        return ""
    code = fenced(cell.source, "python")
    if "fold" in tags:
        code = '??? example "The code"\n\n' + textwrap.indent(code, "    ")
    alt = cell.metadata.get("alt", "What the code above draws.")
    shown = filter(None, (output_to_markdown(output, alt) for output in cell.outputs))
    outputs = (f"{OUTPUT}\n\n{output}\n\n</div>" for output in shown)
    return "\n\n".join([code, *outputs])


def chapter_to_markdown(path: str, *, allow_errors: bool, **_: object) -> str:
    """Run a py:percent page in a process and a folder of its own and render its cells."""
    notebook = jupytext.read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SETUP, metadata={"tags": ["hide"]}))
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            allow_errors=allow_errors,
            extra_arguments=["--log-level=ERROR"],
            kernel_name="python3",
            resources=resources,
            timeout=600,
        )
        client.execute(env={**ENVIRONMENT, **os.environ})
    return "\n\n".join(cell_to_markdown(cell) for cell in notebook.cells)


def on_config(config):
    """Give mkdocs-jupyter the converter, and a cache that knows what a page depends on."""
    mkdocs_jupyter.convert.nb2html = chapter_to_markdown
    current = CACHE / fingerprint()
    for old in CACHE.glob("*"):
        if old != current:
            shutil.rmtree(old)
    config.plugins["mkdocs-jupyter"].config["cache_dir"] = str(current)


@event_priority(100)  # before the plugins that read a page's headings and anchors
def on_page_content(content, page, config, files):
    """Render a chapter's Markdown, and move embedded pictures to files beside the page."""
    if page.file.src_uri.endswith(".py"):
        page.markdown = content
        Page.render(page, config, files)  # mkdocs-jupyter replaced this page's own method
        content = page.content

    def move(match: re.Match[str]) -> str:
        data = base64.b64decode(match[2])
        name = f"{hashlib.sha256(data).hexdigest()[:12]}.{match[1]}"
        folder = page.file.dest_uri.rpartition("/")[0]
        files.append(File.generated(config, f"{folder}/{name}", content=data))
        return name

    return EMBEDDED.sub(move, content)
