"""A MkDocs hook: the face of the text, Figtree, of the npm registry.

It comes while the site is built, and is served by the site itself. The theme's `main.html` asks for
it in a page's head. Where the registry can't be reached the text has a face of the reader's own.
"""

import io
import logging
import os
import shutil
import tarfile
import threading
from pathlib import Path

import dependencies
import npm_package
from mkdocs.structure.files import File

PACKAGE = "@fontsource-variable/figtree@5.3.0"
# `npm view @fontsource-variable/figtree@5.3.0 dist.integrity`
INTEGRITY = (
    "sha512-VRVodD7OiG7apQwE8/2fMjaqpY/a0qRJqL5HtYj8CKI"
    "Vps+9amaFcdfKmDIf7iqYQx6iPLlArVXAfKeIZmVcNQ=="
)
# Both hold every weight.
FILES = {
    "text.woff2": "figtree-latin-wght-normal.woff2",
    "text-italic.woff2": "figtree-latin-wght-italic.woff2",
}
CACHE = dependencies.ROOT / ".cache" / "face"

log = logging.getLogger("mkdocs.hooks.face")


def on_startup(command, dirty):
    """Fetch the face. The first page that is served does not wait for it."""
    fetching = threading.Thread(target=fetched, args=(CACHE,), daemon=True)
    fetching.start()
    if command == "build":
        fetching.join()


def on_config(config):
    """Tell the theme whether there is a face."""
    config.extra["face"] = folder(CACHE).is_dir()


def on_files(files, config):
    """Add the face to the site."""
    if config.extra["face"]:
        for name in FILES:
            path = str(folder(CACHE) / name)
            files.append(File.generated(config, f"stylesheets/{name}", abs_src_path=path))


def folder(cache: Path) -> Path:
    """Where this version of the face is kept."""
    return cache / PACKAGE.rpartition("/")[2]


def fetched(cache: Path) -> None:
    """Fetch the face where it is missing; say so where it can't be had."""
    done = folder(cache)
    if done.is_dir():
        return
    try:
        package = npm_package.download(PACKAGE, INTEGRITY)
    except npm_package.MissingError as error:
        # No warning: a strict build would fail, and the pages can be read without.
        log.info("The text has no face of its own in this site: %s", error)
        return
    partial = cache / f"partial-{os.getpid()}"
    partial.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for name, packed in FILES.items():
            (partial / name).write_bytes(archive.extractfile(f"package/files/{packed}").read())
    if done.is_dir():  # Another process was quicker.
        shutil.rmtree(partial)
    else:
        partial.rename(done)
