"""Cameras and servers behind addresses: RTSP that is lost and comes back, streams over HTTP, and passwords that are never shown."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from clip_making import number_of, numbered_picture, write_clip
from rtsp_camera import RtspCamera

from skipvid.core.errors import SourceError
from skipvid.video.sources.containers import Pipe
from skipvid.video.sources.live import LiveSource
from skipvid.video.sources.network import StreamFeed, open_live_pipe
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.video import VideoSource


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_rtsp_goes_over_tcp_and_shows_what_is_there_now() -> None:
    with RtspCamera() as camera, open_source(camera.url(), ReadOptions(end=1.5)) as source:
        assert source.info.live and (source.info.width, source.info.height, source.info.codec) == (160, 96, "h264")
        ages, times = [], []
        for frame in source:
            ages.append(camera.sent[-1] - number_of(frame.image))
            times.append(frame.time)
        assert len(times) > 5 and sorted(ages)[len(ages) // 2] <= 2
        assert all("RTP/AVP/TCP" in transport for transport in camera.transports)
        assert times[-1] < 1.5 and source.problem is None


def test_a_slow_reader_of_rtsp_gets_new_frames_and_the_others_are_counted() -> None:
    with RtspCamera() as camera, open_source(camera.url(), ReadOptions(max_frames=10)) as source:
        ages, frames, numbers = [], [], []
        for frame in source:
            numbers.append(number_of(frame.image))
            ages.append(camera.sent[-1] - numbers[-1])
            frames.append(frame)
            come = len(camera.sent)
            until(lambda come=come: len(camera.sent) >= come + 4)  # type: ignore[misc]
        assert sorted(ages)[len(ages) // 2] <= 2
        assert source.dropped > len(frames)
        sent = [camera.sent.index(number) for number in numbers]
        assert [frame.index for frame in frames] == [each - sent[0] for each in sent], "a frame's number counts those dropped, too"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plug", "stall"])
def test_rtsp_that_is_lost_comes_back(how: str) -> None:
    with RtspCamera() as camera, open_source(camera.url(), ReadOptions(timeout=2.0, end=60)) as source:
        lines: list[str] = []
        source.tell = lines.append
        frames, back_at = [], 0.0
        lost, back = (camera.stop, camera.start) if how == "plug" else (camera.stalled.set, camera.stalled.clear)
        taking = iter(source)
        for frame in taking:
            frames.append((number_of(frame.image), frame))
            if len(frames) == 10:
                lost()
                until(lambda: lines)
                back()
                back_at = time.monotonic()
            if frame.resumed:
                break
        for _ in range(5):
            frames.append((0, next(taking)))
        source.close()
        assert not list(taking)
        places = [place for place, (_, frame) in enumerate(frames) if frame.resumed]
        (place,) = places
        (earlier, last), (number, first) = frames[place - 1 : place + 1]
        assert first.arrived is not None and 0 < first.arrived - back_at < 10
        assert first.time - last.time == pytest.approx((number - earlier) / camera.rate, abs=1), (
            "the recording lasts as long as what it shows"
        )
        assert first.time - last.time > (2 if how == "stall" else 1), "the time-out, or the delay before the first attempt"
        assert camera.connections == 2 and len(lines) == 2 and all(camera.url() in line for line in lines)
        assert ("no data for 2 s" in lines[0]) == (how == "stall")
        assert source.problem is not None and source.problem.startswith("connection lost 1 time, ")


def test_rtsp_that_is_lost_ends_where_that_is_wanted() -> None:
    with RtspCamera() as camera, open_source(camera.url(), ReadOptions(reconnect=False)) as source:
        threading.Timer(0.5, camera.stop).start()
        assert list(source)
        assert source.problem is not None and source.problem.startswith("disappeared after ")


def test_a_password_opens_the_camera_and_stays_out_of_names_and_errors() -> None:
    with RtspCamera(password="geheim") as camera:
        with open_source(camera.url("admin:geheim@"), ReadOptions(max_frames=2)) as source:
            assert source.info.name == camera.url("admin:***@") and len(list(source)) == 2
        with pytest.raises(SourceError, match="401") as caught:
            open_source(camera.url("admin:falsch@"))
        assert "falsch" not in str(caught.value) and "admin:***@" in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__, "a traceback would show libav's words with the address"


class Tuner(http.server.BaseHTTPRequestHandler):
    """Sends clip.ts without a length, a picture's worth every 40 ms; then goes silent, or ends where the address says so."""

    clip = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        step = max(188, len(self.clip) // 100 // 188 * 188)
        with suppress(OSError):
            for at in range(0, len(self.clip), step):
                self.wfile.write(self.clip[at : at + step])
                self.wfile.flush()
                time.sleep(0 if "burst" in self.path else 0.04)

    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def tuner(tmp_path: Path) -> Iterator[str]:
    Tuner.clip = write_clip(tmp_path / "clip.ts", 120).read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tuner) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_transport_stream_without_a_length_is_live(tuner: str) -> None:
    with open_source(f"{tuner}/tv", ReadOptions(max_frames=6)) as source:
        assert isinstance(source, LiveSource)
        assert len(list(source)) == 6


def test_every_frame_of_it_is_read_where_that_is_wanted(tuner: str) -> None:
    with open_source(f"{tuner}/burst", ReadOptions(live=False)) as source:
        assert isinstance(source, VideoSource)
        assert [number_of(frame.image) for frame in source] == list(range(120))


def test_an_address_with_a_length_is_live_only_where_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.ts", 60)
    monkeypatch.chdir(tmp_path)

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/clip.ts"
        with open_source(address) as source:
            assert not source.info.live and len(list(source)) == 60
        with open_source(address, ReadOptions(live=True, reconnect=False)) as source:
            assert source.info.live
        server.shutdown()


@pytest.mark.slow
def test_segments_of_hls_are_shown_at_the_pace_of_their_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come as whole files, a second of video at once; without a pace, the newest frame of each would win over all others."""
    monkeypatch.chdir(tmp_path)

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None: ...

    def broadcast() -> None:
        options = {"hls_time": "1", "hls_list_size": "5", "hls_flags": "omit_endlist"}
        with av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options=options) as output:
            stream: Any = output.add_stream("libx264", rate=20, options={"g": "20", "tune": "zerolatency", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            begin = time.monotonic()
            for number in range(160):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
                frame.pts, frame.time_base = number, Fraction(1, 20)
                output.mux(stream.encode(frame))
                time.sleep(max(0.0, begin + number / 20 - time.monotonic()))

    sender = threading.Thread(target=broadcast, daemon=True)
    sender.start()
    while "#EXTINF" not in (text := (tmp_path / "live.m3u8").read_text() if (tmp_path / "live.m3u8").exists() else ""):
        time.sleep(0.1)
    assert "ENDLIST" not in text
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with open_source(f"http://127.0.0.1:{server.server_port}/live.m3u8", ReadOptions(end=3.0)) as source:
            assert source.info.live
            seen = [(number_of(frame.image), frame.time) for frame in source]
        sender.join()
        server.shutdown()
    assert len(seen) > 15 and seen[-1][0] - seen[0][0] == pytest.approx((seen[-1][1] - seen[0][1]) * 20, abs=10)


class Sender(threading.Thread):
    """Writes data into a pipe in pieces, with a pause after each. sent: pieces so far; a loaded machine is slower than the pauses."""

    def __init__(self, writing: int, data: bytes, pieces: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self._writing, self._data, self._pieces, self._pause = writing, data, pieces, pause

    def run(self) -> None:
        size = len(self._data)
        with suppress(OSError), os.fdopen(self._writing, "wb", buffering=0) as end:
            for at in range(self._pieces):
                end.write(self._data[size * at // self._pieces : size * (at + 1) // self._pieces])
                self.sent += 1
                time.sleep(self._pause)


@contextmanager
def piped(data: bytes, pieces: int, pause: float) -> Iterator[tuple[Pipe, Sender]]:
    reading, writing = os.pipe()
    sender = Sender(writing, data, pieces, pause)
    sender.start()
    with os.fdopen(reading, "rb") as file:
        yield Pipe(file), sender


def test_a_live_pipe_drops_what_a_slow_reader_does_not_ask_for_and_its_end_is_no_loss(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", 60, options={"bf": "0"}).read_bytes()
    with piped(clip, 60, 1 / 30) as (pipe, sender):
        source = open_live_pipe(pipe, "stdin", ReadOptions())
        frames = []
        for frame in source:
            frames.append(frame)
            come = sender.sent
            until(lambda come=come: sender.sent >= min(come + 8, 60) and (sender.sent < 60 or source._gone))  # type: ignore[misc]
    assert 4 < len(frames) < 20 and source.dropped > 30
    assert number_of(frames[-1].image) >= 57, "the last one there is"
    assert source.problem is None


@pytest.mark.slow
def test_a_decoder_that_is_too_slow_goes_on_at_a_keyframe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each picture takes three times as long as until the next one comes: without dropping, the reader would fall behind by 4 s."""
    clip = write_clip(tmp_path / "clip.ts", 180, options={"bf": "0", "g": "15", "tune": "zerolatency"}).read_bytes()
    decode = StreamFeed._decode

    def slow(self: StreamFeed, packet: object) -> object:
        time.sleep(0.1)
        return decode(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(StreamFeed, "_decode", slow)
    with piped(clip, 180, 1 / 30) as (pipe, sender):
        source = open_live_pipe(pipe, "stdin", ReadOptions())
        ages = []
        for frame in source:
            ages.append(sender.sent - number_of(frame.image))
            if sender.is_alive():
                ended = time.monotonic()
        took = time.monotonic() - ended
    assert source.dropped > 60 and max(ages[len(ages) // 3 :]) < 75 and took < 3, (ages, took)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_that_never_says_anything_is_given_up_after_the_timeout(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://user:secret@127.0.0.1:{server.getsockname()[1]}/live"
        begin = time.monotonic()
        with pytest.raises(SourceError, match="cannot be opened: no data for 1 s; check the address") as caught:
            open_source(address, ReadOptions(timeout=1.0))
    assert time.monotonic() - begin < 20 and "secret" not in str(caught.value)


def test_a_source_is_refused_at_once_where_nothing_answers() -> None:
    begin = time.monotonic()
    with pytest.raises(SourceError, match="rtsp://127.0.0.1:1/live cannot be opened: Connection refused; check the address"):
        open_source("rtsp://127.0.0.1:1/live")
    assert time.monotonic() - begin < 5
