"""How a camera moved since an anchor: patches of the anchor are found again in each picture, and most of them must agree on one motion.

Patches (skipvid.tasks.patches) are aligned first at a quarter of the resolution, then at the full one. What moves by itself is an outlier
to a RANSAC fit of a similarity, or lies in a box that was detected there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.fitting import Fit, fit_similarity, guess_patches
from skipvid.tasks.patches import RADIUS, STILL, Patches
from skipvid.tasks.similarity import STANDSTILL, Similarity

Floats = NDArray[np.float32]

CELL = 32
"""At most one patch is taken in each square of this side, so that nothing that is rich in corners outvotes the rest; pixels."""
MOST_PATCHES = 64
LEAST_PATCHES = 6
CORNER = 2e-4
"""The least second eigenvalue of a corner, as cv2.cornerMinEigenVal measures it in values of 0..1: an edge of about ten grey levels."""
COARSE = 4
COARSE_STEPS, FINE_STEPS = 3, 4
AGREE = 0.4
"""Pixels by which a patch may lie off the common motion and still agree with it."""
TRUSTED, LEARNS = 0.3, 0.1
"""A patch counts while the share of the last pictures, about ten, in which it agreed with the motion is above the first number."""
WORN = 0.4
"""The share of patches below which others are chosen."""
QUORUM = 0.5
"""The share of patches that must agree."""
SPREAD = (0.3, 0.4)
"""The least height and width over which they must lie, as shares of what is watched: what moves in front of a bare wall is no camera."""
CLEAR, LOWERS = 1.0, 0.9
"""A motion by so many pixels or more, where the patches are, is taken if it lowers their change to this share, or further."""
CLOSE = 0.3
"""Pixels up to which a motion need only not raise it: a camera that shakes is often nearly back, and noise is then most of the change. One
that raises it is none: the picture shows the scene where it was. Between CLOSE and CLEAR a motion must lower it the more, the larger it is.
"""


class MotionEstimator:
    """Tells how the camera has moved since an anchor. Call `anchor` first; all pictures are (h, w, 3) uint8 BGR of one size.

    watched: (h, w) bool, False where nothing is to be looked at; None: everywhere.
    lowered: the share to which the last motion that was none lowers the change of the patches.
    """

    def __init__(self, watched: NDArray[np.bool_] | None = None) -> None:
        self._watched = watched
        self._fine: Patches | None = None
        self._coarse: Patches | None = None
        self._trust = np.zeros(0, np.float32)
        self._last = STANDSTILL
        self.lowered = 1.0
        self._size = (0, 0)
        self._extent = (1, 1)

    @property
    def patches(self) -> int:
        """How many there are to look for."""
        return 0 if self._fine is None else len(self._fine.centres)

    @property
    def worn(self) -> bool:
        """Whether few of the patches are still of use."""
        return int(np.count_nonzero(self._trust > TRUSTED)) < max(LEAST_PATCHES, WORN * self.patches)

    def anchor(self, pixels: NDArray[np.uint8]) -> None:
        """Measure from this picture on."""
        self.renew(pixels)
        self._last = STANDSTILL

    def renew(self, registered: NDArray[np.uint8], last: Similarity | None = None) -> None:
        """Choose patches anew in a picture on the anchor's grid: what was seen of them has gone or changed.

        last: the motion to the last picture, where the grid has been moved; None: it has not.
        """
        self._last = last or self._last
        grey = _grey(registered)
        self._size = grey.shape[0], grey.shape[1]
        self._extent = _extent(np.ones(self._size, np.bool_) if self._watched is None else self._watched)
        centres = self._corners(grey)
        self._fine = Patches(grey, centres)
        margin, small = RADIUS + 1, _smaller(grey)
        limits = np.array([small.shape[1] - 1 - margin, small.shape[0] - 1 - margin], np.float32)
        if len(centres) and limits.min() >= margin:
            self._coarse = Patches(small, np.clip(np.rint((centres + 0.5) / COARSE - 0.5), margin, limits).astype(np.float32))
        else:
            self._coarse = None
        self._trust = np.ones(len(centres), np.float32)

    def _corners(self, grey: NDArray[np.uint8]) -> Floats:
        """(K, 2) x, y of the best corner of each cell that has one."""
        strength = np.asarray(cv2.cornerMinEigenVal(grey, 5), np.float32)
        margin = RADIUS + 2
        strength[:margin] = strength[-margin:] = 0
        strength[:, :margin] = strength[:, -margin:] = 0
        if self._watched is not None:
            strength[~self._watched] = 0
        rows, columns = (-(-side // CELL) for side in grey.shape)
        padded = np.zeros((rows * CELL, columns * CELL), np.float32)
        padded[: grey.shape[0], : grey.shape[1]] = strength
        cells = padded.reshape(rows, CELL, columns, CELL).swapaxes(1, 2).reshape(rows, columns, -1)
        best, value = cells.argmax(2), cells.max(2)
        row, column = np.nonzero(value > CORNER)
        order = np.argsort(-value[row, column], kind="stable")[:MOST_PATCHES]
        row, column = row[order], column[order]
        inner = best[row, column]
        return np.stack([column * CELL + inner % CELL, row * CELL + inner // CELL], 1).astype(np.float32)

    def estimate(self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> Similarity | None:
        """From the anchor's coordinates to this picture's. None where no motion explains the change.

        boxes: (K, 4) xyxy in the anchor's coordinates, of what may move by itself.
        """
        if self._fine is None or self.patches < LEAST_PATCHES:
            return None
        uncovered = ~_inside(self._fine.centres, boxes)
        counts = uncovered & (self._trust > TRUSTED)
        if np.count_nonzero(counts) < LEAST_PATCHES:
            return None
        grey = _grey(pixels)
        stood = self._last is STANDSTILL  # a camera that moved is seldom back: then it is looked at only where nothing else is found
        if stood:
            still, there = self._fine.are_still(grey, counts, AGREE)
            if still:
                self._learn(uncovered, there)
                return STANDSTILL
        moved, found = self._fine.find(grey, self._guess(grey, counts), FINE_STEPS)
        motion = self._agreed(moved, found & counts)
        if motion is None:
            return None if stood else self._back(grey, counts)
        common = self._moved_by(motion)
        self._learn(uncovered, found & (np.abs(moved - common).max(1) < AGREE))
        still = motion.apart(STANDSTILL, self._size) < STILL
        aside = math.hypot(motion.dx, motion.dy) if motion.shifts else float(np.hypot(common[counts, 0], common[counts, 1]).mean())
        if not still:
            self.lowered = self._share_left(grey, common, counts)
            if self.lowered > 1 - (1 - LOWERS) * min(1.0, max(0.0, (aside - CLOSE) / (CLEAR - CLOSE))):
                if aside > CLOSE:
                    return None if stood else self._back(grey, counts)
                still = True
        self._last = STANDSTILL if still else motion
        return self._last

    def _learn(self, uncovered: NDArray[np.bool_], agrees: NDArray[np.bool_]) -> None:
        """Take in which patches agreed with the motion, of those that lie in no box."""
        self._trust += (agrees - self._trust) * (uncovered * np.float32(LEARNS))

    def _back(self, grey: NDArray[np.uint8], counts: NDArray[np.bool_]) -> Similarity | None:
        """Standstill, where a camera that had moved is back at the anchor's place."""
        assert self._fine is not None
        if not self._fine.are_still(grey, counts, AGREE)[0]:
            return None
        self._last = STANDSTILL
        return STANDSTILL

    def _moved_by(self, motion: Similarity) -> Floats:
        """(K, 2): how far a motion moves each patch."""
        assert self._fine is not None
        centres = self._fine.centres
        if motion.shifts:
            return np.full(centres.shape, (motion.dx, motion.dy), np.float32)
        return np.asarray(motion.points(centres + 0.5) - 0.5 - centres, np.float32)

    def _guess(self, grey: NDArray[np.uint8], counts: NDArray[np.bool_]) -> Floats:
        """(K, 2): how far each patch will be found from its place, to a pixel or two."""
        assert self._fine is not None
        last = self._moved_by(self._last)
        if self._coarse is None:
            return last
        moved, found = self._coarse.find(_smaller(grey), last / np.float32(COARSE), COARSE_STEPS)
        good = found & counts
        if np.count_nonzero(good) < LEAST_PATCHES:
            return last
        guess = np.empty_like(last)
        guess_patches(moved, last, good, COARSE, guess)
        return guess

    def _agreed(self, moved: Floats, usable: NDArray[np.bool_]) -> Similarity | None:
        """The motion that most of the usable patches share."""
        assert self._fine is not None
        if np.count_nonzero(usable) < LEAST_PATCHES:
            return None
        at = self._fine.centres[usable]
        to = at + moved[usable]
        _, kept = cv2.estimateAffinePartial2D(at, to, method=cv2.RANSAC, ransacReprojThreshold=AGREE, maxIters=200, refineIters=0)
        if kept is None:
            return None
        fit = Fit(*fit_similarity(at, to, kept.ravel().view(np.bool_)))
        if fit.number < max(LEAST_PATCHES, QUORUM * len(at)):
            return None
        width, height = self._extent
        if fit.height < SPREAD[0] * height or fit.width < SPREAD[1] * width:
            return None
        return _similarity(fit, self._size)

    def _share_left(self, grey: NDArray[np.uint8], moved: Floats, counts: NDArray[np.bool_]) -> float:
        """To which share a motion lowers the change of the patches that count, those that do not agree with it included."""
        assert self._fine is not None
        return self._fine.change(grey, counts, moved) / max(1, self._fine.change(grey, counts))


def _similarity(fit: Fit, size: tuple[int, int]) -> Similarity:
    """What was fitted; a shift, where turning and scaling would move nothing visibly."""
    a, b = fit.a, fit.b
    if math.hypot(a - 1, b) * max(size) / 2 < 2 * STILL:
        a, b = 1.0, 0.0
    return Similarity.of_centres(a, b, fit.to_x - (a * fit.x - b * fit.y), fit.to_y - (b * fit.x + a * fit.y))


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """(width, height) of the rectangle around what is True, 1 at least."""
    sides = [np.flatnonzero(mask.any(axis)) for axis in (0, 1)]
    width, height = (int(np.ptp(side)) + 1 if len(side) else 1 for side in sides)
    return width, height


def _smaller(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (max(COARSE, side // COARSE * COARSE) for side in grey.shape)
    whole = grey[:height, :width]
    if whole.shape != (height, width):
        return np.asarray(cv2.resize(grey, (width // COARSE, height // COARSE), interpolation=cv2.INTER_AREA), np.uint8)
    # By halves, for which OpenCV has much faster code than for quarters.
    half = cv2.resize(whole, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, (width // COARSE, height // COARSE), interpolation=cv2.INTER_AREA), np.uint8)


def _inside(points: Floats, boxes: NDArray[np.floating] | Sequence[object] | None) -> NDArray[np.bool_]:
    """(K, 2), (M, 4) xyxy -> (K,) whether a point lies in any of the boxes."""
    if boxes is None or not len(boxes):
        return np.zeros(len(points), np.bool_)
    x, y, edges = points[:, :1], points[:, 1:], np.asarray(boxes)
    return np.asarray(((x >= edges[:, 0]) & (x <= edges[:, 2]) & (y >= edges[:, 1]) & (y <= edges[:, 3])).any(1), np.bool_)
