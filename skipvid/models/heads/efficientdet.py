"""EfficientDet's maps: for each of five levels one of class logits and one of box offsets, nine anchors a cell."""

from __future__ import annotations

from collections.abc import Callable

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.anchors import ANCHORS_PER_CELL, LEVELS, AnchorHead
from skipvid.models.heads.base import IMAGENET, Fit, HeadKind, Pixels

HALF = Pixels("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), None)


def _kind(anchor_scale: float) -> Callable[[NetworkFacts], Fit | None]:
    def fit(facts: NetworkFacts) -> Fit | None:
        sizes = [tuple(-(-side // 2**level) for side in facts.image_size) for level in LEVELS]
        if len(facts.outputs) != 2 * len(LEVELS) or any(len(output.shape) != 4 for output in facts.outputs):
            return None
        levels = [[output for output in facts.outputs if output.shape[2:] == size] for size in sizes]
        boxes = [next((output for output in pair if output.shape[1] == 4 * ANCHORS_PER_CELL), None) for pair in levels]
        classes = [next((other for other in pair if other is not box), None) for pair, box in zip(levels, boxes, strict=True)]
        if any(len(pair) != 2 for pair in levels) or None in boxes or None in classes:
            return None
        counts = {output.shape[1] for output in classes if output is not None}
        count = min(counts) // ANCHORS_PER_CELL
        if len(counts) != 1 or min(counts) % ANCHORS_PER_CELL or not facts.may_have(count):
            return None
        names = tuple(output.name for output in (*classes, *boxes) if output is not None)
        return Fit(count, names, lambda size: AnchorHead(size, anchor_scale))

    return fit


KINDS = (
    HeadKind("efficientdet", "detect", "five maps of classes and five of boxes, anchors of 4 cells", _kind(4.0), IMAGENET),
    HeadKind("efficientdet-lite", "detect", "the same, anchors of 3 cells", _kind(3.0), HALF),
)
