"""Anchors of EfficientDet, boxes relative to them, and the way from a network's output maps to detections.

The layout (three scales, three ratios, top-5000, class-wise NMS at 0.5, at most 100 objects) is that of the paper's code
(google/automl) and of the effdet package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

    boxes: Tensor
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
    boxes = torch.from_numpy(np.concatenate(levels).astype(np.float32))
    return Anchors(boxes, sizes, (height, width))


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """offsets: (..., 4) as (ty, tx, th, tw), anchors: (..., 4) xyxy -> boxes (..., 4) xyxy, in the anchors' pixels, not clipped.

    Centres move by offset × anchor side, sides grow by exp(offset) (Ren et al., "Faster R-CNN", equation 2). Differentiable.
    """
    ty, tx, th, tw = offsets.unbind(-1)
    x1, y1, x2, y2 = anchors.unbind(-1)
    width, height = x2 - x1, y2 - y1
    centre_x = (x1 + x2) / 2 + tx * width
    centre_y = (y1 + y2) / 2 + ty * height
    half_width, half_height = width * tw.exp() / 2, height * th.exp() / 2
    return torch.stack([centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height], -1)


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `decode_boxes`: boxes and anchors (..., 4) xyxy with positive sides -> offsets (..., 4) as (ty, tx, th, tw)."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    ax1, ay1, ax2, ay2 = anchors.unbind(-1)
    width, height = ax2 - ax1, ay2 - ay1
    tx = ((x1 + x2) - (ax1 + ax2)) / 2 / width
    ty = ((y1 + y2) - (ay1 + ay2)) / 2 / height
    return torch.stack([ty, tx, ((y2 - y1) / height).log(), ((x2 - x1) / width).log()], -1)


@dataclass(frozen=True, slots=True, eq=False)
class RawDetections:
    """Objects of one image, best score first, still in the network's terms.

    boxes: (K, 4) float32, xyxy, pixels of the network's input, clipped to it. scores: (K,) float32. classes: (K,) int64, head outputs.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The (anchor, class) pairs of one level whose score is above the threshold, in the order of the class map.

    logits: (K,). classes: (K,) head outputs. anchors: (K,) numbers within the level. offsets: (K, 4).
    """

    logits: Tensor
    classes: Tensor
    anchors: Tensor
    offsets: Tensor


def find_candidates(class_map: Tensor, box_map: Tensor, score_threshold: float, limit: int = 5000) -> Candidates:
    """class_map: (A·C, h, w) logits, box_map: (A·4, h, w) of one level and image. limit: so many are kept at most."""
    columns = class_map.shape[2]
    num_classes = class_map.shape[0] // ANCHORS_PER_CELL
    # Looked up in place: of a map that lies in memory pixel by pixel, channels first would be a copy.
    channel, y, x = (class_map > _logit(score_threshold)).nonzero().unbind(1)
    logits = class_map[channel, y, x]
    if len(logits) > limit:
        best = logits.topk(limit).indices
        channel, y, x, logits = channel[best], y[best], x[best], logits[best]
    anchor = channel // num_classes
    corners = 4 * anchor[:, None] + torch.arange(4, device=anchor.device)
    offsets = box_map[corners, y[:, None], x[:, None]]
    return Candidates(logits, channel % num_classes, (y * columns + x) * ANCHORS_PER_CELL + anchor, offsets)


def decode_detections(
    class_levels: Sequence[Tensor],
    box_levels: Sequence[Tensor],
    anchors: Anchors,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_candidates: int = 5000,
    max_detections: int = 100,
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
    levels: Sequence[Candidates], anchors: Anchors, iou_threshold: float = 0.5, max_candidates: int = 5000, max_detections: int = 100
) -> RawDetections:
    """From the candidates of all levels of an image to its objects: the second half of `decode_detections`."""
    firsts = np.cumsum([0, *(height * width * ANCHORS_PER_CELL for height, width in anchors.sizes)])
    every = torch.cat([level.logits for level in levels])
    best = every.argsort(descending=True, stable=True)[:max_candidates]
    indices = torch.cat([level.anchors + int(first) for level, first in zip(levels, firsts[:-1], strict=True)])[best]
    offsets = torch.cat([level.offsets for level in levels])[best]
    classes = torch.cat([level.classes for level in levels])[best].numpy(force=True)
    scores = every[best].float().sigmoid().numpy(force=True)
    boxes = decode_boxes(offsets.float(), anchors.boxes.to(offsets.device)[indices]).numpy(force=True)
    valid = np.isfinite(scores) & ~np.isnan(boxes).any(axis=1)
    height, width = anchors.image_size
    boxes = np.clip(boxes[valid], 0, np.array([width, height, width, height], np.float32))
    scores, classes = scores[valid], classes[valid]
    keep = class_wise_nms(boxes, scores, classes, iou_threshold, max_detections)
    return RawDetections(boxes[keep], scores[keep], classes[keep])


def _logit(score: float) -> float:
    """The inverse of the sigmoid, infinite where no score, or every score, is above `score`."""
    if score <= 0:
        return -math.inf
    return math.inf if score >= 1 else math.log(score / (1 - score))


def class_wise_nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    iou_threshold: float = 0.5,
    max_detections: int = 100,
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    boxes: (K, 4) xyxy, scores: (K,), classes: (K,) -> indices of the at most max_detections boxes kept, best score first; of equal scores
    the earlier one. A box goes where its IoU with a better kept box of its class is above iou_threshold. Boxes without area overlap none.
    """
    remaining = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(remaining) and len(kept) < max_detections:
        best, rest = remaining[0], remaining[1:]
        kept.append(int(best))
        overlap = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        intersection = np.prod(np.maximum(overlap, 0), axis=1)
        union = areas[best] + areas[rest] - intersection
        remaining = rest[(classes[rest] != classes[best]) | (intersection <= iou_threshold * union)]
    return np.array(kept, np.int64)
