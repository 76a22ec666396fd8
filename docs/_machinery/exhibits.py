"""A MkDocs hook: exhibits, which run in the reader's browser, and the data that they load.

An exhibit is a folder in `docs/explore`: `exhibit.html`, what stands on the page before any script
runs, and `exhibit.js`, whose function `start` brings that to life. Where a page or a chapter says

    <div data-exhibit="latent_plane"></div>

it is put. `docs/javascripts/site.js` loads the script when the reader comes near. What the package
has to compute for it, the `SCRIPTS` write, once for each state of the package. What runs exported
networks there, `runtime.py` brings.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dependencies
import runtime
from mkdocs.exceptions import Abort
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

SCRIPTS = [Path(__file__).with_name(f"{name}_data.py") for name in ("exhibit", "painter")]
CACHE = dependencies.ROOT / ".cache" / "exhibits"
# Where the runtime goes.
PAINTER = "explore/flower_painter"
PLACE = re.compile(r'<div data-exhibit="(\w+)"></div>')
# What every exhibit has around it. Its words are its page's, and are searched there.
FRAME = """\
<div class="exhibit" data-module="{folder}/exhibit.js" data-search-exclude>
{html}
<p class="exhibit-status" role="status"></p>
<noscript><p>Where scripts are allowed, this picture comes alive.</p></noscript>
</div>
"""

log = logging.getLogger("mkdocs.hooks.exhibits")


# Whether a build waits for data that are missing. The first page that is served does not.
waits = True


def on_startup(command, dirty):
    globals()["waits"] = command == "build"


def on_files(files, config):
    """Add what exhibits load."""
    for folder, target in data(wanted=waits):
        for path in sorted(folder.rglob("*.*")):
            source = f"{target}/{path.relative_to(folder).as_posix()}"
            files.append(File.generated(config, source, abs_src_path=str(path)))


def on_serve(server, config, builder):
    """Put the data beside the pages, which are served already."""
    globals()["waits"] = True
    site = Path(config.site_dir)

    def deliver():
        for folder, target in data(wanted=True):
            shutil.copytree(folder, site / target, dirs_exist_ok=True)

    threading.Thread(target=deliver, daemon=True).start()


def data(wanted: bool) -> Iterator[tuple[Path, str]]:
    """Folders of data, each with its place in the site. What is missing is written if `wanted`."""
    for script in SCRIPTS:
        folder = CACHE / script.stem / dependencies.key(script)
        if wanted:
            write(script, folder)
        if folder.is_dir():
            yield folder, "explore"
    if wanted or (CACHE / "runtime").is_dir():
        yield runtime_folder(), PAINTER


def runtime_folder() -> Path:
    """The runtime, or a note that there is none."""
    try:
        return runtime.write(CACHE / "runtime")
    except runtime.MissingError as error:
        # No warning: a strict build would fail, and all other pages are as they should be.
        log.info("The flower painter can't paint in this site: %s", error)
        none = CACHE / "no-runtime"
        none.mkdir(parents=True, exist_ok=True)
        (none / "runtime.json").write_text('{"builds": {}}')
        return none


def write(script: Path, folder: Path) -> None:
    """Write the data of a script, where they aren't there."""
    if folder.is_dir():
        return
    log.info("Writing what exhibits load: %s", script.stem)
    partial = CACHE / f"partial-{os.getpid()}"
    command = [sys.executable, script, partial]
    environment = {"KERAS_BACKEND": "jax", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise Abort(f"{script.name} failed:\n{done.stderr}")
    if folder.is_dir():  # Another process was quicker.
        shutil.rmtree(partial)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)


def on_page_content(html, page, config, files):
    """Put exhibits where a page asks for them."""

    def exhibit(match: re.Match[str]) -> str:
        source = Path(config.docs_dir) / "explore" / match[1] / "exhibit.html"
        folder = get_relative_url(f"explore/{match[1]}", page.url)
        html = source.read_text("utf-8").strip().replace("{{ folder }}", folder)
        return FRAME.format(folder=folder, html=html)

    return PLACE.sub(exhibit, html)
