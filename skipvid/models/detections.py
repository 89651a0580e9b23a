"""From a detector's output maps to objects: what every family's head offers, and the suppression that all share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 5000
"""Boxes of one image that take part in the suppression, the best ones."""

MAX_DETECTIONS = 100
"""Objects of one image, as COCO's evaluation has it."""


@dataclass(frozen=True, slots=True, eq=False)
class RawDetections:
    """Objects of one image, best score first, still in the network's terms.

    boxes: (K, 4) float32, xyxy, pixels of the network's input. scores: (K,) float32. classes: (K,) int64, head outputs.
    keypoints: (K, J, 3) float32, x and y in those pixels and score, or None.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    keypoints: NDArray[np.float32] | None = None

    def rows(self, chosen: NDArray[np.intp] | NDArray[np.int64] | NDArray[np.bool_]) -> RawDetections:
        """Some of them."""
        keypoints = None if self.keypoints is None else self.keypoints[chosen]
        return RawDetections(self.boxes[chosen], self.scores[chosen], self.classes[chosen], keypoints)


C = TypeVar("C")


class DetectionHead(ABC, Generic[C]):
    """Reads a detector's output maps for inputs of one size; C: what it finds in one level.

    Finding in a level and joining the levels are two steps, so that a level whose maps are those of the picture before need not be read
    again. image_size: (height, width) of the input, pixels. levels: for each level the numbers of its output maps, counted over all tensors
    that the network returns, in their order. iou_threshold: above it the worse of two boxes of a class goes.
    """

    image_size: tuple[int, int]
    levels: tuple[tuple[int, ...], ...]
    iou_threshold: float

    @abstractmethod
    def find(self, level: int, maps: Sequence[NDArray[np.float32]], score_threshold: float) -> C:
        """maps: (1, C, h, w) float32 each, those of the level -> what may be an object there, with a score above score_threshold.

        score_threshold: in [0, 1].
        """

    @abstractmethod
    def join(self, found: Sequence[C]) -> RawDetections:
        """found: of every level, in order -> at most MAX_CANDIDATES boxes, neither clipped nor suppressed; any value may be no number."""

    def choose(self, found: Sequence[C]) -> RawDetections:
        """found: of every level, in order -> the objects of the image."""
        return suppress(self.join(found), self.image_size, self.iou_threshold)


class RowHead(DetectionHead[RawDetections]):
    """A head whose levels find boxes that are ready: they only have to be put together, the best first."""

    def join(self, found: Sequence[RawDetections]) -> RawDetections:
        boxes, scores, classes = (np.concatenate([getattr(each, name) for each in found]) for name in ("boxes", "scores", "classes"))
        points = [each.keypoints for each in found if each.keypoints is not None]
        best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        return RawDetections(boxes, scores, classes, np.concatenate(points) if points else None).rows(best)


def suppress(
    raw: RawDetections, image_size: tuple[int, int], iou_threshold: float = 0.5, max_detections: int = MAX_DETECTIONS
) -> RawDetections:
    """Boxes clipped to an input of (height, width) and suppressed class by class; those whose score or box is no number are left out."""
    valid = np.isfinite(raw.scores) & ~np.isnan(raw.boxes).any(axis=1)
    height, width = image_size
    raw = raw.rows(valid)
    raw = replace(raw, boxes=np.clip(raw.boxes, 0, np.array([width, height, width, height], np.float32)))
    return raw.rows(class_wise_nms(raw.boxes, raw.scores, raw.classes, iou_threshold, max_detections))


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores in [0, 1] of logits of any size."""
    with np.errstate(over="ignore"):  # 1 / inf is 0, as it shall be
        scores: NDArray[np.float32] = np.reciprocal(1 + np.exp(-logits))
    return scores


def logit(score: float) -> float:
    """The inverse of the sigmoid, infinite where no score, or every score, is above `score`."""
    if score <= 0:
        return -math.inf
    return math.inf if score >= 1 else math.log(score / (1 - score))


def class_wise_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    iou_threshold: float = 0.5,
    max_detections: int = MAX_DETECTIONS,
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    boxes: (K, 4) xyxy, scores: (K,), classes: (K,) -> indices of the at most max_detections boxes kept, best score first; of equal scores
    the earlier one. A box goes where its IoU with a better kept box of its class is above iou_threshold. Boxes without area overlap none.
    """
    remaining = np.argsort(-scores, kind="stable")
    # A box whose sides changed places has none either: a negative area would drive out others that it does not touch.
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    while len(remaining) and len(kept) < max_detections:
        best, rest = remaining[0], remaining[1:]
        kept.append(int(best))
        overlap = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        intersection = np.prod(np.maximum(overlap, 0), axis=1)
        union = areas[best] + areas[rest] - intersection
        remaining = rest[(classes[rest] != classes[best]) | (intersection <= iou_threshold * union)]
    return np.array(kept, np.int64)
