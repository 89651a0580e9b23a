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

BLOCK = 32
"""Boxes that are compared with all worse ones at a time: one by one, calls would take longer than what they compute."""


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
    order = np.argsort(-scores, kind="stable")
    own = _Boxes.of(boxes[order], classes[order])
    remaining, kept = np.arange(len(order)), np.zeros(0, np.int64)
    while len(remaining) and len(kept) < max_detections:
        block, rest = remaining[:BLOCK], remaining[BLOCK:]
        unbeaten = block[_unbeaten(own.overlap(block, block, iou_threshold))]
        kept = np.concatenate([kept, unbeaten])
        remaining = rest[~own.overlap(unbeaten, rest, iou_threshold).any(axis=0)]
    return order[kept[:max_detections]]


@dataclass(frozen=True, slots=True)
class _Boxes:
    """(K,) each: the sides of boxes, their areas and classes; whole columns are quicker to compute with than rows of four."""

    left: NDArray[np.float32]
    top: NDArray[np.float32]
    right: NDArray[np.float32]
    bottom: NDArray[np.float32]
    areas: NDArray[np.float32]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, boxes: NDArray[np.float32], classes: NDArray[np.int64]) -> _Boxes:
        left, top, right, bottom = np.ascontiguousarray(boxes.T)
        # A box whose sides changed places has no area either: a negative one would drive out others that it does not touch.
        return cls(left, top, right, bottom, np.maximum(right - left, 0) * np.maximum(bottom - top, 0), classes)

    def overlap(self, these: NDArray[np.int64], those: NDArray[np.int64], iou_threshold: float) -> NDArray[np.bool_]:
        """(M,) and (N,) numbers of boxes -> (M, N) whether both are of a class, and their IoU is above the threshold."""
        these = these[:, None]
        width = np.minimum(self.right[these], self.right[those]) - np.maximum(self.left[these], self.left[those])
        height = np.minimum(self.bottom[these], self.bottom[those]) - np.maximum(self.top[these], self.top[those])
        intersection = np.maximum(width, 0) * np.maximum(height, 0)
        union = self.areas[these] + self.areas[those] - intersection
        driven_out: NDArray[np.bool_] = (intersection > iou_threshold * union) & (self.classes[these] == self.classes[those])
        return driven_out


def _unbeaten(overlap: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """overlap: (N, N), the best box first -> (N,) the boxes that no better one of them drives out."""
    unbeaten = np.ones(len(overlap), np.bool_)
    for number in range(len(overlap)):
        if unbeaten[number]:
            unbeaten[number + 1 :] &= ~overlap[number, number + 1 :]
    return unbeaten
