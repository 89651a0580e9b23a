"""NanoDet and PicoDet: class scores, and for each side of the box a distribution over distances (Li et al., "Generalized Focal Loss")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skipvid.core.network_outputs import NetworkFacts, NetworkOutput
from skipvid.models.detections import RawDetections, RowHead
from skipvid.models.heads.base import IMAGENET, Fit, Floats, HeadKind, Pixels, Size, expected, raw
from skipvid.models.heads.rows import Rows, cells, grids

STRIDES = {3: (8, 16, 32), 4: (8, 16, 32, 64)}
"""By the number of levels."""
REACHES = (8, 17)
"""Distances that a distribution is over: 0 to 7, or to 16, strides."""
NANODET = Pixels("bgr", (103.53 / 255, 116.28 / 255, 123.675 / 255), (57.375 / 255, 57.12 / 255, 58.395 / 255), None)


class DistributionHead(RowHead):
    """Every class of every cell may be an object. centre: of a cell, from its corner, in cells.

    scores, sides: the rows of classes and distances; the same rows where one output holds both, the classes first.
    """

    iou_threshold = 0.6

    def __init__(self, image_size: Size, strides: Sequence[int], scores: Rows, sides: Rows | None, classes: int, centre: float) -> None:
        self.image_size, self._strides, self._scores, self._sides = image_size, strides, scores, sides
        self._classes, self._centre = classes, centre
        own = [(scores.number(level),) for level in range(len(strides))]
        self.levels = tuple(own if sides is None else ((*a, sides.number(level)) for level, a in enumerate(own)))

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        stride = self._strides[level]
        first = self._scores.level(maps[0], level, self.image_size, self._strides)
        scores = first[: self._classes]
        sides = first[self._classes :] if self._sides is None else self._sides.level(maps[1], level, self.image_size, self._strides)
        classes, y, x = (scores > score_threshold).nonzero()
        distance = expected(sides[:, y, x].reshape(4, sides.shape[0] // 4, len(y)))
        centre = np.stack([x, y], 1).astype(np.float32) + np.float32(self._centre)
        boxes = np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], 1) * stride
        return raw(boxes, scores[classes, y, x], classes)


def _per_level(levels: int) -> Callable[[NetworkFacts], Fit | None]:
    """A network that returns the classes of each level, and then its distances, or both by turns."""

    def fit(facts: NetworkFacts) -> Fit | None:
        strides = STRIDES[levels]
        counts = [rows * columns for rows, columns in grids(facts.image_size, strides)]
        if len(facts.outputs) != 2 * levels or any(len(output.shape) != 3 for output in facts.outputs):
            return None
        by_level = [[output for output in facts.outputs if output.shape[1] == count] for count in counts]
        if any(len(pair) != 2 for pair in by_level):
            return None
        for reach in REACHES:
            for order in (1, -1):
                scores, sides = zip(*(pair[::order] for pair in by_level), strict=True)
                classes = {output.shape[2] for output in scores}
                if {output.shape[2] for output in sides} != {4 * reach} or len(classes) != 1:
                    continue
                (count,) = classes
                if facts.may_have(count):
                    return _fit(scores, sides, strides, count)
        return None

    return fit


def _fit(scores: Sequence[NetworkOutput], sides: Sequence[NetworkOutput], strides: Sequence[int], classes: int) -> Fit:
    ours, names = Rows.of_levels(scores, 0)
    theirs, more = Rows.of_levels(sides, len(names))
    return Fit(classes, (*names, *more), lambda size: DistributionHead(size, strides, ours, theirs, classes, 0.5))


def _plus(facts: NetworkFacts) -> Fit | None:
    output, strides = facts.outputs[0], STRIDES[4]
    if len(facts.outputs) != 1 or len(output.shape) != 3 or output.shape[:2] != (1, cells(facts.image_size, strides)):
        return None
    classes = output.shape[2] - 4 * REACHES[0]
    if not facts.may_have(classes):
        return None
    rows, names = Rows.of(output, 0)
    return Fit(classes, names, lambda size: DistributionHead(size, strides, rows, None, classes, 0.0))


class DecodedPicoDet(RowHead):
    """Reads boxes (1, N, 4) in pixels and scores (1, C, N)."""

    iou_threshold = 0.6
    levels = ((0, 1),)

    def __init__(self, image_size: Size) -> None:
        self.image_size = image_size

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        boxes, scores = maps[0][0], maps[1][0]
        classes, rows = (scores > score_threshold).nonzero()
        return raw(boxes[rows], scores[classes, rows], classes)


def _picodet_decoded(facts: NetworkFacts) -> Fit | None:
    count = cells(facts.image_size, STRIDES[4])
    boxes = [output for output in facts.outputs if output.shape == (1, count, 4)]
    scores = [output for output in facts.outputs if len(output.shape) == 3 and output.shape[2] == count]
    if len(facts.outputs) != 2 or len(boxes) != 1 or len(scores) != 1 or not facts.may_have(scores[0].shape[1]):
        return None
    return Fit(scores[0].shape[1], (boxes[0].name, scores[0].name), DecodedPicoDet)


KINDS = (
    HeadKind("nanodet", "detect", "classes and 4 distributions for each of 3 levels", _per_level(3), NANODET),
    HeadKind("nanodet-plus", "detect", "(1, N, classes + 32), N cells of strides 8 to 64", _plus, NANODET),
    HeadKind("picodet", "detect", "classes and 4 distributions for each of 4 levels", _per_level(4), IMAGENET),
    HeadKind("picodet-decoded", "detect", "boxes (1, N, 4) in pixels and scores (1, classes, N)", _picodet_decoded, IMAGENET),
)
