"""Arithmetic on tokens, point by point, and values joined to one.

Each function returns where its result is; None: the node is kept as it is.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.importers.pointwise import WRITTEN_OUT
from skipvid.skip.importers.values import Values
from skipvid.skip.ir.graph import Activation, MapArgument, Node
from skipvid.skip.ir.positions import Placed, constant_as_map, joined, numbers_of, place_map

aten = torch.ops.aten

MOST_ITEMS = 16
"""Along an axis that are added one by one."""


def pointwise(values: Values, node: Node) -> Placed | None:
    value = values.whole(node.inputs[0]) if len(node.inputs) == 1 else None
    if value is None or tuple(value.positions.shape) != node.shape:
        return None
    source = value.sources[0]
    if node.op == "aten":
        written = _written_out(values, node, value)
        if written is None:
            return None
        made = written
    else:
        consts = {key: constant_as_map(value, constant, source.shape) for key, constant in node.consts.items()}
        made = values.add(replace(node, name=f"{node.name}_{node.op}", inputs=(source.name,), shape=source.shape, consts=consts))
    return replace(value, sources=(made,))


def _written_out(values: Values, node: Node, value: Placed) -> Node | None:
    source = value.sources[0]

    def add(op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str:
        name = f"{node.name}_part{len(values.nodes)}"
        return values.add(Node(name, op, inputs, source.shape, consts=consts, activation=activation)).name

    if node.attrs["target"] is aten.prelu.default and node.attrs["args"][1].numel() > 1:
        rows = values.in_rows(value, 1)  # one weight for each item along the second axis
        if rows is None or source.channels != value.positions.shape[1]:
            return None
    last = WRITTEN_OUT[node.attrs["target"]](add, source.name, *node.attrs["args"][1:], **node.attrs["kwargs"])
    return None if last is None else values.nodes[last]


def arithmetic(values: Values, node: Node) -> Placed | None:
    for position, name in enumerate(node.inputs):
        if values.nodes[name].shape != node.shape:
            return _by_vector(values, node, position)
    return together(values, node)


def together(values: Values, node: Node) -> Placed | None:
    """An operation on the numbers of values of one shape, each by itself: on maps in which they lie alike."""
    if any(values.nodes[name].shape != node.shape for name in node.inputs):
        return None
    wholes = [values.whole(name) if values.place(name) is not None else None for name in node.inputs]
    for base in wholes:
        if base is None or (node.op == "pointwise" and node.consts and not _is_own_map(node, base)):
            continue
        names = [values.in_order_of(base, name, whole) for name, whole in zip(node.inputs, wholes, strict=True)]
        known = tuple(name for name in names if name is not None)
        if len(known) == len(names):
            made = values.add(replace(node, name=f"{node.name}_{node.op}", inputs=known, shape=base.sources[0].shape))
            return replace(base, sources=(made,))
    return None


def _is_own_map(node: Node, value: Placed) -> bool:
    """Whether a map lies as its pixels do, so that constants by channel fit it."""
    source = value.sources[0]
    return node.shape == source.shape and torch.equal(value.positions, place_map(source).positions)


def _by_vector(values: Values, node: Node, position: int) -> Placed | None:
    """Arithmetic of a value and a vector, at that position, of one number for each of its channels."""
    name = node.inputs[1 - position]
    vector, shape = values.place(node.inputs[position]), values.nodes[node.inputs[position]].shape
    if vector is None and shape and prod(shape) == shape[-1] > 1 and values.place(name) is not None:
        entered = values.entered(node.inputs[position], size=(1, 1))
        positions = torch.arange(shape[-1], dtype=torch.int32).view(shape)
        vector = None if entered is None else Placed((entered[0],), positions, True)
    if values.nodes[name].shape != node.shape or vector is None or vector.constant is not None:
        return None
    value = values.whole(name)
    if value is None or len(vector.sources) != 1 or vector.sources[0].size != (1, 1):
        return None
    source, factors = value.sources[0], vector.sources[0]
    by_pixel = torch.empty(numbers_of(source), dtype=torch.int64)
    by_pixel[value.positions.flatten().long()] = vector.positions.expand(node.shape).flatten().long()
    by_pixel = by_pixel.view(-1, source.channels)
    if not torch.equal(by_pixel, by_pixel[:1].expand_as(by_pixel)):
        return None
    index = tuple(by_pixel[0].tolist())
    if index != tuple(range(factors.channels)):
        factors = values.add(Node(f"{node.name}_factors", "channels", (factors.name,), (1, source.channels, 1, 1), {"index": index}))
    names = (source.name, factors.name)[:: -1 if position == 0 else 1]
    made = values.add(replace(node, name=f"{node.name}_{node.op}", inputs=names, shape=source.shape))
    return replace(value, sources=(made,))


def concat(values: Values, node: Node) -> Placed | None:
    if node.op == "concat":
        parts, axis = [values.place(name) for name in node.inputs], 1
    else:
        items, axis = (*node.attrs["args"], 0)[:2]
        if not isinstance(items, list | tuple):
            return None
        parts = [values.place(node.inputs[item]) if isinstance(item, MapArgument) else item for item in items]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or not any(isinstance(part, Placed) for part in known):
        return None
    axis %= len(node.shape)
    return _side_by_side(values, node, known, axis) or joined(known, axis)


def stack(values: Values, node: Node) -> Placed | None:
    items, axis = (*node.attrs["args"], 0)[:2]
    parts = [values.place(node.inputs[item]) for item in items if isinstance(item, MapArgument)]
    known = [part for part in parts if part is not None]
    if len(known) < len(items):
        return None
    axis %= len(node.shape)
    return joined([_with_axis(part, axis) for part in known], axis)


def _with_axis(value: Placed, axis: int) -> Placed:
    constant = None if value.constant is None else value.constant.unsqueeze(axis)
    return replace(value, positions=value.positions.unsqueeze(axis), constant=constant)


def add_up(values: Values, node: Node) -> Placed | None:
    """The sum, or mean, along one axis, item by item: stacked maps, pieces of channels."""
    axes = node.attrs["args"][1]
    if not isinstance(axes, list | tuple) or len(axes) != 1 or node.attrs["kwargs"]:
        return None
    found = _items(values, node, axes[0])
    if found is None:
        return None
    base, items = found
    source, total = base.sources[0], items[0]
    for number, item in enumerate(items[1:]):
        total = values.add(Node(f"{node.name}_sum{number}", "add", (total, item), source.shape)).name
    if node.attrs["target"] is aten.mean.dim:
        consts = {"scale": torch.tensor(1 / len(items), dtype=torch.float32), "shift": torch.zeros((), dtype=torch.float32)}
        total = values.add(Node(f"{node.name}_mean", "affine", (total,), source.shape, consts=consts)).name
    return Placed((values.nodes[total],), base.positions.view(node.shape), True)


def softmax_of_items(values: Values, node: Node, axis: int) -> Placed | None:
    """Softmax along an axis whose items are maps, or pieces of their channels: weights of the branches of a network."""
    found = _items(values, node, axis)
    if found is None:
        return None
    base, items = found
    source = base.sources[0]

    def add(op: str, *inputs: str, activation: Activation | None = None) -> str:
        return values.add(Node(f"{node.name}_part{len(values.nodes)}", op, inputs, source.shape, activation=activation)).name

    top = items[0]
    for item in items[1:]:
        top = add("max", top, item)
    powers = [add("activation", add("sub", item, top), activation=Activation("exp")) for item in items]
    total = powers[0]
    for power in powers[1:]:
        total = add("add", total, power)
    shares = tuple(add("div", power, total) for power in powers)
    shape = (1, len(items) * source.channels, *source.size)
    made = values.add(Node(f"{node.name}_shares", "concat", shares, shape))
    pixel, channel = base.positions // source.channels, base.positions % source.channels
    positions = [(pixel * len(items) + number) * source.channels + channel for number in range(len(items))]
    return Placed((made,), torch.stack(positions, axis), True)


def _items(values: Values, node: Node, axis: int) -> tuple[Placed, list[str]] | None:
    """The items of a node's input along an axis as maps, and how the numbers of all of them lie. None: too many, or no maps."""
    value = values.place(node.inputs[0])
    if value is None or value.constant is not None:
        return None
    axis %= value.positions.dim()
    count = value.positions.shape[axis]
    if not 1 < count <= MOST_ITEMS:
        return None
    parts = []
    for number, positions in enumerate(value.positions.unbind(axis)):
        name = f"{node.name}_item{number}"
        values.placed[name] = values.of_one_source(value.sources, positions)
        parts.append((name, values.whole(name)))
        del values.placed[name]
    base = parts[0][1]
    known = [(name, part) for name, part in parts if part is not None]
    items = [] if base is None else [values.in_order_of(base, name, part) for name, part in known]
    if base is None or len(items) < count:
        return None
    names = [item for item in items if item is not None]
    return (base, names) if len(names) == count else None


def _side_by_side(values: Values, node: Node, parts: list[Any], axis: int) -> Placed | None:
    """Maps of the same pixels, joined along their channels."""
    if not all(isinstance(part, Placed) and part.whole for part in parts):
        return None
    rows = [values.in_rows(part, axis) for part in parts]
    first = rows[0]
    for part, own in zip(parts, rows, strict=True):
        source = part.sources[0]
        if own is None or first is None or source.size != parts[0].sources[0].size or source.channels != part.positions.shape[axis]:
            return None
        if not torch.equal(own.pixel, first.pixel):
            return None
    assert first is not None
    shape = (1, node.shape[axis], *parts[0].sources[0].size)
    made = values.add(Node(f"{node.name}_concat", "concat", tuple(part.sources[0].name for part in parts), shape))
    return values.by_row(node, made, first.pixel, axis)
