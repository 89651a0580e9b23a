"""A frame before which the scene moved by whole pixels: maps move with it, and only what that does not make right is computed.

A map of (h, w) moves by (dy h / H, dx w / W) of its own pixels, H and W being the input's, where both are whole; other maps stay. What
comes into a moved map from outside has no published value (NaN), so that every gate opens there. An output needs no computing where all of
its window moved as it did, and no tap crossed a border. Of an operation that reads a map that stays, or whose result depends on the place,
all is computed, and its gate compares that with what the map holds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skipvid.skip.ir.footprint import SPARSE_OPS, resize_taps
from skipvid.skip.ir.graph import ARITHMETIC, Graph, Node

Shift = tuple[int, int]
"""(dy, dx): pixel (y, x) of the new frame shows what (y + dy, x + dx) of the last one showed; pixels of the input."""

_SAME = ARITHMETIC | {"activation", "affine", "concat", "channels", "layer_norm", "softmax", "publish"}


def moves_by(node: Node, graph: Graph, shift: Shift) -> Shift | None:
    """By how many of its own pixels a map moves; None: it stays."""
    if not node.is_map or not node.dtype.is_floating_point or node.op not in SPARSE_OPS | {"input"}:
        return None
    whole = graph.inputs[0].size
    moved = [divmod(by * own, extent) for by, own, extent in zip(shift, node.size, whole, strict=True)]
    return None if any(rest for _, rest in moved) else (moved[0][0], moved[1][0])


def moved(value: Tensor, by: Shift) -> Tensor:
    """A map (1, C, H, W) moved; NaN where nothing is known."""
    result = torch.full_like(value, float("nan"))
    (to_y, from_y), (to_x, from_x) = (_ranges(extent, step) for extent, step in zip(value.shape[2:], by, strict=True))
    result[:, :, to_y, to_x] = value[:, :, from_y, from_x]
    return result


def _ranges(extent: int, by: int) -> tuple[slice, slice]:
    first, last = max(0, -by), max(0, min(extent, extent - by))
    return slice(first, max(first, last)), slice(first + by, max(first, last) + by)


def stays_right(node: Node, by_name: dict[str, Node], moves: dict[str, Shift | None]) -> Tensor:
    """Outputs that are what their moved inputs make of them, once they have moved themselves, (1, 1, h, w) bool."""
    own = moves[node.name]
    right = torch.ones(1, 1, *node.size, dtype=torch.bool)
    if own is None:
        return ~right
    for name in node.inputs:
        source = by_name[name]
        if node.op in _SAME and source.size == (1, 1) != node.size:
            continue  # the same for all pixels
        read = moves[name]
        if read is None:
            return torch.zeros_like(right)
        rows, columns = (_axis(node, source, axis, own[axis], read[axis]) for axis in range(2))
        right &= rows.view(-1, 1) & columns
    return right & ~torch.tensor(node.op in _SAME and any(_by_place(value) for value in node.consts.values()))


def _by_place(constant: Tensor) -> bool:
    """Whether it may differ from pixel to pixel."""
    return constant.dim() > 1 and tuple(constant.shape[-2:]) != (1, 1)


def _axis(node: Node, source: Node, axis: int, own: int, read: int) -> Tensor:
    """Rows (columns) whose taps moved as they did, (h,) or (w,) bool."""
    extent, outputs = source.size[axis], node.size[axis]
    place = torch.arange(outputs)
    inside = (place + own >= 0) & (place + own < outputs)
    if node.op in _SAME:
        return inside if extent == outputs and own == read else torch.zeros_like(inside)
    if node.op == "resize" and node.attrs["mode"] == "nearest":
        taps = resize_taps(node, axis, extent)
        return inside & (taps[(place + own).clamp(0, outputs - 1)] == taps + read).all(1)
    if node.op not in ("conv", "max_pool", "avg_pool", "pad"):
        return torch.zeros_like(inside)
    kernel, stride, dilation = _window(node, axis)
    taps = place.unsqueeze(1) * stride - node.attrs["pads"][2 * axis] + torch.arange(kernel) * dilation
    if own * stride != read:
        return torch.zeros_like(inside)
    within, was_within = ((at >= 0) & (at < extent) for at in (taps, taps + read))
    result: Tensor = inside & (within == was_within).all(1)
    return result


def _window(node: Node, axis: int) -> tuple[int, int, int]:
    """Kernel, stride and dilation along an axis."""
    if node.op == "pad":
        return 1, 1, 1
    kernel = node.consts["weight"].shape[2:] if node.op == "conv" else node.attrs["kernel"]
    return int(kernel[axis]), int(node.attrs["stride"][axis]), int(node.attrs.get("dilation", (1, 1))[axis])
