"""A MkDocs hook: the page of references says of each paper where it is used.

The page lists the papers by hand. Where they are cited is found in the chapters, the pages and the
docstrings, and a test holds that each paper cited there is on the list, and each listed is cited.
"""

import ast
import re
from collections.abc import Iterator

import dependencies
from dependencies import ROOT

PAGE = "learn/references.md"
HOSTS = ("arxiv.org", "doi.org", "jmlr.org", "openreview.net", "proceedings.mlr.press")
URL = re.compile(rf"https://(?:{'|'.join(map(re.escape, HOSTS))})/[^\s)>\]\"]+")
# Of a chapter, whose Markdown is in comments, and of a page.
TITLES = {
    ".py": re.compile(r"^# # (.*)$", re.MULTILINE),
    ".md": re.compile(r"^# (.*)$", re.MULTILINE),
}


def cited() -> dict[str, list[str]]:
    """The address of each cited paper, and links to where it is cited."""
    found: dict[str, list[str]] = {}
    for where, text in [*pages(), *docstrings()]:
        for url in URL.findall(text):
            if where not in found.setdefault(url, []):
                found[url].append(where)
    return found


def pages() -> Iterator[tuple[str, str]]:
    """Links to all pages but the list itself, as seen from it, and their texts."""
    docs = ROOT / "docs"
    for path in sorted([*docs.glob("learn/*.py"), *docs.glob("**/*.md")]):
        name = path.relative_to(docs).as_posix()
        if name != PAGE and "_machinery" not in path.parts:
            text = path.read_text("utf-8")
            link = path.name if name.startswith("learn/") else f"../{name}"
            title = TITLES[path.suffix].search(text)
            yield f"[{title[1] if title else path.stem}]({link})", text


def docstrings() -> Iterator[tuple[str, str]]:
    """Links to what is public, and the docstrings; of what isn't, the name of the module."""
    package = dependencies.package()
    public = public_names()
    for module, path in package.files.items():
        for name, node in documented(ast.parse(path.read_text("utf-8"))):
            # A method stands under its class, on the class's page.
            owner, _, method = name.partition(".")
            shown = public.get((module, owner))
            link = f"[{name}][{shown}{'.' + method if method else ''}]" if shown else f"`{module}`"
            yield link, ast.get_docstring(node) or ""


def documented(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Everything in a module that can have a docstring, by its name there."""
    yield "", tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def public_names() -> dict[tuple[str, str], str]:
    """The name under which the reference has a class or function, by its module and name there."""
    found = {}
    for path in (ROOT / "docs" / "api").glob("*.md"):
        for name in re.findall(r"^::: ([\w.]+)", path.read_text("utf-8"), re.MULTILINE):
            origin = origin_of(name)
            found[origin.rpartition(".")[0], origin.rpartition(".")[2]] = name
    return found


def origin_of(name: str) -> str:
    """Where what a public name means is defined."""
    package = dependencies.package()
    module, _, short = name.rpartition(".")
    path = package.files.get(module)
    if path is None:
        return name
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == short:
                    return f"{node.module}.{alias.name}"
    return name


def on_page_markdown(markdown, page, config, files):
    """Say of each paper on the list where it is used."""
    if page.file.src_uri != PAGE:
        return None
    places = cited()

    def entry(match: re.Match[str]) -> str:
        urls = URL.findall(match[0])
        used = dict.fromkeys(link for url in urls for link in places.get(url, []))
        return f"{match[0]} *Used in* {', '.join(used)}." if used else match[0]

    return re.sub(r"^- .*(?:\n  .*)*", entry, markdown, flags=re.MULTILINE)
