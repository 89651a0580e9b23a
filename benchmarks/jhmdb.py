"""The JHMDB clips with their frames and true boxes in memory: one person each, 15 annotated joints per frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame
from skipvid.evaluate.jhmdb import coco_columns, read_joints_json
from skipvid.evaluate.precision import pck_hits
from skipvid.evaluate.true_boxes import PERSON
from skipvid.evaluate.truth import LabelledClip
from skipvid.video.sources.open import open_source


@dataclass(frozen=True, eq=False)
class Clip:
    """frames: those that have a label. boxes: (n, 4) xyxy of the person. sizes: (n,) the longer side of the joints' extent, pixels."""

    labelled: LabelledClip
    static: bool
    frames: list[Frame]
    boxes: NDArray[np.float32]
    sizes: NDArray[np.float32]

    def found(self, poses: NDArray[np.float32], joints: tuple[str, ...]) -> NDArray[np.float64]:
        """PCK@0.2: which joints are near enough. poses: (n, 17, 3), NaN where nobody was found. Returns (n, joints): 1, 0, NaN outside."""
        columns = coco_columns(self.labelled.keypoint_names, joints)
        return np.concatenate([self._hits(number, pose, columns) for number, pose in enumerate(poses)])

    def _hits(self, number: int, pose: NDArray[np.float32], columns: tuple[list[int], list[int]]) -> NDArray[np.float64]:
        one, score, person = self.boxes[number][None], np.ones(1, np.float32), np.array([PERSON])
        return pck_hits(Detections(one, score, person, ("person",), keypoints=pose[None]), self.labelled.frames[number], columns)


def read_clips(folder: Path) -> list[Clip]:
    """folder: jhmdb with joints.json and the clips."""
    cameras = {Path(name).stem: about["camera"] for name, about in json.loads((folder / "joints.json").read_text())["clips"].items()}
    return [_clip(each, cameras[each.name] == "static") for each in read_joints_json(folder / "joints.json")]


def _clip(labelled: LabelledClip, static: bool) -> Clip:
    with open_source(labelled.source) as source:
        frames = [frame for frame in source if frame.index in labelled.frames]
    boxes, sizes = [], []
    for frame in frames:
        truth = labelled.frames[frame.index]
        assert truth.keypoints is not None
        seen = truth.keypoints[0][truth.keypoints[0, :, 2] > 0, :2]
        boxes.append(truth.boxes[0])
        sizes.append(float((seen.max(0) - seen.min(0)).max()))
    return Clip(labelled, static, frames, np.array(boxes, np.float32), np.array(sizes, np.float32))
