"""Which detections of a frame are right: COCO's greedy rule, for boxes by IoU and for keypoints by OKS.

The rule is that of COCO's evaluation code (Lin et al., "Microsoft COCO", ECCV 2014; pycocotools), and tests hold it against pycocotools.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections
from skipvid.evaluate.truth import FrameTruth
from skipvid.models.heatmaps import COCO_TOLERANCES
from skipvid.report.agreement import box_iou

LEVELS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""The similarities at which COCO counts a detection as right."""

MOST = 100
"""Detections of a frame and category that count, best first."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameMatches:
    """One category of one frame.

    scores: (K,) float32, best first. hits: (levels, K) bool. dropped: (levels, K) bool, detections that do not count. total: true objects.
    """

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    dropped: NDArray[np.bool_]
    total: int


_NONE = np.zeros((len(LEVELS), 0), np.bool_)
NO_MATCHES = FrameMatches(np.zeros(0, np.float32), _NONE, _NONE, 0)
"""Of a frame in which nothing of a category is to be found, and nothing was."""


def match_boxes(found: Detections, truth: FrameTruth, category: int, levels: NDArray[np.float64] = LEVELS) -> FrameMatches:
    """Detections of a category against its true boxes. In a crowd region the overlap is relative to the detection's own area."""
    own = found.category_ids == category
    wanted = (truth.category_ids == category) | (truth.crowd & (truth.category_ids == 0))
    boxes, crowd = truth.boxes[wanted], truth.crowd[wanted]
    overlaps = box_iou(found.boxes[own], boxes)
    overlaps[:, crowd] = _share_inside(found.boxes[own], boxes[crowd])
    return match(found.scores[own], overlaps, crowd, levels)


def match_keypoints(
    found: Detections, truth: FrameTruth, columns: tuple[list[int], list[int]], levels: NDArray[np.float64] = LEVELS
) -> FrameMatches:
    """Persons against the truth by OKS. columns: places of the joints in the truth, and in the detections.

    Persons without a labelled joint do not count.
    """
    assert truth.keypoints is not None and found.keypoints is not None
    labelled = truth.keypoints[:, columns[0], 2] > 0
    similarity = oks(found.keypoints[:, columns[1], :2], truth, columns)
    return match(found.scores, similarity, truth.crowd, levels, np.asarray(~labelled.any(axis=1)))


def oks(points: NDArray[np.float32], truth: FrameTruth, columns: tuple[list[int], list[int]]) -> NDArray[np.float64]:
    """Object keypoint similarity of points (K, J, 2) with each true person (M): (K, M).

    A person without a labelled joint is compared with twice its box, as COCO does: inside it the similarity is 1.
    """
    assert truth.keypoints is not None
    true, tolerances = truth.keypoints[:, columns[0]].astype(np.float64), COCO_TOLERANCES[columns[1]]
    labelled = true[..., 2] > 0
    offsets: NDArray[np.float64] = points[:, None].astype(np.float64) - true[None, ..., :2]
    low, high = truth.boxes[None, :, None, :2].astype(np.float64), truth.boxes[None, :, None, 2:].astype(np.float64)
    outside = np.maximum(0, 2 * low - high - points[:, None]) + np.maximum(0, points[:, None] - (2 * high - low))
    known: NDArray[np.bool_] = np.asarray(labelled.any(axis=1))
    offsets = np.where(known[None, :, None, None], offsets, outside)
    spread = 2 * (2 * tolerances) ** 2 * (truth.object_areas.astype(np.float64)[:, None] + np.spacing(1))
    fit = np.exp(-(offsets**2).sum(axis=-1) / spread[None])
    weights = np.where(labelled.any(axis=1, keepdims=True), labelled, True).astype(np.float64)
    result: NDArray[np.float64] = (fit * weights[None]).sum(axis=-1) / weights.sum(axis=-1)[None]
    return result


def match(
    scores: NDArray[np.float32],
    similarity: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    levels: NDArray[np.float64],
    unlabelled: NDArray[np.bool_] | None = None,
) -> FrameMatches:
    """similarity: (K, M) of detections with true objects. crowd, unlabelled: (M,) bool, objects that do not count.

    Best score first, each takes the free object that it resembles most; one that does not count only where no other fits, and then the
    detection does not count. A crowd takes in any number of detections.
    """
    order = np.argsort(-scores, kind="stable")[:MOST]
    aside = crowd if unlabelled is None else crowd | unlabelled
    hits, dropped = np.zeros((2, len(levels), len(order)), np.bool_)
    for row, level in enumerate(levels):
        free = np.ones(len(crowd), np.bool_)
        for place, detection in enumerate(order):
            near = (similarity[detection] >= min(level, 1 - 1e-10)) & free
            for fitting, counted in ((near & ~aside, hits), (near & aside, dropped)):
                if fitting.any():
                    best = _last_best(np.flatnonzero(fitting), similarity[detection])
                    free[best] = crowd[best]
                    counted[row, place] = True
                    break
    return FrameMatches(scores[order], hits, dropped, int((~aside).sum()))


def _last_best(candidates: NDArray[np.int64], similarity: NDArray[np.float64]) -> int:
    """Of equals the last, as in COCO's code."""
    backwards = candidates[::-1]
    return int(backwards[similarity[backwards].argmax()])


def _share_inside(boxes: NDArray[np.float32], regions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each box's own area, the share that lies in each region: (K, M)."""
    first, second = boxes[:, None].astype(np.float64), regions[None].astype(np.float64)
    inside = np.clip(np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]), 0, None).prod(axis=2)
    areas = np.clip(first[..., 2:] - first[..., :2], 0, None).prod(axis=2)
    result: NDArray[np.float64] = np.divide(inside, areas, out=np.zeros_like(inside), where=areas > 0)
    return result
