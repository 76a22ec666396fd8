"""A MkDocs hook: each page has a title and a description of its own, and the site its version.

Search engines and shared links show both. The description is the beginning of the page's text. A
link that is shared also shows a picture, the first one of the page, once the site has an address.
"""

import html
import posixpath
import re
import tomllib

from dependencies import ROOT
from mkdocs.plugins import event_priority

LENGTH = 180
PICTURE = re.compile(r"!\[(?:\\.|[^\]\\])*\]\(([^)#]+\.webp)")
HOME_PICTURE = "assets/home.webp"
# What is no sentence of the text: boxes, lists, tables, code, headings, directives.
UNREADABLE = ("#", "<", "-", "|", "!", "?", "`", ":", "=", ">", "    ", "$$")


def on_config(config):
    """Show the version in the footer."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    config.copyright = (
        f"{project['name']} {project['version']}, under the {project['license']} licence"
    )


@event_priority(-100)  # after the hooks that write pages
def on_page_markdown(markdown, page, config, files):
    """Describe a page by its first sentences; tell a page of the reference from a chapter."""
    page.meta.setdefault("description", described(markdown))
    page.meta.setdefault("preview", preview(markdown, page.file.src_uri))
    if page.file.src_uri.startswith("api/") and not page.is_index:
        page.meta.setdefault("title", f"{page.title} (reference)")


def on_post_page(output, page, config):
    """Leave out the indentation around the text: a tenth of a page that nobody sees."""
    before, start, rest = output.partition("<article")
    text, end, after = rest.rpartition("</article>")
    return f"{squeezed(before)}{start}{text}{end}{squeezed(after)}"


def squeezed(markup: str) -> str:
    """Markup that has no preformatted text, with its lines and without their indentation."""
    return re.sub(r"\s*\n\s*", "\n", markup)


def preview(markdown: str, source: str) -> str:
    """The first picture of a page, seen from the site's root; or that of the home page."""
    found = PICTURE.search(markdown)
    if not found:
        return HOME_PICTURE
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))


def described(markdown: str) -> str:
    """The first sentences of a page, as plain text."""
    markdown = re.sub(r"^<(div|details)\b.*?^</\1>$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    blocks = re.split(r"\n\s*\n", markdown)
    first = next(
        (block for block in blocks if block.strip() and not block.startswith(UNREADABLE)), ""
    )
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", " ".join(first.split()))
    text = re.sub(r"[*`$\\]", "", text)
    sentences = re.split(r"(?<=[.?]) ", text)
    shown = sentences[0]
    for sentence in sentences[1:]:
        if len(shown) + len(sentence) >= LENGTH:
            break
        shown += f" {sentence}"
    return html.escape(shown, quote=True)
