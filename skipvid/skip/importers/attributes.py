"""Attributes of the graph's nodes out of the arguments of torch's operations: convolutions, pools, resizing, padding, means."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node as FxNode

aten = torch.ops.aten

Attributes = dict[str, Any]
LARGEST_WINDOW = 4096
"""Pixels of a window of adaptive pooling that is looked at pixel by pixel."""


def conv_attributes(fx: FxNode, kernel: Sequence[int]) -> Attributes:
    """kernel: (height, width) of the weight."""
    arguments = list(fx.args) + [None] * 7
    stride, dilation = _pair(arguments[3] or 1), _pair(arguments[5] or 1)
    pads = _conv_pads(arguments[4] or 0, kernel, dilation)
    return {"stride": stride, "pads": pads, "dilation": dilation, "groups": arguments[6] or 1}


def conv_transpose_attributes(fx: FxNode) -> Attributes:
    arguments = list(fx.args) + [None] * 8
    return {
        "stride": _pair(arguments[3] or 1),
        "padding": _pair(arguments[4] or 0),
        "output_padding": _pair(arguments[5] or 0),
        "groups": arguments[6] or 1,
        "dilation": _pair(arguments[7] or 1),
    }


def _conv_pads(padding: Any, kernel: Sequence[int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":  # torch puts the odd pixel behind
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    y, x = _pair(padding)
    return (y, y, x, x)


def _resize(fx: FxNode) -> Attributes:
    bilinear = fx.target is aten.upsample_bilinear2d.vec
    place = 3 if bilinear else 2
    scales: Any = fx.args[place] if len(fx.args) > place else None
    return {
        "mode": "bilinear" if bilinear else "nearest",
        "size": tuple(fx.meta["val"].shape[2:]),
        "scales": tuple(scales) if scales is not None and fx.args[1] is None else None,
        "align_corners": bool(fx.args[2]) if bilinear else False,
    }


def _max_pool(fx: FxNode) -> Attributes:
    arguments = list(fx.args) + [None] * 6
    kernel, dilation = _pair(arguments[1]), _pair(arguments[4] or 1)
    stride = _pair(arguments[2] or kernel)
    pads = _pool_pads(fx, kernel, stride, dilation, _pair(arguments[3] or 0), bool(arguments[5]))
    return {"kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation}


def _avg_pool(fx: FxNode) -> Attributes | None:
    arguments = list(fx.args) + [None] * 7
    if arguments[6] is not None:
        return None
    kernel, padding, ceil = _pair(arguments[1]), _pair(arguments[3] or 0), bool(arguments[4])
    stride, counted = _pair(arguments[2] or kernel), arguments[5] is not False
    pads = _pool_pads(fx, kernel, stride, (1, 1), padding, ceil)
    if ceil and counted:
        # torch counts its own padding, and not what the last window reaches beyond it.
        if any(padding) and (pads[1] > padding[0] or pads[3] > padding[1]):
            return None
        counted = any(padding)
    return {"kernel": kernel, "stride": stride, "pads": pads, "count_include_pad": counted}


def _pool_pads(
    fx: FxNode, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int], ceil: bool
) -> tuple[int, int, int, int]:
    """Padding in front and behind; in ceil_mode as much behind as the last window needs."""
    top, left = padding
    if not ceil:
        return (top, top, left, left)
    source: Any = fx.args[0]
    sides = zip(source.meta["val"].shape[2:], fx.meta["val"].shape[2:], kernel, stride, dilation, padding, strict=True)
    bottom, right = (max((out - 1) * s + (k - 1) * d + 1 - side - before, 0) for side, out, k, s, d, before in sides)
    return (top, bottom, left, right)


def adaptive_pool(fx: FxNode) -> tuple[str, Attributes] | None:
    """Operation and attributes: one whose windows are as large as each other is an ordinary pool. None: PyTorch computes it."""
    maximum = fx.target is aten.adaptive_max_pool2d.default
    if maximum and any(user.users and (user.target is not operator.getitem or user.args[1] != 0) for user in fx.users):
        return None  # somebody wants to know where the largest number is
    source: Any = fx.args[0]
    inputs, outputs = source.meta["val"].shape[2:], _pair(fx.args[1])
    if outputs == (1, 1) and not maximum:
        return "global_mean", {}
    windows = [-(-extent // out) for extent, out in zip(inputs, outputs, strict=True)]
    if windows[0] * windows[1] > LARGEST_WINDOW:
        return None
    if any(extent % out for extent, out in zip(inputs, outputs, strict=True)):
        return "adaptive_pool", {"maximum": maximum}
    attrs: Attributes = {"kernel": tuple(windows), "stride": tuple(windows), "pads": (0, 0, 0, 0)}
    return ("max_pool", {**attrs, "dilation": (1, 1)}) if maximum else ("avg_pool", {**attrs, "count_include_pad": False})


def _mean(fx: FxNode) -> Attributes | None:
    source: Any = fx.args[0]
    axes = {axis % 4 for axis in _ints(fx.args[1])} if fx.args[1] is not None else None
    keep = len(fx.args) > 2 and bool(fx.args[2])
    return {} if len(source.meta["val"].shape) == 4 and axes == {2, 3} and keep else None


def _pad(fx: FxNode) -> Attributes | None:
    amounts = _ints(fx.args[1])
    mode = fx.args[2] if fx.target is aten.pad.default and len(fx.args) > 2 else "constant"
    value: Any = fx.args[-1] if isinstance(fx.args[-1], int | float) else 0.0
    if mode != "constant" or len(fx.meta["val"].shape) != 4 or len(amounts) > 4:
        return None
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    return {"pads": (top, bottom, left, right), "value": float(value)}


LOCAL: Mapping[Any, tuple[str, Callable[[FxNode], Attributes | None]]] = {
    aten.upsample_nearest2d.vec: ("resize", _resize),
    aten.upsample_bilinear2d.vec: ("resize", _resize),
    aten.max_pool2d.default: ("max_pool", _max_pool),
    aten.avg_pool2d.default: ("avg_pool", _avg_pool),
    aten.mean.dim: ("global_mean", _mean),
    aten.pad.default: ("pad", _pad),
    aten.constant_pad_nd.default: ("pad", _pad),
}
"""target -> the graph's operation, and its attributes; None where it is another case, which PyTorch computes."""


def _ints(value: Any) -> list[int]:
    return [int(item) for item in value] if isinstance(value, list | tuple) else [int(value)]


def _pair(value: Any) -> tuple[int, int]:
    items = _ints(value)
    return (items[0], items[-1])
