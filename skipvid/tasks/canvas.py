"""The network's picture made registered: what stands still in the scene stands still in it, while the camera shakes.

The canvas is the picture of an anchor frame. Each later frame is scaled as ever, to see how it has moved, and then once more, from its
source, at the place that was found (displaced.py); where that is not possible the scaled one is moved, once. So no blur adds up. Where a
frame shows nothing of the canvas, what was seen there last stays. A frame that has not moved is given as it is.

The canvas has the anchor's own borders and no margin around: a margin would need an input of another size, on whose grid the network finds
other things, and would shrink what presets with a fixed input size can see. So it costs no MACs, and what lies beyond the anchor's border,
at most REACH of the longer side, is not seen until the next anchor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.skip.picture import same_bytes
from skipvid.tasks.displaced import Source
from skipvid.tasks.motion import CLOSE, MotionEstimator
from skipvid.tasks.moved import draw_changes
from skipvid.tasks.patches import STILL
from skipvid.tasks.similarity import STANDSTILL, Similarity

REACH, LEAST_REACH = 0.02, 4.0
"""The share of the picture's longer side that a corner may be moved by, and pixels that it may in any case; beyond, a new anchor is set. A
picture that is cut from a larger one shakes by as many pixels as that."""
MOST_LOST, LONGEST_LOST = 3, 48
"""Pictures in a row that may go unregistered before an anchor is set; doubled from one such anchor to the next, as it takes time."""
CELL = 32
"""Pixels by whole multiples of which a canvas follows a pan: the stride of a backbone's coarsest maps, which then move by whole pixels."""
FOLLOWS = 0.6
"""Cells that the picture lies aside when the canvas follows it."""
RESTS = 25
"""Frames in a row that lie alike beside the anchor, after which a new one is set: the camera was moved, and stands. It is a keyframe unless
it lies within CLOSE pixels, as where encoders move a picture by a tenth of one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one picture.

    motion: from the canvas to it. anchored: whether it is a new anchor, so that it must be a keyframe. shift: (dy, dx) by which the canvas
    was moved before it: (y, x) shows what (y + dy, x + dx) showed. lost: how many pictures in a row, up to this one, were not registered.
    is_anchor: whether it is a new anchor, keyframe or not. moved: whether it was only looked at, and the camera had moved. stray: whether
    it was not registered while those around it are expected to be, so that it lies unlike them.
    """

    motion: Similarity = STANDSTILL
    anchored: bool = False
    shift: tuple[int, int] = (0, 0)
    lost: int = 0
    is_anchor: bool = False
    moved: bool = False
    stray: bool = False


class Tally:
    """How many pictures were registered."""

    def __init__(self) -> None:
        self._registered = self._anchors = self._pictures = 0

    def add(self, seen: Seen) -> None:
        """Count one picture."""
        self._pictures += 1
        self._anchors += seen.is_anchor
        self._registered += seen.motion is not STANDSTILL or seen.shift != (0, 0)

    @property
    def note(self) -> str | None:
        """How many, in words; None for a camera that did not move."""
        if not self._registered:
            return None
        anchors = f"{self._anchors} anchor{'s' if self._anchors > 1 else ''}"
        return f"the camera moves: {self._registered} of {self._pictures} frames were registered to {anchors}"


class Canvas:
    """Registers the pictures of one stream. Call `register` with one after the other.

    size: (height, width) of the pictures. watched: as in MotionEstimator. follows: whether it is moved after a pan, by multiples of CELL.
    motion, anchored, shift, lost: of the last picture, as of Seen.
    """

    def __init__(self, size: tuple[int, int], watched: NDArray[np.bool_] | None = None, follows: bool = False) -> None:
        self.motion = STANDSTILL
        self.anchored = False
        self.shift = (0, 0)
        self._follows = follows
        self._reach = max(REACH * max(size), LEAST_REACH, CELL * (FOLLOWS + 0.2) if follows else 0.0)
        self.lost = 0
        self._is_anchor = self._has_moved = self._is_stray = False
        self._size = size
        self._estimator = MotionEstimator(watched)
        self._seen: NDArray[np.uint8] | None = None
        self._last: NDArray[np.uint8] | None = None  # the last picture, as it was given, where it was registered
        self._resting = 0
        self._patience = MOST_LOST
        self._found = False  # any picture on the canvas since its anchor, so that those which are not are exceptions

    @property
    def looks(self) -> bool:
        """Whether the next picture is looked at; otherwise `pass_by` will do."""
        return True

    @property
    def seen(self) -> Seen:
        """What became of the last picture."""
        return Seen(self.motion, self.anchored, self.shift, self.lost, self._is_anchor, self._has_moved, self._is_stray)

    def pass_by(self) -> None:
        """In place of `register`, where the canvas does not look at a picture."""
        self.motion, self.anchored, self.shift = STANDSTILL, False, (0, 0)
        self._is_anchor = self._has_moved = self._is_stray = False

    def forget(self) -> None:
        """The next picture is an anchor."""
        self._seen = self._last = None

    @property
    def rests(self) -> bool:
        """Whether none of the next LAG pictures (skipvid.tasks.look_ahead) is expected to be looked at, so that boxes are not asked for."""
        return False

    def choose(self, share: float, dense_macs: int, seen: Seen) -> bool:
        """Be told which share of how many dense MACs a picture took, and what became of it. Returns whether the canvas is then to `forget`.

        A canvas that is always used need not know.
        """
        return False

    def spent(self, share: float, dense_macs: int) -> None:
        """As `choose`, of the last picture, and do so."""
        if self.choose(share, dense_macs, self.seen):
            self.forget()

    def register(
        self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None, source: Callable[[], Source | None] | None = None
    ) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 BGR -> the same on the canvas, valid until the next call; `pixels` itself where nothing moved.

        boxes: (K, 4) xyxy on the canvas, of what may move by itself. source: says that of move_onto. A picture that cannot be registered
        is given as it is; of several in a row the last becomes an anchor. That need not be a keyframe where none before it lay on the
        canvas, nor where it lies close. A picture that is sent again, as of a stream at twice the camera's rate, stays where it is to the
        bit.
        """
        self.anchored, self.shift = False, (0, 0)
        self._is_anchor = self._has_moved = self._is_stray = False
        if self._seen is None:
            self._patience = MOST_LOST
            return self._anchor(pixels)
        if self._last is not None and same_bytes(pixels, self._last):
            return pixels if self.motion is STANDSTILL else self._seen
        motion = self._estimator.estimate(pixels, boxes)
        if motion is None:
            self._last = None
            return self._lose(pixels)
        self._keep(pixels)
        self.lost, self._patience, self._found = 0, MOST_LOST, True
        if self._follows:
            motion = self._follow(motion, self._seen, pixels)
        if self._is_over(motion):
            close = motion.apart(STANDSTILL, self._size) <= CLOSE
            self._anchor(pixels)
            self.anchored, self._found = not close, close  # so near, gates open less than a keyframe computes
            return pixels
        self.motion = motion
        if motion is STANDSTILL:
            np.copyto(self._seen, pixels)
        else:
            draw_changes(self._seen, pixels, motion, source and source())
        if self.shift != (0, 0):
            self._estimator.renew(self._seen, motion)
        elif self._estimator.worn:
            self._estimator.renew(self._seen)
        return pixels if motion is STANDSTILL else self._seen

    def _keep(self, pixels: NDArray[np.uint8]) -> None:
        if self._last is None:
            self._last = pixels.copy()
        else:
            np.copyto(self._last, pixels)

    def _lose(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give a picture as it is."""
        self.lost += 1
        self.motion = STANDSTILL
        expected = self._found
        if self.lost > self._patience:
            self._patience = min(2 * self._patience, LONGEST_LOST)
            self._anchor(pixels)
            self.anchored = expected
        else:
            self._is_stray = expected
        return pixels

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
        self._is_anchor, self._found = True, False
        self.motion, self.anchored, self.lost, self._resting, self.shift = STANDSTILL, True, 0, 0, (0, 0)
        return pixels
