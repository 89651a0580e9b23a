"""Tokens are pixels: a pass that turns operations on lists of tokens into operations on maps, of which single pixels can be skipped.

A value of any shape that is made of a map's numbers (skipvid.skip.ir.positions) is computed on as that map, in the map's own order:
linear layers as 1 × 1 convolutions, norms and softmax over the last axis over the channels, point-wise functions as they are. Where the
order matters, because two values meet or a convolution looks at neighbours, one `gather` brings the pixels into it. What is left, attention
most of all, stays an operation of torch's, which reads and makes tokens by way of the nodes `tokens` and `token_map`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from skipvid.skip.importers.attention import ATTENTION, attention, recognise_attention
from skipvid.skip.importers.pointwise import WRITTEN_OUT, is_written_out
from skipvid.skip.importers.pointwise_groups import join_pointwise
from skipvid.skip.importers.token_arithmetic import add_up, arithmetic, concat, pointwise, stack, together
from skipvid.skip.importers.token_layers import LAYERS, linear
from skipvid.skip.importers.values import Values, order_of
from skipvid.skip.ir.graph import ARITHMETIC, Graph, MapArgument, Node
from skipvid.skip.ir.positions import MOVING, Placed, moved, numbers_of
from skipvid.skip.ir.rearrangement import recognise_rearrangements

aten = torch.ops.aten

HANDLERS: dict[Any, Callable[[Values, Node], Placed | None]] = {
    **LAYERS,
    ATTENTION: attention,
    aten.cat.default: concat,
    aten.stack.default: stack,
    aten.sum.dim_IntList: add_up,
}


def tokens_as_maps(graph: Graph) -> Graph:
    """The same network on maps, as far as it can be."""
    return _Pass(join_pointwise(recognise_rearrangements(recognise_attention(graph)), _has_rule)).run()


def _has_rule(node: Node) -> bool:
    """Whether an operation of torch's has a rule of its own here."""
    target, args = node.attrs["target"], node.attrs["args"]
    return target in HANDLERS or target in MOVING or is_written_out(target, args[1:], node.attrs["kwargs"])


class _Pass:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = Values()

    def run(self) -> Graph:
        for node in self.graph:
            made = self._rewrite(node) if node.dtype == torch.float32 else None
            if made is None:
                self._keep(node)
            else:
                self.values.placed[node.name] = made
                if node.op == "channels" or (node.op == "aten" and node.attrs["target"] in MOVING) or not made.whole:
                    self._keep(node)  # it only moves numbers, for those who read it as it is
                else:
                    self._hand_over(node, made)
        renamed = {name: source for name in self.values.placed if (source := self.values.own_map(name)) is not None and source != name}
        outputs = tuple(renamed.get(leaf, leaf) if isinstance(leaf, str) else leaf for leaf in self.graph.outputs)
        return replace(self.graph, nodes=tuple(self.values.nodes.values()), outputs=outputs)

    def _rewrite(self, node: Node) -> Placed | None:
        """Where the numbers of a node's value are now, if it needs no operation of its own shape; None: it is kept as it is."""
        if node.op == "aten":
            target = node.attrs["target"]
            if target in MOVING:
                source = self.values.place(node.inputs[0]) if len(node.inputs) == 1 else None
                return None if source is None else moved(node, source)
            if target in WRITTEN_OUT:
                return pointwise(self.values, node)
            handler = HANDLERS.get(target)
            return None if handler is None else handler(self.values, node)
        if node.op == "channels":
            return self._chosen(node)
        if node.op == "linear":
            return linear(self.values, node)
        if node.op in {"activation", "affine"} and (not node.is_map or node.inputs[0] in self.values.placed):
            return pointwise(self.values, node)
        if node.op in ARITHMETIC and (not node.is_map or any(name in self.values.placed for name in node.inputs)):
            return arithmetic(self.values, node)
        if node.op == "pointwise" and (not node.is_map or any(name in self.values.placed for name in node.inputs)):
            return together(self.values, node)
        return concat(self.values, node) if node.op == "concat" and not node.is_map else None

    def _chosen(self, node: Node) -> Placed | None:
        """What was taken for a choice of channels of a map may be a move of tokens."""
        name = node.inputs[0]
        if name not in self.values.placed or self.values.own_map(name) is not None:
            return None
        value, index = self.values.placed[name], list(node.attrs["index"])
        constant = None if value.constant is None else value.constant[:, index]
        return Placed(
            value.sources, value.positions[:, index], value.whole and sorted(index) == list(range(value.positions.shape[1])), constant
        )

    def _keep(self, node: Node) -> None:
        """A node as it was, but for maps that are there under another name, or have to be put together for it."""
        names = []
        for name in node.inputs:
            own = self.values.own_map(name) if name in self.values.placed and self.values.nodes[name].is_map else None
            if own is None and node.op != "aten" and name in self.values.placed and self.values.nodes[name].is_map:
                own = self.values.gathered(name, 1, self.values.nodes[name].size)
            names.append(own or name)
        self.values.add(replace(node, inputs=tuple(names)))

    def _hand_over(self, node: Node, value: Placed) -> None:
        """The value in its own shape, for those who read it as it is."""
        source, shape = value.sources[0], list(node.shape)
        for axis in range(len(shape) - 1, -1, -1):
            rows = self.values.in_rows(value, axis) if source.channels == shape[axis] else None
            if rows is None:
                continue
            if axis == len(shape) - 1:
                self.values.add(Node(node.name, "tokens", (source.name,), node.shape, {"order": order_of(rows)}))
                return
            channels = shape.pop(axis)
            tokens = self.values.add(Node(f"{node.name}_tokens", "tokens", (source.name,), (*shape, channels), {"order": order_of(rows)}))
            self._add_torch(node, tokens, aten.movedim.int, -1, axis)
            return
        tokens = self.values.add(Node(f"{node.name}_tokens", "tokens", (source.name,), (numbers_of(source),), {"order": None}))
        self._add_torch(node, tokens, aten.take.default, value.positions.long())

    def _add_torch(self, node: Node, source: Node, target: Any, *args: Any) -> None:
        attrs = {"target": target, "args": (MapArgument(0), *args), "kwargs": {}, "item": None}
        self.values.add(Node(node.name, "aten", (source.name,), node.shape, attrs))
