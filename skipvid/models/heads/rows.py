"""Outputs with a row for every cell of a grid, level after level: where a level's rows are, and the level as a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipvid.core.network_outputs import NetworkOutput

Size = tuple[int, int]
Floats = NDArray[np.float32]


def grids(image_size: Size, strides: Sequence[int]) -> list[Size]:
    """(rows, columns) of the cells of each level, for an input of (height, width) pixels."""
    return [(-(-image_size[0] // stride), -(-image_size[1] // stride)) for stride in strides]


def cells(image_size: Size, strides: Sequence[int]) -> int:
    """Of all levels."""
    return sum(rows * columns for rows, columns in grids(image_size, strides))


STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Of the levels that detectors have."""
ANCHORS = (1, 3)
"""Boxes of a cell."""


def counts_cells(rows: int, image_size: Size) -> bool:
    """Whether an output's number of rows is that of a detector's cells."""
    return any(rows == anchors * cells(image_size, strides) for strides in STRIDES for anchors in ANCHORS)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a network's outputs. first: number of the first tensor that they are in.

    split: each level is a tensor of its own: a map (1, C, h, w), or rows. channels_last: rows are (1, N, C).
    """

    first: int
    split: bool
    maps: bool
    channels_last: bool = True

    @classmethod
    def of(cls, output: NetworkOutput, first: int) -> tuple[Rows, tuple[str, ...]]:
        """Of one output that holds all levels, and the names of the tensors that the network must return for it."""
        if output.maps:
            return cls(first, True, True), tuple(name for name, _ in output.maps)
        return cls(first, False, False, output.channels_last), (output.name,)

    @classmethod
    def of_levels(cls, outputs: Sequence[NetworkOutput], first: int) -> tuple[Rows, tuple[str, ...]]:
        """Of outputs that hold a level each."""
        if all(len(output.maps) == 1 for output in outputs):
            return cls(first, True, True), tuple(output.maps[0][0] for output in outputs)
        return cls(first, True, False, outputs[0].channels_last), tuple(output.name for output in outputs)

    def number(self, level: int) -> int:
        """Of the tensor that a level is in."""
        return self.first + level if self.split else self.first

    def level(self, tensor: Floats, level: int, image_size: Size, strides: Sequence[int]) -> Floats:
        """tensor: that of the level -> the level as a map (C, h, w)."""
        whole: Floats = tensor[0]
        if self.maps:
            return whole
        each = grids(image_size, strides)
        rows, columns = each[level]
        part = whole.T if self.channels_last else whole
        if not self.split:
            begin = sum(h * w for h, w in each[:level])
            part = part[:, begin : begin + rows * columns]
        return part.reshape(-1, rows, columns)
