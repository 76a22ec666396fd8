"""Laws of the download: the right bytes under the final name or none, and none fetched twice."""

import errno
import hashlib
import http.server
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from imagegen import _download
from imagegen._cache import cache_folder
from imagegen._download import DownloadError, fetch, file_sha256

import pytest

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`, at most `limit` bytes an answer, and notes each request's range.

    An answer begins after `delay` seconds, and is hung up `stall` seconds after its last byte. With
    a barrier `together`, the second half of an answer waits there for other answers.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.limit, self.status, self.delay = CONTENT, None, None, 0.0
        self.resumable = True
        # How many answers say that the server is busy, what others say, and bytes without an end.
        self.busy, self.reason, self.trickle = 0, None, None
        self.done = threading.Event()
        self.stall = 0.0
        self.together = None
        self.ranges = []

    def handle_error(self, request, client_address):
        """Says nothing about clients that hung up."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(self.server.delay)
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        start = start if self.server.resumable else 0
        total = len(self.server.content)
        if self.server.busy:
            self.server.busy -= 1
            self.send_response(503)
            self.send_header("Retry-After", "0")
            self.end_headers()
            return
        if self.server.status or (start and start >= total):
            self.send_error(self.server.status or 416, self.server.reason)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.server.trickle is None:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        while self.server.trickle is not None and not self.server.done.is_set():
            try:
                self.wfile.write(self.server.trickle)
            except OSError:
                return
            self.server.done.wait(0.02)
        answer = self.server.content[start:][: self.server.limit]
        self.wfile.write(answer[: len(answer) // 2])
        if self.server.together:
            self.server.together.wait(timeout=5)
        self.wfile.write(answer[len(answer) // 2 :])
        time.sleep(self.server.stall)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("checksum", [{"sha256": SHA256}, {"md5": MD5}])
def test_a_file_is_fetched_once(server, tmp_path, checksum):
    path = tmp_path / "some" / "folder" / "file.bin"
    for _ in range(2):
        assert fetch(server.url, path, **checksum) == path
        assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_download_resumes_where_it_broke_off(server, tmp_path):
    path = tmp_path / "file.bin"
    server.limit = len(CONTENT) // 2 - 7
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={server.limit}-", f"bytes={2 * server.limit}-"]


def test_a_stalled_download_resumes_where_it_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "CONNECT_SECONDS", 0.2)
    path = tmp_path / "file.bin"
    server.limit, server.stall = len(CONTENT) // 2 + 1, 0.5
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={server.limit}-"]


def test_a_full_disk_is_an_error_that_names_it(server, tmp_path, monkeypatch):
    class FullDisk(_download.tqdm):
        def update(self, n=1):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_download, "tqdm", FullDisk)
    with pytest.raises(DownloadError, match="No space left"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert server.ranges == [None]


def test_a_later_call_resumes_what_an_earlier_one_left(server, tmp_path):
    path = tmp_path / "file.bin"
    server.limit = 1000
    with pytest.raises(DownloadError, match="run again to resume"):
        fetch(server.url, path, sha256=SHA256)
    assert not path.exists()
    server.limit = None
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=3000-"


@pytest.mark.parametrize("left", [b"", CONTENT[:1000]])
def test_two_that_fetch_one_file_at_once_do_not_meet(server, tmp_path, left):
    path = tmp_path / "file.bin"
    if left:
        (tmp_path / "file.bin.part").write_bytes(left)
    server.together = threading.Barrier(2)
    with ThreadPoolExecutor() as pool:
        fetched = [pool.submit(fetch, server.url, path, sha256=SHA256) for _ in range(2)]
    assert [future.result() for future in fetched] == [path, path]
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]
    # Only one of them goes on from what an earlier call left.
    assert sorted(server.ranges, key=str) == [None, "bytes=1000-" if left else None]


def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path):
    path = tmp_path / "file.bin"
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.resumable = False
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("rest", [b"wrong", CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_wrong_or_complete_rest_ends_in_the_right_file(server, tmp_path, rest):
    path = tmp_path / "file.bin"
    (tmp_path / "file.bin.part").write_bytes(rest)
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT[:-1] + b"x"])
def test_a_damaged_file_is_replaced(server, tmp_path, damaged):
    path = tmp_path / "file.bin"
    path.write_bytes(damaged)
    fetch(server.url, path, sha256=SHA256)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    server.content = CONTENT + b"!"
    with pytest.raises(DownloadError, match=f"checksum {SHA256}"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses_is_an_error_with_its_address(server, tmp_path, status):
    server.status = status
    with pytest.raises(DownloadError, match=server.url):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "CONNECT_SECONDS", 0.1)
    server.delay = 0.5
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"no answer|timed out"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert time.monotonic() - start < 0.4


def test_a_name_server_that_is_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        fetch("http://data.invalid/file.bin", tmp_path / "file.bin", sha256=SHA256)
    assert time.monotonic() - start < 0.5


def test_no_network_is_given_up_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(f"http://127.0.0.1:{port}/file.bin", tmp_path / "file.bin", sha256=SHA256)


def test_offline_by_wish_asks_no_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEGEN_OFFLINE", "1")
    with pytest.raises(DownloadError, match="IMAGEGEN_OFFLINE"):
        fetch(server.url, tmp_path / "file", sha256=SHA256)
    assert not server.ranges
    (tmp_path / "file").write_bytes(CONTENT)
    assert fetch(server.url, tmp_path / "file", sha256=SHA256) == tmp_path / "file"


def test_a_folder_that_cannot_be_made_is_an_error(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(server.url, tmp_path / "file" / "file.bin", sha256=SHA256)
    assert server.ranges == []


@pytest.mark.parametrize("checksums", [{}, {"sha256": SHA256, "md5": MD5}])
def test_exactly_one_checksum_is_needed(tmp_path, checksums):
    with pytest.raises(ValueError, match=r"Exactly one .* Received: "):
        fetch("http://127.0.0.1/file.bin", tmp_path / "file.bin", **checksums)


def test_file_sha256_is_the_digest_of_the_bytes(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    assert file_sha256(path) == SHA256


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEGEN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("IMAGEGEN_CACHE", "")
    assert cache_folder().name == "imagegen"
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "imagegen"


def test_a_busy_server_is_asked_once_more(server, tmp_path):
    server.busy = 1
    fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert len(server.ranges) == 2
    (tmp_path / "file.bin").unlink()
    server.busy = 2
    with pytest.raises(DownloadError, match="Service Unavailable"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)


def test_a_file_without_an_end_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "LARGEST_BYTES", 10_000)
    server.trickle = bytes(4096)
    with pytest.raises(DownloadError, match="longer than 10000 bytes"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    server.trickle = None
    with pytest.raises(DownloadError, match="longer than 10000 bytes"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)


def test_a_server_that_sends_nearly_nothing_has_broken_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "SLOWEST_SECONDS", 0.1)
    server.trickle = b"x"
    start = time.monotonic()
    with pytest.raises(DownloadError, match="run again to resume"):
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert time.monotonic() - start < 2


def test_what_killed_programs_left_is_taken_up_and_swept(server, tmp_path):
    path = tmp_path / "file.bin"
    for number, size in enumerate((500, 2000, 1000)):
        orphan = tmp_path / f"file.bin.part-{number:08x}"
        orphan.write_bytes(CONTENT[:size])
        os.utime(orphan, (0, 0))
    young = tmp_path / "file.bin.part-ffffffff"
    young.write_bytes(CONTENT[:3000])
    fetch(server.url, path, sha256=SHA256)
    assert server.ranges == ["bytes=2000-"]
    assert sorted(tmp_path.iterdir()) == [path, young]
    os.utime(young, (0, 0))
    fetch(server.url, path, sha256=SHA256)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_server_says_steers_no_terminal(server, tmp_path):
    server.status, server.reason = 404, "not \x1b[31mred\x07"
    with pytest.raises(DownloadError) as caught:
        fetch(server.url, tmp_path / "file.bin", sha256=SHA256)
    assert str(caught.value).isprintable()
    assert r"not \x1b[31mred" in str(caught.value)


def test_a_cache_folder_of_nobody_is_refused(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("IMAGEGEN_CACHE", "~no-such-user/cache")
    with pytest.raises(ValueError, match=r"IMAGEGEN_CACHE must .* Received: "):
        cache_folder()
    monkeypatch.delenv("IMAGEGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder().is_absolute()
