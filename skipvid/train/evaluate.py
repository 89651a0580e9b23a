"""Average precision of detections against ground truth, all-point interpolation, as COCO and the later PASCAL VOC define it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.track import iou_matrix
from skipvid.train.teachers import Found


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The ground truth of one picture for one class.

    boxes: (K, 4) float32, xyxy, pixels. ignore: (K,) bool, True = it does not count whether the box is found.
    """

    boxes: NDArray[np.float32]
    ignore: NDArray[np.bool_]


def average_precision(found: Sequence[Found], truths: Sequence[Truth], *, iou: float = 0.5) -> float:
    """AP in [0, 1] of one class over pictures; `found[i]` holds that class alone (its class numbers are not looked at). NaN without truth.

    Best score first, each detection takes the free true box of the highest IoU of at least `iou`. A detection that takes no true box but
    overlaps an ignored one by `iou` of either's union, or lies in it by half of its own area, is dropped.
    Area under the precision envelope over recall.
    """
    if len(found) != len(truths):
        raise ValueError(f"{len(found)} pictures with detections, {len(truths)} with truth")
    scores = np.concatenate([f.scores for f in found]) if found else np.zeros(0, np.float32)
    pictures = np.concatenate([np.full(len(f), i, np.int64) for i, f in enumerate(found)]) if found else np.zeros(0, np.int64)
    rows = np.concatenate([np.arange(len(f)) for f in found]) if found else np.zeros(0, np.int64)
    overlaps = [iou_matrix(f.boxes, t.boxes) for f, t in zip(found, truths, strict=True)]
    taken = [np.zeros(len(t.boxes), np.bool_) for t in truths]
    total = sum(int((~t.ignore).sum()) for t in truths)
    if not total:
        return float("nan")
    hits: list[bool] = []
    for k in np.argsort(-scores, kind="stable"):
        picture, row = int(pictures[k]), int(rows[k])
        truth, overlap = truths[picture], overlaps[picture][row]
        candidates = np.where(taken[picture] | truth.ignore, -1.0, overlap)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= iou:
            taken[picture][best] = True
            hits.append(True)
        elif not _ignored(found[picture].boxes[row], overlap, truth, iou):
            hits.append(False)
    return area_under_envelope(np.asarray(hits, np.bool_), total)


def _ignored(box: NDArray[np.float32], overlap: NDArray[np.float32], truth: Truth, iou: float) -> bool:
    regions = truth.boxes[truth.ignore]
    if not len(regions):
        return False
    if (overlap[truth.ignore] >= iou).any():
        return True
    inter = np.prod(np.maximum(np.minimum(regions[:, 2:], box[2:]) - np.maximum(regions[:, :2], box[:2]), 0), axis=1)
    return bool((inter >= 0.5 * max(float(np.prod(box[2:] - box[:2])), 1e-9)).any())


def area_under_envelope(hits: NDArray[np.bool_], total: int) -> float:
    """hits: (K,) bool, detections best first, True = matched; total: number of true boxes. The area under precision's monotone envelope."""
    true_positives = np.cumsum(hits)
    recall = true_positives / total
    precision = true_positives / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope).sum())


def merge_classes(found: Found, classes: Sequence[int], *, iou: float = 0.6) -> Found:
    """The detections of several classes as one class (a van that is both car and truck counts once), best first, after NMS."""
    from skipvid.train.teachers import nms

    rows = np.flatnonzero(np.isin(found.classes, classes))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    rows = rows[nms(found.boxes[rows], iou)]
    return Found(found.boxes[rows], found.scores[rows], np.zeros(len(rows), np.int64))
