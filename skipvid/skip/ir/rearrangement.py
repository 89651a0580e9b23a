"""Recognise operations that only rearrange channels: slices, splits and channel shuffles, however they are spelt.

Networks write a shuffle as view-transpose-view, view-permute-select, chunk-stack and more. Instead of matching spellings, a chain of
value-moving operations is *run* on the numbers 0 … C·H·W−1; if every output channel turns out to be one whole input channel
in place, the chain is one `channels` operation, and single pixels can be skipped through it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Graph, Node

aten = torch.ops.aten

REARRANGING = {
    aten.chunk.default,
    aten.permute.default,
    aten.reshape.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.squeeze.dim,
    aten.transpose.int,
    aten.unbind.int,
    aten.unsqueeze.default,
}


def recognise_rearrangements(graph: Graph) -> Graph:
    """Replace each map that is a rearrangement of one earlier map's channels by a `channels` operation on that map."""
    by_name = graph.by_name
    indices: dict[str, tuple[str, Tensor]] = {}  # map -> (map it is made of, position there of each value)
    nodes = []
    for node in graph.nodes:
        rearranged = _follow(node, by_name, indices)
        if rearranged is not None:
            origin, positions = rearranged
            indices[node.name] = rearranged
            index = _channel_index(positions, by_name[origin], node)
            if index is not None:
                node = Node(node.name, "channels", (origin,), node.shape, attrs={"index": index}, layer=node.layer)
        nodes.append(node)
    return graph.rewritten(nodes, {})


def _follow(node: Node, by_name: dict[str, Node], indices: dict[str, tuple[str, Tensor]]) -> tuple[str, Tensor] | None:
    if node.op != "aten" or node.attrs["target"] not in REARRANGING or len(node.inputs) != 1 or 0 in node.shape:
        return None
    source = by_name[node.inputs[0]]
    if source.name in indices:
        origin, positions = indices[source.name]
    elif source.is_map:
        origin, positions = source.name, torch.arange(source.channels * source.size[0] * source.size[1]).view(source.shape)
    else:
        return None
    result: Any = call(node, [positions])
    return (origin, result) if isinstance(result, Tensor) else None


def _channel_index(positions: Tensor, origin: Node, node: Node) -> tuple[int, ...] | None:
    if not node.is_map or node.size != origin.size:
        return None
    height, width = origin.size
    index = positions[0, :, 0, 0] // (height * width)
    expected = index.view(-1, 1) * (height * width) + torch.arange(height * width).view(1, -1)
    return tuple(index.tolist()) if torch.equal(positions.reshape(len(index), -1), expected) else None
