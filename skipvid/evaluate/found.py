"""What is asked of a calibration, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from skipvid.core.errors import UsageError
from skipvid.evaluate.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Goal:
    """drop: lose at most `value` points. saving: need `value` times fewer MACs. budget: `value` milliseconds a frame for the network."""

    kind: Literal["drop", "saving", "budget"]
    value: float

    def __str__(self) -> str:
        words = {"drop": "at most {:g} points lost", "saving": "{:g} times fewer MACs", "budget": "at most {:g} ms a frame"}
        return words[self.kind].format(self.value)

    def met_by(self, point: Point) -> bool:
        if self.kind == "drop":
            return point.at_most <= self.value
        return point.fewer >= self.value if self.kind == "saving" else point.ms <= self.value


@dataclass(frozen=True, slots=True)
class Point:
    """A working point. lost: points of the measure against the yardstick, on the frames that were looked at. at_most: what is not exceeded
    with the confidence of `evidence.SURE`. fewer: times fewer MACs. ms: median of the network a frame."""

    level: float
    lost: Interval
    at_most: float
    fewer: float
    ms: float


class GoalNotMet(UsageError):
    """No working point meets a goal. frontier: what there is."""

    def __init__(self, message: str, hint: str, frontier: Sequence[Point]) -> None:
        super().__init__(message, hint)
        self.frontier = tuple(frontier)


@dataclass(frozen=True, slots=True)
class Found:
    """threshold, thresholds: to be used. promised: measured on the blocks that were left out. frontier: the same at every level.

    measure: its name. yardstick: the measure of the dense network; without truth, of the dense network under noise. dense_ms: its time.
    objects: that there were to be found in the frames.
    """

    threshold: float
    thresholds: dict[str, float]
    promised: Point
    frontier: tuple[Point, ...]
    measure: str
    yardstick: float
    dense_ms: float
    frames: int
    objects: int

    def unproven(self, goal: Goal) -> Point | None:
        """The next level, where it kept the goal on these frames and only its upper limit did not: more frames might allow it."""
        further = next((point for point in self.frontier if point.level > self.promised.level), None)
        return further if goal.kind == "drop" and further is not None and further.lost.value <= goal.value else None
