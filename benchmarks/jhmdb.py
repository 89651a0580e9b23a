"""The JHMDB clips: one person each, 15 annotated joints per frame, and a box around them that stands in for a detector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.tasks.pose_engine import PERSON
from skipvid.video.sources.open import open_source

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
    """frames: of (H, W, 3) uint8. joints: (n, 13, 2) in pixels. boxes: (n, 4) xyxy of the person. sizes: (n,) that PCK is relative to."""

    name: str
    static: bool
    frames: list[Frame]
    joints: NDArray[np.float32]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]

    def found(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """PCK@0.2: which joints lie within 0.2 of the person's size. points: (n, 13, 2). Returns (n, 13): 1, 0, NaN outside the frame."""
        height, width = self.frames[0].height, self.frames[0].width
        outside = ((self.joints < 0) | (self.joints >= [width, height])).any(2)
        distance = np.linalg.norm(points - self.joints, axis=2) / self.sizes[:, None]
        return np.where(outside, np.nan, distance <= 0.2).astype(np.float32)


def read_clips(folder: Path) -> list[Clip]:
    """folder: jhmdb with joints.json and the clips."""
    index = json.loads((folder / "joints.json").read_text())
    columns = [index["joint_names"].index(name) for name in COCO_OF]
    limit = np.array([index["width"], index["height"]], np.float32)
    clips = []
    for name, about in index["clips"].items():
        with open_source(str(folder / name)) as source:
            frames = list(source)[: len(about["joints"])]
        points = np.array(about["joints"], np.float32)[: len(frames)]
        boxes, sizes = [], []
        for frame in points:
            seen = frame[((frame >= 0) & (frame < limit)).all(1)]
            low, high = seen.min(0), seen.max(0)
            size = float((high - low).max())
            sizes.append(size)
            boxes.append(np.concatenate([np.clip(low - MARGIN * size, 0, limit), np.clip(high + MARGIN * size, 0, limit)]))
        static = about["camera"] == "static"
        clips.append(Clip(name, static, frames, points[:, columns], np.array(boxes, np.float32), np.array(sizes, np.float32)))
    return clips


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
        found = Detections(box, np.ones(len(box), np.float32), np.full(len(box), PERSON, np.int64), ("person",) * len(box))
        return FrameResult(frame, found, frame.index == 0, {})
