"""Streams without time stamps: dated by their arrival where they come at their own pace, by their rate where they do not."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import pytest
from clip_making import number_of, numbered_picture, write_clip

from skipvid.video.sources.containers import Pipe
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.video import VideoSource

STEP = 0.2


def jpeg(number: int) -> bytes:
    return bytes(cv2.imencode(".jpg", numbered_picture(number))[1])


class Camera(http.server.BaseHTTPRequestHandler):
    """Eight pictures, five a second, as web cameras send them."""

    sent: list[float]
    """When each picture was sent, in seconds; a loaded machine is late."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        type(self).sent = []
        with suppress(OSError):  # a reader that has enough
            for number in range(8):
                data = jpeg(number)
                self.sent.append(time.monotonic())
                self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
                self.wfile.flush()
                time.sleep(STEP)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/cam"
        server.shutdown()


@pytest.mark.parametrize("loading", [0.0, 0.7])
def test_web_camera_is_dated_by_arrival_and_loses_no_picture_once_they_are_asked_for(camera: str, loading: float) -> None:
    """loading: seconds between opening and the first frame, as networks take."""
    with open_source(camera, ReadOptions(reconnect=False)) as source:
        time.sleep(loading)
        asked = len(Camera.sent)
        frames = [(number_of(f.image), f.time) for f in source]
        assert source.info.live and source.info.fps == 0
        first = frames[0][0]
        assert first <= asked and frames[-1][0] == 7 and len(frames) + source.dropped == 8 - first
        # Late by what the machine's other work costs; 25 frames a second, which MJPEG is taken for without stamps, would end 1.1 s early.
        sent = [Camera.sent[number] - Camera.sent[first] for number, _ in frames]
        assert [t for _, t in frames] == pytest.approx(sent, abs=0.4)
        assert any("arrival" in note for note in source.notes)


@contextmanager
def piped(pieces: list[bytes], pause: float, sent: list[float] | None = None) -> Iterator[VideoSource]:
    """sent: gets the time at which each piece was sent, in seconds."""
    reading, writing = os.pipe()

    def send() -> None:
        with os.fdopen(writing, "wb") as end:
            for piece in pieces:
                if sent is not None:
                    sent.append(time.monotonic())
                end.write(piece)
                end.flush()
                time.sleep(pause)

    threading.Thread(target=send, daemon=True).start()
    with os.fdopen(reading, "rb") as file, VideoSource(Pipe(file), "stdin", ReadOptions()) as source:
        yield source


def test_pipe_at_the_pace_of_a_camera_is_dated_by_arrival() -> None:
    sent: list[float] = []
    with piped([jpeg(i) for i in range(8)], STEP, sent) as source:
        times = [f.time for f in source]
    # What libav takes at once to find the pictures' size seems to have come at once.
    assert len(times) == 8 and times[-1] - times[2] == pytest.approx(sent[-1] - sent[2], abs=0.3)


def test_file_through_a_pipe_keeps_its_rate(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mjpeg", 60, codec="mjpeg").read_bytes()
    with piped([clip], 0) as source:
        assert [f.time for f in source] == pytest.approx([i / 25 for i in range(60)])
        assert any("25 frames a second are assumed" in note for note in source.notes)


def test_pipe_with_stamps_keeps_them(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 30).read_bytes()
    half = len(clip) // 2
    with piped([clip[:half], clip[half:]], 0.5) as source:
        assert [f.time for f in source] == pytest.approx([i / 30 for i in range(30)], abs=0.001)
        assert source.notes == ()


def test_closing_ends_the_thread_of_a_stream_that_goes_on(camera: str) -> None:
    before = set(threading.enumerate())
    source = open_source(camera)
    next(iter(source))
    (reading,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "skipvid-live"]
    source.close()
    reading.join(30)
    assert not reading.is_alive()
