"""A camera that plays, dies, comes back and stalls: how old the newest frame is, what is lost, how long it takes to recover.

    python benchmarks/live.py [--seconds 60] [--rate 25] [--away 5] [--threads 2] [--slow MS]

The camera is GStreamer's RTSP server (tools/gst_rtsp_server.py, run by --server-python), whose pictures carry the time at which they
were made. They go through the whole pipeline with the bundled detector. The age of a frame is taken from its own picture, when the
network begins and when the result is there; it holds the server's encoder, the connection, the decoder, and the wait for the network.
Slow: milliseconds that each frame takes in addition, so that the rate cannot be kept up with. Then the server is killed and started
again, and stopped and let go on.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from skipvid.cli.run_jobs import make_header
from skipvid.core.results import Frame, FrameResult
from skipvid.evaluate.wrapped import WrappedStream
from skipvid.pipeline.run import run
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report import SummaryBuilder
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Stream
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

SERVER = Path(__file__).resolve().parents[1] / "tools/gst_rtsp_server.py"


def made_at(picture: np.ndarray) -> float | None:
    """Seconds of the monotonic clock that a picture carries, up to 2^32 ms; None where its squares cannot be read."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    cell, row = grey.shape[1] // 16, grey.shape[0] // 4
    places = [(row // 2 + half * row, cell // 2 + column * cell) for half in range(2) for column in range(16)]
    levels = [int(grey[y - 3 : y + 4, x - 3 : x + 4].mean()) for y, x in places]
    if any(90 < level < 165 for level in levels):
        return None
    return int("".join("1" if level > 128 else "0" for level in levels), 2) / 1e3


class Server:
    """The camera. start, kill: plug it in, pull the plug. stop, go_on: it stays connected and says nothing."""

    def __init__(self, python: str, rate: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._words = [python, str(SERVER), str(self.port), str(rate)]

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise SystemExit(f"the server does not start: try {' '.join(self._words)}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


@dataclass
class Seen:
    """A frame. begin, end: of its analysis, on the monotonic clock. made: the time in its picture."""

    begin: float
    end: float
    made: float | None


class Watched(WrappedStream):
    """A stream whose frames are timed. slow: seconds that each takes in addition."""

    def __init__(self, inner: Stream, slow: float) -> None:
        super().__init__(inner)
        self._slow = slow
        self.seen: list[Seen] = []

    def process(self, frame: Frame) -> FrameResult:
        begin = time.monotonic()
        result = super().process(frame)
        time.sleep(self._slow)
        end = time.monotonic()
        self.seen.append(Seen(begin, end, made_at(frame.image)))
        return result


def ages(seen: list[Seen], rate: float) -> None:
    """Print how old frames were, and how many were older than the bound: two frame times, what the network took, and the way to it, which
    is what the youngest frame took from the server's clock to the network."""
    # At the very first the network is loaded, while the stream goes on.
    known = [(one.begin - one.made, one.end - one.made, one.end - one.begin) for one in seen[3:] if one.made is not None]
    starts, ends, took = ([1e3 * value for value in values] for values in zip(*known, strict=True))
    way = min(starts)
    over = sum(end > 2e3 / rate + network + way for end, network in zip(ends, took, strict=True))
    print("| ms | least | median | 95 % | 99 % | most |\n|---|---|---|---|---|---|")
    for name, values in (("age when the network begins", starts), ("age of the result", ends), ("network", took)):
        print(f"| {name} | {' | '.join(f'{np.percentile(values, p):.0f}' for p in (0, 50, 95, 99, 100))} |")
    print(f"{len(known)} frames, {len(seen) - len(known)} others; older than two frame times, the network and the way to it: {over}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of undisturbed play")
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--away", type=float, default=5.0, metavar="S", help="that the server is killed, and later stopped")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slow", type=float, default=100.0, metavar="MS")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S")
    parser.add_argument("--server-python", default="/usr/bin/python3")
    arguments = parser.parse_args()
    server = Server(arguments.server_python, arguments.rate)
    server.start()
    preset = load_preset(DEFAULT_DETECT)
    weights = resolve_weights(preset)
    engine = DetectEngine(preset, SkipConfig.of(preset, threads=arguments.threads), weights.path, weights.sha256)
    engine.prepare(360, 640)
    events: list[tuple[str, float]] = []

    def disturb() -> None:
        for name, act, pause in (
            ("", lambda: None, arguments.seconds),
            ("killed", server.kill, arguments.away),
            ("started again", server.start, 15.0),
            ("stopped", server.stop, arguments.away),
            ("let go on", server.go_on, 15.0),
        ):
            act()
            events.append((name, time.monotonic()))
            time.sleep(pause)
        source.close()

    with open_source(f"rtsp://127.0.0.1:{server.port}/clock", ReadOptions(timeout=arguments.timeout)) as source:
        source.tell = lambda line: print(f"{time.monotonic() - events[0][1]:7.2f} s  {line}")
        stream = Watched(engine.stream(), arguments.slow / 1e3)
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        summary = run(source, stream, [], SummaryBuilder(make_header("detect", engine, source.info)))
        disturbing.join()
    server.kill()
    calm = [one for one in stream.seen if one.end < events[1][1]]
    ages(calm, arguments.rate)
    print(f"{summary.frames} frames analysed, {summary.dropped} dropped; {'; '.join(summary.problems)}")
    for (gone, at), (back, since) in ((events[1], events[2]), (events[3], events[4])):
        last = max(one.end for one in stream.seen if one.begin < at)
        first = min((one for one in stream.seen if one.begin > since), key=lambda one: one.begin)
        age = "" if first.made is None else f", which was {1e3 * (first.begin - first.made):.0f} ms old"
        print(
            f"server {gone} for {since - at:.1f} s: first frame {first.begin - since:.2f} s after it was {back}{age}; "
            f"nothing new for {first.begin - last:.2f} s"
        )


if __name__ == "__main__":
    main()
