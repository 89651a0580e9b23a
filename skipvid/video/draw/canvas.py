"""What is drawn on: a BGR picture, or the planes that an encoder takes.

On planes OpenCV draws in patches: a small part with chroma in full resolution, in which lines and letters are smoothed as in BGR, because
colours are a linear map of each other; then chroma is averaged again. What lies outside a patch is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.planes import Planes

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Canvas = Image | Planes
Rect = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a canvas that OpenCV can draw on.

    pixels: (h, w, 3) uint8. left, top: where it lies on the canvas. planes: whose colours it has; None is BGR.
    """

    pixels: Image
    left: int
    top: int
    planes: Planes | None

    def colour(self, colour: Colour) -> Colour:
        """A BGR colour as it is written into the pixels."""
        return colour if self.planes is None else self.planes.levels(colour)


@contextmanager
def patch_of(canvas: Canvas, rect: Rect) -> Iterator[Patch]:
    """The part of a canvas in which something is to be drawn; of a BGR picture always all of it."""
    if isinstance(canvas, np.ndarray):
        yield Patch(canvas, 0, 0, None)
        return
    rows, columns = canvas.blue.shape
    left, top = (min(max(0, edge // 2), limit) for edge, limit in zip(rect[:2], (columns, rows), strict=True))
    right, bottom = (min(max(0, -(-edge // 2)), limit) for edge, limit in zip(rect[2:], (columns, rows), strict=True))
    if right <= left or bottom <= top:
        yield Patch(np.empty((0, 0, 3), np.uint8), 2 * left, 2 * top, canvas)
        return
    luma = canvas.luma[2 * top : 2 * bottom, 2 * left : 2 * right]
    chroma = [plane[top:bottom, left:right] for plane in (canvas.blue, canvas.red)]
    full = [cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for plane in chroma]
    pixels = np.asarray(cv2.merge([luma, *full]), np.uint8)
    yield Patch(pixels, 2 * left, 2 * top, canvas)
    drawn = cv2.split(pixels)
    luma[:] = drawn[0]
    for plane, values in zip(chroma, drawn[1:], strict=True):
        plane[:] = cv2.resize(values, plane.shape[::-1], interpolation=cv2.INTER_AREA)


def rectangle(canvas: Canvas, corners: Rect, colour: Colour, line: int) -> None:
    """Draw the outline of a rectangle in place; right and bottom belong to it."""
    left, top, right, bottom = corners
    if isinstance(canvas, np.ndarray):
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, line)
        return
    luma, blue, red = canvas.levels(colour)
    cv2.rectangle(canvas.luma, (left, top), (right, bottom), luma, line)
    # OpenCV draws lines of two and more pixels wider than that. A chroma sample belongs to the line where one of its pixels does.
    reach = (line + 1) // 2 if line > 1 else 0
    edges = [(x - reach, top - reach, x + reach, bottom + reach) for x in (left, right)]
    edges += [(left - reach, y - reach, right + reach, y + reach) for y in (top, bottom)]
    for first_x, first_y, last_x, last_y in edges:
        # not below 0, which would count from the other end
        part = (slice(max(0, first_y // 2), max(0, last_y // 2 + 1)), slice(max(0, first_x // 2), max(0, last_x // 2 + 1)))
        canvas.blue[part], canvas.red[part] = blue, red


def grid_lines(canvas: Canvas, lines: NDArray[np.int32], colour: Colour, stroke: int) -> None:
    """Draw level and upright lines in place. lines: (K, 2, 2) int32, x and y of both ends in pixels."""
    if isinstance(canvas, np.ndarray):
        cv2.polylines(canvas, list(lines), False, colour, stroke)
        return
    luma, blue, red = canvas.levels(colour)
    cv2.polylines(canvas.luma, list(lines), False, luma, stroke)
    for plane, level in ((canvas.blue, blue), (canvas.red, red)):
        cv2.polylines(plane, list(lines // 2), False, level, -(-stroke // 2))
