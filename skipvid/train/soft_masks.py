"""Masks of gates as numbers, 0 or 1, that gradients pass through: opening at random, and footprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from skipvid.skip.ir.footprint import footprint, resize_taps
from skipvid.skip.ir.graph import ARITHMETIC, Node

UNITED = ARITHMETIC | {"concat"}
"""Operations whose result changes where any of their inputs does."""
UNMOVED = frozenset({"activation", "affine", "channels", "publish"})


class Opened(torch.autograd.Function):
    """1 where a number is above 0; the backward pass takes it for sigmoid(number / temperature)."""

    @staticmethod
    def forward(ctx: Any, noisy: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(noisy)
        ctx.temperature = temperature
        return (noisy > 0).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        soft = (ctx.saved_tensors[0] / ctx.temperature).sigmoid()
        return gradient * soft * (1 - soft) / ctx.temperature, None


def spread(node: Node, masks: Sequence[Tensor]) -> Tensor:
    """The footprints of masks (N, 1, H, W) of 0 and 1, as numbers that have a gradient: each output's goes to one pixel that it reads."""
    if node.op in UNMOVED:
        return masks[0]
    if node.op in UNITED and node.is_map:
        result = masks[0]
        for mask in masks[1:]:
            result = torch.maximum(result, mask)
        return result.expand(-1, 1, *node.size)
    if node.op in {"conv", "max_pool", "avg_pool"}:
        attrs = node.attrs
        kernel = tuple(node.consts["weight"].shape[2:]) if node.op == "conv" else attrs["kernel"]
        top, bottom, left, right = attrs["pads"]
        padded = functional.pad(masks[0], (left, right, top, bottom))
        return functional.max_pool2d(padded, kernel, attrs["stride"], 0, attrs.get("dilation", (1, 1)))
    if node.op == "resize":
        height, width = masks[0].shape[-2:]
        rows, columns = resize_taps(node, 0, height), resize_taps(node, 1, width)
        return masks[0][:, :, rows].amax(3)[..., columns].amax(4)
    if node.op == "aten":
        return torch.stack([mask.amax() for mask in masks]).amax().view(1, 1, 1, 1).expand(1, 1, *node.size)
    return footprint(node, [mask > 0 for mask in masks]).float()
