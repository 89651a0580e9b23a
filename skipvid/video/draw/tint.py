"""What was computed in a frame, laid over its picture: reused parts turn grey and dark, computed ones amber."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.planes import BLACK, NEUTRAL, Planes
from skipvid.video.draw.canvas import Canvas, Image, grid_lines
from skipvid.video.draw.cells import tint_cells
from skipvid.video.draw.lines import draw_lines
from skipvid.video.draw.text import AMBER, Scale
from skipvid.video.planes import canvas_for

# shares of the frame's own colours, of its grey and of the tint in a pixel that was reused, and in one that was computed
_REUSED = (0.12, 0.50, 0.0)
_COMPUTED = (0.84, 0.0, 0.16)
LIFT = 0.6
"""The exponent that lifts faint activity to where the eye sees it."""
# by step of activity, of 255, the shares in a pixel
_SHARES = tuple(
    reused + (computed - reused) * np.power(np.arange(256) / 255, LIFT) for reused, computed in zip(_REUSED, _COMPUTED, strict=True)
)
MOST_OUTLINED = 2 / 3
"""Share of the cells that were computed above which no lines are drawn around them."""
BLOCK = 8
"""Side of the blocks that H.264 transforms, pixels."""
_FULL = np.array([255.0])
_TINT = np.array([30.0, 160.0, 255.0])


def tint_activity(image: Image, activity: NDArray[np.float32]) -> Image:
    """A tinted copy of the picture, (H, W, 3) uint8 BGR.

    activity: (h, w) float32 in [0, 1], a grid that covers the picture; NaN counts as 0. The tint grows with it, cell by cell, and a line
    surrounds the cells where at least half of the MACs were spent.
    """
    activity = np.clip(np.nan_to_num(activity), 0.0, 1.0)
    rows, columns = (_edges(cells, side) for cells, side in zip(activity.shape, image.shape[:2], strict=True))
    weight, widths = np.power(activity, LIFT), np.diff(columns)
    shares = (reused + (computed - reused) * weight for reused, computed in zip(_REUSED, _COMPUTED, strict=True))
    levels = (share[..., None] * level for share, level in zip(shares, (_FULL, _FULL, _TINT), strict=True))
    own, grey, tint = (np.repeat(np.rint(level).astype(np.uint8), widths, axis=1) for level in levels)
    canvas = np.empty(image.shape, np.uint8)
    # row by row of the grid, because the temporaries of a whole 1080p picture fall out of the cache and take twice the time
    for row, (top, bottom) in enumerate(zip(rows, rows[1:], strict=False)):
        if top == bottom:
            continue
        strip, out = image[top:bottom], canvas[top:bottom]
        own_row, grey_row, tint_row = (np.repeat(plane[row : row + 1], bottom - top, axis=0) for plane in (own, grey, tint))
        cv2.multiply(strip, cv2.cvtColor(own_row, cv2.COLOR_GRAY2BGR), out, scale=1 / 255)
        luma = cv2.multiply(cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY), grey_row, scale=1 / 255)
        cv2.add(out, cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), out)
        cv2.add(out, tint_row, out)
    _outline(canvas, activity >= 0.5, rows, columns)
    return canvas


def tint_planes(picture: Planes, activity: NDArray[np.float32]) -> Planes:
    """The same of planes: luma keeps the shares of the picture's own colours and of its grey, chroma only the former."""
    steps = np.rint(255 * np.clip(np.nan_to_num(activity), 0.0, 1.0)).astype(np.uint8)
    canvas = canvas_for(picture)
    rows, columns = (_edges(cells, side) for cells, side in zip(activity.shape, picture.luma.shape, strict=True))
    for plane, out, (factors, offsets) in zip(picture.all(), canvas.all(), _tables(picture.levels((30, 160, 255))), strict=True):
        step = picture.luma.shape[0] // plane.shape[0]
        tint_cells(plane, out, steps, rows // step, columns // step, factors, offsets)
    _outline(canvas, activity >= 0.5, rows, columns)
    return canvas


@lru_cache(maxsize=8)
def _tables(levels: tuple[int, int, int]) -> tuple[tuple[NDArray[np.uint16], NDArray[np.uint16]], ...]:
    """For each plane the factors and offsets of `tint_cells`, by step of activity. levels: of the tint, in luma and chroma."""
    own, grey, tint = _SHARES
    return tuple(
        (np.rint(256 * kept).astype(np.uint16), np.rint(256 * (zero * (1 - kept) + tint * (level - zero)) + 128).astype(np.uint16))
        for level, zero, kept in zip(levels, (BLACK, NEUTRAL, NEUTRAL), (own + grey, own, own), strict=True)
    )


@lru_cache(maxsize=64)
def _edges(cells: int, side: int) -> NDArray[np.int64]:
    """Where cells that cover `side` pixels begin and end, (cells + 1,).

    On blocks of the encoder's transform, where cells are larger than that: a block across an edge costs it more bits. Elsewhere on whole
    samples of chroma.
    """
    snap = BLOCK if side >= 2 * BLOCK * cells else 2
    edges = np.rint(np.arange(cells + 1) * side / cells / snap).astype(np.int64) * snap
    edges[-1] = side
    return np.minimum(edges, side)


def _outline(image: Canvas, mask: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
    """Draw the borders between the True and False cells of a mask (h, w) with these edges, in place.

    Where nearly all cells are True, none: the camera moves or is noisy, and what was reused are holes that come and go. They are grey;
    lines around them would flicker all over the picture, and cost drawing and encoding as much as gates save there.
    """
    if mask.mean() > MOST_OUTLINED:
        return
    stroke = max(1, Scale.of(image).line // 2)
    for (border, start, end), ends, across, axis in ((_borders(mask), columns, rows, 1), (_borders(mask.T), rows, columns, 0)):
        points = np.empty((len(border), 2, 2), np.int32)
        points[:, 0, 1 - axis], points[:, 1, 1 - axis] = ends[start], ends[end]
        points[:, :, axis] = across[border, None]
        _draw(image, points, stroke)


def _draw(image: Canvas, lines: NDArray[np.int32], stroke: int) -> None:
    """Level and upright lines, (K, 2, 2), in amber."""
    if isinstance(image, Planes) and stroke == 1:  # of which there are hundreds
        for plane, level in zip(image.all(), image.levels(AMBER), strict=True):
            draw_lines(plane, lines, level, plane.shape != image.luma.shape)
        return
    grid_lines(image, lines, AMBER, stroke)


def _borders(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Stretches of level borders of a mask (h, w): number of the edge between two rows, first and end column."""
    height, width = mask.shape
    # a column without a border before each row's first, so that no stretch goes on in the next row
    changed = np.zeros((height - 1, width + 1), np.bool_)
    np.not_equal(mask[1:], mask[:-1], out=changed[:, 1:])
    flat = np.append(changed.ravel(), False)
    turns = np.flatnonzero(flat[1:] != flat[:-1]).reshape(-1, 2)
    row, column = np.divmod(turns, width + 1)
    return row[:, 0] + 1, column[:, 0], column[:, 1] + (row[:, 1] - row[:, 0]) * (width + 1)
