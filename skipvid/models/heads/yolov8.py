"""YOLOv8, 9, 11 and 12: decoded rows, or the maps that they are decoded from, where the file shows that they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, product

import numpy as np

from skipvid.core.network_outputs import NetworkFacts, NetworkOutput
from skipvid.models.detections import RawDetections, RowHead, logit, sigmoid
from skipvid.models.heads.base import Fit, Floats, HeadKind, Size, expected, from_centres, raw
from skipvid.models.heads.rows import STRIDES, cells, grids

PROTOTYPES = 32
"""Numbers behind the classes of a network that also segments: factors on its prototype masks."""
BINS = (16, 1)
"""Numbers for each side of a box: a distribution over 0 to 15 strides, or the distance itself."""
CLOSE = 1e-3
"""Relative difference up to which maps are those that the rows were decoded from."""


class AnchorFree(RowHead):
    """Reads (1, 4 + classes, N): centre, width and height in pixels, and scores. A row is one object at most, of its likeliest class."""

    iou_threshold = 0.7
    levels = ((0,),)

    def __init__(self, image_size: Size, classes: int) -> None:
        self.image_size, self._classes = image_size, classes

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        values = maps[0][0]
        chances = values[4 : 4 + self._classes]
        scores = chances.max(0)
        rows = np.flatnonzero(scores > score_threshold)
        return raw(from_centres(values[:4, rows].T), scores[rows], chances[:, rows].argmax(0))


class DistanceMaps(RowHead):
    """Reads class logits (1, C, h, w) and distances of a box's sides (1, 4 · bins, h, w) from the middle of the cell, of each level.

    A cell is one object at most, of its likeliest class.
    """

    iou_threshold = AnchorFree.iou_threshold

    def __init__(self, image_size: Size, strides: Sequence[int]) -> None:
        self.image_size, self._strides = image_size, strides
        self.levels = tuple((level, len(strides) + level) for level in range(len(strides)))

    def find(self, level: int, maps: Sequence[Floats], score_threshold: float) -> RawDetections:
        class_map, side_map = maps[0][0], maps[1][0]
        best = class_map.max(0)
        y, x = (best > logit(score_threshold)).nonzero()
        boxes = boxes_of(side_map[:, y, x], x, y, self._strides[level])
        return raw(boxes, sigmoid(best[y, x]), class_map[:, y, x].argmax(0))


def boxes_of(sides: Floats, x: Floats, y: Floats, stride: int) -> Floats:
    """sides: (4 · bins, K) of the cells x, y -> (K, 4) xyxy in pixels."""
    bins = sides.shape[0] // 4
    distance = sides.T if bins == 1 else expected(sides.reshape(4, bins, sides.shape[1]))
    centre = np.stack([x, y], 1).astype(np.float32) + np.float32(0.5)
    return np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], 1) * stride


def _anchor_free(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    if len(output.shape) != 3 or output.shape[0] != 1 or facts.metadata.get("task", "detect") not in ("detect", "segment"):
        return None
    if not any(output.shape[2] == cells(facts.image_size, strides) for strides in STRIDES):
        return None
    masks = [other for other in facts.outputs[1:] if len(other.shape) == 4 and other.shape[1] == PROTOTYPES]
    classes = output.shape[1] - 4 - (PROTOTYPES if masks else 0)
    if len(facts.outputs) != 1 + len(masks) or not facts.may_have(classes):
        return None
    for names, strides in decoded_from(facts, classes):
        return Fit(classes, names, lambda size, strides=strides: DistanceMaps(size, strides))  # type: ignore[misc]
    return Fit(classes, (output.name,), lambda size: AnchorFree(size, classes))


Rest = Callable[[Floats, Floats, Floats, int], Floats]
"""What becomes of the numbers behind the classes: values (count, K) of the cells x, y at a stride -> (K, numbers)."""


def decoded_from(
    facts: NetworkFacts, classes: int, count: int = 0, rest: Rest | None = None
) -> Iterator[tuple[tuple[str, ...], Sequence[int]]]:
    """Names of the maps that give the network's own rows when they are decoded here, and their strides.

    The maps are those of the classes of all levels, those of the boxes, and, where rows have `count` numbers more, those of them.
    """
    strides = next(each for each in STRIDES if facts.outputs[0].shape[2] == cells(facts.image_size, each))
    levels = [[each for each in facts.last_maps if each.shape[2:] == size] for size in grids(facts.image_size, strides)]
    for bins in BINS:
        wanted = (classes, 4 * bins, *([count] if count else []))
        groups = [
            [group for group in permutations(level, len(wanted)) if tuple(each.shape[1] for each in group) == wanted] for level in levels
        ]
        for chosen in product(*groups):
            if _gives_rows(facts, chosen, strides, classes, rest):
                yield tuple(each.name for kind in zip(*chosen, strict=True) for each in kind), strides


def _gives_rows(
    facts: NetworkFacts, chosen: Sequence[tuple[NetworkOutput, ...]], strides: Sequence[int], classes: int, rest: Rest | None
) -> bool:
    parts = []
    for (scores, sides, *others), stride in zip(chosen, strides, strict=True):
        height, width = scores.shape[2:]
        y, x = np.mgrid[0:height, 0:width].reshape(2, -1)
        boxes = boxes_of(_cells(facts, sides), x, y, stride)
        middles = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        more = [rest(_cells(facts, each), x, y, stride) for each in others if rest is not None]
        parts.append(np.concatenate([middles, sigmoid(_cells(facts, scores)).T, *more], 1))
    ours = np.concatenate(parts)
    rows = facts.sample[facts.outputs[0].name][0, : ours.shape[1]].T
    groups = (slice(0, 4), slice(4, 4 + classes), slice(4 + classes, None))
    return all(
        np.allclose(ours[:, part], rows[:, part], rtol=CLOSE, atol=CLOSE * float(np.abs(rows[:, part]).max(initial=0))) for part in groups
    )


def _cells(facts: NetworkFacts, output: NetworkOutput) -> Floats:
    """(C, h · w) of the sample."""
    values: Floats = facts.sample[output.name][0].reshape(output.shape[1], -1)
    return values


KIND = HeadKind("yolov8", "detect", "(1, 4 + classes, N), N cells of strides 8, 16, 32; also YOLOv9, 11, 12", _anchor_free)
