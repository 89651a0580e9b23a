"""How far two results agree, detections or class maps, for comparing skip with dense where there is no ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skipvid.core.class_maps import ClassMap
from skipvid.core.results import Detections


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of matched and unmatched objects, of one frame or added up over many with `+`.

    tp: pairs. fp: objects of the other set without a partner in the reference. fn: objects of the reference without a partner.
    score_gap: sum over the pairs of |score - reference score|.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    score_gap: float = 0.0

    @property
    def precision(self) -> float:
        """Pairs among the objects of the other set; 1 where it has none."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 1.0

    @property
    def recall(self) -> float:
        """Pairs among the objects of the reference; 1 where it has none."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 1.0

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn); 1 where both sets are empty: they agree that there is nothing."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 1.0

    @property
    def mean_score_gap(self) -> float:
        """Mean |score - reference score| of the pairs; 0 without pairs."""
        return self.score_gap / self.tp if self.tp else 0.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.score_gap + other.score_gap)


@dataclass(frozen=True, slots=True, eq=False)
class MapAgreement:
    """Counts of cells of class maps, of one frame or added up over many with `+`.

    both: (classes,) cells that have the class in both maps. either: those that have it in one or both.
    """

    both: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    either: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def pixels(self) -> float:
        """Share of cells that have the same class; 1 where there are none."""
        same = int(self.both.sum())
        total = (same + int(self.either.sum())) // 2  # a cell with two classes counts in both of their unions
        return same / total if total else 1.0

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that are in either map; 1 where there are none."""
        there = self.either > 0
        return float((self.both[there] / self.either[there]).mean()) if there.any() else 1.0

    def __add__(self, other: MapAgreement) -> MapAgreement:
        if not len(self.both):
            return other
        return MapAgreement(self.both + other.both, self.either + other.either) if len(other.both) else self


def map_agreement(reference: ClassMap, other: ClassMap) -> MapAgreement:
    """Cell by cell of two maps of the same network and frame."""
    one, two, count = reference.cells.ravel(), other.cells.ravel(), len(reference.names)
    both = np.bincount(one[one == two], minlength=count)
    return MapAgreement(both, np.bincount(one, minlength=count) + np.bincount(two, minlength=count) - both)


def agreement(reference: Detections, other: Detections, iou: float = 0.5) -> Agreement:
    """Match `other` against `reference`, class by class, by the greedy rule of COCO's evaluation.

    Best score first, each object takes the free reference box of its class that it overlaps most, by an intersection over union of at
    least `iou`.
    """
    overlaps = box_iou(other.boxes, reference.boxes)
    overlaps[other.category_ids[:, None] != reference.category_ids[None, :]] = -1.0
    pairs, gap = 0, 0.0
    for row in np.argsort(-other.scores, kind="stable"):
        if overlaps.shape[1] == 0:
            break
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= iou:
            overlaps[:, best] = -1.0
            pairs += 1
            gap += abs(float(other.scores[row]) - float(reference.scores[best]))
    return Agreement(pairs, len(other) - pairs, len(reference) - pairs, gap)


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of every pair of boxes, (K, 4) and (M, 4) xyxy -> (K, M); 0 where a box has no area."""
    first, second = a[:, None, :].astype(np.float64), b[None, :, :].astype(np.float64)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = np.clip(sides, 0.0, None).prod(axis=2)
    areas = [np.clip(boxes[..., 2:] - boxes[..., :2], 0.0, None).prod(axis=2) for boxes in (first, second)]
    union = areas[0] + areas[1] - intersection
    result: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0.0)
    return result
