"""What published detectors return, decoded as their authors' demonstrations do it: in NumPy, all rows at once, by none of our heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Decoded = tuple[Array, Array, NDArray[np.integer]]
"""Boxes (K, 4) xyxy in pixels of the input, scores (K,), classes (K,)."""


def yolox(rows: Array, size: tuple[int, int]) -> Decoded:
    """rows: (N, 5 + classes). size: (height, width) of the input."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        y, x = np.mgrid[0 : size[0] // stride, 0 : size[1] // stride]
        grids.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((len(grids[-1]), 1), stride))
    grid, stride = np.concatenate(grids), np.concatenate(strides)
    centre, side = (rows[:, :2] + grid) * stride, np.exp(rows[:, 2:4]) * stride
    scores = rows[:, 4] * rows[:, 5:].max(1)
    return np.concatenate([centre - side / 2, centre + side / 2], 1), scores, rows[:, 5:].argmax(1)


def nanodet(outputs: list[Array], size: tuple[int, int]) -> Decoded:
    """outputs: scores of three levels, then distributions over 0 to 7 strides for each side; NanoDet-m."""
    boxes, scores, classes = [], [], []
    for stride, each, sides in zip((8, 16, 32), outputs[:3], outputs[3:], strict=True):
        odds = np.exp(sides[0].reshape(-1, 4, 8).astype(np.float64))
        distance = (odds * np.arange(8)).sum(2) / odds.sum(2) * stride
        y, x = np.mgrid[0 : size[0] // stride, 0 : size[1] // stride].reshape(2, -1) * stride + stride / 2
        corners = np.stack([x - distance[:, 0], y - distance[:, 1], x + distance[:, 2], y + distance[:, 3]], 1)
        rows, kinds = np.nonzero(each[0] > 0)
        boxes.append(corners[rows])
        scores.append(each[0][rows, kinds])
        classes.append(kinds)
    return np.concatenate(boxes).astype(np.float32), np.concatenate(scores), np.concatenate(classes)


def chosen(decoded: Decoded, size: tuple[int, int], threshold: float, overlap: float) -> list[tuple[int, float, list[float]]]:
    """(class, score, box) of what is above the threshold and remains after suppression class by class, the best first, 100 at most."""
    boxes, scores, classes = decoded
    sure = scores > threshold
    boxes, scores, classes = boxes[sure].clip(0, [size[1], size[0]] * 2), scores[sure], classes[sure]
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not any(classes[row] == classes[other] and _iou(boxes[row], boxes[other]) > overlap for other in kept):
            kept.append(int(row))
    return [(int(classes[n]), float(scores[n]), boxes[n].tolist()) for n in kept[:100]]


def _iou(a: Array, b: Array) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = max(width, 0.0) * max(height, 0.0)
    either = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both
    return float(both / either) if either > 0 else 0.0
