"""Squares of an anchor that are found again in other pictures, all of them at once.

By the inverse compositional method: Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004.

They are compared by the compiled extension where there is one, otherwise by NumPy, to the same bits: positions are in steps of 1 / STEPS
pixels, and steepest descents lie on a grid, so that all sums are exact in float64, whatever the order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.fitting import medians

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]

RADIUS = 4
SIDE = 2 * RADIUS + 1
STEPS = 32
ARRIVED = 0.02
"""Pixels: where half of the patches moved by no more in a step, there is no other one."""
STILL = 0.08
"""Pixels of the network's picture below which a motion is none: estimates scatter by half as much."""
CALM = 0.3
"""A picture in which half of the patches moved by less than this may stand still as a whole; above, it turns or is scaled."""
NOISE, FITS = 2.0, 0.4
"""A patch is found where what is left of it is below NOISE grey levels and FITS times its contrast (standard deviations)."""
LARGEST_CHANGE = 32
"""Grey levels; a pixel that changed by more says no more than this."""
LARGEST_STEP = 2.0
_FAR = np.float32(1e6)
_GRID, _STEEPEST = 2.0**20, 64.0
"""Steepest descents are in steps of 1 / _GRID pixels a grey level, and at most so large, which no patch with a corner reaches."""
_AT = np.arange(-RADIUS, RADIUS + 2)


class Patches:
    """Squares of an anchor at one resolution, prepared for being found again.

    picture: (h, w) uint8 grey levels. centres: (K, 2) float32 x, y of pixel centres, whole numbers, RADIUS + 1 or more from the border.
    """

    def __init__(self, picture: Grey, centres: Floats) -> None:
        self.centres = np.ascontiguousarray(centres, np.float32)
        columns, rows = (np.rint(centres[:, axis]).astype(np.intp)[:, None, None] for axis in (0, 1))
        y, x = rows + _AT[:-1, None], columns + _AT[:-1]
        levels, count = picture.astype(np.int16), len(centres)
        self._levels = picture[y, x].reshape(count, SIDE**2)
        dx, dy = ((levels[y, x + 1] - levels[y, x - 1]) / 2, (levels[y + 1, x] - levels[y - 1, x]) / 2)
        dx, dy = (each.reshape(count, SIDE**2) - each.mean((1, 2))[:, None] for each in (dx, dy))  # so that brightness may change
        xx, xy, yy = ((one * other).sum(1) for one, other in ((dx, dx), (dx, dy), (dy, dy)))
        determinant = np.maximum(xx * yy - xy * xy, 1e-3)
        inverse = np.stack([np.stack([yy, -xy], 1), np.stack([-xy, xx], 1)], 1) / determinant[:, None, None]
        descents = np.clip(-(inverse @ np.stack([dx, dy], 1)), -_STEEPEST, _STEEPEST)  # (K, 2, P)
        self._descents = np.ascontiguousarray(np.rint(descents * _GRID) / _GRID)
        self._limits = np.asarray(NOISE + FITS * self._levels.std(1, dtype=np.float64), np.float64)
        self._rest = np.zeros((count, 2), np.float32)

    def _measure(self, picture: Grey, moved: Floats) -> NDArray[np.float64]:
        """(K, 4): how much further patches are than where they are thought to be, x, y; what is left of them; how much they changed."""
        measures = np.empty((len(self.centres), 4), np.float64)
        measure_patches(picture, self.centres, moved, self._levels, self._descents, LARGEST_CHANGE, measures)
        return measures

    def are_still(self, picture: Grey, counts: NDArray[np.bool_], near: float) -> tuple[bool, NDArray[np.bool_]]:
        """Whether those of the patches that count are, on the whole, where they were; and (K,) which are, to within `near` pixels."""
        measures = self._measure(picture, self._rest)
        aside, unlike = np.hypot(measures[:, 0], measures[:, 1]), measures[:, 2] - self._limits
        there = (unlike < 0) & (aside < near)
        calm = medians(unlike[counts]) <= 0 and medians(aside[counts]) < CALM
        return bool(calm and np.abs(medians(measures[counts, :2])).max() < STILL), there

    def find(self, picture: Grey, guess: Floats, steps: int) -> tuple[Floats, NDArray[np.bool_]]:
        """(K, 2) how far the patches have moved, from a guess, and (K,) whether they were found."""
        moved, found = np.array(guess, np.float32, order="C"), np.empty(len(guess), np.bool_)
        find_patches(picture, self.centres, self._levels, self._descents, self._limits, steps, ARRIVED, moved, found)
        return moved, found

    def change(self, picture: Grey, chosen: NDArray[np.bool_], moved: Floats | None = None) -> int:
        """How much the chosen patches, (K,), have changed in all when they are looked for there, in parts of a grey level.

        moved: (K, 2); None: where they were.
        """
        where = self._rest if moved is None else moved
        return sum_changes(picture, self.centres, where, self._levels, self._descents, chosen, LARGEST_CHANGE)


def measure_by_numpy(
    picture: Grey,
    centres: Floats,
    moved: Floats,
    levels: Grey,
    descents: NDArray[np.float64],
    most: int,
    out: NDArray[np.float64],
) -> None:
    """Compare patches with where they are thought to be in a picture (h, w) uint8, by linear interpolation; beyond its border it goes on
    as there.

    centres: (K, 2) x, y, float32. moved: (K, 2) how far each is thought to have moved. levels: (K, P) uint8, as they were, row by row.
    descents: (K, 2, P) float64, multiples of 2 ** -20 up to 64 pixels a grey level. out: (K, 4) float64, written to: the sums of the
    descents times what is left of a patch, x and y; the standard deviation of what is left; and its mean magnitude, of each pixel `most`
    grey levels at most. Raises ValueError for what does not fit.
    """
    count, unit = len(centres), STEPS**2
    shapes = (moved.shape, levels.shape, descents.shape, out.shape)
    if shapes != ((count, 2), (count, SIDE**2), (count, 2, SIDE**2), (count, 4)) or not 0 <= most <= 255 or not picture.size:
        raise ValueError("there is one of each for a patch, which has 81 pixels, and what counts at most is a byte")
    places = centres + moved
    places = np.where(places > -_FAR, np.minimum(places, _FAR), -_FAR)
    whole, share = np.divmod(np.rint(places * np.float32(STEPS)).astype(np.int64), STEPS)
    columns, rows = (np.clip(whole[:, axis, None] + _AT, 0, picture.shape[1 - axis] - 1) for axis in (0, 1))
    around = picture[rows[:, :, None], columns[:, None, :]].astype(np.int64)
    x, y = share[:, 0, None, None], share[:, 1, None, None]
    across = (STEPS - x) * around[:, :, :-1] + x * around[:, :, 1:]
    rest = ((STEPS - y) * across[:, :-1] + y * across[:, 1:]).reshape(count, SIDE**2) - unit * levels.astype(np.int64)
    out[:, :2] = (descents * rest[:, None]).sum(2) / unit
    spread = SIDE**2 * (rest * rest).sum(1) - rest.sum(1) ** 2
    out[:, 2] = np.sqrt(spread.astype(np.float64)) / (SIDE**2 * unit)
    out[:, 3] = np.minimum(np.abs(rest), most * unit).sum(1) / (SIDE**2 * unit)


def find_by_numpy(
    picture: Grey,
    centres: Floats,
    levels: Grey,
    descents: NDArray[np.float64],
    limits: NDArray[np.float64],
    rounds: int,
    arrived: float,
    moved: Floats,
    out: NDArray[np.bool_],
) -> None:
    """Look for patches in a picture, in `rounds` steps of up to LARGEST_STEP pixels; one in which half of them move by `arrived` or less is
    the last one.

    limits: (K,) float64, grey levels: one is found where the standard deviation of what is left of it is below. moved: (K, 2) float32,
    where they are thought to be; where they were found is written to it. out: (K,), written to: whether they were found, and lie in the
    picture as a whole. The others, and what is raised: as of `measure_by_numpy`.
    """
    if moved.shape != (len(centres), 2) or not limits.shape == out.shape == (len(centres),):
        raise ValueError("there is one of each for a patch")
    measures = np.empty((len(centres), 4), np.float64)
    for _ in range(rounds):
        measure_by_numpy(picture, centres, moved, levels, descents, 0, measures)
        step = np.clip(measures[:, :2], -LARGEST_STEP, LARGEST_STEP).astype(np.float32)
        moved += step
        if np.count_nonzero(np.abs(step).max(1) > np.float32(arrived)) <= len(step) // 2:
            break
    measure_by_numpy(picture, centres, moved, levels, descents, 0, measures)
    places, (height, width) = centres + moved, picture.shape
    inside = (places >= RADIUS).all(1) & (places[:, 0] < width - RADIUS) & (places[:, 1] < height - RADIUS)
    out[:] = inside & (measures[:, 2] < limits)


def sum_by_numpy(
    picture: Grey,
    centres: Floats,
    moved: Floats,
    levels: Grey,
    descents: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    most: int,
) -> int:
    """How much the chosen patches, (K,), have changed in all, as `measure_by_numpy` measures it, times SIDE² · STEPS²: a whole number."""
    if chosen.shape != (len(centres),):
        raise ValueError("there is one of each for a patch")
    measures = np.empty((len(centres), 4), np.float64)
    measure_by_numpy(picture, centres, moved, levels, descents, most, measures)
    return int(np.rint(measures[chosen, 3] * (SIDE**2 * STEPS**2)).astype(np.int64).sum())


try:
    from skipvid.tasks._registered import find_patches as find_patches
    from skipvid.tasks._registered import measure_patches as measure_patches
    from skipvid.tasks._registered import sum_changes as sum_changes
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    find_patches, measure_patches, sum_changes = find_by_numpy, measure_by_numpy, sum_by_numpy
"""As `find_by_numpy`, `measure_by_numpy` and `sum_by_numpy`, in one call where the extension is there."""
