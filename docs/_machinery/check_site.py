"""Check a built site: `python docs/_machinery/check_site.py site`.

No dead link, no dead anchor, no id twice on a page, no picture without a description, no page over
200 KB, no page without a title and a description of its own, and nothing that a browser would load
from another host.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MAX_BYTES = 200_000
# Attributes that a browser follows at once, without a click.
LOADING = {"src", "srcset", "poster", "data"}
# Links in a page's head that are read, never loaded.
NAMING = {"canonical", "alternate", "next", "prev", "license", "author"}
CSS_LOAD = re.compile(r"""(?:url\(|@import(?!\s*url))\s*["']?([^"')\s;]+)""")


class PageReader(HTMLParser):
    """Collects a page's ids, links, loads and pictures without a description."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.undescribed: list[str] = []
        self.in_style = self.in_title = False
        self.title = self.description = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.in_style = tag == "style"
        # Drawings have titles, too.
        self.in_title = tag == "title" and not self.title
        if tag == "meta" and attributes.get("name") == "description":
            self.description = attributes.get("content", "")
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "img" and not attributes.get("alt"):
            self.undescribed.append(attributes.get("src", ""))
        for name in LOADING & attributes.keys():
            candidates = attributes[name].split(",") if name == "srcset" else [attributes[name]]
            self.loads += [candidate.split()[0] for candidate in candidates if candidate.split()]
        if "href" in attributes:
            named = tag in {"a", "area"} or set(attributes.get("rel", "").split()) & NAMING
            (self.links if named else self.loads).append(attributes["href"])
        self.loads += CSS_LOAD.findall(attributes.get("style", ""))

    def handle_data(self, data):
        if self.in_style:
            self.loads += CSS_LOAD.findall(data)
        if self.in_title:
            self.title += data

    def handle_endtag(self, tag):
        self.in_style = self.in_title = False


def is_elsewhere(url: str) -> bool:
    """Whether `url` leads to another host, or is no place at all (`mailto:`, `data:`)."""
    parts = urlsplit(url)
    return bool(parts.scheme or parts.netloc)


def root_of(site: Path) -> str:
    """The path below which the site will be served: `/`, or `/imagegen/` of `a.org/imagegen/`."""
    home = site / "index.html"
    text = home.read_text("utf-8") if home.is_file() else ""
    found = re.search(r'<link rel="canonical" href="([^"]*)"', text)
    return urlsplit(found[1]).path or "/" if found else "/"


def target_of(url: str, page: Path, site: Path, root: str) -> tuple[Path, str]:
    """The file and the fragment that `url` means on `page`."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if path.startswith("/"):
        path = f"/{path.removeprefix(root)}"
    base = site if path.startswith("/") else page.parent
    target = (base / path.lstrip("/")).resolve() if path else page
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def faults(site: Path) -> list[str]:
    """Describe every fault of the site under the folder `site`, one line each."""
    site = site.resolve()
    root = root_of(site)
    pages = {path: PageReader(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else ["no page at all"]
    for what in ("title", "description"):
        first: dict[str, Path] = {}
        for path, page in pages.items():
            if path == site / "404.html":
                continue
            text = getattr(page, what).strip()
            if first.setdefault(text, path) != path or not text:
                other = f" of {first[text].relative_to(site)}" if text else ""
                found.append(f"{path.relative_to(site)}: no {what} of its own{other}")
    for path, page in pages.items():
        name = path.relative_to(site)
        if path.stat().st_size > MAX_BYTES:
            found.append(f"{name}: {path.stat().st_size:,} bytes of HTML")
        found += [f"{name}: picture without a description: {url[:80]}" for url in page.undescribed]
        found += [
            f"{name}: id twice: {one}" for one in sorted(set(page.ids)) if page.ids.count(one) > 1
        ]
        found += [
            f"{name}: load from another host: {url[:80]}"
            for url in page.loads
            if is_elsewhere(url) and not url.startswith("data:")
        ]
        for url in page.links + page.loads:
            if is_elsewhere(url):
                continue
            target, fragment = target_of(url, path, site, root)
            if not target.is_file():
                found.append(f"{name}: dead link: {url}")
            elif fragment and target in pages and fragment not in pages[target].ids:
                found.append(f"{name}: dead anchor: {url}")
    for path in sorted(site.rglob("*.css")):
        for url in CSS_LOAD.findall(path.read_text("utf-8")):
            name = path.relative_to(site)
            if url.startswith("data:") or url.startswith("#"):
                continue
            if is_elsewhere(url):
                found.append(f"{name}: load from another host: {url[:80]}")
            elif not target_of(url, path, site, root)[0].is_file():
                found.append(f"{name}: dead link: {url}")
    return found


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]))
    print("\n".join(found) or "The built site has no dead link and loads nothing from elsewhere.")
    sys.exit(bool(found))
