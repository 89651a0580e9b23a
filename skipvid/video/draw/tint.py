"""What was computed in a frame, laid over its picture: reused parts turn grey and dark, computed ones amber."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.planes import BLACK, NEUTRAL, Planes
from skipvid.video.draw.canvas import Canvas, Image, grid_lines
from skipvid.video.draw.text import AMBER, Scale

# shares of the frame's own colours, of its grey and of the tint in a pixel that was reused, and in one that was computed
_REUSED = (0.12, 0.50, 0.0)
_COMPUTED = (0.84, 0.0, 0.16)
LIFT = 0.6
"""The exponent that lifts faint activity to where the eye sees it."""
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
    levels, which = np.unique(np.clip(np.nan_to_num(activity), 0.0, 1.0), return_inverse=True)
    which = which.reshape(activity.shape)
    weight = np.power(levels, LIFT)
    own, grey, tint = (reused + (computed - reused) * weight for reused, computed in zip(_REUSED, _COMPUTED, strict=True))
    canvas = picture.empty()
    rows, columns = (_edges(cells, side) for cells, side in zip(activity.shape, picture.luma.shape, strict=True))
    most = int(np.bincount(which.ravel()).argmax())
    runs = _runs(which, most)
    for plane, out, level, zero, kept in zip(
        picture.all(), canvas.all(), picture.levels((30, 160, 255)), (BLACK, NEUTRAL, NEUTRAL), (own + grey, own, own), strict=True
    ):
        step = picture.luma.shape[0] // plane.shape[0]
        lines, sides = (rows // step).tolist(), (columns // step).tolist()
        factors = list(zip(kept.tolist(), (zero * (1 - kept) + tint * (level - zero)).tolist(), strict=True))
        cv2.convertScaleAbs(plane, out, *factors[most])
        for row, first, end, cell in runs:
            part = slice(lines[row], lines[row + 1]), slice(sides[first], sides[end])
            if out[part].size:
                cv2.convertScaleAbs(plane[part], out[part], *factors[cell])
    _outline(canvas, activity >= 0.5, rows, columns)
    return canvas


def _runs(cells: NDArray[np.integer], most: int) -> list[tuple[int, int, int, int]]:
    """Row, first and end column, and value of the runs of equal cells (h, w) in a row, where they are not `most`."""
    begins = np.pad(cells[:, 1:] != cells[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    row, first = np.nonzero(begins)
    end = np.append(first[1:], 0)
    end[end == 0] = cells.shape[1]  # the next run begins a row
    value = cells[row, first]
    other = value != most
    return list(zip(*(part[other].tolist() for part in (row, first, end, value)), strict=True))


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
    """Draw the borders between the True and False cells of a mask (h, w) with these edges, in place."""
    stroke = max(1, Scale.of(image).line // 2)
    for flip, flags, ends, borders in ((False, mask, columns, rows), (True, mask.T, rows, columns)):
        changed = np.pad(flags[1:] != flags[:-1], ((0, 0), (1, 1))).astype(np.int8)
        border, start = np.nonzero(np.diff(changed, axis=1) == 1)
        _, end = np.nonzero(np.diff(changed, axis=1) == -1)
        along, across = np.stack([ends[start], ends[end]], axis=1), np.repeat(borders[border + 1][:, None], 2, axis=1)
        points = np.stack([across, along] if flip else [along, across], axis=2)
        grid_lines(image, points.astype(np.int32), AMBER, stroke)
