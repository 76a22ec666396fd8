"""A MkDocs hook: the package's names lead from a page's code to the reference."""

import re

from mkdocs.plugins import event_priority

NAME = re.compile(
    r'(?P<before><span class="n">imagegen</span><span class="o">\.</span>)'
    r'<span class="n">(?P<name>\w+)</span>'
    r'(?:(?P<dot><span class="o">\.</span>)<span class="n">(?P<member>\w+)</span>)?'
)
LINK = '<autoref identifier="{}" optional>{}</autoref>'


@event_priority(-60)  # after the glossary, which would look for terms in what is linked
def on_page_content(content, page, config, files):
    """Link each name where it first stands, if the reference has it."""
    if page.file.src_uri.startswith("api/"):
        return None  # There, every signature links to itself.
    return linked(content)


def linked(content: str) -> str:
    """A page's HTML with links from the first `imagegen.slerp`, and `imagegen.datasets.digits`."""
    seen = set()

    def link(match: re.Match[str]) -> str:
        name, dot, member = match["name"], match["dot"] or "", match["member"] or ""
        first = f'<span class="n">{name}</span>'
        second = f'<span class="n">{member}</span>' if member else ""
        of_module = member and not name[0].isupper()
        whole = f"imagegen.{name}.{member}" if of_module else f"imagegen.{name}"
        if whole in seen:
            return match[0]
        seen.add(whole)
        if of_module:
            second = LINK.format(whole, second)
        else:
            first = LINK.format(whole, first)
        return f"{match['before']}{first}{dot}{second}"

    return NAME.sub(link, content)
