"""ONNX operations that move, choose or add up values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skipvid.skip.importers.onnx_call import Call, Operation, Table, as_tensor

TYPES = {"BOOL": torch.bool, "INT8": torch.int8, "UINT8": torch.uint8, "INT16": torch.int16, "INT32": torch.int32, "INT64": torch.int64}
FLOAT_TYPES = {"FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16"}


def _reshape(call: Call) -> Tensor:
    x, shape = call.tensor(0), call.ints(1, "shape")
    if not call.get("allowzero", 0):
        shape = [x.shape[axis] if extent == 0 else extent for axis, extent in enumerate(shape)]
    return x.reshape(shape)


def _flatten(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _axes(call: Call, position: int = 1) -> list[int] | None:
    """Axes are an attribute in old opsets, an input in new ones."""
    if call.has(position):
        return call.ints(position, "axes")
    axes = call.get("axes", None)
    return None if axes is None else list(axes)


def _squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), _axes(call)
    chosen = [axis for axis, extent in enumerate(x.shape) if extent == 1] if axes is None else axes
    for axis in sorted((axis % x.dim() for axis in chosen), reverse=True):
        x = x.squeeze(axis)
    return x


def _unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), _axes(call) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.permute(call.get("perm", list(reversed(range(x.dim())))))


def _concat(call: Call) -> Tensor:
    return torch.cat(call.tensors(), call.get("axis", 1))


def _split(call: Call) -> Sequence[Tensor]:
    x = call.tensor(0)
    axis = call.get("axis", 0) % x.dim()
    sizes = call.ints(1, "sizes") if call.has(1) else call.get("split", None)
    if sizes is None:
        parts = call.get("num_outputs", len(call.op.outputs))
        each = -(-x.shape[axis] // parts)
        sizes = [each] * (parts - 1) + [x.shape[axis] - each * (parts - 1)]
    return torch.split(x, list(sizes), axis)


def _slice(call: Call) -> Tensor:
    x = call.tensor(0)
    if len(call) == 1:  # before opset 10
        starts, ends = list(call.get("starts", [])), list(call.get("ends", []))
        axes, steps = list(call.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = call.ints(1, "start"), call.ints(2, "end")
        axes = call.ints(3, "axes") if call.has(3) else list(range(len(starts)))
        steps = call.ints(4, "step") if call.has(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= x.dim()
        first, last, step = slice(start, end, step).indices(x.shape[axis])
        if step < 0:
            x = torch.index_select(x, axis, torch.tensor(list(range(first, last, step)), dtype=torch.int64))
        elif (first, step) != (0, 1) or last < x.shape[axis]:
            x = x[(slice(None),) * axis + (slice(first, max(first, last), step),)]
    return x


def _gather(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.get("axis", 0)
    axis %= x.dim()
    indices = call.values[1]
    if isinstance(indices, Tensor):
        flat = torch.remainder(indices.reshape(-1), x.shape[axis])
        shape = list(indices.shape)
    else:
        numbers = call.array(1, "index")
        if numbers.ndim == 0:
            return x.select(axis, int(numbers))
        flat = torch.tensor((numbers.reshape(-1) % x.shape[axis]).tolist(), dtype=torch.int64)
        shape = list(numbers.shape)
    picked = torch.index_select(x, axis, flat)
    return picked.reshape([*x.shape[:axis], *shape, *x.shape[axis + 1 :]])


def _gather_elements(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.get("axis", 0)
    return torch.gather(x, axis, torch.remainder(call.tensor(1), x.shape[axis]).long())


def _expand(call: Call) -> Tensor:
    x, shape = call.tensor(0), call.ints(1, "shape")
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(shape)))


def _tile(call: Call) -> Tensor:
    return call.tensor(0).repeat(call.ints(1, "repeats"))


def _pad(call: Call) -> Tensor:
    x, mode = call.tensor(0), call.text("mode", "constant")
    given = call.ints(1, "amounts") if call.has(1) else list(call.get("pads", []))
    value = float(call.array(2, "value").reshape(-1)[0]) if call.has(2) else float(call.get("value", 0.0))
    axes = [axis % x.dim() for axis in (call.ints(3, "axes") if call.has(3) else range(x.dim()))]
    pairs = [(0, 0)] * x.dim()
    for axis, before, after in zip(axes, given[: len(axes)], given[len(axes) :], strict=True):
        pairs[axis] = (before, after)
    while pairs and pairs[0] == (0, 0):
        pairs.pop(0)
    if not pairs:
        return x
    if mode == "wrap":
        mode = "circular"
    amounts = list(chain.from_iterable(reversed(pairs)))
    kind = {"edge": "replicate"}.get(mode, mode)
    if kind != "constant" and (x.dim() < 3 or len(pairs) > x.dim() - 2):
        raise call.refused(f"padding by {mode} of {tuple(x.shape)}", "only height and width of pictures can be padded so")
    return F.pad(x, amounts, mode=kind, value=value if kind == "constant" else None)


def _depth_to_space(call: Call) -> Tensor:
    x, side = call.tensor(0), call.get("blocksize", 1)
    if call.text("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, side)
    batch, channels, height, width = x.shape
    x = x.reshape(batch, side, side, channels // side**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, channels // side**2, height * side, width * side)


def _space_to_depth(call: Call) -> Tensor:
    x, side = call.tensor(0), call.get("blocksize", 1)
    channels = x.shape[1]
    # As the convolution that it is: of pixels that are moved about no mask would be known. Exact, as all weights are 0 or 1.
    kernel = np.zeros((side * side * channels, channels, side, side), np.float32)
    for row in range(side):
        for column in range(side):
            for channel in range(channels):
                kernel[(row * side + column) * channels + channel, channel, row, column] = 1
    return F.conv2d(x, as_tensor(kernel), stride=side)


def _cast(call: Call) -> Tensor:
    from onnx import TensorProto

    name = TensorProto.DataType.Name(call.get("to", 1))
    x = call.tensor(0)
    if name in FLOAT_TYPES:  # all floating-point numbers are float32 here
        return x.to(torch.float32)
    if name not in TYPES:
        raise call.refused(f"it makes numbers of the type {name}", "export the network in float32")
    return x.to(TYPES[name])


def _cast_like(call: Call) -> Tensor:
    return call.tensor(0).to(call.tensor(1).dtype)


def _identity(call: Call) -> Tensor:
    return call.tensor(0)


def _reduction(function: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Operation:
    def reduce(call: Call) -> Tensor:
        x, axes = call.tensor(0), _axes(call)
        if not axes:
            if axes is not None and call.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        return function(x, tuple(axis % x.dim() for axis in axes), bool(call.get("keepdims", 1)))

    return reduce


def _arg(function: Callable[..., Tensor]) -> Operation:
    def pick(call: Call) -> Tensor:
        if call.get("select_last_index", 0):
            raise call.refused("it takes the last of equal values", "export it with select_last_index = 0")
        return function(call.tensor(0), dim=call.get("axis", 0), keepdim=bool(call.get("keepdims", 1)))

    return pick


def _top_k(call: Call) -> Sequence[Tensor]:
    x = call.tensor(0)
    (count,) = call.ints(1, "number") if call.has(1) else [int(call.get("k", 1))]
    return torch.topk(x, count, call.get("axis", -1), bool(call.get("largest", 1)), bool(call.get("sorted", 1)))


def _cumulative(call: Call) -> Tensor:
    (axis,) = call.ints(1, "axis")
    if call.get("exclusive", 0) or call.get("reverse", 0):
        raise call.refused("it adds up backwards, or without the own value", "export it without")
    return torch.cumsum(call.tensor(0), axis)


def _scatter_nd(call: Call) -> Tensor:
    """Parts of a tensor replaced at places known beforehand."""
    indices = call.array(1, "place")
    if call.text("reduction", "none") != "none":
        raise call.refused("it adds to what is there", "export it without ScatterND")
    x, updates = call.tensor(0).clone(), call.tensor(2)
    flat = torch.tensor(indices.reshape(-1, indices.shape[-1]).T.tolist(), dtype=torch.int64)
    shape = [*indices.shape[:-1], *x.shape[indices.shape[-1] :]]
    return torch.index_put(x, tuple(flat), updates.reshape(shape).reshape(-1, *x.shape[indices.shape[-1] :]))


def _grid_sample(call: Call) -> Tensor:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(call.text("mode", "bilinear"), call.text("mode", "bilinear"))
    return F.grid_sample(
        call.tensor(0),
        call.tensor(1),
        mode=mode,
        padding_mode=call.text("padding_mode", "zeros"),
        align_corners=bool(call.get("align_corners", 0)),
    )


def _trilu(call: Call) -> Tensor:
    diagonal = call.ints(1, "diagonal")[0] if call.has(1) else 0
    return (torch.triu if call.get("upper", 1) else torch.tril)(call.tensor(0), diagonal)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


SHAPES: Table = {
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Concat": _concat,
    "CumSum": _cumulative,
    "DepthToSpace": _depth_to_space,
    "Dropout": _identity,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GridSample": _grid_sample,
    "Identity": _identity,
    "Pad": _pad,
    "ReduceL1": _reduction(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(axes, keep)),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: x.square().sum(axes, keep)),
    "Reshape": _reshape,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
