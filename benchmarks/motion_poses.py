"""Poses before cameras that shake and move: windows on persons with gates alone, and riding on the camera's motion.

    nice -n 19 python benchmarks/motion_poses.py --data DIR [--boxes truth|detector] [--write]

The clips of JHMDB whose camera stands still are looked at through a window that moves by a known motion (see motion.py), and the true
joints move along; those that leave the window count no longer. PCK@0.2, "lost" with its 95 % interval by bootstrap over clips, and
"agreement" are as in pose_jhmdb.py, against the dense network on the same frames. MACs are the pose network's. Boxes: "truth" puts the true
boxes in the detector's place, so that windows find the camera's motion themselves; "detector" runs the bundled one, which tells it.
Processor time is that of the whole process for a frame in memory: motion, windows, networks, keypoints.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jhmdb import Clip, read_clips
from motion import COURSES, SHOWN, Course, chosen, seen_through, shake, through
from numpy.typing import NDArray
from pose_jhmdb import Outcome, agreement, bundled_detector, interval_of, pck, through_engine
from tables import ResultTable, add_write_option

from skipvid.core.results import Frame
from skipvid.evaluate.true_boxes import TrueBoxes
from skipvid.evaluate.truth import FrameTruth
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PoseEngine

WAYS = ("none", "canvas", "auto")


def moved(clip: Clip, course: Course) -> Clip:
    """A clip through a window that moves, with its truth."""
    pictures, places = zip(*seen_through(course, [frame.image for frame in clip.frames]), strict=True)
    frames, truths, boxes = [], {}, []
    for frame, picture, place in zip(clip.frames, pictures, places, strict=True):
        truth = clip.labelled.frames[frame.index]
        truths[frame.index] = truth_through(truth, place, (picture.shape[0], picture.shape[1]))
        boxes.append(truths[frame.index].boxes[0])
        frames.append(Frame(picture, frame.index, frame.time, frame.source))
    labelled = replace(clip.labelled, frames=truths)
    return replace(clip, labelled=labelled, frames=frames, boxes=np.array(boxes, np.float32))


def truth_through(truth: FrameTruth, place: NDArray[np.float64], size: tuple[int, int]) -> FrameTruth:
    """Of a window of (height, width). place: (2, 3) from the frame to it."""
    assert truth.keypoints is not None
    limits = np.array([size[1], size[0]])
    points = (truth.keypoints[..., :2] + 0.5) @ place[:, :2].T + place[:, 2] - 0.5
    inside = ((points >= 0) & (points <= limits - 1)).all(-1)
    keypoints = np.concatenate([points, (truth.keypoints[..., 2] * inside)[..., None]], -1).astype(np.float32)
    boxes = np.clip(through(truth.boxes, place), 0, np.tile(limits, 2)).astype(np.float32)
    return replace(truth, boxes=boxes, keypoints=keypoints, areas=None)


def measured(engine: PoseEngine, clips: list[Clip], way: str) -> tuple[list[Outcome], float]:
    """What each clip gave, and the processor time of a frame, milliseconds."""
    if way != "dense":
        engine.motion = way
        assert engine.detector is not None
        engine.detector.motion = way
    begin = time.process_time()
    outcomes = [through_engine(engine, clip, dense=way == "dense") for clip in clips]
    return outcomes, 1e3 * (time.process_time() - begin) / sum(len(clip.frames) for clip in clips)


def saving(outcomes: list[Outcome]) -> float:
    costs = [outcome.cost for outcome in outcomes if outcome.cost is not None]
    return 1 - sum(cost.macs for cost in costs) / sum(cost.dense_macs for cost in costs)


def cells(way: str, outcomes: list[Outcome], dense: list[Outcome], rest: float, ms: float) -> list[str]:
    if way == "dense":
        return ["dense", "1.00×", "", f"{pck(dense):.1f}", "", "100.0", "", f"{ms:.1f}"]
    own = saving(outcomes)
    lost = f"{pck(dense) - pck(outcomes):.2f} ({interval_of(dense, outcomes)})"
    starts = str(sum(outcome.starts for outcome in outcomes))
    row = [SHOWN[way], f"{1 / (1 - own):.2f}×", f"{own / rest:.0%}", f"{pck(outcomes):.1f}", lost]
    return [*row, f"{agreement(outcomes, dense):.1f}", starts, f"{ms:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/jhmdb")
    parser.add_argument("--preset", default="hrnet-nano")
    parser.add_argument("--boxes", choices=["truth", "detector"], default="truth")
    parser.add_argument("--courses", nargs="+", default=[""], help="motions whose name holds one of these")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--threads", type=int, default=1)
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    preset = load_preset(options.preset)
    people = PoseOptions(scene_cuts=False)
    detector = TrueBoxes() if options.boxes == "truth" else bundled_detector(people.score_threshold, options.threads)
    weights = resolve_weights(preset)
    engine = PoseEngine(preset, SkipConfig.of(preset, threads=options.threads), weights.path, weights.sha256, detector, people)
    engine.show_activity(False)  # times are those of a command that draws no mask
    clips = [clip for clip in read_clips(options.data / "sequences" / "jhmdb") if clip.static]
    frames = sum(len(clip.frames) for clip in clips)
    columns = ["motion", "way", "fewer MACs", "of the still camera's saving", "PCK@0.2", "lost to dense", "agreement", "dense frames"]
    note = f"{preset.name}, {options.boxes} boxes, {len(clips)} clips, {frames} frames; shakes in pixels of 640."
    with ResultTable(f"motion-poses-{options.boxes}", [*columns, "processor time, ms"], options.write, note) as table:
        for course in COURSES:
            if not chosen(options.courses, course.name):
                continue
            still = [moved(clip, replace(course, at=shake(0))) for clip in clips]
            rest = saving(measured(engine, still, "none")[0])
            own = [moved(clip, course) for clip in clips]
            dense, ms = measured(engine, own, "dense")
            table.row(course.name, *cells("dense", dense, dense, rest, ms))
            for way in options.ways:
                outcomes, ms = measured(engine, own, way)
                table.row(course.name, *cells(way, outcomes, dense, rest, ms))


if __name__ == "__main__":
    main()
