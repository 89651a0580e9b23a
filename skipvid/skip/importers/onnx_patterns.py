"""Groups of ONNX nodes that are one operation of torch's, written out: GELU, Mish, hard swish, LayerNorm, and the pixels that YOLO's first
layer moves about.

A pattern is replaced where its results inside are read by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skipvid.skip.importers.onnx_call import Call, Table
from skipvid.skip.importers.onnx_file import Array, Op


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """The nodes of a network, by what they compute. readers: how often each result is read."""

    ops: Sequence[Op]
    makers: Mapping[str, Op]
    readers: Mapping[str, int]
    constants: Mapping[str, Array]

    def maker(self, name: str, kind: str) -> Op | None:
        """What computes a value, where it is of that kind and nobody else reads the value."""
        op = self.makers.get(name)
        return op if op is not None and op.kind == kind and self.readers.get(name, 0) == 1 else None

    def number(self, name: str) -> float | None:
        """A constant of one number."""
        constant = self.constants.get(name)
        return float(constant.reshape(())) if constant is not None and constant.size == 1 else None

    def operands(self, op: Op | None, value: float, tolerance: float = 1e-3) -> str | None:
        """The other operand of an operation one of whose two is the constant `value`."""
        if op is None or len(op.inputs) != 2:
            return None
        for one, other in (op.inputs, op.inputs[::-1]):
            number = self.number(other)
            if number is not None and abs(number - value) <= tolerance * abs(value):
                return one
        return None


Match = tuple[Op, Sequence[Op]]
"""The node that replaces a group, and the group."""


def recognise(ops: Sequence[Op], constants: Mapping[str, Array], outputs: Set[str]) -> list[Op]:
    """The nodes with every pattern replaced. outputs: names that must stay."""
    for pattern in (_space_to_depth, _gelu, _mish, _hard_swish):
        makers = {name: op for op in ops for name in op.outputs}
        readers: dict[str, int] = dict.fromkeys(outputs, 2)
        for op in ops:
            for name in op.inputs:
                readers[name] = readers.get(name, 0) + 1
        nodes = _Nodes(ops, makers, readers, constants)
        replaced: dict[int, Op] = {}
        gone: set[int] = set()
        for new, group in pattern(nodes):
            if not gone & {id(op) for op in group}:
                gone.update(id(op) for op in group)
                replaced[id(group[-1])] = new
        ops = [replaced.get(id(op), op) for op in ops if id(op) in replaced or id(op) not in gone]
    return list(ops)


def _gelu(nodes: _Nodes) -> Iterator[Match]:
    """x · (1 + erf(x / √2)) · ½, the factors in any order."""
    for erf in (op for op in nodes.ops if op.kind == "Erf"):
        scaled = nodes.maker(erf.inputs[0], "Div") or nodes.maker(erf.inputs[0], "Mul")
        x = nodes.operands(scaled, 2**0.5 if scaled is not None and scaled.kind == "Div" else 2**-0.5)
        plus = next((op for op in nodes.ops if op.kind == "Add" and erf.outputs[0] in op.inputs), None)
        if scaled is None or x is None or plus is None or nodes.operands(plus, 1.0) is None or nodes.maker(plus.outputs[0], "Add") is None:
            continue
        first = _reader(nodes, plus.outputs[0], "Mul")
        last = _reader(nodes, first.outputs[0], "Mul") if first is not None and nodes.readers.get(first.outputs[0]) == 1 else None
        if first is None or nodes.readers.get(erf.outputs[0]) != 1:
            continue
        if last is not None and {*first.inputs, *last.inputs} - {plus.outputs[0], first.outputs[0]} >= {x}:
            halves = [op for op in (first, last) if nodes.operands(op, 0.5) is not None]
            if len(halves) == 1:
                yield _pattern("GeluPattern", x, last), (scaled, erf, plus, first, last)
                continue
        # x · ½ may come first.
        half = next((nodes.maker(name, "Mul") for name in first.inputs if name != plus.outputs[0]), None)
        if half is not None and nodes.operands(half, 0.5) == x:
            yield _pattern("GeluPattern", x, first), (scaled, erf, plus, half, first)


def _mish(nodes: _Nodes) -> Iterator[Match]:
    """x · tanh(softplus(x))"""
    for last in (op for op in nodes.ops if op.kind == "Mul"):
        for x, other in (last.inputs, last.inputs[::-1]):
            tanh = nodes.maker(other, "Tanh")
            soft = nodes.maker(tanh.inputs[0], "Softplus") if tanh is not None else None
            if tanh is not None and soft is not None and soft.inputs[0] == x:
                yield _pattern("MishPattern", x, last), (soft, tanh, last)
                break


def _hard_swish(nodes: _Nodes) -> Iterator[Match]:
    """x · hardsigmoid(x), the second also as clip(x + 3, 0, 6) / 6 before or after the product."""
    for last in nodes.ops:
        if last.kind == "Mul":
            for x, other in (last.inputs, last.inputs[::-1]):
                hard = nodes.maker(other, "HardSigmoid")
                if hard is not None and hard.inputs[0] == x and _is_sixth(hard):
                    yield _pattern("HardSwishPattern", x, last), (hard, last)
                    break
                sixth = nodes.maker(other, "Div")
                clip = nodes.maker(nodes.operands(sixth, 6.0) or "", "Clip")
                plus = nodes.maker(clip.inputs[0], "Add") if clip is not None and _limits(nodes, clip) == (0, 6) else None
                if sixth is not None and clip is not None and plus is not None and nodes.operands(plus, 3.0) == x:
                    yield _pattern("HardSwishPattern", x, last), (plus, clip, sixth, last)
                    break
        elif last.kind == "Div":
            product = nodes.maker(nodes.operands(last, 6.0) or "", "Mul")
            if product is None:
                continue
            for x, other in (product.inputs, product.inputs[::-1]):
                clip = nodes.maker(other, "Clip")
                plus = nodes.maker(clip.inputs[0], "Add") if clip is not None and _limits(nodes, clip) == (0, 6) else None
                if clip is not None and plus is not None and nodes.operands(plus, 3.0) == x:
                    yield _pattern("HardSwishPattern", x, last), (plus, clip, product, last)
                    break


def _space_to_depth(nodes: _Nodes) -> Iterator[Match]:
    """The four pixels of each 2×2 as channels: slices with step 2, joined, as the first layer of YOLOX and YOLOv5 has them."""
    for join in (op for op in nodes.ops if op.kind == "Concat" and op.attributes.get("axis") == 1 and len(op.inputs) == 4):
        found = [_corner(nodes, name) for name in join.inputs]
        corners = [item for item in found if item is not None]
        if (
            len(corners) != 4
            or len({x for x, _, _ in corners}) != 1
            or {place for _, place, _ in corners} != {(0, 0), (0, 1), (1, 0), (1, 1)}
        ):
            continue
        order = [row * 2 + column for _, (row, column), _ in corners]
        slices = list({id(op): op for _, _, group in corners for op in group}.values())
        new = _pattern("SpaceToDepthPattern", corners[0][0], join)
        yield replace(new, attributes={"order": order}), (*slices, join)


def _corner(nodes: _Nodes, name: str) -> tuple[str, tuple[int, int], list[Op]] | None:
    """x, (row, column) and the slices of a value that is x[..., row::2, column::2]."""
    starts: dict[int, int] = {}
    group = []
    while (op := nodes.makers.get(name)) is not None and op.kind == "Slice" and len(op.inputs) == 5:
        given = [nodes.constants.get(item) for item in op.inputs[1:]]
        if any(item is None for item in given):
            return None
        start, end, axes, steps = ([int(number) for number in item.reshape(-1)] for item in given if item is not None)
        for first, last, axis, step in zip(start, end, axes, steps, strict=True):
            if step != 2 or axis in starts or axis not in (2, 3) or first not in (0, 1) or last < 2**30:
                return None
            starts[axis] = first
        group.append(op)
        name = op.inputs[0]
    return (name, (starts[2], starts[3]), group) if set(starts) == {2, 3} else None


def _reader(nodes: _Nodes, name: str, kind: str) -> Op | None:
    return next((op for op in nodes.ops if op.kind == kind and name in op.inputs), None)


def _limits(nodes: _Nodes, clip: Op) -> tuple[float | None, float | None]:
    if "max" in clip.attributes:
        return clip.attributes.get("min"), clip.attributes["max"]
    low, high = (nodes.number(clip.inputs[position]) if len(clip.inputs) > position else None for position in (1, 2))
    return low, high


def _is_sixth(hard: Op) -> bool:
    alpha, beta = hard.attributes.get("alpha", 0.2), hard.attributes.get("beta", 0.5)
    return bool(abs(alpha - 1 / 6) < 1e-6 and beta == 0.5)


def _pattern(kind: str, x: str, last: Op) -> Op:
    return replace(last, kind=kind, inputs=(x,), attributes={}, proto=None)


def _moved(call: Call) -> Tensor:
    """Written as the convolution that it is: of pixels that are moved about no mask would be known. Exact: all weights are 0 or 1."""
    x, order = call.tensor(0), call.get("order", [0, 1, 2, 3])
    channels = x.shape[1]
    kernel = np.zeros((4 * channels, channels, 2, 2), np.float32)
    for place, corner in enumerate(order):
        for channel in range(channels):
            kernel[place * channels + channel, channel, corner // 2, corner % 2] = 1
    return F.conv2d(x, torch.from_numpy(kernel), stride=2)


def _applied(function: Callable[[Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(call.tensor(0))


PATTERNS: Table = {
    "GeluPattern": _applied(F.gelu),
    "HardSwishPattern": _applied(F.hardswish),
    "MishPattern": _applied(F.mish),
    "SpaceToDepthPattern": _moved,
}
