"""Average precision over many frames, and PCK."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections
from skipvid.evaluate.matching import FrameMatches
from skipvid.evaluate.truth import FrameTruth
from skipvid.report.agreement import box_iou

RECALLS: NDArray[np.float64] = np.linspace(0, 1, 101)
"""Where COCO reads the precision."""

REACH = 0.2
"""Of the longer side of the person: how near a joint must be for PCK@0.2 (Yang and Ramanan, PAMI 2013)."""


class PrecisionTable:
    """The detections of one category over many frames, sorted once, so that any resampling of the frames is cheap to measure."""

    def __init__(self, frames: Sequence[FrameMatches]) -> None:
        scores = np.concatenate([frame.scores for frame in frames])
        order = np.argsort(-scores, kind="mergesort")
        numbers = np.repeat(np.arange(len(frames)), [len(frame.scores) for frame in frames])
        self._frame = numbers[order]
        self._hits = np.concatenate([frame.hits for frame in frames], axis=1)[:, order]
        self._counted = ~np.concatenate([frame.dropped for frame in frames], axis=1)[:, order]
        self._totals = np.array([frame.total for frame in frames])

    def average_precision(self, times: NDArray[np.int64], levels: slice = slice(None)) -> NDArray[np.float64]:
        """(levels,) in [0, 1]: mean of the precision at 101 recalls, as COCO defines it; NaN where there is no true object.

        times: (frames,) how often each frame counts.
        """
        hits, counted = self._hits[levels], self._counted[levels]
        total = int(self._totals @ times)
        if not total:
            return np.full(len(hits), np.nan)
        weights = times[self._frame]
        return np.array([_area(hit * weights, keep * weights, total) for hit, keep in zip(hits, counted, strict=True)])


def average_precision(frames: Sequence[FrameMatches]) -> NDArray[np.float64]:
    """(levels,) in [0, 1] of one category over frames, as COCO defines it; NaN where there is no true object."""
    return PrecisionTable(frames).average_precision(np.ones(len(frames), np.int64))


def _area(hits: NDArray[np.int64], counted: NDArray[np.int64], total: int) -> float:
    """hits, counted: (K,) of detections, best first, how often each is right, and how often it counts."""
    hits, counted = hits[counted > 0], counted[counted > 0]
    if not len(hits):
        return 0.0
    right = np.cumsum(hits)
    recall, precision = right / total, right / np.cumsum(counted)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.where(places < len(envelope), envelope[np.minimum(places, len(envelope) - 1)], 0).mean())


def mean_over_categories(by_category: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(levels,) mean of the categories that have a true object; NaN where none has."""
    known = [each for each in by_category if not np.isnan(each).any()]
    return np.mean(known, axis=0) if known else np.full(len(by_category[0]) if by_category else 0, np.nan)


def pck_hits(found: Detections, truth: FrameTruth, columns: tuple[list[int], list[int]], reach: float = REACH) -> NDArray[np.float64]:
    """(persons, joints) of a frame: 1 found, 0 not, NaN not labelled.

    A true person is compared with the detection whose box overlaps theirs most; where none does, no joint is found.
    """
    assert truth.keypoints is not None
    true = truth.keypoints[~truth.crowd][:, columns[0]]
    boxes = truth.boxes[~truth.crowd]
    result = np.where(true[..., 2] > 0, 0.0, np.nan)
    if not len(found) or found.keypoints is None:
        return result
    overlaps = box_iou(boxes, found.boxes)
    for person, (joints, box) in enumerate(zip(true, boxes, strict=True)):
        best = int(overlaps[person].argmax())
        if overlaps[person, best] <= 0:
            continue
        seen = joints[:, 2] > 0
        size = _extent(joints[seen]) if seen.any() else float((box[2:] - box[:2]).max())
        near = np.linalg.norm(found.keypoints[best][columns[1], :2] - joints[:, :2], axis=1) <= reach * size
        result[person] = np.where(seen, near, np.nan)
    return result


def _extent(joints: NDArray[np.float32]) -> float:
    return float((joints[:, :2].max(axis=0) - joints[:, :2].min(axis=0)).max())
