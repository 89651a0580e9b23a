"""SSD whose anchors are in the graph (Liu et al., "SSD"): a row of chances and a box for each anchor, class 0 being the background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.detections import MAX_CANDIDATES, RawDetections, RowHead
from skipvid.models.heads.base import Fit, Floats, HeadKind, Pixels, Size, raw
from skipvid.models.heads.detr import MOST_QUERIES

PIXELS = Pixels(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, fill=127)
"""As the MobileNet-SSD exports have it."""


class AnchoredRows(RowHead):
    """Reads boxes (1, N, 4), x1, y1, x2, y2 as fractions of the picture, and chances (1, N, 1 + classes). Any class of a row may be one."""

    iou_threshold = 0.45
    levels = ((0, 1),)

    def __init__(self, image_size: Size) -> None:
        self.image_size = image_size

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        boxes, chances = maps[0][0], maps[1][0][:, 1:]
        rows, classes = (chances > score_threshold).nonzero()
        best = np.argsort(-chances[rows, classes], kind="stable")[:MAX_CANDIDATES]
        rows, classes = rows[best], classes[best]
        height, width = self.image_size
        return raw(boxes[rows] * np.array([width, height, width, height], np.float32), chances[rows, classes], classes)


def _fit(facts: NetworkFacts) -> Fit | None:
    if len(facts.outputs) != 2 or any(len(output.shape) != 3 for output in facts.outputs):
        return None
    boxes = [output for output in facts.outputs if output.shape[2] == 4]
    if len(boxes) > 1:  # of four classes with the background: the name decides
        boxes = [output for output in boxes if "box" in output.name.lower() or "loc" in output.name.lower()]
    if len(boxes) != 1 or boxes[0].shape[1] <= MOST_QUERIES:
        return None
    chances = next(output for output in facts.outputs if output is not boxes[0])
    classes = chances.shape[2] - 1
    if chances.shape[1] != boxes[0].shape[1] or not facts.may_have(classes):
        return None
    return Fit(classes, (boxes[0].name, chances.name), AnchoredRows)


KIND = HeadKind("ssd", "detect", "boxes (1, N, 4) as fractions and chances (1, N, 1 + classes), the background first", _fit, PIXELS)
