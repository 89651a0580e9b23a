"""Cameras that shake and move: plain gates against registered pictures, on sequences made from fixed ones, and on clips that move.

    nice -n 19 python benchmarks/motion.py --data DIR [--keep FOLDER] [--write]

Sequences with true boxes are looked at through a window that moves by a known motion, in parts of pixels, and the truth moves along. Every
way of running sees the same frames; MACs are counted against the plain dense network. "Of the still camera's saving": against plain gates
on the same window at rest. F1 is that against the plain dense network, the flicker floor that of the dense network against itself with
noise of one grey level, and "from the first place" that against itself had the camera stayed there: seen on another grid of samples, small
things are found or missed, by whatever network. Processor time is that of the whole process for a frame that is in memory: scaling, motion,
network, boxes. A run that was cut short goes on with the same --keep where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sequences import SEQUENCES, load_frames
from sequences import Sequence as Material
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.bootstrap import Interval, blocks_of, bootstrap
from skipvid.evaluate.run import Labels, Pass, compare, run_clip
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.evaluate.wrapped import WrappedStream
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report.agreement import Agreement, agreement
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Stream
from skipvid.train.evaluate import Truth
from skipvid.train.readers import read_frames

Image = NDArray[np.uint8]
SHOWN = {"none": "gates", "canvas": "gates, canvas", "auto": "gates, auto", "shift": "gates, shift", "warp": "warp, no bound"}
"""What ways are called in the table."""
WAYS = tuple(SHOWN)
BLOCK, BLOCKS = 25, 8
"""Frames that are drawn together by the bootstrap, fewer where a clip would not have so many blocks."""
FLOOR_EVERY = 5
BARE = Path("videos/intel/one-by-one-person-detection.mp4")
BARE_FROM = 55
"""A bare room without truth, and the frame before which nobody is in it: then persons cross it close to the camera."""
SEEN = 0.25
"""The share of a true box that must lie in the window for it to be asked for."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a window moves over a frame. room: the share of the width that is left around it.

    at: by frame number dx, dy (shares of the frame's width), an angle in radians, and a zoom.
    """

    name: str
    room: float
    at: Callable[[int], tuple[float, float, float, float]]


def shake(pixels: float) -> Callable[[int], tuple[float, float, float, float]]:
    """Up to so many pixels of 640 in x and in y, another place in every frame."""
    return lambda n: (pixels / 640 * math.sin(2.1 * n), pixels / 640 * math.cos(1.3 * n + 0.2), 0.0, 1.0)


def pan(speed: float, reach: float) -> Callable[[int], tuple[float, float, float, float]]:
    """To and fro by a share of the width in each frame, so far to both sides."""

    def at(number: int) -> tuple[float, float, float, float]:
        along = (number * speed + reach) % (4 * reach)
        return (along - reach if along < 2 * reach else 3 * reach - along, 0.0, 0.0, 1.0)

    return at


ROOM = 0.015
COURSES = (
    Course("still", ROOM, shake(0.0)),
    *(Course(f"shake {pixels:g} px", ROOM, shake(pixels)) for pixels in (0.5, 1, 2, 4)),
    Course("slow pan, 0.2 % a frame", 0.1, pan(0.002, 0.1)),
    Course("fast pan, 1.5 % a frame", 0.1, pan(0.015, 0.1)),
    Course("zoom, to and fro by 4 %", 0.05, lambda n: (0.0, 0.0, 0.0, 1 + 0.04 * math.sin(n / 20))),
    Course("roll of 0.5 degrees", 0.02, lambda n: (0.0, 0.0, math.radians(0.5) * math.sin(n / 3), 1.0)),
)


def seen_through(course: Course, images: Iterable[Image], number: int = 0) -> Iterator[tuple[Image, NDArray[np.float64]]]:
    """What the window shows, and the (2, 3) map from the frame to it, for coordinates in which whole numbers are edges of pixels."""
    for image in images:
        height, width = image.shape[:2]
        room = math.ceil(course.room * width) + 1
        size = (width - 2 * room, height - 2 * room)
        dx, dy, angle, zoom = course.at(number)
        cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
        centre = np.array([width / 2 + dx * width, height / 2 + dy * width])
        matrix[:, 2] = np.array(size) / 2 - matrix[:, :2] @ centre
        by_centres = matrix.copy()
        by_centres[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        yield np.asarray(cv2.warpAffine(image, by_centres, size, flags=cv2.INTER_LANCZOS4), np.uint8), matrix
        number += 1


def through(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes whose centres go where the map leads, upright and scaled."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * math.hypot(*matrix[:, 0])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([centres - half, centres + half], 1)


def truth_through(truth: Truth, matrix: NDArray[np.float64], size: tuple[int, int], category: int) -> FrameTruth:
    """True boxes in a window of (height, width); what lies outside is cut."""
    moved = through(truth.boxes, matrix)
    cut = np.clip(moved, 0, [size[1], size[0], size[1], size[0]])
    share = (cut[:, 2:] - cut[:, :2]).prod(1) / np.maximum((moved[:, 2:] - moved[:, :2]).prod(1), 1e-9)
    kept = share > 0
    ids = np.full(int(kept.sum()), category, np.int64)
    return FrameTruth(cut[kept].astype(np.float32), ids, (truth.ignore | (share < SEEN))[kept])


class Timed(WrappedStream):
    """A stream that keeps what it found and the processor time that it took."""

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self.found: list[Detections] = []
        self.seconds: list[float] = []
        self.keyframes = 0

    def process(self, frame: Frame) -> FrameResult:
        begin = time.process_time()
        result = super().process(frame)
        self.seconds.append(time.process_time() - begin)
        self.found.append(result.detections)
        self.keyframes += result.keyframe
        return result


@dataclass(slots=True)
class Clip:
    """Frames, and their truth where there is one.

    places: of each frame of a made sequence, the map from the sequence to it. held: the same sequence from the first frame's place.
    """

    name: str
    frames: list[Image]
    truth: LabelledClip
    labels: Labels
    places: list[NDArray[np.float64]] = field(default_factory=list)
    held: list[Image] = field(default_factory=list)


class Bench:
    """The engine by ways."""

    def __init__(self, options: argparse.Namespace) -> None:
        preset = load_preset(options.preset)
        weights = resolve_weights(preset)
        self.engine = DetectEngine(preset, SkipConfig.of(preset, threads=options.threads), weights.path, weights.sha256)
        self.engine.show_activity(False)  # times are those of a command that draws no mask
        self.rng = np.random.default_rng(0)
        self._at_rest: dict[tuple[Material | Path, float], float] = {}

    def run(self, clip: Clip, way: str) -> tuple[Pass, Timed]:
        """way: "dense", or one of the engine's for motion."""
        if way != "dense":
            self.engine.motion = way
        stream = Timed(self.engine.dense_stream() if way == "dense" else self.engine.stream())
        outcome = Pass(way)
        frames = (Frame(image, number, number / 25, clip.name) for number, image in enumerate(clip.frames))
        run_clip(outcome, stream, frames, clip.truth, clip.labels, self.engine.dense_macs(*clip.frames[0].shape[:2]))
        return outcome, stream

    def saving_at_rest(self, material: Material | Path, room: float, options: argparse.Namespace) -> float:
        """Of gates alone, through a window with so much room around it that does not move."""
        key = (material, room)
        if key not in self._at_rest:
            rest = made(material, Course("", room, shake(0)), options.data, options.frames)
            self._at_rest[key] = 1 - 1 / self.run(rest, "none")[0].fewer
        return self._at_rest[key]

    def floor(self, clip: Clip, dense: Timed) -> float:
        """F1 of the dense network against itself on the same frames with noise."""
        total, stream = Agreement(), self.engine.dense_stream()
        for number in range(0, len(clip.frames), FLOOR_EVERY):
            image = clip.frames[number]
            noisy = np.clip(image + np.rint(self.rng.normal(0, 1, image.shape)), 0, 255).astype(np.uint8)
            total += agreement(dense.found[number], stream.process(Frame(noisy, number, 0.0, clip.name)).detections)
        return total.f1

    def at_first_place(self, clip: Clip, dense: Timed) -> float:
        """F1 of the dense network against itself when the camera had stayed at its first place, its boxes moved with the scene."""
        total, stream = Agreement(), self.engine.dense_stream()
        first = np.linalg.inv(np.vstack([clip.places[0], [0, 0, 1]]))
        for number, image in enumerate(clip.held):
            found = stream.process(Frame(image, number, 0.0, clip.name)).detections
            matrix = clip.places[number] @ first
            boxes = through(found.boxes, matrix)
            cut = np.clip(boxes, 0, np.tile(clip.frames[0].shape[1::-1], 2)).astype(np.float32)
            total += agreement(dense.found[number], replace(found, boxes=cut))
        return total.f1


def made(material: Material | Path, course: Course, data: Path, most: int) -> Clip:
    """A sequence, or a clip without truth, through a window that moves."""
    if isinstance(material, Path):
        clip = plain(data / material, most, BARE_FROM)
        images = clip.frames
    else:
        images, truths = load_frames(data, material, most)
        labels = Labels(material.categories, merged=True)
        clip = Clip(material.name, [], LabelledClip(material.name, material.clip), labels)
    frames, places = zip(*seen_through(course, images), strict=True)
    stays = replace(course, at=lambda number: course.at(0))
    held = [image for image, _ in seen_through(stays, images)]
    if not isinstance(material, Path):
        size, category = frames[0].shape[:2], material.categories[0]
        moved = {number: truth_through(truths[number], matrix, size, category) for number, matrix in enumerate(places)}
        clip.truth = replace(clip.truth, frames=moved)
    return replace(clip, frames=list(frames), places=list(places), held=held)


def plain(path: Path, most: int, start: int = 0) -> Clip:
    """A clip as it is, without truth."""
    frames = [image for _, image in itertools.islice(read_frames(path, start=start), most)]
    return Clip(path.stem, frames, LabelledClip(path.stem, str(path)), Labels((1,), merged=True))


class Scene:
    """One clip and one motion. What all ways are compared with is made when the first of them is measured."""

    def __init__(self, bench: Bench, make: Callable[[], Clip], still: Callable[[], float] | None = None) -> None:
        """still: the saving of gates on the same window at rest."""
        self._bench, self._make, self._still = bench, make, still

    @cached_property
    def clip(self) -> Clip:
        return self._make()

    @cached_property
    def dense(self) -> tuple[Pass, Timed]:
        return self._bench.run(self.clip, "dense")

    def cells(self, way: str) -> list[str]:
        """The cells of a way's row."""
        return self._of_dense() if way == "dense" else self._of(way)

    @property
    def _block(self) -> int:
        return block_of(len(self.clip.frames))

    def _of_dense(self) -> list[str]:
        dense, stream = self.dense
        noise = self._bench.floor(self.clip, stream)
        place = f"{self._bench.at_first_place(self.clip, stream):.3f}" if self.clip.places else ""
        accuracy = compare(dense, dense, self._block, 1000)["AP50"].value if dense.groups else None
        shown = "" if accuracy is None else interval_text(accuracy, 1)
        return ["dense", "1.00×", "", shown, "", "1.000", f"{noise:.3f}", place, str(len(self.clip.frames)), *times(dense, stream)]

    def _of(self, way: str) -> list[str]:
        dense, of_dense = self.dense
        own, stream = self._bench.run(self.clip, way)
        kept = "" if self._still is None else f"{(1 - own.macs / own.dense_macs) / self._still():.0%}"
        found = compare(own, dense, self._block, 1000)["AP50"] if own.groups else None
        pairs = [agreement(theirs, mine) for theirs, mine in zip(of_dense.found, stream.found, strict=True)]
        return [
            SHOWN[way],
            f"{own.fewer:.2f}×",
            kept,
            "" if found is None else interval_text(found.value, 1),
            "" if found is None else interval_text(found.lost, 1),
            interval_text(f1_of(pairs), 3),
            "",
            "",
            str(stream.keyframes),
            *times(own, stream),
        ]


def f1_of(pairs: Sequence[Agreement]) -> Interval:
    """F1 over all frames, with its interval."""
    counts = np.array([(pair.tp, pair.fp, pair.fn) for pair in pairs])

    def f1(draw: NDArray[np.int64]) -> float:
        tp, fp, fn = draw @ counts
        return float(2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else 1.0

    return bootstrap(f1, blocks_of([""] * len(pairs), block_of(len(pairs))))


def block_of(frames: int) -> int:
    """How many frames of a clip are drawn together."""
    return max(1, min(BLOCK, frames // BLOCKS))


def times(own: Pass, stream: Timed) -> tuple[str, str]:
    """Medians: milliseconds of the network by the clock, and of processor time for everything."""
    return f"{np.median(own.model_ms):.1f}", f"{1e3 * np.median(stream.seconds):.1f}"


def chosen(parts: Sequence[str], name: str) -> bool:
    return any(part.lower() in name.lower() for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=200, help="frames of each clip")
    parser.add_argument("--only", nargs="+", default=[""], help="clips whose name holds one of these")
    parser.add_argument("--courses", nargs="+", default=[""], help='motions whose name holds one of these; "its own": clips that move')
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for what is measured, so that a later run need not measure it again")
    parser.add_argument("--only-kept", action="store_true", help="measure nothing: the rows that --keep holds")
    add_write_option(parser)
    options = parser.parse_args()
    if options.only_kept and options.keep is None:
        parser.error("--only-kept takes the rows from --keep")
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    cv2.setNumThreads(1)
    bench = Bench(options)
    columns = ["clip", "motion", "way", "fewer MACs", "of the still camera's saving", "AP50", "lost to dense", "F1 to dense"]
    columns += ["flicker floor", "from the first place", "keyframes", "network, ms", "processor time, ms"]
    with ResultTable("motion", columns, options.write, f"{options.preset}; shakes in pixels of 640.") as table:
        for material, course in itertools.product((*SEQUENCES, BARE), COURSES):
            name = material.stem if isinstance(material, Path) else material.name
            if chosen(options.only, name) and chosen(options.courses, course.name):
                make = partial(made, material, course, options.data, options.frames)
                still = partial(bench.saving_at_rest, material, course.room, options)
                write_rows(table, options, name, course.name, Scene(bench, make, still))
        for path in [*sorted((options.data / "videos" / "moving").iterdir()), options.data / "sequences" / "davis_tennis"]:
            if chosen(options.only, path.stem) and chosen(options.courses, "its own"):
                write_rows(table, options, path.stem, "its own", Scene(bench, partial(plain, path, options.frames)))


def write_rows(table: ResultTable, options: argparse.Namespace, clip: str, course: str, scene: Scene) -> None:
    """The rows of a clip and a motion. Each is measured unless an earlier run of the same settings has kept it."""
    for way in ("dense", *options.ways):
        cells = kept(options, clip, course, way, scene)
        if cells is not None:
            table.row(clip, course, *cells)


def kept(options: argparse.Namespace, clip: str, course: str, way: str, scene: Scene) -> list[str] | None:
    """The cells of one row; None where nothing is to be measured, and it was not yet."""
    if options.keep is None:
        return scene.cells(way)
    what = [options.preset, options.frames, options.threads, block_of(options.frames)]
    file = options.keep / f"{clip}--{course}--{way}.json".replace(" ", "-").replace("%", "percent")
    if file.exists():
        stored = json.loads(file.read_text())
        if stored["what"] == what:
            return [str(cell) for cell in stored["cells"]]
    if options.only_kept:
        return None
    cells = scene.cells(way)
    options.keep.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"what": what, "cells": cells}))
    return cells


if __name__ == "__main__":
    main()
