"""Maps moved by block motion: what the prefix computed at a keyframe, laid where its content lies now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.warp.block_motion import BLOCK

if TYPE_CHECKING:
    from torch import Tensor

OPERATIONS = 7
"""Multiplications and additions of one number between four."""


def moved(value: Tensor, vectors: NDArray[np.float32], size: tuple[int, int], content: tuple[int, int]) -> tuple[Tensor, int]:
    """A map as it would be had its content moved, and the element-wise operations that this took.

    value: (1, C, H, W) float32. vectors: (rows, columns, 2), of the blocks of the picture, as in BlockMotion. size: (height, width) of the
    network's input. content: of the picture, at its top left.
    A cell has the vector of the block that its middle lies in, and no motion beside the picture. What it moves from lies between four cells
    (bilinear); beyond the border the last cell is repeated. A map in which nothing moves is `value` itself.
    """
    import torch

    height, width = value.shape[2:]
    (rows, inside_rows), (columns, inside_columns) = (
        _blocks(cells, whole, part, blocks)
        for cells, whole, part, blocks in zip((height, width), size, content, vectors.shape[:2], strict=True)
    )
    own = np.where((inside_rows[:, None] & inside_columns)[..., None], vectors[rows[:, None], columns], 0)
    y, x = np.nonzero(own.any(-1))
    if not len(y):
        return value, 0
    top, below, down = _neighbours(y + own[y, x, 1] * (height / size[0]), height)
    left, right, across = _neighbours(x + own[y, x, 0] * (width / size[1]), width)
    cells = value[0].permute(1, 2, 0).contiguous().numpy()
    upper = cells[top, left] * (1 - across) + cells[top, right] * across
    lower = cells[below, left] * (1 - across) + cells[below, right] * across
    result = cells.copy()
    result[y, x] = upper * (1 - down) + lower * down
    return torch.from_numpy(result).permute(2, 0, 1)[None], OPERATIONS * len(y) * value.shape[1]


def _blocks(cells: int, whole: int, part: int, blocks: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Along one side, in which block the middle of each cell lies, and whether it lies in the picture at all."""
    middles = (np.arange(cells) + 0.5) * (whole / cells)
    return np.minimum(middles // BLOCK, blocks - 1).astype(np.intp), middles < part


def _neighbours(place: NDArray[np.floating], cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The cells before and behind each place, and the share of the one behind, (n, 1)."""
    inside = place.clip(0, cells - 1)
    before = np.floor(inside).astype(np.intp)
    return before, np.minimum(before + 1, cells - 1), (inside - before).astype(np.float32)[:, None]
