"""Pictures, grids and boxes moved between a canvas and the pictures that are drawn on it."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.tasks import turned
from skipvid.tasks.displaced import PHASES, Source
from skipvid.tasks.merged import SHARE_BITS, merge_changes
from skipvid.tasks.shifted import BEFORE, TAPS, UNIT_BITS, shift_picture
from skipvid.tasks.similarity import STANDSTILL, Similarity
from skipvid.tasks.turned import places, turn_picture

ROUNDING, ASIDE = 2.0, 0.1
"""A value of a moved picture may differ from what was seen by so many grey levels and this share of the contrast around it, which is what
a tenth of a pixel makes: motions are found to half as much, and each place between pixels is blurred otherwise."""
MOSTLY = 0.15
"""The share of values from which on a picture is another one, and is drawn as it is."""


def move_onto(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], motion: Similarity, source: Source | None = None) -> None:
    """Draw a picture onto the canvas, in place; where it shows nothing, the canvas stays. motion: from the canvas to the picture.

    Both (h, w, 3) uint8, each of its own size. By Lanczos' kernel where it is only shifted, which keeps what is fine; else by a cubic one.
    source: what the picture was scaled down from; that is scaled once more, at the place that is wanted, where it is only shifted.
    """
    shown = _moved(canvas, pixels, motion, source)
    if shown is not None:
        seen, moved = shown
        np.copyto(seen, moved)


def draw_changes(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], motion: Similarity, source: Source | None = None) -> None:
    """As `move_onto`, but a value stays that the picture shows again, to within what moving a picture costs in accuracy, or that differs
    by itself (`merge_changes`).

    Each is compared with what stands on the canvas: what lies together never drifts further than that from the picture.
    """
    shown = _moved(canvas, pixels, motion, source)
    if shown is not None:
        share, base = (round(value * (1 << SHARE_BITS)) for value in (ASIDE, ROUNDING + 0.5))
        merge_changes(*shown, share, base, MOSTLY)


def _moved(
    canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], motion: Similarity, source: Source | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The part of the canvas that a picture shows, and the picture moved there; what it does not show of that part is the canvas's."""
    (rows, columns), (height, width) = canvas.shape[:2], pixels.shape[:2]
    if not motion.shifts:
        moved = canvas.copy()
        turn_picture(pixels, moved, *places(motion.matrix(), (rows, columns)), turned.KERNELS)
        return canvas, moved
    (left, across), (top, down) = (divmod(round(shift * PHASES), PHASES) for shift in (motion.dx, motion.dy))
    # the pixels of the canvas whose centres lie between centres of the picture, so that all of each lies in it
    first_x, last_x = max(0, -left), min(columns, width - left - (across > 0))
    first_y, last_y = max(0, -top), min(rows, height - top - (down > 0))
    if last_x <= first_x or last_y <= first_y:
        return None
    seen = canvas[first_y:last_y, first_x:last_x]
    shown = np.empty(seen.shape, np.uint8)
    x, y = first_x + left, first_y + top
    if source is None:
        shift_picture(pixels, shown, KERNELS[across], KERNELS[down], x, y)
    else:
        source.sample(shown, x * PHASES + across, y * PHASES + down)
    return seen, shown


def _kernels() -> NDArray[np.int16]:
    """(PHASES, TAPS): Lanczos' window of TAPS samples for each shift, in whole numbers of the sum 2 ** UNIT_BITS."""
    offsets = np.arange(TAPS) - BEFORE - np.arange(PHASES)[:, None] / PHASES
    kernels = np.sinc(offsets) * np.sinc(offsets / (TAPS / 2))
    whole = np.rint(kernels / kernels.sum(1, keepdims=True) * (1 << UNIT_BITS))
    whole[np.arange(PHASES), whole.argmax(1)] += (1 << UNIT_BITS) - whole.sum(1)
    return np.asarray(whole, np.int16)


KERNELS = _kernels()


T = TypeVar("T", np.float32, np.bool_)


def to_picture(grid: NDArray[T], motion: Similarity, cell: tuple[float, float]) -> NDArray[T]:
    """A grid (h, w) float32 or bool over the canvas as one over the picture; beyond the canvas it goes on as at its border.

    cell: (height, width) of a cell, pixels.
    """
    if motion is STANDSTILL or not grid.size:
        return grid
    to_pixels = np.diag([cell[1], cell[0], 1.0])
    to_pixels[:2, 2] = cell[1] / 2 - 0.5, cell[0] / 2 - 0.5  # from centres of cells to centres of pixels
    whole = np.vstack([motion.matrix(), [0, 0, 1]])
    matrix = (np.linalg.inv(to_pixels) @ whole @ to_pixels)[:2]
    flat = grid.dtype == np.bool_
    how = cv2.INTER_NEAREST if flat else cv2.INTER_LINEAR
    size = (grid.shape[1], grid.shape[0])
    values: NDArray[np.uint8] | NDArray[np.float32] = grid.astype(np.uint8) if flat else np.asarray(grid, np.float32)
    moved = cv2.warpAffine(values, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, grid.dtype)


def cut_to_frame(boxes: NDArray[np.floating], frame_size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes (K, 4) xyxy cut to a frame of (height, width); empty ones where the centre lies beyond it.

    What has more than half of it beyond the border is known from earlier frames only.
    """
    height, width = frame_size
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    cut = np.asarray(np.clip(boxes, 0, np.array([width, height, width, height], np.float32)), np.float32)
    cut[~inside] = 0
    return cut
