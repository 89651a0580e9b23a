"""Values that are made of maps' numbers in another order: where each of their numbers lies, and what that order is.

A network writes windows, tokens and heads as chains of reshapes, permutations and slices. Instead of matching spellings, such a chain is
*run* on the positions of numbers; whatever it was, the result says where every number comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Node

aten = torch.ops.aten

MOVING = frozenset({
    aten.chunk.default, aten.expand.default, aten.flatten.using_ints, aten.flip.default, aten.index_select.default,
    aten.movedim.int, aten.narrow.default, aten.permute.default, aten.reshape.default, aten.reshape_as.default, aten.roll.default,
    aten.select.int, aten.slice.Tensor, aten.split.Tensor, aten.split_with_sizes.default, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.t.default, aten.transpose.int, aten.unbind.int, aten.unflatten.int, aten.unsqueeze.default,
    aten.pixel_shuffle.default, aten.pixel_unshuffle.default,
})  # fmt: skip
"""Operations that only move numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A value by where its numbers lie. sources: maps. whole: it has each number of its only source once.

    positions: of the value's shape, int32; the numbers of all sources are counted one source behind the other, in each pixel by pixel,
    row by row; -1 = none of them. constant: of the same shape, what stands at the places of -1; None = there are none.
    """

    sources: tuple[Node, ...]
    positions: Tensor
    whole: bool = False
    constant: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A value as rows of adjacent channels of single pixels. source, pixel, channel: (rows,) int64, as in a `gather` node."""

    source: Tensor
    pixel: Tensor
    channel: Tensor


def numbers_of(node: Node) -> int:
    return prod(node.shape)


def place_map(node: Node) -> Placed:
    """A map by itself."""
    height, width = node.size
    pixels = torch.arange(height * width, dtype=torch.int32).view(1, 1, height, width) * node.channels
    return Placed((node,), pixels + torch.arange(node.channels, dtype=torch.int32).view(1, -1, 1, 1), True)


def moved(node: Node, source: Placed) -> Placed | None:
    """What a node of MOVING makes of a value; None where it copies numbers, or returns something else."""
    try:
        positions: Any = call(node, [source.positions])
        constant: Any = None if source.constant is None else call(node, [source.constant])
    except (RuntimeError, NotImplementedError):  # not for integers
        return None
    if not isinstance(positions, Tensor) or tuple(positions.shape) != node.shape or positions.numel() > source.positions.numel():
        return None
    return Placed(source.sources, positions, source.whole and positions.numel() == source.positions.numel(), constant)


def joined(parts: Sequence[Placed | Tensor], axis: int) -> Placed:
    """Values and constants one behind the other."""
    sources: tuple[Node, ...] = ()
    positions, constants, offset = [], [], 0
    for part in parts:
        if isinstance(part, Tensor):
            positions.append(torch.full(part.shape, -1, dtype=torch.int32))
            constants.append(part)
            continue
        positions.append(torch.where(part.positions < 0, -1, part.positions + offset))
        constants.append(torch.zeros(part.positions.shape) if part.constant is None else part.constant)
        sources += part.sources
        offset += sum(numbers_of(source) for source in part.sources)
    together = torch.cat(positions, axis)
    return Placed(sources, together, False, torch.cat(constants, axis) if bool((together < 0).any()) else None)


def rows_of(value: Placed, positions: Tensor) -> Rows | None:
    """positions: (rows, channels) of the value's, in any order of its axes. None where a row is no piece of one pixel."""
    channels = positions.shape[1]
    first = positions[:, 0].long()
    steps = torch.arange(channels, dtype=positions.dtype) * (first >= 0).to(positions.dtype).unsqueeze(1)
    if channels > 1 and not torch.equal(positions, positions[:, :1] + steps):
        return None
    source, pixel, channel = torch.full_like(first, -1), torch.zeros_like(first), torch.zeros_like(first)
    start = 0
    for number, node in enumerate(value.sources):
        own = (first >= start) & (first < start + numbers_of(node))
        local = first[own] - start
        source[own], pixel[own], channel[own] = number, local // node.channels, local % node.channels
        if bool((channel[own] + channels > node.channels).any()):
            return None
        start += numbers_of(node)
    return Rows(source, pixel, channel)


def constant_as_map(value: Placed, constant: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A constant that broadcasts over a whole value, in the order of its source, which has that shape; as small as it can be."""
    source = value.sources[0]
    if constant.numel() == 1:
        return constant.reshape(())
    flat = torch.empty(numbers_of(source))
    flat[value.positions.flatten().long()] = constant.expand(value.positions.shape).flatten()
    height, width = source.size
    spread = flat.view(1, height, width, source.channels).permute(0, 3, 1, 2).contiguous()
    for axes in ((1, 2, 3), (2, 3), (1,)):
        smallest = spread
        for axis in axes:
            smallest = smallest.narrow(axis, 0, 1)
        if torch.equal(smallest.expand(spread.shape), spread):
            return smallest.reshape(()) if axes == (1, 2, 3) else smallest.contiguous()
    return spread
