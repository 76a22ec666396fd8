import base64
import io
import os
import re
import subprocess
import sys

from imagegen.animation import Animation, save_animation

import numpy as np
import pytest
from PIL import Image, ImageSequence


def colours(num_frames, height=4, width=6):
    """Returns frames of one colour each, told apart even after lossy compression."""
    values = np.linspace(0, 255, num_frames).astype("uint8")
    frames = np.zeros((num_frames, height, width, 3), "uint8")
    frames[..., 0], frames[..., 1] = values[:, None, None], 255 - values[:, None, None]
    return frames


def read(file):
    """Returns the frames of a GIF or WebP, their durations in ms, and how often it plays."""
    with Image.open(file) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(frame.info["duration"])
        return np.array(frames), durations, image.info.get("loop")


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("there_and_back", [True, False])
def test_saved_animation_reads_back(suffix, loop, there_and_back, tmp_path):
    path = tmp_path / "new" / f"a.{suffix}"
    frames = colours(5)
    save_animation(
        frames, path, frames_per_second=20, loop=loop, there_and_back=there_and_back, scale=3
    )
    read_frames, durations, plays = read(path)
    if there_and_back:
        frames = frames[[0, 1, 2, 3, 4, 3, 2, 1]]
    expected = frames.repeat(3, axis=1).repeat(3, axis=2)
    assert read_frames.shape == expected.shape
    assert np.abs(read_frames.astype(int) - expected).max() <= 8
    assert durations == [50] * len(frames)
    assert plays == (0 if loop else {"gif": None, "webp": 1}[suffix])


def encoder():
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no encoder for MP4 is installed")
    return imageio_ffmpeg.get_ffmpeg_exe()


@pytest.mark.parametrize("size", [(16, 24), (15, 23)])
def test_mp4_reads_back_at_an_even_size(size, tmp_path):
    ffmpeg = encoder()
    path = tmp_path / "a.mp4"
    frames = colours(7, *size)
    save_animation(frames, path, frames_per_second=12.5)
    decode = [ffmpeg, "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(decode, capture_output=True, check=True)
    read_frames = np.frombuffer(result.stdout, "uint8").reshape(7, 16, 24, 3)
    even = np.pad(frames, ((0, 0), (0, 16 - size[0]), (0, 24 - size[1]), (0, 0)), mode="edge")
    assert np.abs(read_frames.astype(int) - even).max() <= 16
    assert b"12.50 fps" in result.stderr
    # 7 frames at 12.5 a second.
    assert b"Duration: 00:00:00.56" in result.stderr


def test_mp4_without_encoder_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install imageio-ffmpeg"):
        save_animation(colours(2), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_mp4_of_a_failing_encoder_tells_its_words_and_leaves_nothing(monkeypatch, tmp_path):
    programs, target = tmp_path / "programs", tmp_path / "target"
    programs.mkdir()
    ffmpeg = programs / "ffmpeg"
    # It writes half a file before it fails.
    ffmpeg.write_text('#!/bin/sh\nfor path; do :; done\necho half > "$path"\necho oh >&2\nexit 1\n')
    ffmpeg.chmod(0o755)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(RuntimeError, match="ffmpeg failed: oh"):
        save_animation(colours(2), target / "a.mp4")
    assert not list(target.iterdir())


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_failure_leaves_the_old_file_whole_and_no_other(suffix, monkeypatch, tmp_path):
    path = tmp_path / f"a.{suffix}"
    save_animation(colours(3), path)
    before = path.read_bytes()

    def fail(self, file, **options):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_animation(colours(5), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_animation_refuses_wrong_formats_and_speeds(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in .gif, .webp or .mp4. .*\.png'"):
        save_animation(colours(2), tmp_path / "a.png")
    for speed in (0, 51, np.nan):
        with pytest.raises(ValueError, match="`frames_per_second` must be a finite number"):
            save_animation(colours(2), tmp_path / "a.gif", frames_per_second=speed)
        with pytest.raises(ValueError, match="`frames_per_second` must be a finite number"):
            Animation(colours(2), frames_per_second=speed)
    with pytest.raises(ValueError, match="`scale` must be an integer, at least 1"):
        save_animation(colours(2), tmp_path / "a.gif", scale=0)


def test_notebook_shows_the_animation_inside_the_page():
    frames = colours(5)
    animation = Animation(frames, alt='"A" < B', there_and_back=True, scale=4, loop=False)
    page = animation._repr_html_()
    assert 'alt="&quot;A&quot; &lt; B"' in page
    assert 'width="24" height="16"' in page
    data = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", page)[1])
    read_frames, durations, plays = read(io.BytesIO(data))
    assert np.abs(read_frames.astype(int) - frames[[0, 1, 2, 3, 4, 3, 2, 1]]).max() <= 8
    assert durations == [100] * 8
    assert plays == 1
    assert "8 frames of 6 x 4 pixels" in repr(animation)
    assert 'alt="An animation of 5 frames"' in Animation(frames)._repr_html_()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("frames_per_second", [0.5, 12, 24, 30, 45, 50])
def test_the_speed_is_right_on_the_whole(suffix, frames_per_second, tmp_path):
    """A GIF counts hundredths of a second, of which a thirtieth is no multiple."""
    frames = np.arange(60, dtype="uint8")[:, None, None] * np.ones((60, 4, 4), "uint8")
    save_animation(frames, tmp_path / f"a{suffix}", frames_per_second=frames_per_second)
    _, durations, _ = read(tmp_path / f"a{suffix}")
    unit = 10 if suffix == ".gif" else 1
    assert sum(durations) == pytest.approx(60_000 / frames_per_second, abs=unit)
    assert max(durations) - min(durations) <= unit


def test_a_long_pause_is_kept_or_refused(tmp_path):
    still = np.zeros((70, 4, 4), "uint8")
    save_animation(still, tmp_path / "still.webp", frames_per_second=0.1)
    with pytest.raises(ValueError, match=r"655.35 s in a GIF.*Received: the same picture for 700"):
        save_animation(still, tmp_path / "still.gif", frames_per_second=0.1)
    still[35] = 1
    save_animation(still, tmp_path / "still.gif", frames_per_second=0.1)
    with Image.open(tmp_path / "still.gif") as image:
        assert image.n_frames == 3


@pytest.mark.parametrize(("suffix", "longest"), [(".gif", 65_535), (".webp", 16_383)])
def test_frames_fill_the_format_and_no_more(suffix, longest, tmp_path):
    frames = np.zeros((2, 1, longest), "uint8")
    frames[1] = 255
    save_animation(frames, tmp_path / f"wide{suffix}")
    with Image.open(tmp_path / f"wide{suffix}") as image:
        assert image.size == (longest, 1)
    with pytest.raises(ValueError, match=r"at most .* pixels high and wide. Received: 1 x"):
        save_animation(np.pad(frames, ((0, 0), (0, 0), (0, 1))), tmp_path / f"x{suffix}")
    assert not (tmp_path / f"x{suffix}").exists()
