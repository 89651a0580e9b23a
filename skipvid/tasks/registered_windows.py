"""Windows that stand still in the scene while the camera moves: they lie in an anchor's coordinates, and see each frame moved onto them.

What a window sees is moved once, at the frame's own resolution, and then brought to the network's size as ever. So no blur adds up, what is
enlarged is enlarged by one and the same pattern, and where nothing moved the window sees what it would see without all this.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import StoredPicture
from skipvid.tasks.areas import HeldOut
from skipvid.tasks.auto_canvas import make_canvas
from skipvid.tasks.canvas import Seen, Tally
from skipvid.tasks.displaced import PHASES
from skipvid.tasks.motion_choice import DENSE_ABOVE
from skipvid.tasks.moved import draw_changes, move_onto
from skipvid.tasks.shifted import TAPS
from skipvid.tasks.similarity import STANDSTILL, Similarity

LOOKED_AT = 640
"""The longer side of the pictures in which motion is looked for, pixels; smaller frames are not enlarged."""

Picture = NDArray[np.uint8] | StoredPicture
Place = tuple[int, int, int, int]


class WindowView:
    """What one window saw last, by places of the anchor."""

    def __init__(self) -> None:
        self._place: Place | None = None
        self._pixels = np.zeros((0, 0, 3), np.uint8)

    def forget(self) -> None:
        """The window is another one from now on, or lies elsewhere."""
        self._place = None

    def at(self, place: Place, picture: Picture, motion: Similarity) -> NDArray[np.uint8]:
        """What lies at a place (left, top, right, bottom) of the anchor, (h, w, 3) uint8 BGR, valid until the next call. Where the
        frame does not show it, what was seen there last stays; what never was seen goes on as at the frame's border."""
        left, top, right, bottom = place
        if motion is STANDSTILL:
            seen = _part(picture, place)
            self._keep(place, seen)
            return seen
        known = place == self._place
        if not known:
            self._keep(place, np.zeros((bottom - top, right - left, 3), np.uint8))
        source = _seen_from(place, picture, motion)
        if source is None:
            return self._pixels
        part = _part(picture, source)
        from_place = _between(motion, place, source)
        if known:
            draw_changes(self._pixels, part, from_place)
        else:
            how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(
                part, from_place.matrix(), (right - left, bottom - top), self._pixels, flags=how, borderMode=cv2.BORDER_REPLICATE
            )
            move_onto(self._pixels, part, from_place)
        return self._pixels

    def _keep(self, place: Place, pixels: NDArray[np.uint8]) -> None:
        if place == self._place:
            np.copyto(self._pixels, pixels)
        else:
            self._place, self._pixels = place, pixels.copy()


class RegisteredFrame:
    """A frame seen through one window in the coordinates of an anchor: `part` is given places of the anchor.

    motion: from the anchor to the frame, as `in_phase` gives it.
    """

    def __init__(self, picture: Picture, motion: Similarity, view: WindowView) -> None:
        self._picture, self._motion, self._view = picture, motion, view
        self.height, self.width = _size(picture)

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """As of InParts."""
        return self._view.at((left, top, right, bottom), self._picture, self._motion)


class CameraMotion:
    """How the camera has moved since an anchor, of one stream of frames of (height, width).

    motion: of skipvid.core.motions, one that makes a canvas. left_out: (H, W) bool over the frame, where nothing is looked at.
    dense_above: the network's, as in SkipConfig. tally: counts on what was registered of the stream before; None: nothing was.
    """

    def __init__(
        self,
        motion: str,
        size: tuple[int, int],
        left_out: NDArray[np.bool_] | None = None,
        dense_above: float = DENSE_ABOVE,
        tally: Tally | None = None,
    ) -> None:
        shrink = min(1.0, LOOKED_AT / max(size))
        self._frame_size = size
        self._size = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
        held = None if left_out is None else HeldOut(left_out, self._size)
        canvas = make_canvas(motion, self._size, held, dense_above=dense_above)
        assert canvas is not None
        self.canvas = canvas
        self._tally = Tally() if tally is None else tally

    @property
    def seen(self) -> Seen:
        """What became of the last frame."""
        return self.canvas.seen

    @property
    def note(self) -> str | None:
        """How much was registered, in words; None for a camera that did not move."""
        return self._tally.note

    def forget(self) -> None:
        """The next frame has nothing in common with those before; what was learnt about whether registering pays, stays."""
        self.canvas.forget()

    def look(self, picture: Picture, boxes: NDArray[np.floating]) -> None:
        """Take in the next frame. boxes: (K, 4) xyxy, pixels of the anchor, of what may move by itself."""
        if self.canvas.looks:
            self._register(picture, boxes)
        else:
            self.canvas.pass_by()
        self._tally.add(self.canvas.seen)

    def _register(self, picture: Picture, boxes: NDArray[np.floating]) -> None:
        height, width = self._size
        if isinstance(picture, np.ndarray):
            small = picture if self._size == self._frame_size else cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        else:
            small = picture.bgr() if self._size == self._frame_size else picture.scaled(height, width)
        scale = np.array([width / self._frame_size[1], height / self._frame_size[0]] * 2)
        self.canvas.register(np.asarray(small, np.uint8), boxes * scale)

    @property
    def frame_motion(self) -> Similarity:
        """From the anchor to the last frame, in pixels of frames."""
        if self.canvas.motion is STANDSTILL:
            return STANDSTILL
        return self.canvas.motion.scaled(self._frame_size[1] / self._size[1], self._frame_size[0] / self._size[0])


def in_phase(motion: Similarity) -> Similarity:
    """A motion as pictures are moved by it: shifts in steps of 1 / PHASES pixels. What is found is led back by the same."""
    if motion is STANDSTILL or not motion.shifts:
        return motion
    dx, dy = (round(by * PHASES) / PHASES for by in (motion.dx, motion.dy))
    return Similarity(dx=dx, dy=dy) if dx or dy else STANDSTILL


def points_between(points: NDArray[np.float32], motion: Similarity) -> NDArray[np.float32]:
    """(…, 2) x, y moved; whole numbers are centres of pixels."""
    return points if motion is STANDSTILL else (motion.points(points.astype(np.float64) + 0.5) - 0.5).astype(np.float32)


def _size(picture: Picture) -> tuple[int, int]:
    return (picture.shape[0], picture.shape[1]) if isinstance(picture, np.ndarray) else (picture.height, picture.width)


def _part(picture: Picture, place: Place) -> NDArray[np.uint8]:
    left, top, right, bottom = place
    return picture[top:bottom, left:right] if isinstance(picture, np.ndarray) else picture.part(left, top, right, bottom)


def _seen_from(place: Place, picture: Picture, motion: Similarity) -> Place | None:
    """The part of the frame that it takes to draw a place of the anchor; None where the frame shows nothing of it."""
    left, top, right, bottom = place
    corners = motion.points(np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64))
    (low_x, low_y), (high_x, high_y) = corners.min(0).tolist(), corners.max(0).tolist()
    height, width = _size(picture)
    x, y = max(0, math.floor(low_x) - TAPS), max(0, math.floor(low_y) - TAPS)
    stop_x, stop_y = min(width, math.ceil(high_x) + TAPS), min(height, math.ceil(high_y) + TAPS)
    return None if x >= stop_x or y >= stop_y else (x, y, stop_x, stop_y)


def _between(motion: Similarity, place: Place, source: Place) -> Similarity:
    """From pixels of a place of the anchor to pixels of a part of the frame."""
    moved = motion.points(np.array(place[:2], np.float64))
    return Similarity(motion.a, motion.b, float(moved[0]) - source[0], float(moved[1]) - source[1])
