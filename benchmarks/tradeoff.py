"""What one kind of gate needs at the accuracy of another."""

from __future__ import annotations

import math
from collections.abc import Sequence


def gain_at_equal_accuracy(curve: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """The largest gain, e.g. times fewer MACs, of a kind of gate that is at least so accurate.

    curve: (accuracy, gain) of some of its settings, in any order. Between settings the gain is interpolated, its logarithm linearly over
    accuracy; a setting that is beaten in both by another one, as happens where truth is noisy, does not count. None where no setting is
    accurate enough.
    """
    best: list[tuple[float, float]] = []  # from the largest gain down, each more accurate than those before
    for point in sorted(curve, key=lambda point: -point[1]):
        if not best or point[0] > best[-1][0]:
            best.append(point)
    below: tuple[float, float] | None = None
    for reached, gain in best:
        if reached >= accuracy:
            if below is None:
                return gain
            share = (reached - accuracy) / (reached - below[0])
            return math.exp((1 - share) * math.log(gain) + share * math.log(below[1]))
        below = (reached, gain)
    return None


def at_equal_gain(curve: Sequence[tuple[float, float]], gain: float) -> float | None:
    """The accuracy where a curve of (accuracy, gain) comes to `gain`, interpolated over its logarithm; None outside of the curve."""
    points = sorted(curve, key=lambda point: point[1])
    for (low_accuracy, low), (high_accuracy, high) in zip(points, points[1:], strict=False):
        if low <= gain <= high:
            share = math.log(gain / low) / math.log(high / low) if high > low else 0.0
            return low_accuracy + share * (high_accuracy - low_accuracy)
    return None
