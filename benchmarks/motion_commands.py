"""How many frames a second `skipvid detect` does where the camera shakes or moves, by --motion; some four minutes on a quiet machine.

    python benchmarks/motion_commands.py --data DIR [--frames 80] [--rounds 2] [--threads N] [--processor] [--write]

Two sequences of fixed cameras through a window that shakes by 2 pixels of 640, written as H.264, and three clips of moving cameras. The
command runs in processes of its own, the ways by turns, with JSON lines as its only output and with an annotated video besides. Frames
per second are the command's own, of the rounds the fastest counts. With --processor: milliseconds of processor time a frame, those of a
run of one frame left out, of the rounds the least, for a machine that others use, too.
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from motion import COURSES, Image, seen_through
from pipeline import detect, processor_ms
from sequences import SEQUENCES, load_frames
from tables import ResultTable, add_write_option

SHAKEN = ("PETS09", "TownCentre")
MOVING = ("test_video_structuralize.mp4", "bikes.mp4", "demo.mp4")
WAYS = {
    "dense": ["--gate", "none"],
    "gates": ["--motion", "none"],
    "canvas": ["--motion", "canvas"],
    "auto": ["--motion", "auto"],
}
COLUMNS = ("clip", "output", *WAYS, "fewer MACs: gates", "canvas", "auto")


def write_clip(path: Path, frames: list[Image]) -> None:
    """As H.264 in good quality, at 25 frames a second, cut to even sides."""
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "16", "preset": "superfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), "bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def shaken(data: Path, name: str, frames: int, folder: Path) -> Path:
    """A sequence through a window that shakes, as a file."""
    sequence = next(each for each in SEQUENCES if each.name == name)
    course = next(each for each in COURSES if each.name == "shake 2 px")
    path = folder / f"{name}, shaken.mp4"
    write_clip(path, [image for image, _ in seen_through(course, load_frames(data, sequence, frames)[0])])
    return path


def measure(clip: Path, outputs: list[Path], options: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """By way its speed, or its processor time, and how many times fewer MACs it took; in words."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    starts: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    ways = list(WAYS)
    for number in range(options.rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            runs[way].append(detect(str(clip), WAYS[way], outputs, options.frames, options.threads))
            if options.processor:
                starts[way].append(detect(str(clip), WAYS[way], outputs, 1, options.threads))
    costs = {way: found[0]["cost"] for way, found in runs.items() if way != "dense"}
    fewer = {way: f"{cost['dense_macs'] / max(cost['macs'], 1):.2f}×" for way, cost in costs.items()}
    if options.processor:
        return {way: f"{processor_ms(runs[way], starts[way]):.1f}" for way in WAYS}, fewer
    return {way: f"{max(run['fps'] for run in runs[way]):.1f}" for way in WAYS}, fewer


def main() -> None:
    """Measure all clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--processor", action="store_true", help="processor time, for a machine that others use, too")
    add_write_option(parser)
    options = parser.parse_args()
    what = "Milliseconds of processor time a frame" if options.processor else "Frames a second"
    with tempfile.TemporaryDirectory() as name, ResultTable("motion-commands", COLUMNS, options.write, f"{what}.") as table:
        folder = Path(name)
        lines, video = folder / "out.jsonl", folder / "out.mp4"
        clips = [shaken(options.data, each, options.frames, folder) for each in SHAKEN]
        clips += [options.data / "videos" / "moving" / each for each in MOVING]
        for clip in clips:
            for said, outputs in (("JSON lines", [lines]), ("and video", [lines, video])):
                values, fewer = measure(clip, outputs, options)
                table.row(clip.stem, said, *values.values(), *fewer.values())


if __name__ == "__main__":
    main()
