"""ONNX operations with weights, windows or statistics: convolutions, pools, norms, products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from skipvid.skip.importers.onnx_call import Call, Table

LAST_AXIS_SOFTMAX = 13
"""Opset from which Softmax works along one axis; before, along all from that axis on."""


def _conv(call: Call) -> Tensor:
    x, weight = call.tensor(0), call.tensor(1)
    bias = call.tensor(2) if call.has(2) else None
    dims = weight.dim() - 2
    stride, dilation, groups = _per_axis(call, "strides", dims), _per_axis(call, "dilations", dims), call.get("group", 1)
    x, pads = _padded(call, x, weight.shape[2:], stride, dilation, 0.0)
    convolve: Callable[..., Tensor] | None = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}.get(dims)
    if convolve is None:
        raise call.refused(f"a convolution over {dims} axes", "only those over 1, 2 or 3 can be converted")
    return convolve(x, weight, bias, stride, pads, dilation, groups)


def _conv_transpose(call: Call) -> Tensor:
    x, weight = call.tensor(0), call.tensor(1)
    bias = call.tensor(2) if call.has(2) else None
    dims = weight.dim() - 2
    stride, dilation, groups = _per_axis(call, "strides", dims), _per_axis(call, "dilations", dims), call.get("group", 1)
    extra = list(call.get("output_padding", [0] * dims))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    size = call.get("output_shape", None)
    mode = call.text("auto_pad", "NOTSET")
    if size is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        size = [side * s for side, s in zip(x.shape[2:], stride, strict=True)]
    if size is not None:
        sides = zip(x.shape[2:], stride, spans, extra, list(size)[-dims:], strict=True)
        total = [s * (side - 1) + e + span - wanted for side, s, span, e, wanted in sides]
        small = [t // 2 for t in total]
        large = [t - t // 2 for t in total]
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    else:
        pads = list(call.get("pads", [0] * 2 * dims)) if mode != "VALID" else [0] * 2 * dims
        before, after = pads[:dims], pads[dims:]
    # torch cuts the same from both sides; what is to be cut less behind is added there, what more is cut off.
    more = [b - a + e for b, a, e in zip(before, after, extra, strict=True)]
    convolve: Callable[..., Tensor] | None = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}.get(dims)
    fits = all(0 <= m < max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)) and min(before) >= 0
    if convolve is None:
        raise call.refused(f"a convolution over {dims} axes", "only those over 1, 2 or 3 can be converted")
    if fits:
        return convolve(x, weight, bias, stride, before, more, groups, dilation)
    y = convolve(x, weight, bias, stride, 0, 0, groups, dilation)
    amounts = [(-b, e - a) for b, a, e in zip(before, after, extra, strict=True)]
    return F.pad(y, [item for pair in reversed(amounts) for item in pair])


def _max_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    if len(call.op.outputs) > 1 and call.op.outputs[1]:
        raise call.refused("it also returns positions", "only its maxima can be converted")
    kernel = list(call.get("kernel_shape", []))
    stride, dilation = _per_axis(call, "strides", len(kernel)), _per_axis(call, "dilations", len(kernel))
    ceil = bool(call.get("ceil_mode", 0))
    x, pads = _padded(call, x, kernel, stride, dilation, -math.inf, half=True)
    pool: Callable[..., Tensor] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(kernel)]
    return pool(x, kernel, stride, pads, dilation, ceil)


def _avg_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    kernel = list(call.get("kernel_shape", []))
    dims = len(kernel)
    stride, dilation = _per_axis(call, "strides", dims), _per_axis(call, "dilations", dims)
    if any(d != 1 for d in dilation):
        raise call.refused("a mean over a window with gaps", "export it without dilation")
    ceil, counted = bool(call.get("ceil_mode", 0)), bool(call.get("count_include_pad", 0))
    pool: Callable[..., Tensor] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[dims]
    padded, pads = _padded(call, x, kernel, stride, dilation, 0.0, half=True)
    if padded is x or (counted and not ceil):
        return pool(padded, kernel, stride, pads, ceil, counted)
    # Different amounts on two sides: torch does not know which pixels are filling.
    shares = _padded(call, torch.ones((1, 1, *x.shape[2:])), kernel, stride, dilation, 1.0 if counted else 0.0, half=True)[0]
    return pool(padded, kernel, stride, 0, ceil) / pool(shares, kernel, stride, 0, ceil)


def _per_axis(call: Call, name: str, dims: int) -> list[int]:
    return list(call.get(name, [1] * dims))


def _padded(
    call: Call, x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], value: float, half: bool = False
) -> tuple[Tensor, list[int]]:
    """x with all filling that the operation cannot add by itself, and what it shall add. half: it adds half a window at most."""
    before, after = _pads(call, x.shape[2:], kernel, stride, dilation)
    large = half and any(b > k // 2 for b, k in zip(before, kernel, strict=True))
    if before == after and min(before, default=0) >= 0 and not large:
        return x, before
    pairs = list(zip(before, after, strict=True))
    return F.pad(x, list(chain.from_iterable(reversed(pairs))), value=value), [0] * len(before)


def _pads(
    call: Call, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[int], list[int]]:
    mode = call.text("auto_pad", "NOTSET")
    dims = len(kernel)
    if mode == "VALID":
        return [0] * dims, [0] * dims
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            max((-(-side // s) - 1) * s + (k - 1) * d + 1 - side, 0) for side, s, k, d in zip(size, stride, kernel, dilation, strict=True)
        ]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        return (small, large) if mode == "SAME_UPPER" else (large, small)
    pads = list(call.get("pads", [0] * 2 * dims))
    return pads[:dims], pads[dims:]


def _global_mean(call: Call) -> Tensor:
    x = call.tensor(0)
    return F.adaptive_avg_pool2d(x, 1) if x.dim() == 4 else x.mean(tuple(range(2, x.dim())), keepdim=True)


def _global_max(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


def _batch_norm(call: Call) -> Tensor:
    if call.get("training_mode", 0):
        raise call.refused("it is in training mode", "export the network in eval mode")
    x, scale, shift, mean, variance = (call.tensor(position) for position in range(5))
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, call.get("epsilon", 1e-5))


def _instance_norm(call: Call) -> Tensor:
    return F.instance_norm(call.tensor(0), weight=call.tensor(1), bias=call.tensor(2), eps=call.get("epsilon", 1e-5))


def _layer_norm(call: Call) -> Tensor:
    x, weight = call.tensor(0), call.tensor(1)
    axis = call.get("axis", -1) % x.dim()
    shape = list(x.shape[axis:])
    bias = call.tensor(2).expand(shape) if call.has(2) else None
    return F.layer_norm(x, shape, weight.expand(shape), bias, call.get("epsilon", 1e-5))


def _group_norm(call: Call) -> Tensor:
    x, weight, bias = call.tensor(0), call.tensor(1), call.tensor(2)
    groups = call.get("num_groups", 1)
    if weight.numel() == x.shape[1]:
        return F.group_norm(x, groups, weight, bias, call.get("epsilon", 1e-5))
    each = x.shape[1] // groups  # opset 18: one number a group
    return F.group_norm(x, groups, weight.repeat_interleave(each), bias.repeat_interleave(each), call.get("epsilon", 1e-5))


def _local_norm(call: Call) -> Tensor:
    return F.local_response_norm(
        call.tensor(0), call.get("size", 1), call.get("alpha", 1e-4), call.get("beta", 0.75), call.get("bias", 1.0)
    )


def _vector_norm(call: Call) -> Tensor:
    x = call.tensor(0)
    norm: Tensor = torch.linalg.vector_norm(x, call.get("p", 2), call.get("axis", -1), keepdim=True)
    return x / norm


def _gemm(call: Call) -> Tensor:
    a, b = call.tensor(0), call.tensor(1)
    alpha, beta = float(call.get("alpha", 1.0)), float(call.get("beta", 1.0))
    a = a.t() if call.get("transA", 0) else a
    bias = call.tensor(2) if call.has(2) else None
    weight = b if call.get("transB", 0) else b.t()
    if bias is not None and (bias.dim() > 1 or bias.numel() != weight.shape[0] or beta != 1.0) or alpha != 1.0:
        y = F.linear(a, weight) * alpha
        return y if bias is None else y + bias * beta
    return F.linear(a, weight, bias)


def _matmul(call: Call) -> Tensor:
    a, b = call.tensor(0), call.tensor(1)
    # A product with a fixed matrix is a layer.
    return F.linear(a, b.t()) if b.dim() == 2 and not isinstance(call.values[1], Tensor) and a.dim() >= 2 else torch.matmul(a, b)


def _einsum(call: Call) -> Tensor:
    return torch.einsum(call.text("equation", ""), *call.tensors())


def _softmax(call: Call, function: Callable[[Tensor, int], Tensor] = torch.softmax) -> Tensor:
    x = call.tensor(0)
    if call.op.opset >= LAST_AXIS_SOFTMAX:
        return function(x, call.get("axis", -1))
    axis = call.get("axis", 1) % x.dim()
    if all(extent == 1 for extent in x.shape[axis + 1 :]):
        return function(x, axis)
    return function(x.flatten(axis), axis).reshape(x.shape)


def _log_softmax(call: Call) -> Tensor:
    return _softmax(call, torch.log_softmax)


LAYERS: Table = {
    "AveragePool": _avg_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_mean,
    "GlobalMaxPool": _global_max,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_norm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _log_softmax,
    "LpNormalization": _vector_norm,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Softmax": _softmax,
}
