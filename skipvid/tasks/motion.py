"""How a camera moved since an anchor: patches of the anchor are found again in each picture, and most of them must agree on one motion.

Patches are aligned by the inverse compositional method (Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004), all of them at once,
first at a quarter of the resolution, then at the full one. What moves by itself is an outlier to a RANSAC fit of a similarity, or lies in a
box that was detected there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CELL = 32
"""At most one patch is taken in each square of this side, so that nothing that is rich in corners outvotes the rest; pixels."""
MOST_PATCHES = 64
LEAST_PATCHES = 6
CORNER = 2e-4
"""The least second eigenvalue of a corner, as cv2.cornerMinEigenVal measures it in values of 0..1: an edge of about ten grey levels."""
RADIUS = 4
COARSE = 4
COARSE_STEPS, FINE_STEPS = 3, 4
ARRIVED = 0.02
"""Pixels: where half of the patches moved by no more in a step, there is no other one."""
STILL = 0.08
"""Pixels of the network's picture below which a motion is none: estimates scatter by half as much."""
CALM = 0.3
"""A picture in which half of the patches moved by less than this may stand still as a whole; above, it turns or is scaled."""
NOISE, FITS = 2.0, 0.4
"""A patch is found where what is left of it is below NOISE grey levels and FITS times its contrast (standard deviations)."""
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
LOWERS = 0.9
"""A motion is taken if it lowers the change of the patches to this share, or further."""
LARGEST_CHANGE = 32.0
"""Grey levels; a pixel that changed by more says no more than this."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """(x, y) -> (a x - b y + dx, b x + a y + dy), in pixels; whole numbers are the edges of pixels."""

    a: float = 1.0
    b: float = 0.0
    dx: float = 0.0
    dy: float = 0.0

    @classmethod
    def of_centres(cls, a: float, b: float, dx: float, dy: float) -> Similarity:
        """From the same map of coordinates in which whole numbers are the centres of pixels."""
        return cls(a, b, dx + 0.5 - 0.5 * (a - b), dy + 0.5 - 0.5 * (a + b))

    @property
    def scale(self) -> float:
        """The factor on lengths."""
        return float(np.hypot(self.a, self.b))

    @property
    def shifts(self) -> bool:
        """Whether it neither turns nor scales."""
        return self.a == 1 and self.b == 0

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), as OpenCV takes it: for coordinates in which whole numbers are the centres of pixels."""
        dx = self.dx - 0.5 + 0.5 * (self.a - self.b)
        dy = self.dy - 0.5 + 0.5 * (self.a + self.b)
        return np.array([[self.a, -self.b, dx], [self.b, self.a, dy]], np.float64)

    def inverse(self) -> Similarity:
        """The way back."""
        square = self.a**2 + self.b**2
        a, b = self.a / square, -self.b / square
        return Similarity(a, b, -(a * self.dx - b * self.dy), -(b * self.dx + a * self.dy))

    def points(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(…, 2) x, y -> (…, 2)."""
        x, y = points[..., 0].astype(np.float64), points[..., 1].astype(np.float64)
        return np.stack([self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy], -1)

    def boxes(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """(K, 4) xyxy -> (K, 4): centres go where points go, sides are scaled and stay upright, so that `inverse` leads back exactly."""
        centres = self.points((boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2)
        half = (boxes[:, 2:].astype(np.float64) - boxes[:, :2]) * (self.scale / 2)
        return np.concatenate([centres - half, centres + half], 1)

    def scaled(self, x: float, y: float) -> Similarity:
        """The same motion of a picture that is x times as wide and y times as high. The two must be alike where it turns or scales."""
        return Similarity(self.a, self.b, self.dx * x, self.dy * y)

    def apart(self, other: Similarity, size: tuple[int, int]) -> float:
        """How far apart two motions take that corner of a picture of (height, width) for which it is most, pixels."""
        corners = np.array([[x, y] for x in (0, size[1]) for y in (0, size[0])], np.float64)
        return float(np.hypot(*(self.points(corners) - other.points(corners)).T).max())


STANDSTILL = Similarity()


class Patches:
    """Squares of an anchor at one resolution, prepared for being found again.

    picture: (h, w) float32 grey levels. centres: (K, 2) float32 x, y of pixel centres, RADIUS + 1 or more from the border.
    """

    def __init__(self, picture: Floats, centres: Floats) -> None:
        self.centres = centres
        steps = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
        self._across, self._down = (grid.ravel() for grid in np.meshgrid(steps, steps))
        self._x, self._y = centres[:, :1] + self._across, centres[:, 1:] + self._down
        columns, rows = np.rint(self._x).astype(np.intp), np.rint(self._y).astype(np.intp)
        self._pixels = rows * picture.shape[1] + columns
        self.levels = picture[rows, columns]
        dx = (picture[rows, columns + 1] - picture[rows, columns - 1]) / 2
        dy = (picture[rows + 1, columns] - picture[rows - 1, columns]) / 2
        dx, dy = (each - each.mean(1, keepdims=True) for each in (dx, dy))  # so that brightness may change
        xx, xy, yy = ((one * other).sum(1) for one, other in ((dx, dx), (dx, dy), (dy, dy)))
        determinant = np.maximum(xx * yy - xy * xy, 1e-3)
        inverse = np.stack([np.stack([yy, -xy], 1), np.stack([-xy, xx], 1)], 1) / determinant[:, None, None]
        self._steepest = np.asarray(-(inverse @ np.stack([dx, dy], 1)), np.float32)  # (K, 2, P)
        self._contrast = self._spread(self.levels)

    @staticmethod
    def _spread(levels: Floats) -> Floats:
        mean = levels.mean(1)
        square = np.einsum("kp,kp->k", levels, levels) / np.float32(levels.shape[1]) - mean * mean
        return np.asarray(np.sqrt(np.maximum(square, 0)), np.float32)

    def _step(self, levels: Floats) -> Floats:
        """(K, P) grey levels where the patches are thought to be -> (K, 2) how much further they are."""
        return np.asarray((self._steepest @ (levels - self.levels)[:, :, None])[:, :, 0], np.float32)

    def _at(self, picture: Floats, moved: Floats) -> Floats:
        x, y = self._x + moved[:, :1], self._y + moved[:, 1:]
        return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    def are_still(self, picture: Floats, counts: NDArray[np.bool_]) -> bool:
        """Whether those of the patches that count are, on the whole, where they were."""
        levels = picture.ravel()[self._pixels]
        rest = self._spread(levels - self.levels)[counts]
        if np.median(rest - FITS * self._contrast[counts]) > NOISE:
            return False
        steps = self._step(levels)[counts]
        return bool(np.abs(np.median(steps, axis=0)).max() < STILL and np.median(np.hypot(steps[:, 0], steps[:, 1])) < CALM)

    def find(self, picture: Floats, guess: Floats, steps: int) -> tuple[Floats, NDArray[np.bool_]]:
        """(K, 2) how far the patches have moved, from a guess, and (K,) whether they were found."""
        moved = guess
        for _ in range(steps):
            step = np.clip(self._step(self._at(picture, moved)), -2, 2)
            moved = moved + step
            if np.count_nonzero(np.abs(step).max(1) > ARRIVED) <= len(step) // 2:
                break
        height, width = picture.shape
        found = self.centres + moved
        inside = (found.min(1) >= RADIUS) & (found[:, 0] < width - RADIUS) & (found[:, 1] < height - RADIUS)
        rest = self._spread(self._at(picture, moved) - self.levels)
        return moved, inside & (rest < NOISE + FITS * self._contrast)

    def change(self, picture: Floats, moved: Floats) -> Floats:
        """(K,) mean change of each patch when it is looked for there, grey levels."""
        difference = self._at(picture, moved) - self.levels
        return np.asarray(np.minimum(np.abs(difference), LARGEST_CHANGE).mean(1), np.float32)


class MotionEstimator:
    """Tells how the camera has moved since an anchor. Call `anchor` first; all pictures are (h, w, 3) uint8 BGR of one size.

    watched: (h, w) bool, False where nothing is to be looked at; None: everywhere.
    """

    def __init__(self, watched: NDArray[np.bool_] | None = None) -> None:
        self._watched = watched
        self._fine: Patches | None = None
        self._coarse: Patches | None = None
        self._trust = np.zeros(0, np.float32)
        self._last = STANDSTILL
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
        self._fine = Patches(grey.astype(np.float32), centres)
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
        levels = grey.astype(np.float32)
        stood = self._last is STANDSTILL  # a camera that moved is seldom back: then it is looked at only where nothing else is found
        if stood and self._fine.are_still(levels, counts):
            return STANDSTILL
        moved, found = self._fine.find(levels, self._guess(grey, counts), FINE_STEPS)
        motion = self._agreed(moved, found & counts)
        if motion is None:
            if stood or not self._fine.are_still(levels, counts):
                return None
            self._last = STANDSTILL
            return STANDSTILL
        common = self._moved_by(motion)
        agrees = found & (np.abs(moved - common).max(1) < AGREE)
        self._trust[uncovered] += LEARNS * (agrees[uncovered] - self._trust[uncovered])
        if not self._lowers_change(levels, common, counts):
            return None
        self._last = motion if motion.apart(STANDSTILL, self._size) >= STILL else STANDSTILL
        return self._last

    def _moved_by(self, motion: Similarity) -> Floats:
        """(K, 2): how far a motion moves each patch."""
        assert self._fine is not None
        centres = self._fine.centres
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
        common = np.median(moved[good] * COARSE - last[good], axis=0)
        return np.asarray(last + common, np.float32)

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
        agree = kept.ravel() > 0
        if np.count_nonzero(agree) < max(LEAST_PATCHES, QUORUM * len(agree)):
            return None
        extent = np.ptp(at[agree], axis=0) / self._extent
        if extent[1] < SPREAD[0] or extent[0] < SPREAD[1]:
            return None
        return _fitted(at[agree], to[agree], self._size)

    def _lowers_change(self, levels: Floats, moved: Floats, counts: NDArray[np.bool_]) -> bool:
        """Whether a motion lowers the change of the patches that count, those among them that do not agree with it included."""
        assert self._fine is not None
        before = self._fine.change(levels, np.zeros_like(moved))[counts].mean()
        return bool(self._fine.change(levels, moved)[counts].mean() <= LOWERS * before)


def _fitted(at: Floats, to: Floats, size: tuple[int, int]) -> Similarity:
    """The similarity of least squares; a shift, where turning and scaling would move nothing visibly."""
    centre = at.mean(0, dtype=np.float64)
    own, theirs = at - centre, to - to.mean(0, dtype=np.float64)
    square = float((own**2).sum())
    a = float((own * theirs).sum()) / square
    b = float((own[:, 0] * theirs[:, 1] - own[:, 1] * theirs[:, 0]).sum()) / square
    if np.hypot(a - 1, b) * max(size) / 2 < 2 * STILL:
        a, b = 1.0, 0.0
    shift = to.mean(0, dtype=np.float64) - (a * centre[0] - b * centre[1], b * centre[0] + a * centre[1])
    return Similarity.of_centres(a, b, float(shift[0]), float(shift[1]))


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """(width, height) of the rectangle around what is True, 1 at least."""
    sides = [np.flatnonzero(mask.any(axis)) for axis in (0, 1)]
    width, height = (int(np.ptp(side)) + 1 if len(side) else 1 for side in sides)
    return width, height


def _smaller(grey: NDArray[np.uint8]) -> Floats:
    height, width = (max(COARSE, side // COARSE * COARSE) for side in grey.shape)
    whole = grey[:height, :width]
    if whole.shape != (height, width):
        return np.asarray(cv2.resize(grey, (width // COARSE, height // COARSE), interpolation=cv2.INTER_AREA), np.float32)
    # By halves, for which OpenCV has much faster code than for quarters.
    half = cv2.resize(whole, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, (width // COARSE, height // COARSE), interpolation=cv2.INTER_AREA), np.float32)


def _inside(points: Floats, boxes: NDArray[np.floating] | Sequence[object] | None) -> NDArray[np.bool_]:
    """(K, 2), (M, 4) xyxy -> (K,) whether a point lies in any of the boxes."""
    if boxes is None or not len(boxes):
        return np.zeros(len(points), np.bool_)
    x, y, edges = points[:, :1], points[:, 1:], np.asarray(boxes)
    return np.asarray(((x >= edges[:, 0]) & (x <= edges[:, 2]) & (y >= edges[:, 1]) & (y <= edges[:, 3])).any(1), np.bool_)
