"""What patches that were found in a picture say together: by the compiled extension where there is one, otherwise by NumPy, to the same
bits.

A fit is of places in steps of 1 / STEPS pixels, so that all sums are of whole numbers, and exact.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
F = TypeVar("F", np.float32, np.float64)

STEPS = 1024
FARTHEST = 2**15
"""Pixels beyond which no place is fitted."""


class Fit(NamedTuple):
    """A similarity of least squares: where (x, y) are the mean of the places that it leads from, and (to_x, to_y) of those that it leads
    to, it is (a u - b v, b u + a v) of what lies (u, v) beside the first, beside the second.

    number: of places. width, height: of the rectangle around those that it leads from, pixels.
    """

    number: int
    width: float
    height: float
    a: float
    b: float
    x: float
    y: float
    to_x: float
    to_y: float


def medians(values: NDArray[F]) -> NDArray[F]:
    """(K, …) -> (…): along the first axis. np.median imports numpy.ma when it is first called, which takes as long as a frame."""
    ordered, half = np.sort(values, axis=0), len(values) // 2
    return np.asarray(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2, values.dtype)


def guess_by_numpy(found: Floats, last: Floats, chosen: Flags, scale: float, out: Floats) -> None:
    """Write to out (K, 2) how far patches will have moved: as in `last`, and what those chosen moved by beside it, their median.

    found: (K, 2) how far they moved, times 1 / scale, which is a power of two. last: (K, 2). chosen: (K,), one or more. Raises ValueError
    for what does not fit.
    """
    if not found.shape == last.shape == out.shape == (len(chosen), 2) or not chosen.any():
        raise ValueError("there is one of each for a patch, and one is chosen")
    out[:] = last + medians(found[chosen] * np.float32(scale) - last[chosen])


def fit_by_numpy(at: Floats, to: Floats, chosen: Flags) -> tuple[int, float, float, float, float, float, float, float, float]:
    """The similarity that leads from some places to others: what a Fit is made of.

    at, to: (K, 2) x, y; places beyond FARTHEST count as there. chosen: (K,), one or more; where they are all in one place it neither turns
    nor scales. Raises ValueError for what does not fit.
    """
    if not at.shape == to.shape == (len(chosen), 2) or not chosen.any():
        raise ValueError("there is one of each for a place, and one is chosen")
    most = FARTHEST * STEPS
    steps = [np.clip(np.rint(places[chosen].astype(np.float64) * STEPS), -most, most) for places in (at, to)]
    (x, y), (u, v) = ([[int(value) for value in axis] for axis in places.T] for places in steps)
    count = len(x)

    def spread(one: list[int], other: list[int]) -> int:
        return count * sum(p * q for p, q in zip(one, other, strict=True)) - sum(one) * sum(other)

    square = float(spread(x, x)) + float(spread(y, y))
    a, b = (float(spread(x, u)) + float(spread(y, v)), float(spread(x, v)) - float(spread(y, u))) if square else (1.0, 0.0)
    divisor = square or 1.0
    means = [sum(axis) / (count * STEPS) for axis in (x, y, u, v)]
    return (count, (max(x) - min(x)) / STEPS, (max(y) - min(y)) / STEPS, a / divisor, b / divisor, means[0], means[1], means[2], means[3])


try:
    from skipvid.tasks._registered import fit_similarity as fit_similarity
    from skipvid.tasks._registered import guess_patches as guess_patches
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    fit_similarity, guess_patches = fit_by_numpy, guess_by_numpy
"""As `fit_by_numpy` and `guess_by_numpy`, in one call where the extension is there."""
