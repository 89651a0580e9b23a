"""Which anchors answer for which object: task-aligned assignment (Feng et al., "TOOD", ICCV 2021, section 3.2).

An anchor suits an object when the network, as it is now, both scores it well and places it well: t = score^alpha · IoU^beta. While the
network knows nothing its boxes are the anchors and t is the anchor's IoU, so it starts like the classic rule and needs no warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AssignConfig:
    """alpha, beta: exponents of score and IoU. top: anchors per object. reach: a centre this many pixels off the object's still serves."""

    alpha: float = 0.5
    beta: float = 6.0
    top: int = 10
    reach: float = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The anchors with an object. anchors: (P,) int64. objects: (P,) int64, rows of the boxes.

    quality: (P,) float32 in [0, 1], the score that the anchor should have: 1 would be the best anchor of a perfectly placed object.
    """

    anchors: Tensor
    objects: Tensor
    quality: Tensor


def pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """(N, 4), (M, 4) xyxy -> (N, M), pixels². Axis by axis: torch is slow in reducing over an axis of two."""
    ax1, ay1, ax2, ay2 = a[:, None].unbind(2)
    bx1, by1, bx2, by2 = b[None].unbind(2)
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    return width.mul_(height)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N, 4), (M, 4) xyxy -> (N, M)."""
    overlap = pairwise_intersection(a, b)
    return overlap / (area(a)[:, None] + area(b)[None] - overlap).clamp_(min=1e-9)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy -> (...)"""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


@torch.no_grad()
def assign(
    scores: Tensor, predicted: Tensor, anchors: Tensor, boxes: Tensor, classes: Tensor, config: AssignConfig | None = None
) -> Assignment:
    """scores: (K, C) in [0, 1], predicted: (K, 4) and anchors: (K, 4) xyxy; boxes: (G, 4) and classes: (G,) of the objects.

    Candidates are anchors whose centre lies in the object (or within `reach` of its centre); of those the `top` best by t. An anchor that
    several objects want goes to the one it overlaps most. quality = t scaled such that its maximum in an object is the object's best IoU.
    """
    config = config or AssignConfig()
    if not len(boxes):
        none = torch.zeros(0, dtype=torch.int64)
        return Assignment(none, none, torch.zeros(0))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    low = torch.minimum(boxes[:, :2], middle - config.reach)  # (G, 2)
    high = torch.maximum(boxes[:, 2:], middle + config.reach)
    near = ((centres[:, 0] > low[:, :1]) & (centres[:, 0] < high[:, :1])) & ((centres[:, 1] > low[:, 1:]) & (centres[:, 1] < high[:, 1:]))
    candidates = near.any(0).nonzero().squeeze(1)
    near = near[:, candidates]
    iou = pairwise_iou(boxes, predicted[candidates]) * near
    fit = scores[candidates][:, classes].T.clamp(min=1e-6) ** config.alpha * iou**config.beta
    best, index = fit.topk(min(config.top, fit.shape[1]), dim=1)
    chosen = torch.zeros_like(near).scatter_(1, index, best > 0)
    owner = torch.where(chosen, iou, -1.0).argmax(0)
    chosen &= torch.arange(len(boxes))[:, None] == owner
    scale = torch.where(chosen, iou, 0.0).amax(1) / torch.where(chosen, fit, 0.0).amax(1).clamp(min=1e-30)
    objects, columns = chosen.nonzero().unbind(1)
    quality = (fit * scale[:, None])[objects, columns].clamp(max=1.0)
    return Assignment(candidates[columns], objects, quality)


@torch.no_grad()
def in_ignored(anchors: Tensor, regions: Tensor) -> Tensor:
    """anchors: (K, 4), regions: (R, 4) -> (K, R) bool: anchors that lie in a region by half of their area, or match it by an IoU of 0.4."""
    inter = pairwise_intersection(anchors, regions)
    union = area(anchors)[:, None] + area(regions)[None] - inter
    return (inter >= 0.5 * area(anchors)[:, None]) | (inter >= 0.4 * union)
