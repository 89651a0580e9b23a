"""The detector's loss: quality focal loss on scores (Li et al. 2020), generalised IoU loss on boxes (Rezatofighi et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from skipvid.models.anchors import ANCHORS_PER_CELL, Anchors
from skipvid.models.box_offsets import decode_boxes
from skipvid.train.assign import AssignConfig, area, assign, in_ignored
from skipvid.train.samples import Targets


@dataclass(frozen=True, slots=True)
class LossConfig:
    """gamma: focusing exponent. box_weight: weight of the box loss against the score loss."""

    gamma: float = 2.0
    box_weight: float = 2.0
    assign: AssignConfig = AssignConfig()


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Scalars with gradients; total = score + box_weight · box. positives: anchors with an object, over the batch."""

    total: Tensor
    score: Tensor
    box: Tensor
    positives: int


def quality_focal(logits: Tensor, quality: Tensor, gamma: float) -> Tensor:
    """logits, quality: (...) -> (...): |quality − σ|^γ times the cross-entropy between them; zero where they agree."""
    return (quality - logits.sigmoid()).abs() ** gamma * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def giou(a: Tensor, b: Tensor) -> Tensor:
    """a, b: (P, 4) xyxy with positive sides -> (P,) generalised IoU in (−1, 1]."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = area(a) + area(b) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return inter / union - (hull - union) / hull


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Maps (N, A·C, h, w) -> (N, K, C), in the order of the anchors."""
    channels = levels[0].shape[1] // ANCHORS_PER_CELL
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels], 1)


def detection_loss(
    class_levels: Sequence[Tensor],
    box_levels: Sequence[Tensor],
    anchors: Anchors,
    targets: Sequence[Targets],
    known: Tensor,
    config: LossConfig | None = None,
) -> Loss:
    """The loss of a batch. class_levels, box_levels: what EfficientDet returns. targets: one per image, boxes in input pixels.

    known: (N, C) bool; scores of classes that are unknown in an image take no part, nor do those of anchors in an ignored box of the class.
    Both terms are divided by the summed quality of the batch's positive anchors (at least 1). All in float32, whatever comes in.
    """
    config = config or LossConfig()
    logits, offsets = flatten_levels(class_levels).float(), flatten_levels(box_levels).float()
    scores, places = logits.detach().sigmoid(), torch.from_numpy(anchors.boxes)
    quality = torch.zeros_like(scores)
    counted = known[:, None, :].expand_as(scores).clone()
    box_losses = []
    positives = 0
    for i, target in enumerate(targets):
        boxes, classes = torch.from_numpy(target.boxes), torch.from_numpy(target.classes)
        unsure = torch.from_numpy(target.ignore)
        if unsure.any():
            region_classes = classes[unsure]
            inside = in_ignored(places, boxes[unsure])
            for c in set(region_classes.tolist()):
                counted[i, inside[:, region_classes == c].any(1), c] = False
        boxes, classes = boxes[~unsure], classes[~unsure]
        if not len(boxes):
            continue
        predicted = decode_boxes(offsets[i].detach().clamp(max=6), places)
        found = assign(scores[i], predicted, places, boxes, classes, config.assign)
        quality[i, found.anchors, classes[found.objects]] = found.quality
        counted[i, found.anchors, classes[found.objects]] = known[i, classes[found.objects]]
        placed = decode_boxes(offsets[i, found.anchors].clamp(max=6), places[found.anchors])
        box_losses.append(((1 - giou(placed, boxes[found.objects])) * found.quality).sum())
        positives += len(found.anchors)
    norm = quality.sum().clamp(min=1.0)
    score_loss = (quality_focal(logits, quality, config.gamma) * counted).sum() / norm
    box_loss = torch.stack(box_losses).sum() / norm if box_losses else offsets.sum() * 0.0
    return Loss(score_loss + config.box_weight * box_loss, score_loss, box_loss, positives)
