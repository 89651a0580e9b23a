"""The class of each pixel of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.unsignedinteger[Any]]

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__", "unlabeled", "unlabelled", "void"})
"""Names of classes that stand for nothing; they are neither drawn nor listed."""


@dataclass(frozen=True, eq=False)
class ClassMap:
    """What a network says of the pixels of one frame.

    cells: (h, w) uint16, numbers of classes from 0, on a grid that covers the frame. rows, columns: for each row and each column of the
    frame's pixels that of the cell in which its middle lies, (H,) and (W,). names: of the classes, by number.
    """

    cells: NDArray[np.uint16]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    names: tuple[str, ...]

    @cached_property
    def pixels(self) -> Numbers:
        """(H, W), the class of each pixel of the upright original frame; uint8 where all numbers fit into it."""
        cells: Numbers = self.cells if len(self.names) > 256 else self.cells.astype(np.uint8)
        # Columns first: there are few rows of cells, and whole rows are then copied.
        return cells[:, self.columns][self.rows]

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """Classes that are somewhere in the frame, without those that stand for nothing."""
        there = np.flatnonzero(np.bincount(self.cells.ravel(), minlength=len(self.names)))
        return tuple(int(number) for number in there if not is_background(self.names[number]))


def is_background(name: str) -> bool:
    """Whether a class of that name stands for nothing."""
    return name.strip().lower() in BACKGROUND_NAMES
