"""A MkDocs hook: chapters become pages from what running them left behind.

mkdocs-jupyter makes a page of each Python file in the navigation and puts the file itself beside
it. What stands on the page is the plain Markdown that `execute.py` wrote, so that MkDocs treats a
chapter like any other page: links, anchors, formulas, search. A chapter that is still being run
shows its text and code. This hook runs nothing; while the site is served, it starts what does.
"""

import errno
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import chapter_store
import dependencies
import frame
import jupytext
import nbformat
import notebooks
from chapter_markdown import Writer, whole
from mkdocs.exceptions import Abort, ConfigurationError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

MACHINERY = Path(__file__).parent
HEADING = re.compile(r"^# .*$", re.MULTILINE)

PENDING = """\
<div class="admonition info pending" data-pending markdown="1">
<p class="admonition-title">This chapter is being computed</p>

Its text and code are here already. Pictures and numbers follow{}, and the page then shows them by
itself.
</div>
"""
FAILED = """\
!!! failure "This chapter failed"
    What stands below the failing line was not run.

"""

command = "build"
follower: subprocess.Popen | None = None


def on_startup(command, dirty):
    globals()["command"] = command
    # A line for each file that it copies is nobody's news.
    logging.getLogger("mkdocs.plugins.mkdocs_jupyter").setLevel(logging.WARNING)


def on_config(config):
    """Find out at once whether the address to serve on is free."""
    if command == "serve" and follower is None:
        host, port = config.dev_addr
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} can't be served on: {error.strerror}. Stop what uses it, or choose "
                f"another: nox -s serve -- --dev-addr {host}:{port + 1}"
            ) from None


def on_files(files, config):
    """Add the chapters' pictures, and refuse to build a site without them."""
    for file in [file for file in files if is_chapter(file)]:
        chapter = chapter_store.find(Path(file.abs_src_path))
        if not chapter.is_done and command == "build" and "IMAGEGEN_PENDING" not in os.environ:
            raise Abort(f"{file.src_uri} has not been run: python docs/_machinery/execute.py")
        if not chapter.is_done:
            # What it prints may hold the heading that another page links to.
            config.validation.links.anchors = logging.INFO
        for name, text in downloads(chapter, config).items():
            files.append(File.generated(config, f"learn/{chapter.name}/{name}", content=text))
        for path in sorted((chapter.folder / chapter.name).glob("*")):
            source = f"{file.src_uri.rpartition('/')[0]}/{chapter.name}/{path.name}"
            files.append(File.generated(config, source, abs_src_path=str(path)))


def downloads(chapter, config):
    """A chapter's notebooks by their file names: with what its cells show, and without."""
    text = chapter.path.read_text("utf-8")
    options = {
        "package": dependencies.package(),
        "install": notebooks.install(text, config.extra.get("repository", "")),
        "site": config.site_url or "",
    }
    empty = notebooks.finished(jupytext.reads(text, "py:percent"), with_outputs=False, **options)
    found = {f"{chapter.name}_empty.ipynb": empty}
    if chapter.is_done:
        executed = nbformat.read(chapter.folder / "notebook.ipynb", as_version=4)
        found[f"{chapter.name}.ipynb"] = notebooks.finished(executed, **options)
    return found


def on_nav(nav, config, files):
    """Number the chapters, as the navigation orders them."""
    frame.number(nav)


def on_page_markdown(markdown, page, config, files):
    """Number the chapters in the table of contents, too, and say how long each takes."""
    return frame.contents(markdown) if page.file.src_uri == "learn/index.md" else None


def is_chapter(file):
    return file.src_uri.startswith("learn/") and file.src_uri.endswith(".py")


@event_priority(-100)  # after mkdocs-jupyter, which would render the chapter apart from the site
def on_pre_page(page, config, files):
    """Let MkDocs render a chapter as it renders every page."""
    if is_chapter(page.file):
        vars(page).pop("render", None)


def on_page_read_source(page, config):
    """Give MkDocs a chapter's Markdown."""
    if not is_chapter(page.file):
        return None
    chapter = chapter_store.find(Path(page.file.abs_src_path))
    path = chapter.folder / "page.md"
    text = path.read_text("utf-8") if path.is_file() else unexecuted(chapter)
    heading = HEADING.search(text)
    head = notices(chapter, config.extra.get("repository", ""))
    return f"{text[: heading.end()]}\n\n{head}{text[heading.end() :]}"


def unexecuted(chapter):
    """A chapter's text and code, without what its cells show."""
    cells = jupytext.read(chapter.path).cells
    return whole(cells, Writer.prose_and_code)


def notices(chapter, repository):
    """What a reader should know first: the chapter's state, its place, and what it takes."""
    if chapter.failure:
        error = f"    ```text\n    {chapter.complaint}\n    ```\n"
        return FAILED + error
    if not chapter.is_done:
        minutes = round(chapter.seconds / 60)
        pending = PENDING.format(f" in about {minutes} minutes" if minutes > 1 else " soon")
        return f"{pending}\n{frame.head(chapter, repository)}"
    return frame.head(chapter, repository)


def on_serve(server, config, builder):
    """Run the missing chapters in reading order while the site is served."""
    global follower
    command = [sys.executable, MACHINERY / "execute.py", "--follow", config.site_dir]
    # In a session of its own: Ctrl-C reaches it through `on_shutdown`, once.
    follower = subprocess.Popen(command, start_new_session=True)


def on_build_error(error):
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        raise Abort("The disk is full. Make room and run again: the chapters' results are kept.")


def on_shutdown():
    if follower is not None:
        follower.send_signal(signal.SIGINT)
        follower.wait()
