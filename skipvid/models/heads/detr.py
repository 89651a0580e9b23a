"""Detection transformers: one box and one row of class logits for each query (RT-DETR, D-FINE, RF-DETR)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skipvid.core.network_outputs import NetworkFacts, NetworkOutput
from skipvid.models.detections import MAX_DETECTIONS, RawDetections, RowHead, sigmoid
from skipvid.models.heads.base import Fit, Floats, HeadKind, Pixels, Size, from_centres, raw
from skipvid.models.heads.rows import counts_cells

MOST_QUERIES = 1000
PIXELS = Pixels(fill=None)


class QueryHead(RowHead):
    """Reads boxes (1, K, 4): centre, width and height as fractions of the picture, and a score or logit for each class.

    joined: both in one tensor (1, K, 4 + classes), of scores. A pair of query and class is one object; none is suppressed.
    """

    iou_threshold = 1.0

    def __init__(self, image_size: Size, joined: bool) -> None:
        self.image_size, self._joined = image_size, joined
        self.levels = ((0,),) if joined else ((0, 1),)

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        boxes = maps[0][0][:, :4]
        scores = maps[0][0][:, 4:] if self._joined else sigmoid(maps[1][0])
        queries, classes = (scores > score_threshold).nonzero()
        found = scores[queries, classes]
        best = np.argsort(-found, kind="stable")[:MAX_DETECTIONS]
        height, width = self.image_size
        scale = np.array([width, height, width, height], np.float32)
        return raw(from_centres(boxes[queries[best]]) * scale, found[best], classes[best])


def _joined(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    if len(facts.outputs) != 1 or len(output.shape) != 3 or not _queries(output, facts):
        return None
    classes = output.shape[2] - 4
    if not facts.may_have(classes):
        return None
    return Fit(classes, (output.name,), lambda size: QueryHead(size, joined=True))


def _pair(facts: NetworkFacts) -> Fit | None:
    if len(facts.outputs) != 2 or any(len(output.shape) != 3 or not _queries(output, facts) for output in facts.outputs):
        return None
    boxes = [output for output in facts.outputs if output.shape[2] == 4 and _may_be(output, "box", facts)]
    if len(boxes) != 1:
        return None
    logits = next(output for output in facts.outputs if output is not boxes[0])
    if logits.shape[1] != boxes[0].shape[1] or not facts.may_have(logits.shape[2]):
        return None
    return Fit(logits.shape[2], (boxes[0].name, logits.name), lambda size: QueryHead(size, joined=False))


def _queries(output: NetworkOutput, facts: NetworkFacts) -> bool:
    """Whether the rows of an output may be queries: they are few, and not as many as there are cells."""
    rows, columns = output.shape[1:]
    return rows <= MOST_QUERIES and not counts_cells(rows, facts.image_size) and not counts_cells(columns, facts.image_size)


def _may_be(output: NetworkOutput, word: str, facts: NetworkFacts) -> bool:
    """Of two outputs that have the shape of boxes the name decides."""
    alike = sum(other.shape == output.shape for other in facts.outputs)
    return alike == 1 or word in output.name.lower()


KINDS = (
    HeadKind("rtdetr", "detect", "(1, K, 4 + classes), boxes as fractions, as Ultralytics exports it", _joined, PIXELS),
    HeadKind("detr", "detect", "boxes (1, K, 4) as fractions and logits (1, K, classes): RT-DETR, D-FINE, RF-DETR", _pair, PIXELS),
)
