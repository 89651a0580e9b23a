"""YOLOX as its authors export it: (1, N, 5 + classes) over strides 8, 16, 32, boxes still relative to their cells, or decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.detections import RawDetections, RowHead
from skipvid.models.heads.base import BYTE, Fit, Floats, HeadKind, Pixels, Size, from_centres, raw
from skipvid.models.heads.rows import Rows, cells

STRIDES = (8, 16, 32)
MAX_GROWTH = 10.0
"""Largest logarithm of a box's side over the stride that is taken seriously."""
PIXELS = Pixels("bgr", std=(BYTE, BYTE, BYTE))


class YoloxRows(RowHead):
    """A cell is one object at most, of its likeliest class; its score is that class's times the objectness. Both are in 0..1.

    decoded: boxes are centre, width and height in pixels, not yet to be added to their cells.
    """

    iou_threshold = 0.45

    def __init__(self, image_size: Size, rows: Rows, decoded: bool) -> None:
        self.image_size, self._rows, self._decoded = image_size, rows, decoded
        self.levels = tuple((rows.number(level),) for level in range(len(STRIDES)))

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        cells_ = self._rows.level(maps[0], level, self.image_size, STRIDES)
        # No score is above the objectness: only few cells' classes need to be looked at.
        y, x = (cells_[4] > score_threshold).nonzero()
        values = cells_[:, y, x]
        classes = values[5:].argmax(0)
        scores = values[4] * values[5:].max(0)
        sure = scores > score_threshold
        boxes = values[:4, sure].T
        if not self._decoded:
            corner = np.stack([x[sure], y[sure]], 1).astype(np.float32)
            sides = np.exp(np.minimum(boxes[:, 2:], np.float32(MAX_GROWTH)))
            boxes = np.concatenate([boxes[:, :2] + corner, sides], 1) * np.float32(STRIDES[level])
        return raw(from_centres(boxes), scores[sure], classes[sure])


def _fit(facts: NetworkFacts, decoded: bool) -> Fit | None:
    output = facts.outputs[0]
    if len(facts.outputs) != 1 or len(output.shape) != 3 or output.shape[:2] != (1, cells(facts.image_size, STRIDES)):
        return None
    classes = output.shape[2] - 5
    if not facts.may_have(classes) or decoded == bool(output.maps):
        return None
    rows, names = Rows.of(output, 0)
    return Fit(classes, names, lambda size: YoloxRows(size, rows, decoded))


def _kind(decoded: bool) -> Callable[[NetworkFacts], Fit | None]:
    return lambda facts: _fit(facts, decoded)


YOLOX = HeadKind("yolox", "detect", "(1, N, 5 + classes), N cells of strides 8, 16, 32, boxes relative to them", _kind(False), PIXELS)
DECODED = HeadKind("yolox-decoded", "detect", "the same with boxes in pixels", _kind(True), PIXELS)
