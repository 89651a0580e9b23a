"""Poses of all people in the picture at once: YOLOv8-pose and YOLO11-pose, and YOLO26-pose, which has chosen the best ones itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import numpy as np

from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.detections import MAX_DETECTIONS, RawDetections, RowHead, logit, sigmoid
from skipvid.models.heads.base import Fit, Floats, HeadKind, Size, from_centres, raw
from skipvid.models.heads.rows import STRIDES, cells, counts_cells
from skipvid.models.heads.yolov5 import MOST_ROWS
from skipvid.models.heads.yolov8 import AnchorFree, boxes_of, decoded_from

NUMBERS = (3, 2)
"""Of a joint: x, y and the chance that it is seen, or x and y alone."""


class PoseRows(RowHead):
    """Reads (1, 5 + numbers · J, N): centre, width and height in pixels, score, and the joints; x and y in pixels."""

    iou_threshold = AnchorFree.iou_threshold
    levels = ((0,),)

    def __init__(self, image_size: Size, joints: int) -> None:
        self.image_size, self._joints = image_size, joints

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        values = maps[0][0]
        rows = np.flatnonzero(values[4] > score_threshold)
        scores = values[4, rows]
        return _poses(from_centres(values[:4, rows].T), scores, values[5:, rows].T.reshape(len(rows), self._joints, -1))


class PoseMaps(RowHead):
    """Reads, of each level, the logits of persons (1, 1, h, w), distances of a box's sides, and joints (1, numbers · J, h, w)."""

    iou_threshold = AnchorFree.iou_threshold

    def __init__(self, image_size: Size, strides: Sequence[int], joints: int) -> None:
        self.image_size, self._strides, self._joints = image_size, strides, joints
        count = len(strides)
        self.levels = tuple((level, count + level, 2 * count + level) for level in range(count))

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        scores, sides, joints = (each[0] for each in maps)
        y, x = (scores[0] > logit(score_threshold)).nonzero()
        stride = self._strides[level]
        points = _joints(joints[:, y, x], x, y, stride, self._joints)
        return _poses(boxes_of(sides[:, y, x], x, y, stride), sigmoid(scores[0, y, x]), points)


class ChosenPoses(RowHead):
    """Reads (1, K, 6 + numbers · J): x1, y1, x2, y2 in pixels, score, class, and the joints of persons that need no suppression."""

    iou_threshold = 1.0
    levels = ((0,),)

    def __init__(self, image_size: Size, joints: int) -> None:
        self.image_size, self._joints = image_size, joints

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        values = maps[0][0]
        values = values[values[:, 4] > score_threshold][:MAX_DETECTIONS]
        return _poses(values[:, :4], values[:, 4], values[:, 6:].reshape(len(values), self._joints, -1))


def _joints(values: Floats, x: Floats, y: Floats, stride: int, joints: int) -> Floats:
    """values: (numbers · J, K) of the cells x, y -> (K, J, numbers), in pixels."""
    points = values.T.reshape(len(x), joints, -1).copy()
    cells_ = np.stack([x, y], 1).astype(np.float32)[:, None]
    points[..., :2] = (2 * points[..., :2] + cells_) * stride
    points[..., 2:] = sigmoid(points[..., 2:])
    return points


def _poses(boxes: Floats, scores: Floats, points: Floats) -> RawDetections:
    """points: (K, J, 2 or 3). Joints without a chance of their own have that of the person."""
    if points.shape[2] < 3:
        own = np.broadcast_to(scores[:, None, None], (*points.shape[:2], 1))
        points = np.concatenate([points, own], 2)
    found = raw(boxes, scores, np.zeros(len(scores)))
    return RawDetections(found.boxes, found.scores, found.classes, np.asarray(points, np.float32))


def _shape(facts: NetworkFacts, numbers: int) -> tuple[int, int] | None:
    """Joints, and numbers of each, where so many numbers are those of poses; what the file says of them comes first."""
    try:
        said = ast.literal_eval(facts.metadata["kpt_shape"])
        joints, each = int(said[0]), int(said[1])
    except (KeyError, ValueError, SyntaxError, TypeError, IndexError):
        wanted = facts.classes or len(COCO_KEYPOINTS)
        found = [each for each in NUMBERS if wanted * each == numbers]
        joints, each = wanted, found[0] if found else 0
    return (joints, each) if each in NUMBERS and joints * each == numbers and facts.may_have(joints) else None


def _open(facts: NetworkFacts) -> bool:
    """Whether the network may be one for poses, by what the file says."""
    return len(facts.outputs) == 1 and len(facts.outputs[0].shape) == 3 and facts.metadata.get("task", "pose") == "pose"


def _rows(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    if not _open(facts) or not any(output.shape[2] == cells(facts.image_size, strides) for strides in STRIDES):
        return None
    shape = _shape(facts, output.shape[1] - 5)
    if shape is None:
        return None
    joints, each = shape
    for names, strides in _maps(facts, joints, each):
        return Fit(joints, names, lambda size, strides=strides: PoseMaps(size, strides, joints))  # type: ignore[misc]
    return Fit(joints, (output.name,), lambda size: PoseRows(size, joints))


def _maps(facts: NetworkFacts, joints: int, each: int) -> Iterator[tuple[tuple[str, ...], Sequence[int]]]:
    """Names of the maps that give the network's own rows when they are decoded here, and their strides."""

    def rest(values: Floats, x: Floats, y: Floats, stride: int) -> Floats:
        return _joints(values, x, y, stride, joints).reshape(len(x), -1)

    yield from decoded_from(facts, 1, joints * each, rest)


def _chosen(facts: NetworkFacts) -> Fit | None:
    if not _open(facts):
        return None
    rows, columns = facts.outputs[0].shape[1:]
    shape = _shape(facts, columns - 6) if rows <= MOST_ROWS and not counts_cells(rows, facts.image_size) else None
    if shape is None:
        return None
    joints = shape[0]
    return Fit(joints, (facts.outputs[0].name,), lambda size: ChosenPoses(size, joints))


KINDS = (
    HeadKind("yolov8-pose", "pose", "(1, 5 + 3 · joints, N), N cells of strides 8, 16, 32; also YOLO11-pose", _rows, whole=True),
    HeadKind(
        "end2end-pose", "pose", "(1, K, 6 + 3 · joints): box in pixels, score, class, joints, as YOLO26-pose has it", _chosen, whole=True
    ),
)
