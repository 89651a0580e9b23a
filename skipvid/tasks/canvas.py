"""The network's picture made registered: what stands still in the scene stands still in it, while the camera shakes.

The canvas is the picture of an anchor frame. Each later frame is scaled as ever, and then moved once, so that no blur adds up; where it
shows nothing of the canvas, what was seen there last stays. A frame that has not moved is given as it is.

The canvas has the anchor's own borders and no margin around: a margin would need an input of another size, on whose grid the network finds
other things, and would shrink what presets with a fixed input size can see. So it costs no MACs, and what lies beyond the anchor's border,
at most REACH of the width, is not seen until the next anchor.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.motion import STANDSTILL, STILL, MotionEstimator, Similarity

REACH = 0.02
"""The share of the picture's width that a corner may be moved by; beyond, a new anchor is set."""
MOST_LOST, LONGEST_LOST = 3, 48
"""Pictures in a row that may go unregistered before an anchor is set; doubled from one such anchor to the next, as it takes time."""
TAPS = 6
PHASES = 64
"""Shifts are made in steps of 1 / PHASES pixels."""
CELL = 32
"""Pixels by whole multiples of which a canvas follows a pan: the stride of a backbone's coarsest maps, which then move by whole pixels."""
FOLLOWS = 0.6
"""Cells that the picture lies aside when the canvas follows it."""
RESTS = 25
"""Frames in a row that lie alike beside the anchor, after which a new one is set: the camera was moved, and stands."""


class Canvas:
    """Registers the pictures of one stream. Call `register` with one after the other.

    size: (height, width) of the pictures. watched: as in MotionEstimator. follows: whether it is moved after a pan, by multiples of CELL.
    motion: from the canvas to the last picture. anchored: whether the last picture is a new anchor, so that it must be a keyframe.
    shift: (dy, dx) by which the canvas was moved before the last picture: (y, x) shows what (y + dy, x + dx) showed.
    lost: how many pictures in a row, up to the last one, were not registered.
    """

    def __init__(self, size: tuple[int, int], watched: NDArray[np.bool_] | None = None, follows: bool = False) -> None:
        self.motion = STANDSTILL
        self.anchored = False
        self.shift = (0, 0)
        self._follows = follows
        self._reach = max(REACH * size[1], CELL * (FOLLOWS + 0.2)) if follows else REACH * size[1]
        self.lost = 0
        self._registered = self._anchors = self._pictures = 0
        self._size = size
        self._estimator = MotionEstimator(watched)
        self._seen: NDArray[np.uint8] | None = None
        self._resting = 0
        self._patience = MOST_LOST

    @property
    def looks(self) -> bool:
        """Whether the next picture is looked at; otherwise `pass_by` will do."""
        return True

    def pass_by(self) -> None:
        """In place of `register`, where the canvas does not look at a picture."""
        self.motion, self.anchored, self.shift = STANDSTILL, False, (0, 0)
        self._pictures += 1

    def forget(self) -> None:
        """The next picture is an anchor."""
        self._seen = None

    def spent(self, share: float) -> None:
        """Be told which share of the dense MACs the last picture took; a canvas that is always used need not know."""

    @property
    def note(self) -> str | None:
        """How much was registered, in words; None for a camera that did not move."""
        if not self._registered:
            return None
        anchors = f"{self._anchors} anchor{'s' if self._anchors > 1 else ''}"
        return f"the camera moves: {self._registered} of {self._pictures} frames were registered to {anchors}"

    def register(self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR -> the same on the canvas, valid until the next call; `pixels` itself where nothing moved.

        boxes: (K, 4) xyxy on the canvas, of what may move by itself. A picture that cannot be registered is given as it is; of several
        in a row the last becomes an anchor, which need not be a keyframe, as nothing was moved before it.
        """
        self.anchored, self.shift = False, (0, 0)
        self._pictures += 1
        if self._seen is None:
            self._patience = MOST_LOST
            return self._anchor(pixels)
        motion = self._estimator.estimate(pixels, boxes)
        if motion is None:
            self.lost += 1
            self.motion = STANDSTILL
            if self.lost > self._patience:
                self._patience = min(2 * self._patience, LONGEST_LOST)
                self._anchor(pixels)
                self.anchored = False
            return pixels
        self.lost, self._patience = 0, MOST_LOST
        if self._follows:
            motion = self._follow(motion, self._seen, pixels)
        if self._is_over(motion):
            return self._anchor(pixels)
        self.motion = motion
        self._registered += motion is not STANDSTILL or self.shift != (0, 0)
        if motion is STANDSTILL:
            np.copyto(self._seen, pixels)
        else:
            move_onto(self._seen, pixels, self.motion)
        if self.shift != (0, 0):
            self._estimator.renew(self._seen, motion)
        elif motion is not STANDSTILL and self._estimator.worn:
            self._estimator.renew(self._seen)
        return pixels if motion is STANDSTILL else self._seen

    def _follow(self, motion: Similarity, seen: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> Similarity:
        """Move what was seen by whole cells to where a picture is now, if it lies far aside; returns the motion from there to the picture.

        What comes in is the picture's, and beyond its border goes on as there.
        """
        height, width = self._size
        centre = np.array([width / 2, height / 2])
        aside = motion.points(centre) - centre
        x, y = (-CELL * round(by / CELL) if abs(by) > FOLLOWS * CELL else 0 for by in aside.tolist())
        if (x, y) == (0, 0) or abs(x) >= width or abs(y) >= height:
            return motion
        self.shift = (y, x)
        moved = Similarity(motion.a, motion.b, motion.dx + motion.a * x - motion.b * y, motion.dy + motion.b * x + motion.a * y)
        whole = cv2.warpAffine(
            pixels, moved.matrix(), (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        left, right, top, bottom = max(0, -x), min(width, width - x), max(0, -y), min(height, height - y)
        whole[top:bottom, left:right] = seen[top + y : bottom + y, left + x : right + x]
        np.copyto(seen, whole)
        return STANDSTILL if moved.apart(STANDSTILL, self._size) < STILL else moved

    def _is_over(self, motion: Similarity) -> bool:
        """Whether a picture lies too far beside the anchor, or the camera rests beside it."""
        if motion is STANDSTILL:
            self._resting = 0
            return False
        self._resting = self._resting + 1 if motion.apart(self.motion, self._size) < 2 * STILL else 0
        return self._resting >= RESTS or motion.apart(STANDSTILL, self._size) > self._reach

    def _anchor(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._estimator.anchor(pixels)
        self._seen = pixels.copy()
        self._anchors += 1
        self.motion, self.anchored, self.lost, self._resting, self.shift = STANDSTILL, True, 0, 0, (0, 0)
        return pixels


def move_onto(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], motion: Similarity) -> None:
    """Draw a picture onto the canvas, in place; where it shows nothing, the canvas stays. motion: from the canvas to the picture.

    Both (h, w, 3) uint8, each of its own size. By Lanczos' kernel where it is only shifted, which keeps what is fine; else by a cubic one.
    """
    (rows, columns), (height, width) = canvas.shape[:2], pixels.shape[:2]
    if not motion.shifts:
        covered = _covered(motion, (height, width), (rows, columns))
        moved = cv2.warpAffine(
            pixels, motion.matrix(), (columns, rows), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.copyTo(moved, covered, canvas)
        return
    (left, across), (top, down) = (divmod(round(shift * PHASES), PHASES) for shift in (motion.dx, motion.dy))
    # the pixels of the canvas whose centres lie between centres of the picture
    first_x, last_x = max(0, -left), min(columns, width - left - (across > 0))
    first_y, last_y = max(0, -top), min(rows, height - top - (down > 0))
    if last_x <= first_x or last_y <= first_y:
        return
    moved = cv2.sepFilter2D(
        pixels, -1, KERNELS[across], KERNELS[down], anchor=(TAPS // 2 - 1, TAPS // 2 - 1), borderType=cv2.BORDER_REPLICATE
    )
    canvas[first_y:last_y, first_x:last_x] = moved[first_y + top : last_y + top, first_x + left : last_x + left]


def _covered(motion: Similarity, size: tuple[int, int], of_canvas: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w) uint8 over a canvas, 1 where a pixel of it has its centre in the picture. size, of_canvas: (height, width)."""
    height, width = size
    corners = np.array([[0.5, 0.5], [width - 0.5, 0.5], [width - 0.5, height - 0.5], [0.5, height - 0.5]])
    mask = np.zeros(of_canvas, np.uint8)
    cv2.fillConvexPoly(mask, np.floor(motion.inverse().points(corners)).astype(np.int32), 1)
    return mask


def _kernels() -> NDArray[np.float32]:
    """(PHASES, TAPS): Lanczos' window of TAPS samples for each shift, of sum 1."""
    offsets = np.arange(TAPS) - (TAPS // 2 - 1) - np.arange(PHASES)[:, None] / PHASES
    kernels = np.sinc(offsets) * np.sinc(offsets / (TAPS / 2))
    return np.asarray(kernels / kernels.sum(1, keepdims=True), np.float32)


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
