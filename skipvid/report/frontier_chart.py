"""The frontier of a calibration as inline SVG: what is lost over how many times fewer MACs are executed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 860, 34, 250
_APART = 15
"""Pixels that labels below each other keep."""


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A working point. lost: points, with the ends of its interval, infinite where unknown. at_most: its upper limit."""

    fewer: float
    lost: float
    low: float
    high: float
    at_most: float


def frontier_chart(points: Sequence[ChartPoint], promised: int, limit: float | None, measure: str) -> str:
    """points: at least one. promised: number of the one that was chosen. limit: the loss that is allowed. measure: what is lost.

    Losses grow downwards by their root: half a point stays visible beside fifty. Points whose loss is no number are left out.
    """
    kept = [point for point in points if math.isfinite(point.lost)]
    values = [value for point in kept for value in (point.lost, point.low, point.high, point.at_most) if math.isfinite(value)]
    low, high = _root(min([0.0, *values])), _root(max([0.1, *values, limit or 0.0]))
    least, most = min([1.0, *(point.fewer for point in kept)]), 1.03 * max([1.5, *(point.fewer for point in kept)])

    def x(fewer: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (fewer - least) / (most - least)

    def y(lost: float) -> float:
        return _TOP + (_BOTTOM - _TOP) * (_root(lost) - low) / (high - low)

    parts = [
        f'<text x="{_LEFT}" y="14">points of {escape(measure)} lost</text>',
        f'<text x="{_RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">times fewer MACs</text>',
        *(
            f'<path class="grid" d="M{_LEFT} {y(level):.1f}H{_RIGHT}"/>{_beside(level, y(level))}'
            for level in _levels(y, [*values, limit or 0.0])
        ),
        *(f'<text x="{x(tick):.1f}" y="{_BOTTOM + 20}" text-anchor="middle">{tick:g}x</text>' for tick in _ticks(least, most)),
    ]
    if limit is not None:
        parts += [
            f'<path class="key" d="M{_LEFT} {y(limit):.1f}H{_RIGHT}"/><text x="{_RIGHT + 8}" y="{y(limit) + 4:.1f}">goal {limit:g}</text>'
        ]
    for point in kept:
        if math.isfinite(point.low) and math.isfinite(point.high):
            parts.append(f'<path class="range" d="M{x(point.fewer):.1f} {y(point.low):.1f}V{y(point.high):.1f}"/>')
        parts.append(f'<path class="most" d="M{x(point.fewer) - 7:.1f} {y(point.at_most):.1f}h14"/>')
    line = " ".join(f"{x(point.fewer):.1f},{y(point.lost):.1f}" for point in sorted(kept, key=lambda point: point.fewer))
    parts.append(f'<polyline class="line" points="{line}"/>')
    parts += [_dot("level", x(point.fewer), y(point.lost), 3) for point in kept]
    if math.isfinite(points[promised].lost):
        parts.append(_dot("spent", x(points[promised].fewer), y(points[promised].lost), 6))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="points lost over MACs">{"".join(parts)}</svg>'


def _root(value: float) -> float:
    return math.copysign(math.sqrt(abs(value)), value)


def _levels(y: Callable[[float], float], values: Iterable[float]) -> list[float]:
    """Round losses from the least to the greatest, as far apart as their labels need; 0 is one of them."""
    low, high = min([0.0, *values]), max([0.1, *values])
    steps = [digit * 10.0**power for power in range(-1, 3) for digit in (1, 2, 5)]
    found = [0.0]
    for signed in (steps, [-step for step in steps]):
        last = 0.0
        for level in signed:
            if low <= level <= high and abs(y(level) - y(last)) >= _APART:
                found.append(level)
                last = level
    return found


def _ticks(least: float, most: float) -> list[float]:
    """Six round numbers or so between two."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, math.inf) if (most - least) / step <= 7)
    return [number * step for number in range(math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9) + 1)]


def _beside(level: float, y: float) -> str:
    return f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>'


def _dot(kind: str, x: float, y: float, radius: int) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
