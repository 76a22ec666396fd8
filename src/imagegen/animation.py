"""Pictures that move: animations in files, and in the cells of a notebook."""

import base64
import html
import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from imagegen._checks import check_integer, check_number
from imagegen._contracts import checked
from imagegen._files import whole_file
from imagegen.images import as_pictures, check_sides
from imagegen.typing import Array

import numpy as np
from PIL import Image

# The unit of time in milliseconds, and how many of it a frame can last at most.
_TIMES = {"gif": (10, 2**16 - 1), "webp": (1, 2**24 - 1)}


@checked
def save_animation(
    frames: Array,
    path: str | os.PathLike[str],
    *,
    frames_per_second: float = 10,
    loop: bool = True,
    there_and_back: bool = False,
    scale: int = 1,
) -> None:
    """Saves an animation as GIF, WebP or MP4, whichever the path's suffix says.

    The file appears whole or not at all. GIF has 256 colours a frame and times in hundredths of a
    second: at 30 frames a second, they last 3, 3 and 4 of them in turn. WebP is smaller and has all
    colours. MP4 needs ffmpeg, wants an even width and height, which the last column and row are
    doubled for, and leaves looping to the player.

    Args:
        frames: uint8 or floats from 0 to 1, of shape `(frames, height, width)`, with a last axis of
            1 or 3 channels or without.
        path: Where to save; ends in `.gif`, `.webp` or `.mp4`. Missing folders are made.
        frames_per_second: From 0.1 to 50.
        loop: Whether to start again at the end, for ever, or to play once.
        there_and_back: Whether to play the frames backwards after the last.
        scale: Pixels in the file for each pixel of a frame.

    Raises:
        ValueError: If the frames are wrongly shaped, out of range, or have NaN in them, or the
            suffix is another, or the format has no place for so wide a frame or so long a pause.
        RuntimeError: If there is no ffmpeg for an MP4, or it failed.

    Example:
        ```python
        import pathlib, tempfile
        import numpy as np
        import imagegen

        frames = np.linspace(0, 1, 8)[:, None, None] * np.ones((8, 16, 16))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "dawn.gif"
            imagegen.save_animation(frames, path, there_and_back=True, scale=4)
            assert path.exists()
        ```
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".webp", ".mp4"):
        raise ValueError(f"`path` must end in .gif, .webp or .mp4. Received: path={str(path)!r}")
    frames_per_second = _check_speed(frames_per_second)
    pictures = _sequence(frames, there_and_back)
    scale = check_integer(scale, "scale", minimum=1)
    check_sides(tuple(scale * side for side in pictures.shape[1:3]), suffix[1:])
    pictures = pictures.repeat(scale, axis=1).repeat(scale, axis=2)
    with whole_file(path) as partial:
        if suffix == ".mp4":
            _write_mp4(partial, pictures, frames_per_second)
        else:
            _write_pillow(partial, suffix[1:], pictures, frames_per_second, loop)


class Animation:
    """An animation that a notebook plays in place, as the value of a cell.

    It is an animated WebP inside the page: no file, no script, nothing loaded from elsewhere.
    `save_animation` writes files.

    Args:
        frames: uint8 or floats from 0 to 1, of shape `(frames, height, width)`, with a last axis of
            1 or 3 channels or without.
        alt: What is seen, in words, for those who do not see it.
        frames_per_second: From 0.1 to 50.
        loop: Whether to start again at the end, for ever, or to play once.
        there_and_back: Whether to play the frames backwards after the last.
        scale: Pixels on the screen for each pixel of a frame, drawn as sharp squares.

    Raises:
        ValueError: If the frames are wrongly shaped, out of range, or have NaN in them.

    Example:
        ```python
        import numpy as np
        import imagegen

        frames = np.linspace(0, 1, 8)[:, None, None] * np.ones((8, 16, 16))
        imagegen.Animation(frames, alt="A square that turns from black to white", scale=4)
        ```
    """

    @checked
    def __init__(
        self,
        frames: Array,
        *,
        alt: str = "",
        frames_per_second: float = 10,
        loop: bool = True,
        there_and_back: bool = False,
        scale: int = 1,
    ):
        self.frames: np.ndarray = _sequence(frames, there_and_back)
        check_sides(self.frames.shape[1:3], "webp")
        self.alt: str = alt or f"An animation of {len(self.frames)} frames"
        self.frames_per_second: float = _check_speed(frames_per_second)
        self.loop = loop
        self.scale: int = check_integer(scale, "scale", minimum=1)

    def __repr__(self) -> str:
        num_frames, height, width, _ = self.frames.shape
        return f"<Animation: {num_frames} frames of {width} x {height} pixels>"

    def _repr_html_(self) -> str:
        file = io.BytesIO()
        _write_pillow(file, "webp", self.frames, self.frames_per_second, self.loop)
        data = base64.b64encode(file.getvalue()).decode("ascii")
        _, height, width, _ = self.frames.shape
        return (
            f'<img alt="{html.escape(self.alt)}" src="data:image/webp;base64,{data}" '
            f'width="{width * self.scale}" height="{height * self.scale}" '
            'style="image-rendering: pixelated; max-width: 100%; height: auto">'
        )


def _check_speed(frames_per_second: float) -> float:
    # Browsers slow down a GIF whose frames last less than 20 ms.
    return check_number(frames_per_second, "frames_per_second", minimum=0.1, maximum=50)


def _sequence(frames: Array, there_and_back: bool) -> np.ndarray:
    pictures = as_pictures(frames, "frames")
    return np.concatenate([pictures, pictures[-2:0:-1]]) if there_and_back else pictures


def _write_pillow(
    file: Path | io.BytesIO,
    file_format: str,
    pictures: np.ndarray,
    frames_per_second: float,
    loop: bool,
) -> None:
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    options: dict[str, Any] = {"quality": 90} if file_format == "webp" else {}
    # WebP counts how often it plays. GIF counts its repetitions, and a GIF without that count
    # plays once. For both, 0 is for ever.
    if loop:
        options["loop"] = 0
    elif file_format == "webp":
        options["loop"] = 1
    first.save(
        file,
        format=file_format,
        save_all=True,
        append_images=rest,
        duration=_durations(pictures, file_format, frames_per_second),
        **options,
    )


def _durations(pictures: np.ndarray, file_format: str, frames_per_second: float) -> list[int]:
    """How many milliseconds each frame lasts. The speed is right on the whole, whatever the unit.

    Raises:
        ValueError: If the same picture lasts longer than the format can say.
    """
    unit, longest = _TIMES[file_format]
    ends = np.arange(1, len(pictures) + 1) * 1000 / frames_per_second
    ticks = np.diff(np.rint(ends / unit), prepend=0)
    # Pillow writes equal neighbours as one frame.
    changes = [0] + [i for i in range(1, len(pictures)) if (pictures[i] != pictures[i - 1]).any()]
    if (still := np.add.reduceat(ticks, changes).max()) > longest:
        raise ValueError(
            f"`frames` must change at least every {longest * unit / 1000:g} s in a "
            f"{file_format.upper()}, or `frames_per_second` must be higher. "
            f"Received: the same picture for {still * unit / 1000:g} s"
        )
    return [int(tick) * unit for tick in ticks]


def _write_mp4(path: Path, pictures: np.ndarray, frames_per_second: float) -> None:
    # Players decode H.264 in 4:2:0 only: one colour for each 2 x 2 pixels, hence even sides.
    odd = [(0, side % 2) for side in pictures.shape[1:3]]
    pictures = np.pad(pictures, ((0, 0), *odd, (0, 0)), mode="edge")
    _, height, width, _ = pictures.shape
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {frames_per_second} -i -"
    encoded = "-c:v libx264 -crf 18 -pix_fmt yuv420p -movflags +faststart -f mp4 -y"
    command = [_ffmpeg(), "-loglevel", "error", *raw.split(), *encoded.split(), str(path)]
    result = subprocess.run(command, input=pictures.tobytes(), capture_output=True, check=False)
    if result.returncode:
        raise RuntimeError(f"ffmpeg failed: {result.stderr.decode(errors='replace').strip()}")


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg
    except ImportError:
        path = shutil.which("ffmpeg")
    else:
        path = imageio_ffmpeg.get_ffmpeg_exe()
    if path is None:
        raise RuntimeError(
            "An MP4 needs ffmpeg, and there is none. `pip install imageio-ffmpeg` brings one. "
            "GIF and WebP need nothing."
        )
    return path
