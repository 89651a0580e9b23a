"""The cost CSV of all sources of a command together."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.video.sinks.base import Sink

if TYPE_CHECKING:
    from skipvid.core.results import FrameResult, RunHeader, RunSummary
    from skipvid.report import CostCsv


class SharedCosts:
    """The cost CSV of all sources together: one file, finished after the last of them."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._path, self._stack = Path(path), stack
        self._csv: CostCsv | None = None
        self._last: RunSummary | None = None
        self._sources = 0

    def next_run(self, header: RunHeader) -> Sink:
        """The sink of one source."""
        from skipvid.report import CostCsv

        if self._csv is None:
            self._csv = self._stack.enter_context(CostCsv(self._path, header))
        else:
            self._close_run()
            self._csv.next_run(header)
        return _Run(self, self._csv)

    def end_run(self, summary: RunSummary) -> None:
        """Note the totals of a source."""
        self._last = summary

    def finish(self) -> None:
        """Complete the file, if a source was analysed. Sources that failed have no rows in it."""
        if self._csv is not None:
            self._close_run()
            if self._sources:
                self._csv.complete()

    def _close_run(self) -> None:
        assert self._csv is not None
        if self._last is None:
            self._csv.drop_run()
        else:
            self._csv.end_run(self._last)
            self._sources += 1
        self._last = None


class _Run(Sink):
    """Passes one source's frames on to the shared file and leaves it open."""

    def __init__(self, costs: SharedCosts, csv: CostCsv) -> None:
        self.path = csv.path
        self._costs, self._csv = costs, csv

    def write(self, result: FrameResult) -> None:
        self._csv.write(result)

    def finish(self, summary: RunSummary) -> None:
        self._costs.end_run(summary)

    def close(self) -> None:
        """The shared file is closed with the command."""
