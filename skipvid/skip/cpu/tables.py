"""Constants of the native steps, from a node's attributes: packed weights, tap offsets, resize tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.errors import BackendError
from skipvid.skip.cpu._native import ActivationKind, FootprintKind
from skipvid.skip.cpu.description import Description
from skipvid.skip.cpu.rows import FootprintRow
from skipvid.skip.ir.footprint import adaptive_taps, resize_taps
from skipvid.skip.ir.graph import Activation, Node
from skipvid.skip.reference.operations import evaluate

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Code = tuple[ActivationKind, float, float]
"""An activation and its parameters."""

NONE: Code = (ActivationKind.NONE, 0.0, 0.0)
KINDS = {
    "silu": ActivationKind.SILU,
    "sigmoid": ActivationKind.SIGMOID,
    "tanh": ActivationKind.TANH,
    "hardswish": ActivationKind.HARDSWISH,
    "hardsigmoid": ActivationKind.HARDSIGMOID,
    "leaky_relu": ActivationKind.LEAKY_RELU,
    "elu": ActivationKind.ELU,
    "gelu": ActivationKind.GELU,
    "gelu_tanh": ActivationKind.GELU_TANH,
    "mish": ActivationKind.MISH,
    "softplus": ActivationKind.SOFTPLUS,
    "exp": ActivationKind.EXP,
    "log": ActivationKind.LOG,
    "sqrt": ActivationKind.SQRT,
    "rsqrt": ActivationKind.RSQRT,
    "reciprocal": ActivationKind.RECIPROCAL,
    "erf": ActivationKind.ERF,
    "abs": ActivationKind.ABSOLUTE,
}


def activation_code(activation: Activation | None) -> Code:
    """Kind and parameters. Raises BackendError for a kind that it does not know."""
    if activation is None:
        return NONE
    if activation.kind == "relu":
        return (ActivationKind.CLAMP, 0.0, float("inf"))
    if activation.kind == "hardtanh":
        low, high = activation.params
        return (ActivationKind.CLAMP, low, high)
    if activation.kind not in KINDS:
        raise BackendError(f"the back end cpu has no activation {activation.kind}", "use the back end reference")
    first, second = (*activation.params, 0.0, 0.0)[:2]
    return (KINDS[activation.kind], first, second)


def array(tensor: Tensor) -> Floats:
    """A constant as a contiguous float32 array."""
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())


def bias_of(node: Node, channels: int) -> Floats:
    """(channels,) float32; zeros where the layer has none."""
    return array(node.consts["bias"]) if "bias" in node.consts else np.zeros(channels, np.float32)


def window_of(node: Node, kernel: tuple[int, int]) -> FootprintRow:
    """The window of a convolution or pool."""
    top, _, left, _ = node.attrs["pads"]
    (stride_y, stride_x), (dilation_y, dilation_x) = node.attrs["stride"], node.attrs.get("dilation", (1, 1))
    return FootprintRow(FootprintKind.WINDOW, *kernel, stride_y, stride_x, dilation_y, dilation_x, -top, -left)


def convolution_taps(node: Node) -> tuple[Ints, Floats]:
    """Offsets (taps, 2) from an output's position times the stride, and weights (taps, I/g, O)."""
    weight = node.consts["weight"]
    height, width = weight.shape[2:]
    top, _, left, _ = node.attrs["pads"]
    dy, dx = node.attrs["dilation"]
    taps = [(y * dy - top, x * dx - left) for y in range(height) for x in range(width)]
    return np.array(taps, np.int32), array(weight.permute(2, 3, 1, 0).reshape(height * width, weight.shape[1], weight.shape[0]))


def transposed_phases(node: Node, channels: int) -> list[tuple[Ints, Floats]]:
    """The same for each place (y, x) of an output within the stride: the kernel elements that meet an input pixel there."""
    weight = node.consts["weight"]  # (I, O/g, kh, kw)
    groups = node.attrs["groups"]
    inputs, per_group, height, width = weight.shape
    # (kh, kw, I/g, O): the layout of an ordinary convolution's weight
    flat = weight.reshape(groups, inputs // groups, per_group, height, width).permute(3, 4, 1, 0, 2).reshape(height, width, -1, channels)
    rows = _phase_taps(node, 0, height)
    columns = _phase_taps(node, 1, width)
    phases = []
    for row in rows:
        for column in columns:
            taps = [(y, x, flat[i, j]) for i, y in row for j, x in column]
            offsets = np.array([(y, x) for y, x, _ in taps], np.int32).reshape(-1, 2)
            weights = np.stack([array(w) for *_, w in taps]) if taps else np.zeros((0, flat.shape[2], channels), np.float32)
            phases.append((offsets, np.ascontiguousarray(weights)))
    return phases


def _phase_taps(node: Node, axis: int, kernel: int) -> list[list[tuple[int, int]]]:
    """Along one axis, for each phase: (kernel element, offset of its input from output // stride)."""
    stride, padding, dilation = (node.attrs[key][axis] for key in ("stride", "padding", "dilation"))
    phases: list[list[tuple[int, int]]] = []
    for phase in range(stride):
        distance = [(k, phase + padding - k * dilation) for k in range(kernel)]
        phases.append([(k, offset // stride) for k, offset in distance if offset % stride == 0])
    return phases


def transposed_footprint(node: Node, source: Node, description: Description) -> FootprintRow:
    """Tables of the input rows and columns that each output row and column of a transposed convolution reads."""
    kernel = node.consts["weight"].shape[2:]
    tables = []
    for axis in range(2):
        phases = _phase_taps(node, axis, kernel[axis])
        most = max(1, *(len(taps) for taps in phases))
        stride, extent = node.attrs["stride"][axis], source.size[axis]
        table = np.full((node.size[axis], most), -1, np.int32)
        for position in range(node.size[axis]):
            for column, (_, offset) in enumerate(phases[position % stride]):
                index = position // stride + offset
                table[position, column] = index if 0 <= index < extent else -1
        tables.append(table)
    return _taps(tables[0], tables[1], description)


def resize_footprint(node: Node, source: Node, description: Description) -> FootprintRow:
    """The footprint of the reference: the tables may name neighbours that the rounding of float32 could reach."""
    rows, columns = (resize_taps(node, axis, source.size[axis]).numpy().astype(np.int32) for axis in range(2))
    return _taps(rows, columns, description)


def adaptive_footprint(node: Node, source: Node, description: Description) -> FootprintRow:
    """The windows of an adaptive pool."""
    rows, columns = (adaptive_taps(source.size[axis], node.size[axis]).numpy().astype(np.int32) for axis in range(2))
    return _taps(rows, columns, description)


def _taps(rows: Ints, columns: Ints, description: Description) -> FootprintRow:
    """Of tables (outputs, taps) of input rows and of input columns."""
    integers = description.integers
    return FootprintRow(
        FootprintKind.TAPS,
        row_taps=rows.shape[1],
        rows=integers.add(rows),
        column_taps=columns.shape[1],
        columns=integers.add(columns),
    )


def resize_axis(node: Node, source: Node, axis: int) -> tuple[Ints, Ints, Floats, Floats]:
    """For each output row (axis 0) or column: two input rows and their weights, measured by having torch resize test patterns.

    That way torch's rules for rounding and scale factors need not be written down a second time. A ramp tells where an output lies; the
    weights come from patterns of zeros and ones, which no rounding can blur: of the two rows one is even and one is odd.
    """
    extent = source.size[axis]
    ramp = torch.arange(extent)

    def resized(line: Tensor) -> Tensor:
        plane = (line.float().view(-1, 1) if axis == 0 else line.float().view(1, -1)).expand(source.size)
        values: dict[str, Any] = {source.name: plane.reshape(1, 1, *source.size).contiguous()}
        result = evaluate(node, values)[0, 0]
        return result[:, 0] if axis == 0 else result[0]

    low = resized(ramp).double().floor().clamp(0, extent - 1).int()
    high = (low + 1).clamp(max=extent - 1)
    even, odd = resized(ramp % 2 == 0), resized(ramp % 2 == 1)
    low_is_even = low % 2 == 0
    return low.numpy(), high.numpy(), array(torch.where(low_is_even, even, odd)), array(torch.where(low_is_even, odd, even))


def group_footprint(node: Node, source: Node, description: Description) -> FootprintRow:
    """The footprint of attention's keys or values: all of a group's are read by each pixel of the group. Groups are rows, or all is one."""
    size, groups = node.size, node.attrs["groups"]
    own = np.arange(source.size[0], dtype=np.int32)
    rows = own[:, None] if groups > 1 else np.tile(own, (size[0], 1))
    return _taps(rows, np.tile(np.arange(source.size[1], dtype=np.int32), (size[1], 1)), description)
