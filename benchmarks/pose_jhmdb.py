"""Poses on JHMDB: accuracy against MACs, gated against dense, windows that stay against windows that follow.

Truth boxes stand in for a detector, so that only the pose network is measured. PCK@0.2: a joint counts as found within 0.2 of the longer
side of the person's box (the extent of the true joints inside the frame). Joints: shoulders, hips, elbows, knees, wrists, ankles, and
the nose for JHMDB's face. MACs include each clip's first frame, which is dense, and every change of window.

  python benchmarks/pose_jhmdb.py --data DIR --weights tinypose_256x192_state_dict.pt [--preset FILE] [--thresholds 0,0.03,0.06,0.1]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from skipvid.pose_engine import PERSON, PoseEngine, PoseOptions
from skipvid.presets import load_preset
from skipvid.results import Detections, Frame, FrameResult
from skipvid.runtime.config import SkipConfig
from skipvid.tasks.crops import EVERY_FRAME, StickyRule

COCO_OF = {
    # JHMDB's joint -> COCO's
    "face": 0,
    "lshoulder": 5,
    "rshoulder": 6,
    "lelbow": 7,
    "relbow": 8,
    "lwrist": 9,
    "rwrist": 10,
    "lhip": 11,
    "rhip": 12,
    "lknee": 13,
    "rknee": 14,
    "lankle": 15,
    "rankle": 16,
}
MARGIN = 0.1
"""How far a person reaches beyond the joints, as a fraction of the longer side of their extent."""


@dataclass(frozen=True, eq=False)
class Clip:
    """images: (H, W, 3) uint8. joints: (n, 13, 2) in pixels. boxes: (n, 4) xyxy of the person. sizes: (n,) that PCK is relative to."""

    name: str
    static: bool
    images: list[NDArray[np.uint8]]
    joints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]


def read_clips(folder: Path) -> list[Clip]:
    """folder: jhmdb with joints.json and the clips."""
    index = json.loads((folder / "joints.json").read_text())
    columns = [index["joint_names"].index(name) for name in COCO_OF]
    limit = np.array([index["width"], index["height"]], np.float32)
    clips = []
    for name, about in index["clips"].items():
        points = np.array(about["joints"], np.float32)
        images = list(_read(folder / name))[: len(points)]
        boxes, sizes = [], []
        for frame in points:
            seen = frame[((frame >= 0) & (frame < limit)).all(1)]
            low, high = seen.min(0), seen.max(0)
            size = float((high - low).max())
            sizes.append(size)
            boxes.append(np.concatenate([np.clip(low - MARGIN * size, 0, limit), np.clip(high + MARGIN * size, 0, limit)]))
        clips.append(
            Clip(name, about["camera"] == "static", images, points[: len(images), columns], np.array(boxes, np.float32), np.array(sizes))
        )
    return clips


def _read(path: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, image = capture.read()
        if not ok:
            return
        yield image


class Truth:
    """Stands in for a detector: delivers the true box of each frame of a clip."""

    backend = "truth"
    weights_sha256 = ""
    categories: Mapping[int, str] = {PERSON: "person"}

    def __init__(self) -> None:
        self.boxes = np.zeros((0, 4), np.float32)

    def prepare(self, height: int, width: int) -> None: ...

    def networks(self, height: int, width: int) -> list[Any]:
        return []

    def stream(self, dense_every: int = 0) -> Truth:
        return self

    def dense_stream(self) -> Truth:
        return self

    def process(self, frame: Frame) -> FrameResult:
        box = self.boxes[frame.index : frame.index + 1]
        found = Detections(box, np.ones(1, np.float32), np.full(1, PERSON, np.int64), ("person",))
        return FrameResult(frame, found, frame.index == 0, {})


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of one clip. found: (n, 13) bool with joints outside the frame left out as NaN. macs, dense_macs: of the whole clip."""

    clip: Clip
    found: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    macs: int
    dense_macs: int
    starts: int


def run(engine: PoseEngine, truth: Truth, clip: Clip, dense: bool = False) -> Outcome:
    """One pass over a clip."""
    truth.boxes = clip.boxes
    stream = engine.dense_stream() if dense else engine.stream()
    keypoints, macs, full, starts = [], 0, 0, 0
    for number, image in enumerate(clip.images):
        result = stream.process(Frame(image, number, number / 25, clip.name))
        assert result.detections.keypoints is not None
        keypoints.append(result.detections.keypoints[0])
        if result.cost is not None:
            macs, full = macs + result.cost.macs, full + result.cost.dense_macs
            starts += result.cost.macs == result.cost.dense_macs
    points = np.array(keypoints)[:, list(COCO_OF.values()), :2]
    distance = np.linalg.norm(points - clip.joints, axis=2) / clip.sizes[: len(points), None]
    height, width = clip.images[0].shape[:2]
    outside = ((clip.joints < 0) | (clip.joints >= [width, height])).any(2)
    return Outcome(clip, np.where(outside, np.nan, distance <= 0.2), np.array(keypoints), macs, full, starts)


def pck(outcomes: list[Outcome]) -> float:
    """Percentage of joints found."""
    return float(100 * np.nanmean(np.concatenate([outcome.found.ravel() for outcome in outcomes])))


def agreement(outcomes: list[Outcome], reference: list[Outcome]) -> float:
    """Percentage of keypoints within one heat map pixel (1/64 of a window's height) of the dense network's."""
    close = []
    for one, other in zip(outcomes, reference, strict=True):
        distance = np.linalg.norm(one.keypoints[..., :2] - other.keypoints[..., :2], axis=2)
        close.append(distance <= (one.clip.sizes[: len(distance), None] * 1.5 / 64))
    return float(100 * np.mean(np.concatenate([item.ravel() for item in close])))


def fewer(outcomes: list[Outcome]) -> float:
    """How many times fewer MACs than dense."""
    return sum(outcome.dense_macs for outcome in outcomes) / max(sum(outcome.macs for outcome in outcomes), 1)


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    clips = read_clips(arguments.data / "sequences" / "jhmdb")
    if arguments.static_only:
        clips = [clip for clip in clips if clip.static]
    preset = load_preset(arguments.preset)
    truth = Truth()
    engine = PoseEngine(preset, SkipConfig(), arguments.weights, detector=truth, options=PoseOptions(scene_cuts=False))
    rules = {"sticky": StickyRule(), "following": EVERY_FRAME}
    rows: list[dict[str, Any]] = []
    reference: dict[str, list[Outcome]] = {}
    for windows, rule in rules.items():
        engine.options = dataclasses.replace(engine.options, rule=rule)
        reference[windows] = [run(engine, truth, clip, dense=True) for clip in clips]
        _report(rows, windows, "dense", reference[windows], reference[windows])
        for threshold in arguments.thresholds if windows == "sticky" else arguments.thresholds[-2:-1]:
            gated = engine.regated(SkipConfig(threshold, block=arguments.block))
            _report(rows, windows, f"{threshold:g}", [run(gated, truth, clip) for clip in clips], reference[windows])
    if preset.thresholds:
        engine.options = dataclasses.replace(engine.options, rule=rules["sticky"])
        gated = engine.regated(SkipConfig(preset.threshold, thresholds=preset.thresholds, scales=preset.scales))
        _report(rows, "sticky", "preset", [run(gated, truth, clip) for clip in clips], reference["sticky"])
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _report(rows: list[dict[str, Any]], windows: str, gate: str, outcomes: list[Outcome], reference: list[Outcome]) -> None:
    row: dict[str, Any] = {"windows": windows, "threshold": gate}
    for camera in ("static", "moving"):
        chosen = [index for index, outcome in enumerate(outcomes) if outcome.clip.static == (camera == "static")]
        if not chosen:
            continue
        part, base = [outcomes[index] for index in chosen], [reference[index] for index in chosen]
        row[f"{camera}_pck"] = round(pck(part), 2)
        row[f"{camera}_drop"] = round(pck(base) - pck(part), 2)
        row[f"{camera}_agreement"] = round(agreement(part, base), 1)
        if gate != "dense":
            row[f"{camera}_fewer_macs"] = round(fewer(part), 2)
            row[f"{camera}_starts"] = sum(outcome.starts for outcome in part)
    for key in ("static_fewer_macs", "static_starts", "moving_fewer_macs", "moving_starts"):
        row.setdefault(key, "")
    rows.append(row)
    print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/jhmdb")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--preset", default="tinypose_256x192")
    parser.add_argument("--thresholds", type=lambda text: [float(item) for item in text.split(",")], default=[0, 0.03, 0.06, 0.1])
    parser.add_argument("--block", type=int, default=1)
    parser.add_argument("--static-only", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
