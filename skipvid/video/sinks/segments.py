"""Recordings that roll over: one output after the other, each a whole file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from skipvid.core.results import FrameResult, RunSummary
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.targets import VIDEO_SUFFIXES, suffix_of


class Totals(Protocol):
    """What adds up the results of one file; skipvid.report.SummaryBuilder is one."""

    def add(self, result: FrameResult, extra_ms: Mapping[str, float] | None = None) -> None:
        """Count one frame."""

    def build(self, wall_seconds: float) -> RunSummary:
        """The totals so far."""


class SegmentSink(Sink):
    """Writes files of `seconds` of frame time each, called by the local time at which they begin: cam.mp4 -> cam-20260131-235959.mp4.

    A file begins at the first frame at or after a multiple of `seconds`; for a time without frames there is none. The times of a video
    count from its own first frame, those of records from the first frame of the run. Each file ends with totals of its own; `path` is the
    newest one.
    open_one: opens the output of that name. totals: called for each file. tell: called with each file that is whole before the run ends.
    """

    def __init__(
        self, target: str, seconds: float, open_one: Callable[[str], Sink], totals: Callable[[], Totals], tell: Callable[[Path], None]
    ) -> None:
        self._target, self._seconds = Path(target), seconds
        self._suffix = suffix_of(target)
        self._open_one, self._make_totals, self._tell = open_one, totals, tell
        self._sink: Sink | None = None
        self._totals: Totals | None = None
        self._began = 0.0
        self._number = -1
        self._first_time = 0.0

    def write(self, result: FrameResult) -> None:
        number = int(result.frame.time // self._seconds)
        if self._sink is None or number > self._number:
            self._roll(number, result.frame.time)
        assert self._sink is not None and self._totals is not None
        self._totals.add(result)
        if self._suffix in VIDEO_SUFFIXES:
            result = replace(result, frame=replace(result.frame, time=result.frame.time - self._first_time))
        self._sink.write(result)

    def finish(self, summary: RunSummary) -> None:
        if self._sink is None:
            return
        self._finish_one(summary.interrupted)
        self._sink.close()

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _roll(self, number: int, first_time: float) -> None:
        if self._sink is not None:
            self._finish_one(False)
            if self.path is not None:
                self._tell(self.path)
            self._sink.close()
        # Opened only when the one before is whole: a file that cannot be opened must not cost it.
        self._sink = None
        path = self._next_path()
        self._sink = self._open_one(str(path))
        self.path, self._number, self._first_time = path, number, first_time
        self._totals, self._began = self._make_totals(), time.perf_counter()

    def _finish_one(self, interrupted: bool) -> None:
        assert self._sink is not None and self._totals is not None
        totals = self._totals.build(time.perf_counter() - self._began)
        self._sink.finish(replace(totals, interrupted=interrupted))
        self.problem = self.problem or self._sink.problem

    def _next_path(self) -> Path:
        stem = self._target.name[: -len(self._suffix)] + time.strftime("-%Y%m%d-%H%M%S")
        path, again = self._target.with_name(stem + self._suffix), 2
        while path.exists():
            path, again = self._target.with_name(f"{stem}-{again}{self._suffix}"), again + 1
        return path
