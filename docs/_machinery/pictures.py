"""Pictures as WebP: the two forms of a figure, and how small they get."""

import io

from PIL import Image

# A figure for light paper, and one for dark paper.
LIGHT, DARK = "image/webp", "image/vnd.imagegen.dark+webp"
# Up to here a picture is stored without loss. What is larger holds photographs, and a little loss
# doesn't show in their grain.
LOSSLESS_BYTES = 40_000


def encoded(image: Image.Image) -> bytes:
    """A picture as WebP: without loss where that is small, else with as little as nobody sees."""
    file = io.BytesIO()
    image.save(file, format="webp", lossless=True, quality=20, method=2)
    if file.tell() > LOSSLESS_BYTES:
        lossy = io.BytesIO()
        image.save(lossy, format="webp", quality=88, method=4)
        file = min(file, lossy, key=io.BytesIO.tell)
    return file.getvalue()
