"""Anchors of EfficientDet, boxes relative to them, and the way from a network's output maps to detections.

The layout (three scales, three ratios, top-5000, class-wise NMS at 0.5, at most 100 objects) is that of the paper's code
(google/automl) and of the effdet package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from skipvid.models.detections import MAX_CANDIDATES, MAX_DETECTIONS, DetectionHead, RawDetections, logit, sigmoid, suppress

LEVELS = (3, 4, 5, 6, 7)
"""Pyramid levels; level l has a map of the input's size over 2^l, rounded up."""

RATIOS = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
"""(width, height) of an anchor over its scale."""

OCTAVES = (0.0, 1 / 3, 2 / 3)
"""An anchor's scale over its level's, as powers of two."""

ANCHORS_PER_CELL = len(RATIOS) * len(OCTAVES)


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """The anchors of one input size.

    boxes: (K, 4) float32, xyxy, pixels of the network's input, ordered by level, row, column, octave, ratio: the order of
    `map.permute(0, 2, 3, 1).reshape(N, -1, C)`, levels joined. sizes: (h, w) of the map of each level.
    """

    boxes: NDArray[np.float32]
    sizes: tuple[tuple[int, int], ...]
    image_size: tuple[int, int]  # (height, width), pixels


def make_anchors(image_size: tuple[int, int], anchor_scale: float = 4.0) -> Anchors:
    """Anchors for an input of (height, width) pixels; anchor_scale: side of the smallest square anchor over its level's stride.

    Where the size is no multiple of a level's stride, its cells share the image evenly (as effdet has it).
    """
    height, width = image_size
    sizes = tuple((math.ceil(height / 2**level), math.ceil(width / 2**level)) for level in LEVELS)
    levels = []
    for rows, columns in sizes:
        step_y, step_x = height / rows, width / columns
        halves = np.array(
            [
                (anchor_scale * step_x * 2**octave * ratio_x / 2, anchor_scale * step_y * 2**octave * ratio_y / 2)
                for octave in OCTAVES
                for ratio_x, ratio_y in RATIOS
            ]
        )
        centre_y, centre_x = np.meshgrid((np.arange(rows) + 0.5) * step_y, (np.arange(columns) + 0.5) * step_x, indexing="ij")
        centres = np.stack([centre_x, centre_y], axis=-1).reshape(-1, 1, 2)
        levels.append(np.concatenate([centres - halves, centres + halves], axis=-1).reshape(-1, 4))
    return Anchors(np.concatenate(levels).astype(np.float32), sizes, (height, width))


def decode_boxes(offsets: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """offsets: (..., 4) as (ty, tx, th, tw), anchors: (..., 4) xyxy -> boxes (..., 4) xyxy, in the anchors' pixels, not clipped.

    Centres move by offset × anchor side, sides grow by exp(offset) (Ren et al., "Faster R-CNN", equation 2).
    """
    low, high = anchors[..., :2], anchors[..., 2:]  # (x, y)
    sides = high - low
    with np.errstate(over="ignore", invalid="ignore"):  # what is no box is left out by the suppression
        centres = (low + high) / 2 + offsets[..., 1::-1] * sides
        halves = sides * np.exp(offsets[..., :1:-1]) / 2
        return np.concatenate([centres - halves, centres + halves], -1)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The (anchor, class) pairs of one level whose score is above the threshold, in the order of the class map.

    logits: (K,). classes: (K,) head outputs. anchors: (K,) numbers within the level. offsets: (K, 4).
    """

    logits: NDArray[np.float32]
    classes: NDArray[np.int64]
    anchors: NDArray[np.int64]
    offsets: NDArray[np.float32]


_NONE = Candidates(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.float32))


def find_candidates(
    class_map: NDArray[np.float32], box_map: NDArray[np.float32], score_threshold: float, limit: int = MAX_CANDIDATES
) -> Candidates:
    """class_map: (A·C, h, w) logits, box_map: (A·4, h, w) of one level and image. limit: so many are kept at most."""
    channels, _, columns = class_map.shape
    num_classes = channels // ANCHORS_PER_CELL
    # Native maps lie in memory pixel by pixel: compared in that order they are read once, from front to back. Of flat arrays NumPy finds
    # what is true ten times as fast as of others.
    found = np.flatnonzero(class_map.transpose(1, 2, 0) > logit(score_threshold))
    if not len(found):
        return _NONE  # most levels of most pictures
    cells, channel = np.divmod(found, channels)
    order = np.argsort(channel, kind="stable")
    channel, (y, x) = channel[order], np.divmod(cells[order], columns)
    logits = class_map[channel, y, x]
    if len(logits) > limit:
        best = np.argsort(-logits, kind="stable")[:limit]
        channel, y, x, logits = channel[best], y[best], x[best], logits[best]
    anchor = channel // num_classes
    offsets = box_map[4 * anchor[:, None] + np.arange(4), y[:, None], x[:, None]]
    return Candidates(logits, channel % num_classes, (y * columns + x) * ANCHORS_PER_CELL + anchor, offsets)


def decode_detections(
    class_levels: Sequence[NDArray[np.float32]],
    box_levels: Sequence[NDArray[np.float32]],
    anchors: Anchors,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_candidates: int = MAX_CANDIDATES,
    max_detections: int = MAX_DETECTIONS,
) -> list[RawDetections]:
    """From a network's output to the objects of every image of the batch.

    class_levels: five maps (N, A·C, h, w) of logits, box_levels: five maps (N, A·4, h, w), as EfficientDet returns them for an input of
    `anchors.image_size`. Of the (anchor, class) pairs with a score above score_threshold the best max_candidates are decoded and go
    through class-wise NMS; a pair whose score or box is not a number is left out.
    """
    results = []
    for image in range(class_levels[0].shape[0]):
        maps = zip(class_levels, box_levels, strict=True)
        levels = [find_candidates(classes[image], boxes[image], score_threshold, max_candidates) for classes, boxes in maps]
        results.append(choose_detections(levels, anchors, iou_threshold, max_candidates, max_detections))
    return results


def choose_detections(
    levels: Sequence[Candidates],
    anchors: Anchors,
    iou_threshold: float = 0.5,
    max_candidates: int = MAX_CANDIDATES,
    max_detections: int = MAX_DETECTIONS,
) -> RawDetections:
    """From the candidates of all levels of an image to its objects: the second half of `decode_detections`."""
    return suppress(join_candidates(levels, anchors, max_candidates), anchors.image_size, iou_threshold, max_detections)


def join_candidates(levels: Sequence[Candidates], anchors: Anchors, limit: int = MAX_CANDIDATES) -> RawDetections:
    """The best `limit` candidates of all levels as boxes, neither clipped nor suppressed."""
    firsts = accumulate((height * width * ANCHORS_PER_CELL for height, width in anchors.sizes), initial=0)
    found = [(level, first) for level, first in zip(levels, firsts, strict=False) if len(level.logits)]
    if not found:
        return RawDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    every = np.concatenate([level.logits for level, _ in found])
    best = np.argsort(-every, kind="stable")[:limit]
    indices = np.concatenate([level.anchors + first for level, first in found])[best]
    offsets = np.concatenate([level.offsets for level, _ in found])[best]
    classes = np.concatenate([level.classes for level, _ in found])[best]
    return RawDetections(decode_boxes(offsets, anchors.boxes[indices]), sigmoid(every[best]), classes)


class AnchorHead(DetectionHead[Candidates]):
    """Reads (class maps, box maps), one of each for every level of LEVELS. anchor_scale: as in `make_anchors`."""

    iou_threshold = 0.5
    levels = tuple((index, len(LEVELS) + index) for index in range(len(LEVELS)))

    def __init__(self, image_size: tuple[int, int], anchor_scale: float) -> None:
        self.image_size, self.anchor_scale = image_size, anchor_scale
        self.anchors = make_anchors(image_size, anchor_scale)

    def find(self, level: int, maps: Sequence[NDArray[np.float32]], score_threshold: float) -> Candidates:
        class_map, box_map = maps
        return find_candidates(class_map[0], box_map[0], score_threshold)

    def join(self, found: Sequence[Candidates]) -> RawDetections:
        return join_candidates(found, self.anchors)
