"""Counting: who crosses a line, and in which direction; who enters and leaves a zone, and how many are in it.

An object is where it stands: at the middle of its box's lower edge. It has changed sides once it is clear of the line by a tenth of its
height, so that a box that trembles on the line is not counted again and again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.core.results import Count, CountEvent, Detections
from skipvid.tasks.areas import Points, on_a_line, read_points, to_pixels

FORM = "write it as 'x,y x,y', in pixels or in shares of the picture"

CLEAR = 0.1
"""Heights of its box by which an object must be clear of a line to be on one side of it."""

FORGOTTEN = 10.0
"""Seconds after which an identity that is not seen is forgotten."""


@dataclass(frozen=True, slots=True)
class CountOption:
    """What is counted. points: two make a line, three or more a zone; in pixels, or in shares of the picture where none is above 1."""

    name: str
    points: Points


def read_count(text: str) -> CountOption:
    """A line or a zone from "x,y x,y" or "name=x,y x,y ...". Raises UsageError."""
    name, equals, points = text.rpartition("=")
    if equals and not name.strip():
        raise UsageError(f"'{text}' has no name before =", "write it as 'door=x,y x,y'")
    placed = read_points(points, FORM)
    if len(placed) < 2 or len(set(placed)) < len(placed):
        raise UsageError(f"'{text}' needs two points for a line, or three and more for a zone, all different", FORM)
    if len(placed) > 2 and on_a_line(placed):
        raise UsageError(f"the points of '{text}' lie on a line, so that there is nothing in the zone", "give two for a line, or corners")
    return CountOption(name.strip() or ("line" if len(placed) == 2 else "zone"), placed)


@dataclass(slots=True)
class _Seen:
    """An identity. side: on which it was last for sure, -1 or 1; 0: not yet. place: where it was then. time: of the last frame with it."""

    side: int
    place: NDArray[np.float64]
    time: float


class _Counting(ABC):
    """One line or zone in frames of one size. points: (N, 2) in pixels."""

    kinds: tuple[str, str]

    def __init__(self, name: str, points: NDArray[np.float64]) -> None:
        self.name, self.points = name, points
        self._seen: dict[int, _Seen] = {}

    def update(self, detections: Detections, time: float) -> list[CountEvent]:
        """Events of this frame."""
        ids = [] if detections.ids is None else detections.ids.tolist()
        boxes = detections.boxes.astype(np.float64)
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], 1)
        events = []
        for identity, label, foot, clear in zip(ids, detections.labels, feet, CLEAR * (boxes[:, 3] - boxes[:, 1]), strict=True):
            distance = self._distance(foot)
            side = 0 if abs(distance) < clear else 1 if distance > 0 else -1
            seen = self._seen.setdefault(identity, _Seen(side, foot, time))
            seen.time = time
            if side and seen.side and side != seen.side and self._passed(seen.place, foot):
                events.append(CountEvent(self.name, self.kinds[side > 0], label, identity))
            if side:
                seen.side, seen.place = side, foot
        self._seen = {identity: seen for identity, seen in self._seen.items() if time - seen.time <= FORGOTTEN}
        return events

    def inside(self, time: float) -> int | None:
        """How many are in a zone in the frame of this time; None for a line."""
        return None

    @abstractmethod
    def _distance(self, foot: NDArray[np.float64]) -> float:
        """Pixels from the line; above 0 on the right, or inside."""

    def _passed(self, before: NDArray[np.float64], now: NDArray[np.float64]) -> bool:
        """Whether the way between two places on different sides counts."""
        return True


class _Line(_Counting):
    kinds = ("left", "right")

    def _distance(self, foot: NDArray[np.float64]) -> float:
        (x1, y1), (x2, y2) = self.points
        return float(((x2 - x1) * (foot[1] - y1) - (y2 - y1) * (foot[0] - x1)) / np.hypot(x2 - x1, y2 - y1))

    def _passed(self, before: NDArray[np.float64], now: NDArray[np.float64]) -> bool:
        """Whether it went through between the ends of the line, not round them."""
        first, second = self._distance(before), self._distance(now)
        crossing = before + (now - before) * first / (first - second)
        along = self.points[1] - self.points[0]
        return bool(0 <= (crossing - self.points[0]) @ along <= along @ along)


class _Zone(_Counting):
    kinds = ("leave", "enter")

    def _distance(self, foot: NDArray[np.float64]) -> float:
        return float(cv2.pointPolygonTest(self.points.astype(np.float32), (float(foot[0]), float(foot[1])), True))

    def inside(self, time: float) -> int | None:
        here = (seen for seen in self._seen.values() if seen.time == time)
        return sum(self._distance(seen.place) > 0 for seen in here)


class Counts:
    """All lines and zones of one stream. options: what is counted."""

    def __init__(self, options: Sequence[CountOption]) -> None:
        self._options = options
        self._countings: list[_Counting] = []
        self.totals: dict[str, Counter[tuple[str, str]]] = {option.name: Counter() for option in options}
        self._kinds = {option.name: (_Line if len(option.points) == 2 else _Zone).kinds for option in options}
        self._most = {option.name: 0 for option in options}

    def begin_anew(self, size: tuple[int, int]) -> None:
        """Frames of (height, width) are to come; identities are other ones, totals go on.

        Raises UsageError where a line or a zone lies beside them, so that nothing would ever be counted.
        """
        placed = [(option, to_pixels(option.points, *size)) for option in self._options]
        for option, points in placed:
            if (points.min(0) >= size[::-1]).any():
                raise UsageError(f"the count {option.name} lies beside a picture of {size[1]}x{size[0]}", "check its points")
        self._countings = [(_Line if len(points) == 2 else _Zone)(option.name, points) for option, points in placed]

    def update(self, detections: Detections, time: float) -> tuple[tuple[CountEvent, ...], tuple[Count, ...]]:
        """What happened in this frame, and how things stand after it."""
        events: list[CountEvent] = []
        states = []
        for counting in self._countings:
            new = counting.update(detections, time)
            self.totals[counting.name].update((event.kind, event.label) for event in new)
            events += new
            inside = counting.inside(time)
            self._most[counting.name] = max(self._most[counting.name], inside or 0)
            states.append(Count(counting.name, counting.points.astype(np.int32), self._by_kind(counting.name), inside))
        return tuple(events), tuple(states)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each, by direction and category."""
        return tuple(self._note(option) for option in self._options)

    def _by_kind(self, name: str) -> Mapping[str, int]:
        totals = self.totals[name]
        return {kind: sum(number for (other, _), number in totals.items() if other == kind) for kind in reversed(self._kinds[name])}

    def _note(self, option: CountOption) -> str:
        parts = []
        for kind, number in self._by_kind(option.name).items():
            labels = sorted((label, count) for (other, label), count in self.totals[option.name].items() if other == kind)
            split = f" ({', '.join(f'{label} {count}' for label, count in labels)})" if labels else ""
            parts.append(f"{number} {kind}{split}")
        most = f", at most {self._most[option.name]} inside" if len(option.points) > 2 else ""
        return f"count {option.name}: {', '.join(parts)}{most}"
