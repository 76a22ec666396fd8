"""A MkDocs hook: TeX formulas become MathML while the site is built.

Browsers draw MathML by themselves, so a page needs no script and nothing from another host. A
formula with a mistake in it stops the build. What MathML needs for good looks is a font with a
table of mathematical measures: STIX Two Math, taken from the wheel of `ziamath`, of which the site
carries what its formulas use, a twentieth.
"""

import html
import re
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from fontTools import subset
from math_core import LatexToMathML

# With the mark that follows it, which must not begin the next line.
FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>([,.;:?)]*)', re.DOTALL)

# A browser draws a letter that stands alone as the italic one of the mathematical alphabets, and a
# root, which MathML writes as an element, with the root's sign.
ALPHABETS = "√" + "".join(
    map(chr, [*range(0x20, 0x7F), *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C), 0x210E])
)

converter = LatexToMathML(fancy_error=False)


used: set[str] = set()


def math_font(characters: str) -> bytes:
    """The glyphs of STIX Two Math for some characters, their larger forms included, as WOFF2."""
    source = distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "math.woff2"
        options = [f"--text={characters}", "--flavor=woff2", f"--output-file={target}"]
        subset.main([str(source), *options])
        return target.read_bytes()


def on_post_build(config):
    """Add the font to the site, once all formulas are known."""
    target = Path(config.site_dir) / "stylesheets" / "math.woff2"
    target.write_bytes(math_font("".join(sorted(used.union(ALPHABETS)))))


def on_page_content(content, page, config, files):
    """Replace what arithmatex marked as a formula by its MathML."""

    def convert(match: re.Match[str]) -> str:
        formula = converter.convert_with_local_state(
            html.unescape(match[2]), displaystyle=match[1] == "div"
        )
        used.update(html.unescape(re.sub("<.*?>", "", formula)))
        return f'<{match[1]} class="formula">{formula}{match[3]}</{match[1]}>'

    return FORMULA.sub(convert, content)
