"""A plane of a picture, tinted cell by cell: by the compiled extension where there is one, otherwise by OpenCV, to the same bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def tint_rectangles(
    plane: NDArray[np.uint8],
    out: NDArray[np.uint8],
    cells: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    factors: NDArray[np.uint16],
    offsets: NDArray[np.uint16],
) -> None:
    """Write (factor · pixel + offset) / 256, rounded down, of each pixel of a plane to out; both are (H, W), side by side in each row.

    By OpenCV: the commonest cell everywhere, and rectangles of others over it.
    cells: (h, w) numbers into factors and offsets, (256,) each, of which 255 · factor + offset is at most 65535. rows, columns: where
    cells begin and end, (h + 1,) and (w + 1,) pixels, ascending; of what lies outside nothing is written.
    Raises ValueError for what is not so.
    """
    if plane.shape != out.shape or (np.uint32(255) * factors + offsets > 65535).any():
        raise ValueError("plane and canvas have one size, and a factor and its offset make 16 bits")
    for edges, count, side in zip((rows, columns), cells.shape, plane.shape, strict=True):
        if len(edges) != count + 1 or edges[0] < 0 or edges[-1] > side or (np.diff(edges) < 0).any():
            raise ValueError("edges ascend within the plane, one more than cells")
    if not cells.size:
        return
    most = int(np.bincount(cells.ravel()).argmax())
    for top, bottom, left, right, cell in [[0, cells.shape[0], 0, cells.shape[1], most], *_rectangles(cells, most)]:
        part = slice(rows[top], rows[bottom]), slice(columns[left], columns[right])
        if out[part].size:
            table = (np.arange(256, dtype=np.uint32) * factors[cell] + offsets[cell]) >> 8
            cv2.LUT(plane[part], table.astype(np.uint8), out[part])


def _rectangles(cells: NDArray[np.uint8], most: int) -> list[list[int]]:
    """Cells (h, w) that are not `most` as rectangles of one value: first and end row, first and end column, value."""
    width = cells.shape[1]
    begins = np.ones(cells.shape, np.bool_)
    np.not_equal(cells[:, 1:], cells[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    value, end = cells.ravel()[first], np.append(first[1:], cells.size)
    runs = np.stack([first // width, first % width, (end - 1) % width + 1, value], axis=1)[value != most].tolist()
    found: list[list[int]] = []
    latest: dict[tuple[int, int, int], list[int]] = {}  # by columns and value, the lowest rectangle
    for row, left, right, step in runs:
        above = latest.get((left, right, step))
        if above is not None and above[1] == row:
            above[1] = row + 1
        else:
            found.append([row, row + 1, left, right, step])
            latest[left, right, step] = found[-1]
    return found


try:
    from skipvid.video.draw._tint import tint_cells as tint_cells
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    tint_cells = tint_rectangles
"""As `tint_rectangles`, in one pass where the extension is there."""
