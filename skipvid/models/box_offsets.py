"""Boxes relative to anchors as tensors, for training: the same formulas as in skipvid.models.anchors, and differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """offsets: (..., 4) as (ty, tx, th, tw), anchors: (..., 4) xyxy -> boxes (..., 4) xyxy, in the anchors' pixels, not clipped.

    As skipvid.models.anchors.decode_boxes.
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
