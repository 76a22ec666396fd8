"""How figures leave a chapter: twice, for light paper and for dark, as WebP with clear paper.

Each comes with its size on the page, and with how narrow it may become before nobody can read its
letters.

Runs in the kernel of a chapter. Photographs and colour maps keep their colours in both. What is
black, white or grey changes sides for dark paper: axes, letters, lines, and fillings. What is drawn
on a picture stays as it is, since it fits the picture.
"""

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib import colors, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictures import DARK, LIGHT, encoded
from PIL import Image

STYLE = Path(__file__).with_suffix(".mplstyle")
# The paper and the ink of Material's dark palette.
DARK_PAPER, DARK_INK = 0.13, 0.87
# Pixels of the file for each pixel of the page: many screens have so many.
DENSITY = 2
# Letters stay at least so high, in pixels of the page, when a figure is shown smaller than drawn.
LETTERS = 9


def install() -> None:
    """Gives every figure of this kernel the two forms."""
    import matplotlib.pyplot as plt
    from IPython import get_ipython
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats()  # None: the figures' only form is the one below.
    plt.style.use(STYLE)
    formatter = get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type(Figure, both_forms)


def both_forms(figure: Figure, include=None, exclude=None) -> tuple[dict, dict]:
    """The light and the dark form of a figure, in base64, and what the page knows of both."""
    light = drawn(figure)
    kept = [(artist, name, value) for artist, name, value, _ in greys(figure)]
    for artist, name, _, dark in [*greys(figure)]:
        getattr(artist, f"set_{name}")(dark)
    with rc_context({"text.color": str(DARK_INK)}):
        night = drawn(figure)
    for artist, name, value in kept:
        getattr(artist, f"set_{name}")(value)
    size = {"width": light.width // DENSITY, "height": light.height // DENSITY}
    forms = {LIGHT: light} if same(light, night) else {LIGHT: light, DARK: night}
    data = {kind: base64.b64encode(encoded(image)).decode() for kind, image in forms.items()}
    return data, {LIGHT: size | {"narrowest": narrowest(figure, size["width"])}}


def narrowest(figure: Figure, width: int) -> int:
    """How narrow a figure may be shown, in pixels, so that its smallest letters can be read."""
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    points = min((text.get_fontsize() for text in texts), default=math.inf)
    return math.ceil(width * min(1, LETTERS / (points * figure.dpi / 72)))


def same(light: Image.Image, dark: Image.Image) -> bool:
    return light.size == dark.size and light.tobytes() == dark.tobytes()


def drawn(figure: Figure) -> Image.Image:
    """A figure's pixels, on clear paper, and uncropped, so that it has the size it was given."""
    file = io.BytesIO()
    figure.savefig(file, format="raw", dpi=figure.dpi * DENSITY, facecolor="none")
    width, height = (round(side * DENSITY) for side in figure.get_size_inches() * figure.dpi)
    pixels = np.frombuffer(file.getvalue(), "uint8").reshape(height, width, 4)
    return Image.fromarray(pixels)


def greys(figure: Figure) -> Iterator[tuple[Artist, str, object, object]]:
    """Every grey in a figure: whose it is, of what, as it is, and as it is on dark paper."""
    for artist in figure.findobj():
        if lies_on_picture(artist):
            continue
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            get = getattr(artist, f"get_{name}", None)
            if get is None or not hasattr(artist, f"set_{name}"):
                continue
            if name == "color" and hasattr(artist, "get_facecolor"):
                continue  # Of a patch it is both of the others.
            value = get()
            try:
                rgba = np.atleast_2d(colors.to_rgba_array(value))
            except (TypeError, ValueError):
                continue
            dark = turned(rgba)
            if len(rgba) and not np.array_equal(rgba, dark):
                yield artist, name, value, dark if np.ndim(value) == 2 else tuple(dark[0])


def lies_on_picture(artist: Artist) -> bool:
    """Whether an artist is drawn on a picture, and neither beside one nor in its frame."""
    axes = artist.axes
    if not isinstance(axes, Axes) or not axes.images:
        return False
    frame = (axes.xaxis, axes.yaxis, *axes.spines.values())
    if any(artist is part for whole in frame for part in whole.findobj()):
        return False
    center = np.mean(artist.get_window_extent().get_points(), axis=0)
    return any(image.get_window_extent().contains(*center) for image in axes.images)


def turned(rgba: np.ndarray) -> np.ndarray:
    """Colours for dark paper: black becomes ink, white paper, and greys what lies between."""
    grey = (np.ptp(rgba[:, :3], axis=1) < 0.02) & (rgba[:, 3] > 0)
    level = DARK_INK + rgba[:, :1] * (DARK_PAPER - DARK_INK)
    return np.where(grey[:, None], np.hstack([level, level, level, rgba[:, 3:]]), rgba)
