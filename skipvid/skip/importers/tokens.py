"""Tokens are pixels: a pass that turns operations on lists of tokens into operations on maps, of which single pixels can be skipped.

A value of any shape that is made of a map's numbers (skipvid.skip.ir.positions) is computed on as that map, in the map's own order:
linear layers as 1 × 1 convolutions, norms and softmax over the last axis over the channels, point-wise functions as they are. Where the
order matters, because two values meet or a convolution looks at neighbours, one `gather` brings the pixels into it. What is left, attention
most of all, stays an operation of torch's, which reads and makes tokens by way of the nodes `tokens` and `token_map`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.importers.pointwise import WRITTEN_OUT
from skipvid.skip.ir.graph import Activation, Graph, MapArgument, Node
from skipvid.skip.ir.positions import MOVING, Placed, Rows, constant_as_map, joined, moved, numbers_of, place_map, rows_of
from skipvid.skip.ir.rearrangement import recognise_rearrangements

aten = torch.ops.aten

ARITHMETIC = frozenset({"add", "sub", "mul", "div"})
ALL_OF_A_PIXEL = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
LONGEST = 0xFFFF
"""Rows and columns that a back end may count to."""


def tokens_as_maps(graph: Graph) -> Graph:
    """The same network on maps, as far as it can be."""
    return _Pass(recognise_rearrangements(graph)).run()


class _Pass:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, Node] = {}
        self.placed: dict[str, Placed] = {}
        self.grids: dict[int, tuple[int, int]] = {}  # number of pixels -> height and width of the last map with as many
        self.handlers: dict[Any, Callable[[Node], Placed | None]] = {
            aten.linear.default: self._linear,
            aten.layer_norm.default: self._layer_norm,
            aten.softmax.int: self._softmax,
            aten.cat.default: self._concat,
            aten.mean.dim: self._mean,
            aten.linalg_vector_norm.default: self._length,
        }

    def run(self) -> Graph:
        for node in self.graph:
            made = self._rewrite(node) if node.dtype == torch.float32 else None
            if made is None:
                self._keep(node)
            else:
                self.placed[node.name] = made
                if (node.op == "aten" and node.attrs["target"] in MOVING) or not made.whole:
                    self._keep(node)  # it only moves numbers, for those who read it as it is
                else:
                    self._hand_over(node, made)
        renamed = {name: source for name in self.placed if (source := self._own_map(name)) is not None and source != name}
        outputs = tuple(renamed.get(leaf, leaf) if isinstance(leaf, str) else leaf for leaf in self.graph.outputs)
        return replace(self.graph, nodes=tuple(self.nodes.values()), outputs=outputs)

    def _rewrite(self, node: Node) -> Placed | None:
        """Where the numbers of a node's value are now, if it needs no operation of its own shape; None: it is kept as it is."""
        if node.op == "aten":
            target = node.attrs["target"]
            if target in MOVING:
                source = self._place(node.inputs[0]) if len(node.inputs) == 1 else None
                return None if source is None else moved(node, source)
            if target in WRITTEN_OUT:
                return self._pointwise(node)
            handler = self.handlers.get(target)
            return None if handler is None else handler(node)
        if node.op == "linear":
            return self._linear(node)
        if node.op in {"activation", "affine"} and (not node.is_map or node.inputs[0] in self.placed):
            return self._pointwise(node)
        if node.op in ARITHMETIC and (not node.is_map or any(name in self.placed for name in node.inputs)):
            return self._arithmetic(node)
        return self._concat(node) if node.op == "concat" and not node.is_map else None

    # -- where values are

    def _place(self, name: str) -> Placed | None:
        """Where a value's numbers are; None for what PyTorch computes."""
        if name in self.placed:
            return self.placed[name]
        node = self.nodes[name]
        return place_map(node) if node.is_map and node.op not in {"aten", "tokens"} and node.dtype == torch.float32 else None

    def _own_map(self, name: str) -> str | None:
        """The map that a (1, C, H, W) value is, number by number."""
        value, node = self.placed[name], self.nodes[name]
        if not (node.is_map and value.whole and value.sources[0].shape == node.shape):
            return None
        return value.sources[0].name if torch.equal(value.positions, place_map(value.sources[0]).positions) else None

    def _keep(self, node: Node) -> None:
        """A node as it was, but for maps that are there under another name, or have to be put together for it."""
        names = []
        for name in node.inputs:
            own = self._own_map(name) if name in self.placed and self.nodes[name].is_map else None
            if own is None and node.op != "aten" and name in self.placed and self.nodes[name].is_map:
                own = self._gathered(name, 1, self.nodes[name].size)
            names.append(own or name)
        self._add(replace(node, inputs=tuple(names)))

    def _hand_over(self, node: Node, value: Placed) -> None:
        """The value in its own shape, for those who read it as it is."""
        source, shape = value.sources[0], list(node.shape)
        for axis in range(len(shape) - 1, -1, -1):
            rows = self._in_rows(value, axis) if source.channels == shape[axis] else None
            if rows is None:
                continue
            if axis == len(shape) - 1:
                self._add(Node(node.name, "tokens", (source.name,), node.shape, {"order": _order(rows)}))
                return
            channels = shape.pop(axis)
            tokens = self._add(Node(f"{node.name}_tokens", "tokens", (source.name,), (*shape, channels), {"order": _order(rows)}))
            self._add_torch(node, tokens, aten.movedim.int, -1, axis)
            return
        tokens = self._add(Node(f"{node.name}_tokens", "tokens", (source.name,), (numbers_of(source),), {"order": None}))
        self._add_torch(node, tokens, aten.take.default, value.positions.long())

    def _add_torch(self, node: Node, source: Node, target: Any, *args: Any) -> None:
        attrs = {"target": target, "args": (MapArgument(0), *args), "kwargs": {}, "item": None}
        self._add(Node(node.name, "aten", (source.name,), node.shape, attrs))

    def _add(self, node: Node) -> Node:
        self.nodes[node.name] = node
        if node.is_map and node.size != (1, 1):
            self.grids[prod(node.size)] = node.size
        return node

    # -- rows

    def _in_rows(self, value: Placed, axis: int) -> Rows | None:
        """A value whose channels lie along an axis."""
        by_row = value.positions.movedim(axis, -1)
        return rows_of(value, by_row.reshape(-1, by_row.shape[-1]))

    def _row_map(self, name: str, axis: int = -1) -> tuple[Node, Tensor] | None:
        """A map whose pixels are the rows of a value along an axis, and the pixel that each row is."""
        value = self._place(name)
        if value is None:
            return self._entered(name) if axis in (-1, len(self.nodes[name].shape) - 1) else None
        axis %= value.positions.dim()
        rows, source = self._in_rows(value, axis), value.sources[0]
        channels = value.positions.shape[axis]
        if rows is not None and value.whole and source.channels == channels:
            return source, rows.pixel
        gathered = self._gathered(name, axis)
        return None if gathered is None else (self.nodes[gathered], torch.arange(value.positions.numel() // channels))

    def _gathered(self, name: str, axis: int, size: tuple[int, int] | None = None) -> str | None:
        """A map whose pixels are a value's rows along an axis, in order."""
        value = self.placed.get(name) or self._place(name)
        if value is None:
            return None
        rows = self._in_rows(value, axis)
        made = f"{name}_rows{axis}"
        if rows is None or made in self.nodes:
            return None if rows is None else made
        others = [extent for position, extent in enumerate(value.positions.shape) if position != axis]
        size = size or self._grid(others)
        if max(size) > LONGEST:
            return None
        shape = (1, value.positions.shape[axis], *size)
        if value.constant is None:
            self._add(_gather(made, value.sources, rows, shape))
        else:
            self._add(_gather(f"{made}_part", value.sources, rows, shape))
            constant = value.constant.movedim(axis, -1).reshape(1, *size, shape[1]).permute(0, 3, 1, 2).contiguous()
            consts = {"scale": torch.tensor(1.0, dtype=torch.float32), "shift": constant}
            self._add(Node(made, "affine", (f"{made}_part",), shape, consts=consts))
        return made

    def _grid(self, extents: list[int]) -> tuple[int, int]:
        """Height and width for as many pixels: those of a map that has as many, or as the extents say."""
        count = prod(extents)
        if count in self.grids:
            return self.grids[count]
        behind = extents[1:] if len(extents) > 1 and extents[0] == 1 else extents
        return (behind[0], prod(behind[1:])) if len(behind) > 1 else (1, count)

    def _entered(self, name: str, order: Tensor | None = None, size: tuple[int, int] | None = None) -> tuple[Node, Tensor] | None:
        """The rows along the last axis of what PyTorch computes, as pixels of a map, in order or in another."""
        node = self.nodes[name]
        if node.dtype != torch.float32 or len(node.shape) < 2:
            return None
        size = size or self._grid(list(node.shape[:-1]))
        made = f"{name}_map" if order is None else f"{name}_map{len(self.nodes)}"
        if max(size) > LONGEST:
            return None
        if made not in self.nodes:
            self._add(Node(made, "token_map", (name,), (1, node.shape[-1], *size), {"order": order}))
        return self.nodes[made], torch.arange(prod(size))

    def _by_row(self, node: Node, source: Node, pixels: Tensor, axis: int = -1) -> Placed:
        """The value of a node whose row i along an axis is the given pixel of a map."""
        shape = list(node.shape)
        channels = shape.pop(axis)
        positions = pixels.int().unsqueeze(1) * channels + torch.arange(channels, dtype=torch.int32)
        return Placed((source,), positions.view(*shape, channels).movedim(-1, axis), prod(node.shape) == numbers_of(source))

    # -- operations

    def _linear(self, node: Node) -> Placed | None:
        weight, bias = self._weights(node)
        if weight is None:
            return None
        consts = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        value = self._place(node.inputs[0])
        if len(node.shape) == 2 and value is not None and value.whole and value.sources[0].size != (1, 1):
            return self._over_map(node, value, consts)
        if value is None and len(node.shape) == 2 and node.op == "linear":
            return None
        rows = self._row_map(node.inputs[0])
        if rows is None:
            return None
        source, pixels = rows
        attrs = {**ALL_OF_A_PIXEL, "kind": "linear"}
        consts["weight"] = weight.view(*weight.shape, 1, 1)
        shape = (1, weight.shape[0], *source.size)
        made = self._add(Node(f"{node.name}_conv", "conv", (source.name,), shape, attrs, consts, layer=node.layer))
        return self._by_row(node, made, pixels)

    def _over_map(self, node: Node, value: Placed, consts: dict[str, Tensor]) -> Placed:
        """A linear layer that reads all of a map: a convolution with a kernel as large as that."""
        source, weight = value.sources[0], consts["weight"]
        height, width = source.size
        by_place = torch.empty_like(weight)
        by_place[:, value.positions.flatten().long()] = weight
        kernel = by_place.view(-1, height, width, source.channels).permute(0, 3, 1, 2).contiguous()
        attrs = {**ALL_OF_A_PIXEL, "kind": "linear"}
        shape = (1, len(weight), 1, 1)
        made = self._add(Node(f"{node.name}_conv", "conv", (source.name,), shape, attrs, {**consts, "weight": kernel}, layer=node.layer))
        return self._by_row(node, made, torch.zeros(1, dtype=torch.int64))

    @staticmethod
    def _weights(node: Node) -> tuple[Tensor | None, Tensor | None]:
        if node.op == "linear":
            return node.consts["weight"], node.consts.get("bias")
        _, weight, bias = (*node.attrs["args"], None)[:3]
        constant = isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))
        return (weight, bias) if constant else (None, None)

    def _layer_norm(self, node: Node) -> Placed | None:
        given: list[Any] = [*node.attrs["args"], *(None, None, 1e-5)[len(node.attrs["args"]) - 2 :]]
        shape, weight, bias, epsilon = given[1:5]
        if len(node.inputs) != 1 or list(shape) != [node.shape[-1]]:
            return None
        rows = self._row_map(node.inputs[0])
        if rows is None:
            return None
        consts = {key: item.float() for key, item in (("weight", weight), ("bias", bias)) if item is not None}
        source, pixels = rows
        made = self._add(Node(f"{node.name}_norm", "layer_norm", (source.name,), source.shape, {"epsilon": float(epsilon)}, consts))
        return self._by_row(node, made, pixels)

    def _softmax(self, node: Node) -> Placed | None:
        axis = node.attrs["args"][1] % len(node.shape)
        if self._place(node.inputs[0]) is None:
            return None
        rows = self._row_map(node.inputs[0], axis)
        if rows is None:
            return None
        source, pixels = rows
        made = self._add(Node(f"{node.name}_softmax", "softmax", (source.name,), source.shape))
        return self._by_row(node, made, pixels, axis)

    def _whole(self, name: str) -> Placed | None:
        """A value as a whole map: as it is, or put together."""
        value = self._place(name)
        if value is None or value.whole:
            return value
        for axis in (value.positions.dim() - 1, 1):
            made = self._gathered(name, axis) if axis < value.positions.dim() else None
            if made is not None:
                source = self.nodes[made]
                shape = [extent for position, extent in enumerate(value.positions.shape) if position != axis]
                positions = torch.arange(numbers_of(source), dtype=torch.int32).view(*shape, -1).movedim(-1, axis)
                return Placed((source,), positions, True)
        return None

    def _pointwise(self, node: Node) -> Placed | None:
        value = self._whole(node.inputs[0]) if len(node.inputs) == 1 else None
        if value is None or tuple(value.positions.shape) != node.shape:
            return None
        source = value.sources[0]
        if node.op == "aten":
            written = self._written_out(node, source)
            if written is None:
                return None
            made = written
        else:
            consts = {key: constant_as_map(value, constant, source.shape) for key, constant in node.consts.items()}
            made = self._add(replace(node, name=f"{node.name}_{node.op}", inputs=(source.name,), shape=source.shape, consts=consts))
        return replace(value, sources=(made,))

    def _written_out(self, node: Node, source: Node) -> Node | None:
        def add(op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str:
            name = f"{node.name}_part{len(self.nodes)}"
            return self._add(Node(name, op, inputs, source.shape, consts=consts, activation=activation)).name

        last = WRITTEN_OUT[node.attrs["target"]](add, source.name, *node.attrs["args"][1:], **node.attrs["kwargs"])
        return None if last is None else self.nodes[last]

    def _arithmetic(self, node: Node) -> Placed | None:
        for position, name in enumerate(node.inputs):
            if self.nodes[name].shape != node.shape:
                return self._by_vector(node, position)
        left, right = (self._place(name) for name in node.inputs)
        if left is None and right is None:
            return None
        first = self._whole(node.inputs[0]) if left is not None else None
        second = self._whole(node.inputs[1]) if right is not None else None
        base = first if first is not None else second
        if base is None:
            return None
        names = tuple(self._in_order_of(base, name, value) for name, value in zip(node.inputs, (first, second), strict=True))
        if None in names and first is not None and second is not None:
            base = second
            names = tuple(self._in_order_of(base, name, value) for name, value in zip(node.inputs, (first, second), strict=True))
        if None in names:
            return None
        source = base.sources[0]
        made = self._add(replace(node, name=f"{node.name}_{node.op}", inputs=names, shape=source.shape))  # type: ignore[arg-type]
        return replace(base, sources=(made,))

    def _by_vector(self, node: Node, position: int) -> Placed | None:
        """Arithmetic of a value and a vector, at that position, of one number for each of its channels."""
        name = node.inputs[1 - position]
        vector, shape = self._place(node.inputs[position]), self.nodes[node.inputs[position]].shape
        if vector is None and shape and prod(shape) == shape[-1] > 1 and self._place(name) is not None:
            entered = self._entered(node.inputs[position], size=(1, 1))
            positions = torch.arange(shape[-1], dtype=torch.int32).view(shape)
            vector = None if entered is None else Placed((entered[0],), positions, True)
        if self.nodes[name].shape != node.shape or vector is None or not vector.whole or vector.sources[0].size != (1, 1):
            return None
        varying = [axis - len(shape) for axis, extent in enumerate(shape) if extent > 1]
        value = self._whole(name) if len(varying) == 1 else None
        if value is None or not torch.equal(vector.positions.flatten(), torch.arange(vector.positions.numel(), dtype=torch.int32)):
            return None
        axis, source = varying[0] % len(node.shape), value.sources[0]
        if source.channels != node.shape[axis] or self._in_rows(value, axis) is None:
            return None
        names = (source.name, vector.sources[0].name)[:: -1 if position == 0 else 1]
        made = self._add(replace(node, name=f"{node.name}_{node.op}", inputs=names, shape=source.shape))
        return replace(value, sources=(made,))

    def _in_order_of(self, base: Placed, name: str, value: Placed | None) -> str | None:
        """The map of a value whose numbers lie as those of another whole value do."""
        source = base.sources[0]
        if value is not None and value.sources[0].shape == source.shape and torch.equal(value.positions, base.positions):
            return value.sources[0].name
        numbers = torch.empty(numbers_of(source), dtype=torch.int64)
        numbers[base.positions.flatten().long()] = torch.arange(numbers_of(source))  # of the value's, in the order of the map
        if value is None:
            rows = self._in_rows(base, base.positions.dim() - 1)
            if rows is None or source.channels != base.positions.shape[-1]:
                return None
            order = numbers.view(-1, source.channels)[:, 0] // source.channels
            in_order = torch.equal(order, torch.arange(len(order)))
            entered = self._entered(name, None if in_order else order, source.size)
            return None if entered is None or entered[0].size != source.size else entered[0].name
        gathered = rows_of(value, value.positions.flatten()[numbers].view(-1, source.channels))
        if gathered is None:
            return None
        return self._add(_gather(f"{name}_moved{len(self.nodes)}", value.sources, gathered, source.shape)).name

    def _concat(self, node: Node) -> Placed | None:
        if node.op == "concat":
            parts, axis = [self._place(name) for name in node.inputs], 1
        else:
            items, axis = (*node.attrs["args"], 0)[:2]
            if not isinstance(items, list | tuple):
                return None
            parts = [self._place(node.inputs[item]) if isinstance(item, MapArgument) else item for item in items]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or not any(isinstance(part, Placed) for part in known):
            return None
        axis %= len(node.shape)
        return self._side_by_side(node, known, axis) or joined(known, axis)

    def _side_by_side(self, node: Node, parts: list[Any], axis: int) -> Placed | None:
        """Maps of the same pixels, joined along their channels."""
        if not all(isinstance(part, Placed) and part.whole for part in parts):
            return None
        rows = [self._in_rows(part, axis) for part in parts]
        first = rows[0]
        for part, own in zip(parts, rows, strict=True):
            source = part.sources[0]
            if own is None or first is None or source.size != parts[0].sources[0].size or source.channels != part.positions.shape[axis]:
                return None
            if not torch.equal(own.pixel, first.pixel):
                return None
        assert first is not None
        shape = (1, node.shape[axis], *parts[0].sources[0].size)
        made = self._add(Node(f"{node.name}_concat", "concat", tuple(part.sources[0].name for part in parts), shape))
        return self._by_row(node, made, first.pixel, axis)

    def _mean(self, node: Node) -> Placed | None:
        found = self._over_pixels(node, (*node.attrs["args"], None)[1])
        return None if found is None else self._mean_of(node, found)

    def _length(self, node: Node) -> Placed | None:
        """The root of the sum of squares over all pixels, of each channel."""
        _, order, axes = (*node.attrs["args"], 2, None)[:3]
        source = self._over_pixels(node, axes) if order == 2 else None
        if source is None:
            return None
        squares = self._add(Node(f"{node.name}_squares", "mul", (source.name, source.name), source.shape))
        value = self._mean_of(node, squares)
        consts = {key: torch.tensor(number, dtype=torch.float32) for key, number in (("scale", float(prod(source.size))), ("shift", 0.0))}
        shape = value.sources[0].shape
        total = self._add(Node(f"{node.name}_total", "affine", (value.sources[0].name,), shape, consts=consts))
        made = self._add(Node(f"{node.name}_root", "activation", (total.name,), shape, activation=Activation("sqrt")))
        return replace(value, sources=(made,))

    def _over_pixels(self, node: Node, axes: Any) -> Node | None:
        """The map over all pixels of which an operation over these axes of its input goes; None where it does something else."""
        value = self._place(node.inputs[0])
        if value is None or axes is None:
            return None
        dims = value.positions.dim()
        averaged = {axis % dims for axis in axes}
        kept = [axis for axis in range(dims) if axis not in averaged and value.positions.shape[axis] != 1]
        whole = self._whole(node.inputs[0])
        if len(kept) != 1 or whole is None:
            return None
        rows, source = self._in_rows(whole, kept[0]), whole.sources[0]
        return None if rows is None or source.channels != value.positions.shape[kept[0]] else source

    def _mean_of(self, node: Node, source: Node) -> Placed:
        made = self._add(Node(f"{node.name}_mean", "global_mean", (source.name,), (1, source.channels, 1, 1)))
        return Placed((made,), torch.arange(source.channels, dtype=torch.int32).view(node.shape), True)


def _gather(name: str, sources: tuple[Node, ...], rows: Rows, shape: tuple[int, ...]) -> Node:
    attrs = {"source": rows.source, "pixel": rows.pixel, "channel": rows.channel}
    return Node(name, "gather", tuple(source.name for source in sources), shape, attrs)


def _order(rows: Rows) -> Tensor | None:
    """The pixels of rows; None where they are in order."""
    return None if torch.equal(rows.pixel, torch.arange(len(rows.pixel))) else rows.pixel
