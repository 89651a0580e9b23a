"""Footprints: which output pixels of an operation can change when these input pixels changed. Pure functions on masks.

A mask is (1, 1, H, W) bool, True = changed (or: to be computed). Footprints may be larger than necessary, never smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from skipvid.skip.ir.graph import ARITHMETIC, Node

SPARSE_OPS: frozenset[str]
"""Operations with a rule here; for all others a changed mask is found by comparing old and new values."""


def footprint(node: Node, masks: Sequence[Tensor]) -> Tensor:
    """Mask of the outputs of `node` that depend on a changed pixel of an input. masks: one (1, 1, H, W) bool for each input."""
    return _RULES[node.op](node, masks)


def window_footprint(
    mask: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Windows (of a convolution or a pool) that contain a True pixel. pads: top, bottom, left, right."""
    top, bottom, left, right = pads
    padded = functional.pad(mask.float(), (left, right, top, bottom))
    return functional.max_pool2d(padded, kernel, stride, 0, dilation) > 0


def _conv(node: Node, masks: Sequence[Tensor]) -> Tensor:
    kernel = node.consts["weight"].shape[2:]
    return window_footprint(masks[0], (kernel[0], kernel[1]), node.attrs["stride"], node.attrs["pads"], node.attrs["dilation"])


def _conv_transpose(node: Node, masks: Sequence[Tensor]) -> Tensor:
    ones = torch.ones(1, 1, *node.consts["weight"].shape[2:], dtype=torch.float32)
    attrs = node.attrs
    spread = functional.conv_transpose2d(
        masks[0].float(), ones, None, attrs["stride"], attrs["padding"], attrs["output_padding"], 1, attrs["dilation"]
    )
    return spread > 0.5


def _union(node: Node, masks: Sequence[Tensor]) -> Tensor:
    """Element-wise operations; a (1, 1) mask of a broadcast vector opens the whole map, and any change a value that is no map."""
    if not node.is_map:
        return torch.stack([mask.any() for mask in masks]).any().view(1, 1, 1, 1)
    result = masks[0]
    for mask in masks[1:]:
        result = result | mask
    return result.expand(1, 1, *node.size)


def _resize(node: Node, masks: Sequence[Tensor]) -> Tensor:
    height, width = masks[0].shape[-2:]
    rows, columns = resize_taps(node, 0, height), resize_taps(node, 1, width)
    mask = masks[0]
    tall = torch.stack([mask[:, :, rows[:, tap]] for tap in range(rows.shape[1])]).any(0)
    return torch.stack([tall[..., columns[:, tap]] for tap in range(columns.shape[1])]).any(0)


def resize_taps(node: Node, axis: int, extent: int) -> Tensor:
    """The input rows (axis 0) or columns (axis 1) that each output row or column reads. Returns (outputs, taps) int64."""
    scales = node.attrs["scales"]
    return _taps(extent, node.attrs["size"][axis], scales[axis] if scales else None, node.attrs["mode"], node.attrs["align_corners"])


@lru_cache(maxsize=256)
def _taps(extent: int, size: int, scale: float | None, mode: str, align_corners: bool) -> Tensor:
    out = torch.arange(size, dtype=torch.float64)
    step = 1 / scale if scale is not None else extent / size
    if mode == "nearest":
        low = out * step
        # torch takes a short cut past the scale factor where the size is kept or doubled.
        high = out * extent / size if size in (extent, 2 * extent) else low
    else:
        if align_corners:
            source = out * ((extent - 1) / (size - 1) if size > 1 else 0.0)
        else:
            source = ((out + 0.5) * step - 0.5).clamp(min=0)
        low, high = source, source + 1
    # torch works in float32: at a whole number its rounding may land on either side, so both sides count.
    slack = 1e-4 + 1e-6 * out
    taps = torch.stack([(low - slack).floor(), (low + slack).floor(), (high - slack).floor(), (high + slack).floor()], 1)
    return taps.clamp(0, extent - 1).long()


def _pool(node: Node, masks: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    return window_footprint(masks[0], attrs["kernel"], attrs["stride"], attrs["pads"], attrs.get("dilation", (1, 1)))


def adaptive_taps(inputs: int, outputs: int) -> Tensor:
    """The input rows, or columns, of each window of an adaptive pool. Returns (outputs, taps) int64; -1 fills up the shorter ones."""
    number = torch.arange(outputs)
    first, end = number * inputs // outputs, -(-(number + 1) * inputs // outputs)
    taps = first.unsqueeze(1) + torch.arange(int((end - first).max()))
    return torch.where(taps < end.unsqueeze(1), taps, -1)


def _adaptive_pool(node: Node, masks: Sequence[Tensor]) -> Tensor:
    mask = masks[0]
    for axis in (2, 3):
        taps = adaptive_taps(mask.shape[axis], node.shape[axis])
        read = mask.index_select(axis, taps.clamp(min=0).flatten()).view(*mask.shape[:axis], *taps.shape, *mask.shape[axis + 1 :])
        known = (taps >= 0).view(*taps.shape, *(1,) * (3 - axis))
        mask = (read & known).any(axis + 1)
    return mask


def _pad(node: Node, masks: Sequence[Tensor]) -> Tensor:
    top, bottom, left, right = node.attrs["pads"]
    return functional.pad(masks[0].float(), (left, right, top, bottom)) > 0


def _gather(node: Node, masks: Sequence[Tensor]) -> Tensor:
    source, pixel = node.attrs["source"], node.attrs["pixel"]
    reached = torch.zeros(source.shape, dtype=torch.bool)
    for number, mask in enumerate(masks):
        own = source == number
        reached[own] = mask.flatten()[pixel[own]]
    return reached.view(1, 1, *node.size)


def _attention(node: Node, masks: Sequence[Tensor]) -> Tensor:
    """A change of a key or value reaches all queries of its group."""
    groups = node.attrs["groups"]
    reached = (masks[1] | masks[2]).view(groups, -1).any(1, keepdim=True)
    return masks[0] | reached.expand(groups, masks[0].numel() // groups).reshape(masks[0].shape)


def _anything(node: Node, masks: Sequence[Tensor]) -> Tensor:
    return masks[0].any().view(1, 1, 1, 1)


def _anything_of(node: Node, masks: Sequence[Tensor]) -> Tensor:
    return torch.stack([mask.any() for mask in masks]).any().view(1, 1, 1, 1)


def _same(node: Node, masks: Sequence[Tensor]) -> Tensor:
    return masks[0]


_RULES: dict[str, Callable[[Node, Sequence[Tensor]], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _anything,
    "activation": _same,
    "affine": _same,
    **dict.fromkeys(ARITHMETIC, _union),
    "pointwise": _union,
    "concat": _union,
    "channels": _same,
    "resize": _resize,
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_pool": _adaptive_pool,
    "pad": _pad,
    "gather": _gather,
    "layer_norm": _same,
    "softmax": _same,
    "attention": _attention,
    "publish": _same,
    "select": _union,
    "choice": _anything_of,
    "global_mean": _anything,
}
SPARSE_OPS = frozenset(_RULES)
