"""Joins where several networks worked in one frame (a detector, and a pose network once per person) into one grid over the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

GRID_CELLS = 160
"""Cells along the longer side of a frame's activity grid."""

FINER = 4
"""Activity is first laid out on a grid finer by this factor, then averaged: cells of a window lie anywhere on those of the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The activity of one network run. grid: (h, w) in [0, 1]. box: the part of the frame under it, xyxy in pixels, may reach beyond it.
    macs: what the run would have cost densely."""

    grid: NDArray[np.float32]
    box: tuple[float, float, float, float]
    macs: int


def join_activity(patches: Sequence[Patch], frame_size: tuple[int, int]) -> NDArray[np.float32]:
    """The activity of a frame: in each cell the MACs executed by all runs over it, as a fraction of their dense MACs.

    frame_size: (height, width) in pixels. Returns (h, w) float32 in [0, 1], GRID_CELLS along the longer side.
    """
    height, width = frame_size
    cell = max(height, width) / GRID_CELLS
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    fine = (columns * FINER, rows * FINER)
    executed = np.zeros(fine[::-1], np.float32)
    dense = np.zeros(fine[::-1], np.float32)
    for patch in patches:
        x1, y1, x2, y2 = patch.box
        density = patch.macs / max((x2 - x1) * (y2 - y1), 1.0)
        across, down = fine[0] / width, fine[1] / height
        left, right = max(0, math.floor(x1 * across)), min(fine[0], math.ceil(x2 * across))
        top, bottom = max(0, math.floor(y1 * down)), min(fine[1], math.ceil(y2 * down))
        if left >= right or top >= bottom:
            continue
        grid_rows, grid_columns = patch.grid.shape
        scale_x, scale_y = across * (x2 - x1) / grid_columns, down * (y2 - y1) / grid_rows
        # warpAffine counts from pixel centres.
        place = np.array(
            [
                [scale_x, 0, x1 * across + scale_x / 2 - 0.5 - left],
                [0, scale_y, y1 * down + scale_y / 2 - 0.5 - top],
            ]
        )
        layers = np.stack([patch.grid * density, np.full_like(patch.grid, density)], 2)
        laid = cv2.warpAffine(layers, place, (right - left, bottom - top), flags=cv2.INTER_NEAREST)
        executed[top:bottom, left:right] += laid[..., 0]
        dense[top:bottom, left:right] += laid[..., 1]
    coarse = [cv2.resize(layer, (columns, rows), interpolation=cv2.INTER_AREA) for layer in (executed, dense)]
    return np.clip(coarse[0] / np.maximum(coarse[1], 1e-9), 0, 1).astype(np.float32)
