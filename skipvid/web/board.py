"""What is known of every source while it is analysed. The analysis puts results in; viewers take pictures and numbers out, at their own
pace: a picture is drawn when somebody asks for it, and the analysis never waits for that."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import OutputError, UsageError
from skipvid.core.results import FrameResult, RunHeader
from skipvid.tasks.areas import Area, Areas, Points
from skipvid.video.draw import RecentActivity, draw_result
from skipvid.web.history import History
from skipvid.web.kept_areas import KeptAreas

State = Literal["connecting", "running", "lost", "ended", "failed"]

WATCHED = 3.0
"""Seconds after a viewer's last question for which he is taken to be there."""

QUALITY = 80
"""Of the pictures, as JPEG."""

WIDEST = 1920
"""Pixels of a picture that is sent, across."""


class Camera:
    """One source. Its results come from the thread that analyses it; everything else may be called from any thread.

    name: for people. areas: where what is drawn on the page is kept.
    """

    def __init__(self, name: str, areas: KeptAreas) -> None:
        self.name = name
        self._areas = areas
        self._given: Areas | None = None
        self._lock = threading.Lock()
        self._state: State = "connecting"
        self._message = ""
        self._header: RunHeader | None = None
        self._look: Callable[[Areas | None], None] | None = None
        self._new_areas = bool(areas.polygons)
        self._history = History()
        self._recent = RecentActivity()
        self._result: FrameResult | None = None
        self._number = 0
        self._dropped = 0
        self._asked = 0.0
        self._drawn: dict[tuple[bool, int], tuple[int, bytes]] = {}

    def opened(self, header: RunHeader, look: Callable[[Areas | None], None] | None, given: Areas | None = None) -> None:
        """It is connected, and its analysis begins. look: gives that other areas, between two frames; None: it takes none. given: areas
        that it looks at in any case."""
        with self._lock:
            self._header, self._look, self._given, self._state = header, look, given, "running"
        self.between_frames()

    def update(self, result: FrameResult, dropped: int) -> None:
        """A frame was analysed; dropped: those that were not, so far. From the thread of the analysis, as `opened`."""
        now = time.monotonic()
        delay = None if result.frame.arrived is None else (now - result.frame.arrived) * 1e3
        with self._lock:
            # The mask shows what was computed lately, which takes all results; nobody looks: then it need not be known.
            self._result = self._recent(result) if now - self._asked < WATCHED else result
            self._number += 1
            self._dropped = dropped
            self._state, self._message = "running", ""
            self._history.add(now, None if result.cost is None else result.cost.saving, delay, dropped)
        self.between_frames()

    def between_frames(self) -> None:
        """Let the analysis take areas that were drawn meanwhile."""
        with self._lock:
            look = self._look if self._new_areas else None
            self._new_areas = False
            areas = self._all_areas(self._areas.polygons)
        if look is not None:
            look(areas)

    def said(self, line: str) -> None:
        """The source had something to say: its connection was lost, or is back."""
        with self._lock:
            self._message = line
            if self._state == "running" and "connection lost" in line:
                self._state = "lost"

    def ended(self, message: str = "", failed: bool = False) -> None:
        """Nothing more will come."""
        with self._lock:
            self._state, self._message = "failed" if failed else "ended", message

    def draw_areas(self, polygons: Sequence[Points]) -> str:
        """Ignore these areas of the picture, in shares of it, instead of those drawn before. Returns what became of that, in a line.

        Raises UsageError where nothing would be left of the picture, or it is not known yet.
        """
        with self._lock:
            if self._header is None:
                raise UsageError("the picture is not known yet", "wait for the camera")
            source = self._header.source
            areas = self._all_areas(tuple(polygons))
            if areas is not None:
                areas.left_out(source.height, source.width)
            try:
                where = self._areas.keep(tuple(polygons))
            except OutputError as error:
                where = f"not kept for later: {error}"
            self._new_areas = self._look is not None
            now = "in use from the next frame on" if self._new_areas else "in use in the next run"
        return f"{now}; {where}"

    def _all_areas(self, polygons: tuple[Points, ...]) -> Areas | None:
        drawn = (Area(polygons),) if polygons else ()
        if self._given is None:
            return Areas(ignore=drawn) if drawn else None
        return Areas((*self._given.ignore, *drawn), self._given.only)

    def picture(self, seen: int, mask: bool, width: int) -> tuple[int, bytes] | None:
        """(number, JPEG) of the newest frame with its results, drawn in the thread that calls; None where there is none after `seen`.

        width: pixels across, at most. mask: tint what was computed.
        """
        with self._lock:
            self._asked = time.monotonic()
            result, number = self._result, self._number
            key = (mask, min(width, WIDEST))
            drawn = self._drawn.get(key)
        if result is None or number <= seen:
            return None
        if drawn is not None and drawn[0] == number:
            return drawn
        drawn = number, _jpeg(draw_result(result, overlay="mask" if mask else "none"), key[1])
        with self._lock:
            self._drawn = {other: each for other, each in self._drawn.items() if each[0] == number} | {key: drawn}
        return drawn

    @property
    def newest(self) -> int:
        """Number of the newest frame, from 1; 0: none yet."""
        return self._number

    def record(self) -> dict[str, Any]:
        """What a viewer is told once a second."""
        with self._lock:
            result, header = self._result, self._header
            record: dict[str, Any] = {
                "name": self.name,
                "state": self._state,
                "message": self._message,
                "frames": self._number,
                "dropped": self._dropped,
                "areas": [[list(point) for point in polygon] for polygon in self._areas.polygons],
                "history": self._history.series(time.monotonic()),
            }
        if header is not None:
            source = header.source
            record |= {"width": source.width, "height": source.height, "live": source.live, "gated": header.gate != "none"}
        if result is not None:
            found = result.detections
            record["labels"] = Counter(found.labels)
            record["ids"] = (
                [] if found.ids is None else [[int(number), label] for number, label in zip(found.ids, found.labels, strict=True)]
            )
            record["counts"] = [{"name": each.name, "totals": dict(each.totals), "inside": each.inside} for each in result.counts]
        return record


def _jpeg(image: NDArray[np.uint8], width: int) -> bytes:
    height, own = image.shape[:2]
    if own > width:
        image = np.asarray(cv2.resize(image, (width, max(1, round(height * width / own))), interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("the picture could not be written as JPEG")
    return data.tobytes()
