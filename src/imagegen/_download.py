"""Fetch a file once: verified, atomic, resumable; and say which file it is that can't be read."""

import glob
import hashlib
import os
import queue
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from imagegen._files import ORPHAN_SECONDS

from tqdm import tqdm

CONNECT_SECONDS = 5.0
_CHUNK_BYTES = 1 << 18
_ATTEMPTS = 3
# The longest file that is read, of servers that don't say how long it is, too.
LARGEST_BYTES = 4 << 30
# A server that sends less than this in so many seconds has broken off.
SLOWEST_SECONDS, SLOWEST_BYTES = 30.0, 30 << 10
# After how many seconds a server is asked again that is too busy, and for how long at most.
_BUSY_SECONDS, _LONGEST_BUSY_SECONDS = 1.0, 10.0


class DownloadError(OSError):
    """A file could not be had from the network; the message says which, and what to do."""


def printable(text: object) -> str:
    """Returns what a server said, with whatever would steer a terminal escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text)
    )


def file_sha256(path: str | Path) -> str:
    """Returns the SHA-256 digest of a file, in hexadecimal."""
    return _digest(Path(path), "sha256")


def fetch(url: str, path: str | Path, *, sha256: str | None = None, md5: str | None = None) -> Path:
    """Returns `path`, downloaded from `url` unless the right file is there already.

    Where the environment variable `IMAGEGEN_OFFLINE` is set, nothing is downloaded.

    The bytes take their final name only when the checksum is right: under that name there is never
    half a file. What came of a download that broke off stays in `<path>.part`, for a later call to
    go on from, and what killed programs left is taken up too. Calls at the same time, of several
    processes too, do not disturb each other.

    A server that is too busy is asked once more. What is longer than `LARGEST_BYTES` is refused,
    and a server that sends nearly nothing counts as one that broke off.

    Args:
        url: Where the file is.
        path: Where it goes. Folders are created.
        sha256: The file's published SHA-256 digest, in hexadecimal.
        md5: Its MD5 digest, for publishers who give no better one. Give exactly one of the two.

    Raises:
        DownloadError: If the network, the server or the checksum fails.
    """
    if (sha256 is None) == (md5 is None):
        raise ValueError(
            f"Exactly one of `sha256` and `md5` must be given. Received: {sha256=}, {md5=}"
        )
    algorithm, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    path = Path(path)
    left = path.with_name(path.name + ".part")
    if path.is_file() and _digest(path, algorithm) == expected:
        _remove_orphans(left)
        return path
    if os.environ.get("IMAGEGEN_OFFLINE"):
        raise DownloadError(f"{url} is not downloaded, because IMAGEGEN_OFFLINE is set")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _taken(left) as part:
            for _ in range(_ATTEMPTS):
                if not _receive(url, part):
                    continue
                if _digest(part, algorithm) == expected:
                    os.replace(part, path)
                    return path
                # A resumed file may mix two versions: the next attempt starts from nothing.
                part.unlink()
    except (OSError, HTTPException) as error:
        reason = printable(getattr(error, "reason", None) or error)
        raise DownloadError(f"{url} could not be downloaded to {path}: {reason}") from error
    if left.exists():
        raise DownloadError(
            f"{url} broke off {_ATTEMPTS} times: run again to resume, for {left} keeps what came"
        )
    raise DownloadError(
        f"{url} doesn't have the expected {algorithm} checksum {expected}: the file there has "
        "changed, or something on the way changes it"
    )


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turns any failure to read `path` into an error that names it.

    Which errors a parser raises for a damaged file is its own affair: a thousand damaged NumPy
    archives raised eight kinds, the Python tokenizer's among them.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} must be {what}. It can't be read, so delete it or get it anew: {error}"
        ) from error


@contextmanager
def _taken(left: Path) -> Iterator[Path]:
    """Renames what an earlier call left, if it did, to a name of this call's own; and back at last.

    Of two calls at the same time only one succeeds in that, and the other starts from nothing: if
    both wrote into one file, one would give it its final name while the other still writes.
    """
    part = left.with_name(f"{left.name}-{secrets.token_hex(4)}")
    _take_orphans(left)
    with suppress(FileNotFoundError):
        left.rename(part)
    try:
        yield part
    finally:
        with suppress(FileNotFoundError):
            part.replace(left)


def _take_orphans(left: Path) -> None:
    """Gives the longest part that a killed program left its place back, and removes the others.

    What another call is writing to is younger than that, and stays.
    """
    for path in _orphans(left):
        with suppress(FileNotFoundError):
            if left.exists():
                path.unlink()
            else:
                path.rename(left)


def _remove_orphans(left: Path) -> None:
    """Removes what killed programs left of a file that is there."""
    for path in _orphans(left):
        with suppress(OSError):
            path.unlink()


def _orphans(left: Path) -> list[Path]:
    """The parts that nobody is writing to, the longest first."""
    found = []
    for path in left.parent.glob(f"{glob.escape(left.name)}-*"):
        with suppress(FileNotFoundError):
            about = path.stat()
            if time.time() - about.st_mtime > ORPHAN_SECONDS:
                found.append((about.st_size, path))
    return [path for _, path in sorted(found, reverse=True)]


def _receive(url: str, part: Path) -> bool:
    """Appends to `part` what the server has beyond it; true when that is all of the file."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "imagegen"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = _open_patiently(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # Nothing beyond: the checksum tells whether it is right.
            return True
        raise
    with response:
        resumed = response.status == 206 and (
            response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        )
        start = start if resumed else 0
        total = None if response.length is None else start + response.length
        _check_length(total or 0)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=part.stem, total=total, initial=start, unit="B", unit_scale=True,
                delay=1, leave=False,
            ) as progress,
        ):  # fmt: skip
            length, since, came = start, time.monotonic(), 0
            while True:
                try:
                    chunk = response.read1(_CHUNK_BYTES)
                except (OSError, HTTPException):
                    return False  # Stalled or lost: what has come is kept, to go on from.
                if not chunk:
                    break
                file.write(chunk)
                progress.update(len(chunk))
                length, came = length + len(chunk), came + len(chunk)
                _check_length(length)
                if time.monotonic() - since > SLOWEST_SECONDS:
                    if came < SLOWEST_BYTES:
                        return False
                    since, came = time.monotonic(), 0
    return total is None or part.stat().st_size >= total


def _check_length(length: int) -> None:
    if length > LARGEST_BYTES:
        raise OSError(f"it is longer than {LARGEST_BYTES} bytes")


def _open_patiently(request: urllib.request.Request) -> HTTPResponse:
    """Opens `request`, once more where the server is too busy."""
    try:
        return _open(request)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        asked = error.headers.get("Retry-After") or ""
        error.close()
        seconds = float(asked) if asked.isascii() and asked.isdigit() else _BUSY_SECONDS
        time.sleep(min(seconds, _LONGEST_BUSY_SECONDS))
    return _open(request)


def _open(request: urllib.request.Request) -> HTTPResponse:
    """Opens `request`, or gives up after `CONNECT_SECONDS`.

    The socket's own limit counts anew for each address of a host, and not at all while its name is
    looked up, which can take a minute where there is no network: so a thread waits, not the caller.
    """
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=CONNECT_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
