"""Several cameras in one process, beside a process each: frames a second of each camera, fairness, memory.

    python benchmarks/cameras.py CLIP... [--cameras 4] [--seconds 60] [--rate 25] [--threads 2] [--turns 2]
        [--write]

Each camera is a clip that a server on the loopback sends over and over as MJPEG at `--rate` pictures a second, encoded once. One program
with all cameras, and one program a camera with its share of the threads, run in turns. Fairness is Jain's index of the frames that each
camera got, (Σx)² / (n Σx²): 1 where all got as many. CPU seconds are those of all processes, their start included.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
from tables import ResultTable, add_write_option

ROOT = Path(__file__).resolve().parents[1]
_PROGRAM = [sys.executable, "-c", "from skipvid.cli import main; main()"]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    clips: list[list[bytes]]
    rate: float


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *words: object) -> None: ...

    def do_GET(self) -> None:
        pictures = self.server.clips[int(self.path.strip("/").removeprefix("camera")) % len(self.server.clips)]
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
        self.end_headers()
        begin, number = time.monotonic(), 0
        try:
            while True:
                data = pictures[number % len(pictures)]
                self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
                number += 1
                time.sleep(max(0.0, begin + number / self.server.rate - time.monotonic()))
        except OSError:
            pass


def _pictures(clip: Path, most: int = 250) -> list[bytes]:
    """The clip's first frames as JPEG."""
    reader, found = cv2.VideoCapture(str(clip)), []
    while len(found) < most:
        read, image = reader.read()
        if not read:
            break
        found.append(cv2.imencode(".jpg", image)[1].tobytes())
    if not found:
        raise SystemExit(f"{clip} cannot be read")
    return found


@dataclass(frozen=True)
class Result:
    """fps: of each camera. cpu: seconds of all processes. memory: bytes, of all processes, at their highest."""

    fps: list[float]
    cpu: float
    memory: int

    @property
    def fairness(self) -> float:
        return sum(self.fps) ** 2 / (len(self.fps) * sum(each**2 for each in self.fps))


def _run(programs: list[list[str]], threads: int, folder: str) -> Result:
    """Run programs at the same time, each with its cameras, and have them write to a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    started = []
    for number, words in enumerate(programs):
        with Path(folder, f"{number}.json").open("wb") as report, Path(folder, f"{number}.txt").open("wb") as said:
            program = [*_PROGRAM, *words, "--threads", str(threads)]
            started.append(subprocess.Popen(program, stdout=report, stderr=said, env=environment, cwd=folder))
    peaks = [0] * len(started)
    while any(process.poll() is None for process in started):
        for number, process in enumerate(started):
            peaks[number] = max(peaks[number], _resident(process.pid))
        time.sleep(0.5)
    fps = []
    for number, process in enumerate(started):
        if process.returncode:
            raise SystemExit(Path(folder, f"{number}.txt").read_text())
        fps += [run["fps"] for run in json.loads(Path(folder, f"{number}.json").read_text())["runs"]]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(fps, cpu, sum(peaks))


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=25.0)
    parser.add_argument("--threads", type=int, default=2, help="of the machine: all that one program, or all programs together, may use")
    parser.add_argument("--turns", type=int, default=2)
    add_write_option(parser)
    arguments = parser.parse_args()
    columns = ("way", "frames a second, each", "all", "fairness", "CPU seconds a 100 frames", "MiB")
    with ResultTable("cameras", columns, arguments.write) as table:
        for row in _rows(arguments):
            table.row(*row)


def _rows(arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """A row for each way."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.clips, server.rate = [_pictures(clip) for clip in arguments.clips], arguments.rate
    threading.Thread(target=server.serve_forever, daemon=True).start()
    addresses = [f"http://127.0.0.1:{server.server_port}/camera{number}" for number in range(arguments.cameras)]
    more = ["--live", "--duration", str(arguments.seconds), "-o", "{stem}.jsonl", "--overwrite", "--json", "-q"]
    ways = {
        "one process": ([["detect", *addresses, *more]], arguments.threads),
        f"{arguments.cameras} processes": (
            [["detect", address, *more] for address in addresses],
            max(1, arguments.threads // arguments.cameras),
        ),
    }
    results: dict[str, list[Result]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.turns):
            for way, (programs, threads) in ways.items():
                results[way].append(_run(programs, threads, folder))
    for way, found in results.items():
        each = [statistics.median(values) for values in zip(*(one.fps for one in found), strict=True)]
        per = statistics.median(100 * one.cpu / (sum(one.fps) * arguments.seconds) for one in found)
        memory = statistics.median(one.memory for one in found) / 2**20
        fairness = statistics.median(one.fairness for one in found)
        yield way, ", ".join(f"{fps:.1f}" for fps in each), f"{sum(each):.1f}", f"{fairness:.4f}", f"{per:.2f}", f"{memory:.0f}"


if __name__ == "__main__":
    main()
