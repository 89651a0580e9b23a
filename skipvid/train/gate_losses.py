"""How far a gated network is from the dense one it was made of: losses for self-distillation, which need no labels."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from skipvid.train.losses import flatten_levels, quality_focal

BOX_WEIGHT = 1.0


def detector_distance(student: Any, teacher: Any) -> Tensor:
    """Between the heads of two EfficientDets, (class levels, box levels) each with a batch of frames.

    Scores: quality focal loss against the teacher's scores, with an exponent at which anchors that nobody believes in hardly count.
    Boxes: smooth L1 of the offsets, weighted with the teacher's score. Both are divided by the summed scores of the teacher (at least 1
    a frame).
    """
    logits, offsets = (flatten_levels(levels) for levels in student)
    wanted_logits, wanted_offsets = (flatten_levels(levels) for levels in teacher)
    wanted = wanted_logits.sigmoid()
    best = wanted.amax(2)
    norm = best[best > 0.1].sum().clamp(min=float(len(best)))
    scores = quality_focal(logits, wanted, 2.0).sum()
    boxes = (F.smooth_l1_loss(offsets, wanted_offsets, reduction="none", beta=0.1).sum(2) * best * (best > 0.1)).sum()
    return (scores + BOX_WEIGHT * boxes) / norm


def heatmap_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """The squared error of heat maps (N, J, h, w) over the teacher's squared sum."""
    return (student - teacher).square().sum() / teacher.square().sum().clamp(min=1e-9)
