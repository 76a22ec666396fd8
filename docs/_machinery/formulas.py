"""A MkDocs hook: TeX formulas become MathML while the site is built.

Browsers draw MathML by themselves, so a page needs no script and nothing from another host. A
formula with a mistake in it stops the build. What MathML needs for good looks is a font with a
table of mathematical measures: STIX Two Math, taken from the wheel of `ziamath`.
"""

import html
import re
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from fontTools import subset
from math_core import LatexToMathML
from mkdocs.structure.files import File

FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)

# Letters, Greek, accents, arrows, operators, brackets, and the italic and script alphabets: what
# formulas are written with is an eighth of the font.
CHARACTERS = (
    "20-7E,A0-FF,2C6-2DD,300-338,370-3FF,2010-2063,2070-209F,2102-2138,2190-21FF,2200-22FF,"
    "2308-230B,23DC-23E1,27E8-27EB,2A00-2AFF,1D400-1D7FF"
)

converter = LatexToMathML(fancy_error=False)


def math_font() -> bytes:
    """The characters of STIX Two Math that formulas use, as WOFF2."""
    source = distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "math.woff2"
        options = [f"--unicodes={CHARACTERS}", "--flavor=woff2", f"--output-file={target}"]
        subset.main([str(source), *options])
        return target.read_bytes()


def on_files(files, config):
    """Add the font to the site."""
    files.append(File.generated(config, "stylesheets/math.woff2", content=math_font()))


def on_page_content(content, page, config, files):
    """Replace what arithmatex marked as a formula by its MathML."""

    def convert(match: re.Match[str]) -> str:
        formula = converter.convert_with_local_state(
            html.unescape(match[2]), displaystyle=match[1] == "div"
        )
        return f'<{match[1]} class="formula">{formula}</{match[1]}>'

    return FORMULA.sub(convert, content)
