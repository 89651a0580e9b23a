"""What registering costs in accuracy, without gates: the dense network on the canvas against itself on the frames as they are.

    nice -n 19 python benchmarks/motion_anchors.py --data DIR [--frames 200] [--anchors 8] [--write]

Sequences with true boxes are looked at through a window that shakes, as in benchmarks/motion.py. The shake begins at another place each
time, so that the anchor lies at another place of the pixel grid. Beside the canvas stand a canvas that is told the true motion, and a
camera that stays where the anchor was taken: seen on another grid, small things are found or missed, by whatever network. AP50, the mean
over the anchors and, in brackets, the standard error of the mean; "lost" is that of the differences to the frames as they are. With
--gated: what is lost, and how many times fewer MACs are executed, with gates on the canvas, by `auto` and without either, the shake
beginning three frames later each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from motion import ROOM, SHOWN, Bench, Clip, Course, chosen, made, shake
from numpy.typing import NDArray
from sequences import SEQUENCES
from sequences import Sequence as Material
from tables import ResultTable, add_write_option

from skipvid.core.results import Detections, Frame
from skipvid.evaluate.run import Pass, add_labelled
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.patches import STILL
from skipvid.tasks.similarity import STANDSTILL, Similarity

Place = tuple[float, float, float, float]


class DenseOnCanvas:
    """The dense network on registered pictures. places: as of a clip, where the canvas is told the motion; None: it is estimated."""

    def __init__(self, engine: DetectEngine, places: list[NDArray[np.float64]] | None) -> None:
        self._engine, self._places, self._frames = engine, places, 0
        self._task = engine.task(motion="canvas")

    def detections(self, image: NDArray[np.uint8]) -> Detections:
        """Of the next frame."""
        size = (image.shape[0], image.shape[1])
        self._task.letterbox(size)
        if self._places is not None:
            self._tell(self._places, size)
        self._frames += 1
        return self._task.decode(self._engine.model.dense_maps(self._task.prepare(image)), size, None)

    def _tell(self, places: list[NDArray[np.float64]], size: tuple[int, int]) -> None:
        canvas: Any = self._task.registration._canvas
        first, here = (np.vstack([places[number], [0, 0, 1]]) for number in (0, self._frames))
        dx, dy = (here @ np.linalg.inv(first))[:2, 2] * (canvas._size[1] / size[1])
        motion = STANDSTILL if np.hypot(dx, dy) < STILL else Similarity(dx=float(dx), dy=float(dy))
        canvas._estimator.estimate = lambda pixels, boxes=None: motion


def precision(clip: Clip, find: Any) -> float:
    """AP50 of what is found in its frames."""
    outcome = Pass("")
    for number, image in enumerate(clip.frames):
        truth = clip.truth.frames.get(number)
        found = find(image)
        if truth is not None:
            add_labelled(outcome, found, truth, "", clip.labels, ([], []))
    return average_precision(outcome)


def average_precision(outcome: Pass) -> float:
    """Its AP50."""
    return outcome.measures()["AP50"](np.ones(len(outcome.groups), np.int64))


def dense(engine: DetectEngine) -> Any:
    """What the dense network finds in an image."""
    stream = engine.dense_stream()
    return lambda image: stream.process(Frame(image, 0, 0.0, "")).detections


def moved_on(at: Callable[[int], Place], by: int, number: int) -> Place:
    """What a course does so many frames later."""
    return at(number + by)


def shaken(material: Material, by: int, options: argparse.Namespace) -> Clip:
    """Through a window whose shake begins so many frames later."""
    return made(material, Course("", ROOM, partial(moved_on, shake(options.pixels), by)), options.data, options.frames)


def mean_text(values: NDArray[np.float64]) -> str:
    """The mean, and its standard error."""
    return f"{values.mean():.1f} ({values.std(ddof=1) / np.sqrt(len(values)):.1f})"


WAYS = ("none", "canvas", "auto")


def gated(bench: Bench, material: Material, options: argparse.Namespace) -> list[str]:
    """Cells of a row with gates: AP50 of the dense network, and for each of WAYS what is lost to it, and how many times fewer MACs."""
    rows = []
    for anchor in range(options.anchors):
        clip = shaken(material, 3 * anchor, options)
        dense_pass, *passes = (bench.run(clip, way)[0] for way in ("dense", *WAYS))
        whole = average_precision(dense_pass)
        rows.append([whole, *(value for own in passes for value in (whole - average_precision(own), own.fewer))])
        print(anchor, *(f"{value:.2f}" for value in rows[-1]), flush=True)
    whole, *others = np.array(rows).T
    pairs = zip(others[::2], others[1::2], strict=True)
    return [mean_text(whole), *(cell for lost, fewer in pairs for cell in (mean_text(lost), f"{fewer.mean():.2f}×"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=200, help="frames of each clip")
    parser.add_argument("--anchors", type=int, default=8, help="places where the shake begins, two or more")
    parser.add_argument("--pixels", type=float, default=2.0, help="of the shake, of 640")
    parser.add_argument("--only", nargs="+", default=[""], help="clips whose name holds one of these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gated", action="store_true", help="with gates, in place of the dense network on the canvas")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    cv2.setNumThreads(1)
    bench = Bench(options)
    engine, note = bench.engine, f"{options.preset}, shake of {options.pixels:g} px."
    materials = [each for each in SEQUENCES if chosen(options.only, each.name)]
    if options.gated:
        shown = ("clip", "AP50, dense", *(cell for way in WAYS for cell in (f"{SHOWN[way]}: lost", "fewer MACs")))
        with ResultTable("motion-anchors-gated", shown, options.write, note) as table:
            for material in materials:
                table.row(material.name, *gated(bench, material, options))
        return
    columns = [
        "clip",
        "true boxes",
        "as they are",
        "lowest … highest",
        "camera that stays",
        "canvas",
        "lost",
        "canvas, true motion",
        "lost",
    ]
    with ResultTable("motion-anchors", columns, options.write, note) as table:
        for material in materials:
            rows = []
            for anchor in range(options.anchors):
                stays = Course("", ROOM, partial(lambda place, number: place, shake(options.pixels)(anchor)))
                clip = made(material, stays, options.data, options.frames)
                held = precision(clip, dense(engine))
                clip = shaken(material, anchor, options)
                ways = (dense(engine), DenseOnCanvas(engine, None).detections, DenseOnCanvas(engine, clip.places).detections)
                rows.append([held, *(precision(clip, way) for way in ways)])
                print(anchor, *(f"{value:.1f}" for value in rows[-1]), flush=True)
            still, plain, canvas, true = np.array(rows).T
            boxes = sum(len(truth.boxes) for truth in clip.truth.frames.values())
            cells = [mean_text(plain), f"{plain.min():.1f} … {plain.max():.1f}", mean_text(still)]
            table.row(material.name, boxes, *cells, mean_text(canvas), mean_text(plain - canvas), mean_text(true), mean_text(plain - true))


if __name__ == "__main__":
    main()
