"""Point-wise operations of torch's on rows of channels, in blocks that make a row's bits depend on nothing but its own numbers.

torch computes the numbers at the end of a tensor by other instructions than the rest, and cuts a large one between its threads. So it is
given blocks of one size, filled up, none of which leaves an end or is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Node

BLOCK = 16384
"""Numbers of one block: fewer than torch gives to a second thread."""
LANES = 16
"""A row is filled up to a multiple of it. Four rows are whole vectors of any processor, two at a time as torch takes them."""


def on_rows(node: Node, rows: Sequence[Tensor]) -> Tensor:
    """A `pointwise` node's result, (pixels, C). rows: of each input the same, with one pixel or one channel where it broadcasts."""
    count, channels = max(len(each) for each in rows), node.channels
    width = -(-channels // LANES) * LANES
    height = BLOCK // width // 4 * 4 or 1
    given = {**{str(position): each for position, each in enumerate(rows)}, **node.consts}
    blocks = {name: each.new_zeros(height, width) for name, each in given.items()}
    result = torch.empty(count, channels, dtype=torch.float32)
    for first in range(0, count, height):
        used = min(height, count - first)
        for name, each in given.items():
            blocks[name][:used, :channels] = each if len(each) == 1 else each[first : first + used]
        values = dict(blocks)
        for inner in node.attrs["inner"]:
            values[inner.name] = call(inner, [values[name] for name in inner.inputs])
        result[first : first + used] = values[inner.name][:used, :channels]
    return result


def on_maps(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The same of whole maps, (1, C, H, W), or of values of another shape, all of one."""
    if not node.is_map:
        return on_rows(node, [value.reshape(1, -1) for value in inputs]).view(node.shape)
    return on_rows(node, [value[0].flatten(1).T for value in inputs]).T.reshape(node.shape)
