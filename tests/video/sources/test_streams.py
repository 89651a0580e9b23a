"""Sources that are not files: pipes and web addresses."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clip_making import number_of, write_clip

from skipvid.core.errors import SourceError
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

READ_STDIN = """
from skipvid.core.errors import SourceError
from skipvid.video.sources.open import open_source
try:
    with open_source("-") as source:
        print(source.info.name, len([f for f in source]), source.problem)
except SourceError as error:
    print(error)
"""


def pipe(data: bytes) -> str:
    done = subprocess.run([sys.executable, "-c", READ_STDIN], input=data, capture_output=True, timeout=200)
    assert done.stderr == b""
    return done.stdout.decode().strip()


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("ts", "libx264"), ("mjpeg", "mjpeg")])
def test_stdin_is_read_without_seeking(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", 40, codec=codec)
    assert pipe(path.read_bytes()) == "stdin 40 None"


@pytest.mark.parametrize("data", [b"", b"hello\n" * 100])
def test_stdin_without_video_gets_one_line(data: bytes) -> None:
    answer = pipe(data)
    assert answer.startswith("stdin cannot be opened: ") and "pipe MKV" in answer and "\n" not in answer


def test_frames_of_a_live_pipe_come_before_it_ends(tmp_path: Path) -> None:
    """A camera's pipe never ends; the reader must not wait for it to fill a buffer or to close."""
    path = write_clip(tmp_path / "clip.ts", 200)
    code = "from skipvid.video.sources.open import open_source\nfor f in open_source('-'): print(f.index, flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(path.read_bytes())
        process.stdin.flush()
        assert process.stdout.readline() == b"0\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.stdout.read().split()[-1] == b"199"


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/stalls.ts":
            return super().do_GET()
        data = Path(self.directory, "clip.ts").read_bytes()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        stop.wait(20)

    def log_message(self, *args: object) -> None:
        pass


stop = threading.Event()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    stop.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Handler(*args, directory=str(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        stop.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_web_address_is_read(tmp_path: Path, server: str, name: str) -> None:
    write_clip(tmp_path / name, 30)
    with open_source(f"{server}/{name}") as source:
        assert [number_of(f.image) for f in source] == list(range(30))
        assert source.info.path is None


def test_missing_page_is_an_error_of_one_line(server: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="404") as caught:
        open_source(f"{server}/nothing.mp4")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_refused_connection_is_an_error_of_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match="refused"):
        open_source(f"http://127.0.0.1:{port}/clip.mp4")
    assert capfd.readouterr().err == ""


def test_silent_server_is_given_up_after_the_timeout() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        started = time.monotonic()
        with pytest.raises(SourceError, match="no data for 0.5 s"):
            open_source(f"http://127.0.0.1:{listening.getsockname()[1]}/clip.mp4", ReadOptions(timeout=0.5))
        assert time.monotonic() - started < 9, "10 s is what is waited without the option"


def test_stream_that_stalls_keeps_what_came_and_says_so(tmp_path: Path, server: str) -> None:
    write_clip(tmp_path / "clip.ts", 100)
    with open_source(f"{server}/stalls.ts", ReadOptions(timeout=1.0, live=False)) as source:
        numbers = [number_of(f.image) for f in source]
        assert 20 < len(numbers) < 100
        assert source.problem is not None and "broke off" in source.problem and "no data for 1 s" in source.problem


def test_other_kinds_of_address_are_refused() -> None:
    with pytest.raises(SourceError, match="not read"):
        open_source("gopher://example.org/clip.mp4")
