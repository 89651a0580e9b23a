"""The values of a graph while tokens become pixels: which maps their numbers lie in, and how to bring them to where they are wanted."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Node
from skipvid.skip.ir.positions import Placed, Rows, numbers_of, place_map, rows_of

LONGEST = 0xFFFF
"""Rows and columns that a back end may count to."""
MOST_PIECES = 16
"""Pixels of which one token is made."""


class Values:
    """nodes: of the new graph. placed: by the name of a node of the old one, where its numbers are; only of what was made of maps."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.placed: dict[str, Placed] = {}
        self._grids: dict[int, tuple[int, int]] = {}  # number of pixels -> height and width of the last map with as many

    def place(self, name: str) -> Placed | None:
        """Where a value's numbers are; None for what PyTorch computes."""
        if name in self.placed:
            return self.placed[name]
        node = self.nodes[name]
        return place_map(node) if node.is_map and node.op not in {"aten", "tokens"} and node.dtype == torch.float32 else None

    def own_map(self, name: str) -> str | None:
        """The map that a (1, C, H, W) value is, number by number."""
        value, node = self.placed[name], self.nodes[name]
        if not (node.is_map and value.whole and value.sources[0].shape == node.shape):
            return None
        return value.sources[0].name if torch.equal(value.positions, place_map(value.sources[0]).positions) else None

    def add(self, node: Node) -> Node:
        self.nodes[node.name] = node
        if node.is_map and node.size != (1, 1):
            self._grids[prod(node.size)] = node.size
        return node

    def in_rows(self, value: Placed, axis: int) -> Rows | None:
        """A value whose channels lie along an axis."""
        by_row = value.positions.movedim(axis, -1)
        return rows_of(value, by_row.reshape(-1, by_row.shape[-1]))

    def row_map(self, name: str, axis: int = -1) -> tuple[Node, Tensor] | None:
        """A map whose pixels are the rows of a value along an axis, and the pixel that each row is."""
        value = self.place(name)
        if value is None:
            return self.entered(name) if axis in (-1, len(self.nodes[name].shape) - 1) else None
        axis %= value.positions.dim()
        rows, source = self.in_rows(value, axis), value.sources[0]
        channels = value.positions.shape[axis]
        if rows is not None and value.whole and source.channels == channels:
            return source, rows.pixel
        gathered = self.gathered(name, axis) or self._pieced(name, axis)
        return None if gathered is None else (self.nodes[gathered], torch.arange(value.positions.numel() // channels))

    def gathered(self, name: str, axis: int, size: tuple[int, int] | None = None) -> str | None:
        """A map whose pixels are a value's rows along an axis, in order."""
        value = self.placed.get(name) or self.place(name)
        if value is None:
            return None
        rows = self.in_rows(value, axis)
        made = f"{name}_rows{axis}"
        if rows is None or made in self.nodes:
            return None if rows is None else made
        others = [extent for position, extent in enumerate(value.positions.shape) if position != axis]
        size = size or self._grid(others)
        if max(size) > LONGEST:
            return None
        shape = (1, value.positions.shape[axis], *size)
        if value.constant is None:
            self.add(_chosen_channels(made, value.sources, rows, shape) or gather_node(made, value.sources, rows, shape))
        else:
            self.add(gather_node(f"{made}_part", value.sources, rows, shape))
            constant = value.constant.movedim(axis, -1).reshape(1, *size, shape[1]).permute(0, 3, 1, 2).contiguous()
            consts = {"scale": torch.tensor(1.0, dtype=torch.float32), "shift": constant}
            self.add(Node(made, "affine", (f"{made}_part",), shape, consts=consts))
        return made

    def _pieced(self, name: str, axis: int) -> str | None:
        """The same, of rows that are pieces of several pixels each, side by side: neighbours merged to one token."""
        value = self.place(name)
        if value is None or value.constant is not None:
            return None
        by_row = value.positions.movedim(axis, -1)
        size, by_row = self._grid(list(by_row.shape[:-1])), by_row.reshape(-1, by_row.shape[-1])
        cuts = [0, *((by_row[:, 1:] - by_row[:, :-1] != 1).any(0).nonzero().flatten() + 1).tolist(), by_row.shape[1]]
        if len(cuts) > MOST_PIECES + 1 or max(size) > LONGEST:
            return None
        rows = [rows_of(value, by_row[:, first:last]) for first, last in pairwise(cuts)]
        made = f"{name}_rows{axis}"
        names = []
        for (first, last), piece in zip(pairwise(cuts), rows, strict=True):
            if piece is None:
                return None
            names.append(self.add(gather_node(f"{made}_from{first}", value.sources, piece, (1, last - first, *size))).name)
        return self.add(Node(made, "concat", tuple(names), (1, by_row.shape[1], *size))).name

    def _grid(self, extents: list[int]) -> tuple[int, int]:
        """Height and width for as many pixels: those of a map that has as many, or as the extents say."""
        count = prod(extents)
        if count in self._grids:
            return self._grids[count]
        behind = extents[1:] if len(extents) > 1 and extents[0] == 1 else extents
        return (behind[0], prod(behind[1:])) if len(behind) > 1 else (1, count)

    def entered(self, name: str, order: Tensor | None = None, size: tuple[int, int] | None = None) -> tuple[Node, Tensor] | None:
        """The rows along the last axis of what PyTorch computes, as pixels of a map, in order or in another."""
        node = self.nodes[name]
        if node.dtype != torch.float32 or len(node.shape) < 2:
            return None
        size = size or self._grid(list(node.shape[:-1]))
        made = f"{name}_map" if order is None else f"{name}_map{len(self.nodes)}"
        if max(size) > LONGEST:
            return None
        if made not in self.nodes:
            self.add(Node(made, "token_map", (name,), (1, node.shape[-1], *size), {"order": order}))
        return self.nodes[made], torch.arange(prod(size))

    def by_row(self, node: Node, source: Node, pixels: Tensor, axis: int = -1) -> Placed:
        """The value of a node whose row i along an axis is the given pixel of a map."""
        shape = list(node.shape)
        channels = shape.pop(axis)
        positions = pixels.int().unsqueeze(1) * channels + torch.arange(channels, dtype=torch.int32)
        return Placed((source,), positions.view(*shape, channels).movedim(-1, axis), prod(node.shape) == numbers_of(source))

    def whole(self, name: str) -> Placed | None:
        """A value as a whole map: as it is, or put together."""
        value = self.place(name)
        if value is None or value.whole:
            return value
        ways = [(self.gathered, value.positions.dim() - 1), (self.gathered, 1), (self._pieced, 1)]
        for way, axis in ways:
            made = way(name, axis) if axis < value.positions.dim() else None
            if made is not None:
                source = self.nodes[made]
                shape = [extent for position, extent in enumerate(value.positions.shape) if position != axis]
                positions = torch.arange(numbers_of(source), dtype=torch.int32).view(*shape, -1).movedim(-1, axis)
                return Placed((source,), positions, True)
        return None

    @staticmethod
    def of_one_source(sources: tuple[Node, ...], positions: Tensor) -> Placed:
        """A part of a value, of that source alone of which it is made if there is one."""
        start, low, high = 0, int(positions.min()), int(positions.max())
        for source in sources:
            if start <= low and high < start + numbers_of(source):
                return Placed((source,), positions - start, positions.numel() == numbers_of(source))
            start += numbers_of(source)
        return Placed(sources, positions)

    def in_order_of(self, base: Placed, name: str, value: Placed | None) -> str | None:
        """The map of a value whose numbers lie as those of another whole value do."""
        source = base.sources[0]
        if value is not None and value.sources[0].shape == source.shape and torch.equal(value.positions, base.positions):
            return value.sources[0].name
        numbers = torch.empty(numbers_of(source), dtype=torch.int64)
        numbers[base.positions.flatten().long()] = torch.arange(numbers_of(source))  # of the value's, in the order of the map
        if value is None:
            rows = self.in_rows(base, base.positions.dim() - 1)
            if rows is None or source.channels != base.positions.shape[-1]:
                return None
            order = numbers.view(-1, source.channels)[:, 0] // source.channels
            in_order = torch.equal(order, torch.arange(len(order)))
            entered = self.entered(name, None if in_order else order, source.size)
            return None if entered is None or entered[0].size != source.size else entered[0].name
        wanted = value.positions.flatten()[numbers].view(-1, source.channels)
        chosen = listed_channels(f"{name}_chosen{len(self.nodes)}", value, wanted, source.shape)
        if chosen is not None:
            return self.add(chosen).name
        gathered = rows_of(value, wanted)
        if gathered is None:
            return None
        return self.add(gather_node(f"{name}_moved{len(self.nodes)}", value.sources, gathered, source.shape)).name


def _chosen_channels(name: str, sources: tuple[Node, ...], rows: Rows, shape: tuple[int, ...]) -> Node | None:
    """The same as a choice of adjacent channels, which takes no time; None where pixels move."""
    if len(sources) != 1 or sources[0].size != shape[2:] or bool((rows.channel != rows.channel[0]).any()) or order_of(rows) is not None:
        return None
    first = int(rows.channel[0])
    return Node(name, "channels", (sources[0].name,), shape, {"index": tuple(range(first, first + shape[1]))})


def listed_channels(name: str, value: Placed, wanted: Tensor, shape: tuple[int, ...]) -> Node | None:
    """Channels of the map that a value lies in, in any order, the same ones of each of its pixels. wanted: (pixels, channels) numbers."""
    source = value.sources[0]
    if len(value.sources) != 1 or source.size != shape[2:] or bool((wanted < 0).any()):
        return None
    first = torch.arange(len(wanted)).unsqueeze(1) * source.channels
    index = wanted - first
    if bool((index != index[:1]).any()) or int(index.min()) < 0 or int(index.max()) >= source.channels:
        return None
    return Node(name, "channels", (source.name,), shape, {"index": tuple(index[0].tolist())})


def gather_node(name: str, sources: tuple[Node, ...], rows: Rows, shape: tuple[int, ...]) -> Node:
    attrs = {"source": rows.source, "pixel": rows.pixel, "channel": rows.channel}
    return Node(name, "gather", tuple(source.name for source in sources), shape, attrs)


def order_of(rows: Rows) -> Tensor | None:
    """The pixels of rows; None where they are in order."""
    return None if torch.equal(rows.pixel, torch.arange(len(rows.pixel))) else rows.pixel
