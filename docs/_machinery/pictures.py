"""Pictures as WebP: the two forms of a figure, and how small they get."""

import io

from PIL import Image

# A figure for light paper, and one for dark paper.
LIGHT, DARK = "image/webp", "image/vnd.imagegen.dark+webp"
# Up to here, at the least effort, a picture is stored without loss. What is larger holds
# photographs, and a little loss doesn't show in their grain.
LOSSLESS_BYTES = 60_000


def encoded(image: Image.Image) -> bytes:
    """A picture as WebP: without loss where that is small, else with as little as nobody sees."""
    # More effort makes the site a tenth smaller, and takes twice as long.
    lossless = webp(image, lossless=True, quality=0, method=0)
    if len(lossless) < LOSSLESS_BYTES:
        return webp(image, lossless=True, quality=20, method=2)
    return min(lossless, webp(image, quality=85, method=3), key=len)


def webp(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format="webp", **options)
    return file.getvalue()
