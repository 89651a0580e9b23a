"""Kills runs at random moments (SIGKILL, as a power cut or the kernel's memory killer would) and looks at what is left.

    python tools/kill.py --times 20 --seed 1

Every run writes every kind of output. What it leaves must play or parse up to the last second; the next run must not be disturbed by it,
must complete the same outputs, and leave nothing else behind. Prints one line for each kill; the exit code is the number of faults.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

KINDS = ("mp4", "mkv", "webm", "jsonl", "json", "csv", "coco.json", "mot.txt")
PROGRAM = [sys.executable, "-c", "from skipvid.cli import main; main()"]
FPS = 10
LOSS = 2.0
"""Seconds of the run that a killed one may lose: one that the formats keep back, and one for the machine."""


def write_clip(path: Path, frames: int) -> None:
    """A square that moves before noise, 160x120 pixels."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(frames):
            image = noise.copy()
            image[30:70, index % 120 : index % 120 + 40] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


def start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    outputs = [word for kind in KINDS for word in ("-o", f"out.{kind}")]
    command = [*PROGRAM, "detect", "clip.mp4", *outputs, "--csv", "cost.csv", "--overwrite", "--threads", "1", "-q", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def frames_so_far(folder: Path) -> int:
    """By the JSONL, which has every frame at once."""
    lines = [path.read_text().count("\n") for path in folder.glob("out.jsonl.*.part")]
    return max(0, max(lines, default=0) - 1)


def frames_of_video(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def frames_of_jsonl(path: Path) -> int:
    return sum(json.loads(line)["type"] == "frame" for line in path.read_text().splitlines())


def frames_of_json(path: Path) -> int:
    return len(json.loads(path.read_text())["frames"])


def frames_of_coco(path: Path) -> int:
    document = json.loads(path.read_text())
    return -1 if isinstance(document, list) else len(document["images"])


def rows_whole(path: Path) -> int:
    """-1: a table has no row for a frame without detections. Raises ValueError for a row that was cut."""
    text = path.read_text()
    widths = {len(row) for row in csv.reader(text.splitlines())}
    if len(widths) > 1 or (text and not text.endswith("\n")):
        raise ValueError(f"a cut row: {widths}")
    return -1


READERS: dict[str, Callable[[Path], int]] = {
    **dict.fromkeys(("mp4", "mkv", "webm"), frames_of_video),
    "jsonl": frames_of_jsonl,
    "json": frames_of_json,
    "csv": rows_whole,
    "coco.json": frames_of_coco,
    "mot.txt": rows_whole,
}


def faults_of_remains(folder: Path, before: int, after: int) -> list[str]:
    """before, after: frames of the run LOSS seconds before the kill, and at the kill."""
    faults = []
    for kind, read in [*READERS.items(), ("cost.csv", rows_whole)]:
        name = kind if kind == "cost.csv" else f"out.{kind}"
        left = list(folder.glob(f"{name}.*part"))
        if not left:
            faults.append(f"{name}: nothing is left")
        for part in left:
            if read is frames_of_video and before < 2:
                continue  # no second of it was written
            try:
                count = read(part)
            except Exception as error:
                faults.append(f"{part.name}: {type(error).__name__}: {error}")
                continue
            if count >= 0 and count < before:
                faults.append(f"{part.name}: {count} of {before} to {after} frames")
    return faults


def kill_once(folder: Path, moment: float) -> tuple[str, list[str]]:
    """moment: seconds from the first frame to the kill."""
    process = start(folder, [])
    seen: list[tuple[float, int]] = []
    deadline = time.monotonic() + 120
    began = None
    while process.poll() is None and time.monotonic() < deadline:
        seen.append((time.monotonic(), frames_so_far(folder)))
        if began is None and seen[-1][1] > 0:
            began = seen[-1][0]
        if began is not None and time.monotonic() - began >= moment:
            break
        time.sleep(0.02)
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        return f"ended by itself with {process.returncode}", ["the run ended before it was killed: give more --frames"]
    before = max((count for at, count in seen if at <= killed - LOSS), default=0)
    after = frames_so_far(folder)
    faults = faults_of_remains(folder, before, after)
    return f"killed {moment:.2f} s after the first frame, at frame {after}", faults


def next_run(folder: Path) -> list[str]:
    process = start(folder, ["--max-frames", "12"])
    _, said = process.communicate(timeout=300)
    faults = [] if process.returncode == 0 else [f"the next run ended with {process.returncode}: {said.strip()}"]
    for kind, read in READERS.items():
        count = read(folder / f"out.{kind}") if (folder / f"out.{kind}").exists() else 0
        if count not in (-1, 12):
            faults.append(f"the next run: {count} of 12 frames in out.{kind}")
    left = sorted(path.name for path in folder.iterdir() if path.name.endswith(".part"))
    return faults + [f"still there after the next run: {name}" for name in left]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, metavar="N", help="kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--longest", type=float, default=6.0, metavar="S", help="seconds from the first frame to a kill, at most")
    parser.add_argument("--frames", type=int, default=3000, metavar="N", help="of the clip")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="skipvid-kill-"))
    write_clip(folder / "clip.mp4", options.frames)
    total = 0
    for number in range(1, options.times + 1):
        what, faults = kill_once(folder, moments.uniform(0, options.longest))
        faults += next_run(folder)
        print(f"{number}: {what}: {'; '.join(faults) or 'all that is left plays or parses; the next run is whole'}", flush=True)
        total += len(faults)
    print(f"{options.times} kills, {total} faults")
    if total:
        print(f"what is left lies in {folder}")
    else:
        shutil.rmtree(folder)
    return min(total, 100)


if __name__ == "__main__":
    sys.exit(main())
