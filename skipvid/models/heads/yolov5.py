"""YOLOv5 and v7, with an objectness beside the classes, and networks that have chosen their best boxes themselves (YOLOv10, 26)."""

from __future__ import annotations

from collections.abc import Sequence

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.detections import MAX_DETECTIONS, RawDetections, RowHead
from skipvid.models.heads.base import Fit, Floats, HeadKind, Size, from_centres, raw
from skipvid.models.heads.rows import STRIDES, cells, counts_cells

ANCHORS = 3
"""Boxes of a cell of YOLOv5 and v7."""
MOST_ROWS = 1000
"""Rows of a network that has chosen its best boxes itself."""


class WithObjectness(RowHead):
    """Reads (1, N, 5 + classes): centre, width and height in pixels, objectness, and scores. A row is one object at most."""

    iou_threshold = 0.45
    levels = ((0,),)

    def __init__(self, image_size: Size) -> None:
        self.image_size = image_size

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        values = maps[0][0]
        values = values[values[:, 4] > score_threshold]  # no score is above the objectness
        classes = values[:, 5:].argmax(1)
        scores = values[:, 5:].max(1, initial=0) * values[:, 4]
        sure = scores > score_threshold
        return raw(from_centres(values[sure, :4]), scores[sure], classes[sure])


class Chosen(RowHead):
    """Reads (1, K, 6): x1, y1, x2, y2 in pixels, score and class of objects that need no suppression."""

    iou_threshold = 1.0
    levels = ((0,),)

    def __init__(self, image_size: Size, classes: int) -> None:
        self.image_size, self._classes = image_size, classes

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        values = maps[0][0]
        known = (values[:, 5] > -0.5) & (values[:, 5] < self._classes - 0.5)
        values = values[(values[:, 4] > score_threshold) & known][:MAX_DETECTIONS]
        return raw(values[:, :4], values[:, 4], values[:, 5].round())


def _with_objectness(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    if len(output.shape) != 3 or not any(output.shape[1] == ANCHORS * cells(facts.image_size, strides) for strides in STRIDES):
        return None
    classes = output.shape[2] - 5
    if not facts.may_have(classes):
        return None
    return Fit(classes, (output.name,), WithObjectness)


def _chosen(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    if len(facts.outputs) != 1 or len(output.shape) != 3 or output.shape[2] != 6:
        return None
    if output.shape[1] > MOST_ROWS or counts_cells(output.shape[1], facts.image_size):
        return None
    if facts.metadata.get("task", "detect") != "detect":
        return None
    classes = facts.classes or 0  # its shape does not tell
    return Fit(classes, (output.name,), lambda size: Chosen(size, classes))


KINDS = (
    HeadKind("yolov5", "detect", "(1, 3 N, 5 + classes), boxes in pixels; also YOLOv7", _with_objectness),
    HeadKind("end2end", "detect", "(1, K, 6): boxes in pixels, score, class, as YOLOv10 and 26 have them", _chosen),
)
