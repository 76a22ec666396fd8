"""A MkDocs hook: where a chapter first uses a term of the glossary, the term opens its definition.

The terms are those of `docs/learn/glossary.md`, a definition list, so each is defined once. A term
becomes a button, and its definition a popover: both are the browser's own, so they work with a
finger, with keys and with a mouse, and need no script.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.utils import get_relative_url

PAGE = "learn/glossary.md"
# A term, other forms of it in brackets, and in the lines after it what it means.
ENTRY = re.compile(
    r"^(?P<term>[^\s(][^\n(]*?)(?: \((?P<forms>[^)]*)\))?\n:   (?P<text>.+(?:\n    .+)*)",
    re.MULTILINE,
)
TAG = re.compile(r"(<[^>]*>)")
# Where a button has no place, or a word is code.
CLOSED = {
    "a",
    "autoref",
    "button",
    "code",
    "figcaption",
    "h1",
    "h2",
    "h3",
    "h4",
    "label",
    "math",
    "pre",
}
CLOSED |= {"script", "style", "summary", "table", "video"}
# Boxes about the page, what a cell shows, and what has a layout of its own.
ASIDE = re.compile(r'class="(?:output|frame|admonition|exhibit)\b')
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
POPOVER = (
    '<button type="button" class="term" popovertarget="term-{slug}">{word}</button>'
    '<span class="definition" id="term-{slug}" popover data-search-exclude>'
    '<strong>{term}</strong> {text} <a href="{url}#{slug}">Glossary</a></span>'
)


@dataclass(frozen=True)
class Term:
    """A term, other forms of it, and what it means."""

    term: str
    forms: tuple[str, ...]
    text: str

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "-", self.term.lower()).strip("-")


def read(markdown: str) -> list[Term]:
    """The terms of the glossary."""
    return [
        Term(
            match["term"],
            tuple(form.strip() for form in (match["forms"] or "").split(",") if form.strip()),
            plain(" ".join(match["text"].split())),
        )
        for match in ENTRY.finditer(markdown)
    ]


def plain(markdown: str) -> str:
    """Markdown without its links and emphasis, and without the link to where it is explained."""
    markdown = re.sub(r"\s*\[(?:Explained here|All of them)\]\([^)]*\)\.", "", markdown)
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", markdown)
    return html.escape(re.sub(r"[*`]", "", text), quote=False)


def opened(content: str, terms: list[Term], url: str) -> str:
    """Make a button of the first use of each term in a page's HTML."""
    by_form = {form.lower(): term for term in terms for form in (term.term, *term.forms)}
    # Longer forms first: "latent space" before "latent".
    forms = [re.escape(form).replace(r"\ ", r"\s+") for form in sorted(by_form, key=len)[::-1]]
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(forms)})(?![\w-])", re.IGNORECASE)
    left = set(terms)
    closed: list[str] = []
    aside = 0

    def button(match: re.Match[str]) -> str:
        term = by_form[re.sub(r"\s+", " ", match[0].lower())]
        # "CLIP" is a term, and "clip" isn't.
        if term not in left or (term.term.isupper() and not match[0].isupper()):
            return match[0]
        left.remove(term)
        head = term.term[0].upper() + term.term[1:] + ":"
        return POPOVER.format(slug=term.slug, word=match[0], term=head, text=term.text, url=url)

    pieces = []
    for piece in TAG.split(content):
        if piece.startswith("<"):
            name = re.match(r"</?([\w-]*)", piece)[1]
            if name in VOID or piece.endswith("/>") or piece.startswith("<!"):
                pass
            elif aside:
                aside += -1 if piece.startswith("</") else 1
            elif piece.startswith("</"):
                if closed and closed[-1] == name:
                    closed.pop()
            elif ASIDE.search(piece):
                aside = 1
            elif name in CLOSED:
                closed.append(name)
        elif not closed and not aside:
            piece = pattern.sub(button, piece)
        pieces.append(piece)
    return "".join(pieces)


@event_priority(-50)  # after the formulas, before what is not searched is marked
def on_page_content(content, page, config, files):
    """Open the terms of a chapter, and give those of the glossary their anchors."""
    path = Path(config.docs_dir) / PAGE
    terms = read(path.read_text("utf-8"))
    if page.file.src_uri == PAGE:
        for term in terms:
            content = re.sub(
                rf"<dt>{re.escape(term.term)}(?: \([^)]*\))?</dt>",
                f'<dt id="{term.slug}">{term.term}</dt>',
                content,
            )
        return content
    if not page.file.src_uri.endswith(".py"):
        return content
    return opened(content, terms, get_relative_url("learn/glossary/", page.url))
