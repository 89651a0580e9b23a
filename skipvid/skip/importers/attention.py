"""Attention on tokens as an operation on maps, of which only groups are computed in which something changed: all tokens, or windows.

Written out as products, softmax and products, it is recognised by what it does: whatever stands between the first product and softmax is
run on zeros and on ones, and where that tells a factor and a constant to be added, it is those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.importers.values import Values, gather_node
from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Graph, MapArgument, Node
from skipvid.skip.ir.positions import Placed, Rows

aten = torch.ops.aten

ATTENTION = aten.scaled_dot_product_attention.default
LARGEST_TABLE = 1 << 22
"""Of which columns of keys each column of queries reads."""
LONGEST = 0xFFFF
"""Groups, and pixels of one, that a back end may count to."""


def recognise_attention(graph: Graph) -> Graph:
    """Replace products, softmax and products by one operation, where only it reads what is between them."""
    by_name, consumers = graph.by_name, graph.consumers()
    nodes: dict[str, Node] = {}
    for node in graph:
        found = _written_out(node, by_name) if _is(node, aten.matmul.default) else None
        if found is None or any(len(consumers[name]) > 1 or name in graph.output_names for name in found.inside):
            nodes[node.name] = node
            continue
        for new in _as_operation(node, found, by_name):
            nodes[new.name] = new
    return graph.rewritten(list(nodes.values()), {})


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Names of queries, transposed keys and values. turned: the values and the result are transposed, too. inside: what is replaced."""

    queries: str
    keys: str
    values: str
    turned: bool
    scale: float
    bias: Tensor | None
    inside: tuple[str, ...]


def _is(node: Node, *targets: Any) -> bool:
    return node.op == "aten" and node.attrs["target"] in targets


def _swaps_last(node: Node) -> bool:
    """Whether a node exchanges the last two axes of its input."""
    dims = len(node.shape)
    if _is(node, aten.transpose.int):
        return {axis % dims for axis in node.attrs["args"][1:3]} == {dims - 2, dims - 1}
    order = [axis % dims for axis in node.attrs["args"][1]] if _is(node, aten.permute.default) else []
    return order == [*range(dims - 2), dims - 1, dims - 2]


def _of_two_maps(product: Node) -> bool:
    """Whether neither factor is a constant, and they are not one map."""
    return [int(item) for item in product.attrs["args"] if isinstance(item, MapArgument)] == [0, 1]


def _written_out(last: Node, by_name: dict[str, Node]) -> _Found | None:
    """The attention whose last product a node is."""
    if not _of_two_maps(last):
        return None
    first, second = (by_name[name] for name in last.inputs)
    if _is(first, aten.softmax.int):
        weights, values, turned, inside = first, second, False, [first.name]
    elif _swaps_last(second) and _is(by_name[second.inputs[0]], aten.softmax.int):
        weights, values, turned, inside = by_name[second.inputs[0]], first, True, [second.name, second.inputs[0]]
    else:
        return None
    if weights.attrs["args"][1] % len(weights.shape) != len(weights.shape) - 1 or weights.attrs["kwargs"]:
        return None
    between: list[Node] = []
    node = by_name[weights.inputs[0]]
    while (
        len(node.inputs) == 1
        and node.activation is None
        and (node.op == "affine" or _is(node, aten.reshape.default, aten.unsqueeze.default))
    ):
        between.append(node)
        node = by_name[node.inputs[0]]
    if not _is(node, aten.matmul.default) or not _of_two_maps(node):
        return None
    inside += [*(item.name for item in between), node.name]
    linear = _factor_and_constant(node.shape, between)
    if linear is None:
        return None
    return _Found(node.inputs[0], node.inputs[1], values.name, turned, *linear, tuple(inside))


def _factor_and_constant(shape: tuple[int, ...], between: Sequence[Node]) -> tuple[float, Tensor | None] | None:
    """What the nodes, from the last to the first, do to a value: multiply it with a number, and add a constant of its shape, or None."""
    zeros, ones = torch.zeros(shape, dtype=torch.float32), torch.ones(shape, dtype=torch.float32)
    scales = 1.0
    for node in reversed(between):
        if node.op == "affine":
            factor = node.consts["scale"]
            if not bool((factor == factor.flatten()[0]).all()):
                return None
            scales *= float(factor.flatten()[0])
            zeros, ones = (value * factor + node.consts["shift"] for value in (zeros, ones))
        else:
            zeros, ones = (call(node, [value]) for value in (zeros, ones))
        if zeros.numel() != prod(shape):
            return None
    bias = zeros.reshape(shape)
    return scales, (bias if bool(bias.any()) else None)


def _as_operation(node: Node, found: _Found, by_name: dict[str, Node]) -> list[Node]:
    """One operation of torch's, in place of a node, with transposed operands where it needs them."""
    made: list[Node] = []

    def turned(name: str) -> str:
        shape = by_name[name].shape
        attrs = {"target": aten.transpose.int, "args": (MapArgument(0), -2, -1), "kwargs": {}, "item": None}
        made.append(Node(f"{node.name}_{name}_turned", "aten", (name,), (*shape[:-2], shape[-1], shape[-2]), attrs))
        return made[-1].name

    queries, scale = _unscaled(found.queries, by_name)
    keys, other = _unscaled(found.keys, by_name)
    names = (queries, turned(keys), turned(found.values) if found.turned else found.values)
    attrs = {
        "target": ATTENTION,
        "args": (MapArgument(0), MapArgument(1), MapArgument(2), found.bias),
        "kwargs": {"scale": found.scale * scale * other},
        "item": None,
    }
    if not found.turned:
        return [*made, replace(node, inputs=names, attrs=attrs)]
    shape = (*node.shape[:-2], node.shape[-1], node.shape[-2])
    result = replace(node, name=f"{node.name}_attention", inputs=names, shape=shape, attrs=attrs)
    back = {"target": aten.transpose.int, "args": (MapArgument(0), -2, -1), "kwargs": {}, "item": None}
    return [*made, result, replace(node, inputs=(result.name,), attrs=back, layer="")]


def _unscaled(name: str, by_name: dict[str, Node]) -> tuple[str, float]:
    """What a value is a multiple of, and the factor."""
    node, factor = by_name[name], 1.0
    while node.op == "affine" and node.activation is None and node.consts["scale"].numel() == 1 and not bool(node.consts["shift"].any()):
        factor *= float(node.consts["scale"])
        node = by_name[node.inputs[0]]
    return node.name, factor


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """A value (…, tokens, size) of which each head of a token lies in adjacent channels of one pixel.

    size: numbers of a head. pixel: (groups, tokens). first: by head, its first channel. axes: those of the value that run over heads.
    """

    source: Node
    size: int
    pixel: Tensor
    first: tuple[int, ...]
    axes: tuple[int, ...]


def attention(values: Values, node: Node) -> Placed | None:
    """scaled_dot_product_attention without a mask, or with one that is constant."""
    given: list[Any] = [*node.attrs["args"], *(None, 0.0, False)[len(node.attrs["args"]) - 3 :]]
    options = node.attrs["kwargs"]
    bias = options.get("attn_mask", given[3])
    if given[:3] != [MapArgument(0), MapArgument(1), MapArgument(2)] or isinstance(bias, MapArgument):
        return None
    if options.get("is_causal", given[5]) or options.get("enable_gqa") or options.get("dropout_p", given[4]) != 0.0:
        return None
    parts = [_heads(values, name) for name in node.inputs]
    found = [part for part in parts if part is not None]
    if len(found) < 3 or any(part.axes != found[0].axes or len(part.first) != len(found[0].first) for part in found):
        return None
    queries, keys, read = found
    groups, count = queries.pixel.shape
    rows = keys.pixel.shape[1]
    if len(keys.pixel) != groups or keys.pixel.shape != read.pixel.shape or keys.size != queries.size:
        return None
    if max(groups, count, rows) > LONGEST:
        return None
    maps = [_in_groups(values, part) for part in found]
    if maps[0].size[1] * maps[1].size[1] > LARGEST_TABLE:
        return None
    scale = options.get("scale", given[6] if len(given) > 6 else None)
    attrs: dict[str, Any] = {
        "groups": groups,
        "heads": len(queries.first),
        "key_size": keys.size,
        "value_size": read.size,
        "scale": keys.size**-0.5 if scale is None else float(scale),
        "queries": queries.first,
        "keys": keys.first,
        "values": read.first,
    }
    consts = {}
    if bias is not None:
        blocks = _blocks(bias, node.shape[:-1] + (rows,), queries.axes, groups)
        if blocks is None:
            return None
        consts["bias"], attrs["bias_blocks"] = blocks
    shape = (1, len(queries.first) * read.size, *maps[0].size)
    names = tuple(item.name for item in maps)
    made = values.add(Node(f"{node.name}_attention", "attention", names, shape, attrs, consts, layer=node.layer))
    return Placed((made,), _result_positions(node.shape, queries.axes), True)


def _heads(values: Values, name: str) -> _Heads | None:
    value = values.place(name)
    if value is None or len(value.sources) != 1 or value.constant is not None or value.positions.dim() < 3:
        return None
    source, positions = value.sources[0], value.positions
    size = positions.shape[-1]
    first = positions[..., 0].long()
    if not torch.equal(positions, positions[..., :1] + torch.arange(size, dtype=positions.dtype)):
        return None
    pixel, channel = first // source.channels, first % source.channels
    if int(first.min()) < 0 or bool((channel + size > source.channels).any()):
        return None
    leading = range(first.dim() - 1)
    axes = tuple(axis for axis in leading if first.shape[axis] > 1 and torch.equal(pixel, pixel.narrow(axis, 0, 1).expand_as(pixel)))
    others = [axis for axis in leading if axis not in axes]
    by_group = (pixel.permute(*others, *axes, -1) if pixel.dim() > 1 else pixel).reshape(
        -1, prod(pixel.shape[axis] for axis in axes), pixel.shape[-1]
    )
    channels = channel.permute(*others, *axes, -1).reshape(by_group.shape)
    if not torch.equal(channels, channels[:1, :, :1].expand_as(channels)):
        return None
    return _Heads(source, size, by_group[:, 0], tuple(channels[0, :, 0].tolist()), axes)


def _in_groups(values: Values, heads: _Heads) -> Node:
    """A map whose pixels are a value's tokens, group by group; one row of pixels for each group where there are several."""
    source, shape = heads.source, tuple(heads.pixel.shape)
    pixels = heads.pixel.flatten()
    in_order = torch.equal(pixels, torch.arange(prod(source.size)))
    if in_order and (shape[0] == 1 or source.size == shape):
        return source
    number = len(values.nodes)
    for other in values.nodes.values():
        if other.op == "gather" and other.inputs == (source.name,) and other.size == shape and other.channels == source.channels:
            if torch.equal(other.attrs["pixel"], pixels) and not bool(other.attrs["channel"].any()):
                return other
    zeros = torch.zeros_like(pixels)
    return values.add(gather_node(f"{source.name}_groups{number}", (source,), Rows(zeros, pixels, zeros), (1, source.channels, *shape)))


def _blocks(bias: Tensor, shape: tuple[int, ...], axes: tuple[int, ...], groups: int) -> tuple[Tensor, tuple[int, ...]] | None:
    """A mask for values of this shape, (…, queries, keys), as (blocks, heads, queries, keys), each once, and the block of each group."""
    if bias.dtype == torch.bool:
        bias = torch.where(bias, 0.0, -torch.inf)
    try:
        full = bias.float().expand(shape)
    except RuntimeError:
        return None
    others = [axis for axis in range(len(shape) - 2) if axis not in axes]
    by_group = full.permute(*others, *axes, -2, -1).reshape(groups, -1, *shape[-2:])
    known: dict[bytes, int] = {}
    blocks: list[Tensor] = []
    numbers: list[int] = []
    for block in by_group:
        key = block.contiguous().numpy().tobytes()
        if key not in known:
            known[key] = len(blocks)
            blocks.append(block)
        numbers.append(known[key])
    return torch.stack(blocks), tuple(numbers)


def _result_positions(shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    """Where the numbers of the result lie: pixel by pixel, in each head by head."""
    others = [axis for axis in range(len(shape) - 2) if axis not in axes]
    order = [*others, len(shape) - 2, *axes, len(shape) - 1]
    positions = torch.arange(prod(shape), dtype=torch.int32).view([shape[axis] for axis in order])
    return positions.permute([order.index(axis) for axis in range(len(shape))])
