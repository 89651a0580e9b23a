"""How many frames a second `skipvid detect` does where the camera shakes or moves, by --motion; some eight minutes on a quiet machine.

    python benchmarks/motion_commands.py --data DIR [--frames 120] [--rounds 5] [--threads N] [--only NAME …] [--processor] [--write]

Sequences of fixed cameras through a window that shakes by 2 pixels of 640, written as H.264, and three clips of moving cameras. The
command runs in processes of its own, the ways by turns, with JSON lines as its only output and with an annotated video besides. Frames
per second are the command's own; medians over the rounds. "At rest": the same window without shake, as on a wall, densely and with gates.
"Kept": the share of the speed-up at rest, gates over dense, that the canvas and `auto` have over dense on the shaken clip, whose pictures
take longer to decode. With --processor: milliseconds of processor time a frame, those of a run of one frame left out, for a machine that
others use, too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from motion import BARE, BARE_FROM, COURSES, Image, chosen, plain, seen_through
from pipeline import detect, processor_ms
from sequences import SEQUENCES, load_frames
from tables import ResultTable, add_write_option

SHAKEN = ("PETS09", "TownCentre", "highway", BARE.stem)
MOVING = ("test_video_structuralize.mp4", "bikes.mp4", "demo.mp4")
WAYS = {
    "dense": ["--gate", "none"],
    "gates": ["--motion", "none"],
    "canvas": ["--motion", "canvas"],
    "auto": ["--motion", "auto"],
}
AT_REST = {"at rest: dense": WAYS["dense"], "at rest: gates": WAYS["gates"]}
COLUMNS = ("clip", "output", *WAYS, *AT_REST, "kept: canvas", "auto", "fewer MACs: gates", "canvas", "auto")


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


def through_window(data: Path, name: str, course: str, frames: int, folder: Path) -> Path:
    """A sequence, or the bare room, through a window that moves so, as a file."""
    if name == BARE.stem:
        images = plain(data / BARE, frames, BARE_FROM).frames
    else:
        images = load_frames(data, next(each for each in SEQUENCES if each.name == name), frames)[0]
    path = folder / f"{name}, {course}.mp4"
    write_clip(path, [image for image, _ in seen_through(next(each for each in COURSES if each.name == course), images)])
    return path


def measure(clip: Path, still: Path | None, outputs: list[Path], options: argparse.Namespace) -> list[str]:
    """Cells from `dense` on: speeds or processor times, the shares kept, and how many times fewer MACs it took."""
    said = {way: (clip, arguments) for way, arguments in WAYS.items()}
    if still is not None:
        said |= {way: (still, arguments) for way, arguments in AT_REST.items()}
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in said}
    starts: dict[str, list[dict[str, Any]]] = {way: [] for way in said}
    ways = list(said)
    for number in range(options.rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            path, arguments = said[way]
            runs[way].append(detect(str(path), arguments, outputs, options.frames, options.threads))
            if options.processor:
                starts[way].append(detect(str(path), arguments, outputs, 1, options.threads))
    if options.processor:
        values = {way: processor_ms(runs[way], starts[way]) for way in said}
    else:
        values = {way: statistics.median(run["fps"] for run in runs[way]) for way in said}
    faster = -1 if options.processor else 1  # the less time, the faster
    kept = []
    if still is not None:
        dense, gates = (values[way] for way in AT_REST)
        kept = [(values[way] / values["dense"] / (gates / dense)) ** faster for way in ("canvas", "auto")]
    costs = [runs[way][0]["cost"] for way in WAYS if way != "dense"]
    cells = [f"{values[way]:.1f}" if way in values else "" for way in (*WAYS, *AT_REST)]
    cells += [f"{100 * share:.0f}%" for share in kept] or ["", ""]
    return cells + [f"{cost['dense_macs'] / max(cost['macs'], 1):.2f}×" for cost in costs]


def main() -> None:
    """Measure all clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", nargs="+", default=[""], help="clips whose name holds one of these")
    parser.add_argument("--processor", action="store_true", help="processor time, for a machine that others use, too")
    add_write_option(parser)
    options = parser.parse_args()
    what = "Milliseconds of processor time a frame" if options.processor else "Frames a second, medians"
    note = f"{what}; {options.frames} frames, {options.rounds} rounds."
    with tempfile.TemporaryDirectory() as name, ResultTable("motion-commands", COLUMNS, options.write, note) as table:
        folder = Path(name)
        lines, video = folder / "out.jsonl", folder / "out.mp4"
        clips: list[tuple[Path, Path | None]] = []
        for each in SHAKEN:
            if chosen(options.only, each):
                shaken, still = (through_window(options.data, each, course, options.frames, folder) for course in ("shake 2 px", "still"))
                clips.append((shaken, still))
        clips += [(options.data / "videos" / "moving" / each, None) for each in MOVING if chosen(options.only, each)]
        for clip, at_rest in clips:
            for said, outputs in (("JSON lines", [lines]), ("and video", [lines, video])):
                table.row(clip.stem, said, *measure(clip, at_rest, outputs, options))


if __name__ == "__main__":
    main()
