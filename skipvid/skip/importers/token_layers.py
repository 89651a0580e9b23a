"""Layers on tokens as layers on maps: linear ones, norms, softmax, means.

Each function returns where its result is; None: the node is kept as it is.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.importers.map_norms import SUM
from skipvid.skip.importers.token_arithmetic import add_up, softmax_of_items
from skipvid.skip.importers.values import Values
from skipvid.skip.ir.graph import Activation, Node
from skipvid.skip.ir.positions import Placed

aten = torch.ops.aten

ALL_OF_A_PIXEL = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}


def linear(values: Values, node: Node) -> Placed | None:
    weight, bias = _weights(node)
    if weight is None:
        return None
    consts = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    value = values.place(node.inputs[0])
    if len(node.shape) == 2 and node.shape[0] == 1 and value is not None and value.whole and value.sources[0].size != (1, 1):
        return _over_map(values, node, value, consts)
    if value is None and len(node.shape) == 2 and node.op == "linear":
        return None
    rows = values.row_map(node.inputs[0])
    if rows is None:
        return None
    source, pixels = rows
    attrs = {**ALL_OF_A_PIXEL, "kind": "linear"}
    consts["weight"] = weight.view(*weight.shape, 1, 1)
    shape = (1, weight.shape[0], *source.size)
    made = values.add(Node(f"{node.name}_conv", "conv", (source.name,), shape, attrs, consts, layer=node.layer))
    return values.by_row(node, made, pixels)


def _over_map(values: Values, node: Node, value: Placed, consts: dict[str, Tensor]) -> Placed:
    """A linear layer that reads all of a map: a convolution with a kernel as large as that."""
    source, weight = value.sources[0], consts["weight"]
    height, width = source.size
    by_place = torch.empty_like(weight)
    by_place[:, value.positions.flatten().long()] = weight
    kernel = by_place.view(-1, height, width, source.channels).permute(0, 3, 1, 2).contiguous()
    attrs = {**ALL_OF_A_PIXEL, "kind": "linear"}
    shape = (1, len(weight), 1, 1)
    made = values.add(Node(f"{node.name}_conv", "conv", (source.name,), shape, attrs, {**consts, "weight": kernel}, layer=node.layer))
    return values.by_row(node, made, torch.zeros(1, dtype=torch.int64))


def _weights(node: Node) -> tuple[Tensor | None, Tensor | None]:
    if node.op == "linear":
        return node.consts["weight"], node.consts.get("bias")
    _, weight, bias = (*node.attrs["args"], None)[:3]
    constant = isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))
    return (weight, bias) if constant else (None, None)


def _layer_norm(values: Values, node: Node) -> Placed | None:
    given: list[Any] = [*node.attrs["args"], *(None, None, 1e-5)[len(node.attrs["args"]) - 2 :]]
    shape, weight, bias, epsilon = given[1:5]
    if len(node.inputs) != 1 or list(shape) != [node.shape[-1]]:
        return None
    rows = values.row_map(node.inputs[0])
    if rows is None:
        return None
    consts = {key: item.float() for key, item in (("weight", weight), ("bias", bias)) if item is not None}
    source, pixels = rows
    made = values.add(Node(f"{node.name}_norm", "layer_norm", (source.name,), source.shape, {"epsilon": float(epsilon)}, consts))
    return values.by_row(node, made, pixels)


def _softmax(values: Values, node: Node) -> Placed | None:
    name, axis = node.inputs[0], node.attrs["args"][1] % len(node.shape)
    value = values.place(name)
    if value is None:
        return None
    if values.in_rows(value, axis) is None:  # its numbers along the axis do not lie side by side
        of_items = softmax_of_items(values, node, axis)
        if of_items is not None:
            return of_items
    rows = values.row_map(name, axis)
    if rows is None:
        return None
    source, pixels = rows
    made = values.add(Node(f"{node.name}_softmax", "softmax", (source.name,), source.shape))
    return values.by_row(node, made, pixels, axis)


def _mean(values: Values, node: Node) -> Placed | None:
    found = _over_pixels(values, node, (*node.attrs["args"], None)[1])
    return add_up(values, node) or _mean_over_channels(values, node) if found is None else _mean_of(values, node, found)


def _mean_over_channels(values: Values, node: Node) -> Placed | None:
    axes = node.attrs["args"][1]
    if not isinstance(axes, list | tuple) or len(axes) != 1 or values.place(node.inputs[0]) is None:
        return None
    axis = axes[0] % len(values.nodes[node.inputs[0]].shape)
    rows = values.row_map(node.inputs[0], axis)
    if rows is None:
        return None
    source, pixels = rows
    consts = {"scale": torch.tensor(1 / source.channels, dtype=torch.float32), "shift": torch.zeros((), dtype=torch.float32)}
    shares = values.add(Node(f"{node.name}_shares", "affine", (source.name,), source.shape, consts=consts))
    ones = torch.ones(1, source.channels, 1, 1, dtype=torch.float32)
    shape = (1, 1, *source.size)
    made = values.add(Node(f"{node.name}_sum", "conv", (shares.name,), shape, {**SUM, "groups": 1}, {"weight": ones}))
    return Placed((made,), pixels.int().view(node.shape), node.shape == () or prod(node.shape) == prod(source.size))


def _length(values: Values, node: Node) -> Placed | None:
    """The root of the sum of squares over all pixels, of each channel."""
    _, order, axes = (*node.attrs["args"], 2, None)[:3]
    source = _over_pixels(values, node, axes) if order == 2 else None
    if source is None:
        return None
    squares = values.add(Node(f"{node.name}_squares", "mul", (source.name, source.name), source.shape))
    value = _mean_of(values, node, squares)
    consts = {key: torch.tensor(number, dtype=torch.float32) for key, number in (("scale", float(prod(source.size))), ("shift", 0.0))}
    shape = value.sources[0].shape
    total = values.add(Node(f"{node.name}_total", "affine", (value.sources[0].name,), shape, consts=consts))
    made = values.add(Node(f"{node.name}_root", "activation", (total.name,), shape, activation=Activation("sqrt")))
    return replace(value, sources=(made,))


def _over_pixels(values: Values, node: Node, axes: Any) -> Node | None:
    """The map over all pixels of which an operation over these axes of its input goes; None where it does something else."""
    value = values.place(node.inputs[0])
    if value is None or axes is None:
        return None
    dims = value.positions.dim()
    averaged = {axis % dims for axis in axes}
    kept = [axis for axis in range(dims) if axis not in averaged and value.positions.shape[axis] != 1]
    whole = values.whole(node.inputs[0])
    if len(kept) != 1 or whole is None:
        return None
    rows, source = values.in_rows(whole, kept[0]), whole.sources[0]
    return None if rows is None or source.channels != value.positions.shape[kept[0]] else source


def _mean_of(values: Values, node: Node, source: Node) -> Placed:
    made = values.add(Node(f"{node.name}_mean", "global_mean", (source.name,), (1, source.channels, 1, 1)))
    return Placed((made,), torch.arange(source.channels, dtype=torch.int32).view(node.shape), True)


LAYERS = {
    aten.linear.default: linear,
    aten.layer_norm.default: _layer_norm,
    aten.softmax.int: _softmax,
    aten.mean.dim: _mean,
    aten.linalg_vector_norm.default: _length,
}
