"""The cost CSV of all sources of a command together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.core.errors import OutputError
from skipvid.video.sinks.base import Sink

if TYPE_CHECKING:
    from skipvid.core.results import FrameResult, RunHeader, RunSummary
    from skipvid.report import CostCsv


class SharedCosts:
    """The cost CSV of all sources together: one file, finished after the last of them. Runs may write to it side by side."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._path, self._stack = Path(path), stack
        self._csv: CostCsv | None = None
        self._sources = 0
        self._lock = threading.Lock()
        self._failure: OutputError | None = None

    def next_run(self, header: RunHeader) -> Sink:
        """The sink of one source; where it is closed without being finished, the source has no rows."""
        from skipvid.report import CostCsv

        with self._lock:
            if self._csv is None:
                self._csv = self._stack.enter_context(CostCsv(self._path, header))
        return _Run(self, self._csv, header)

    def write(self, csv: CostCsv, header: RunHeader, result: FrameResult) -> None:
        """A frame of one source."""
        with self._writing():
            csv.write_of(header, result)

    def end(self, csv: CostCsv, header: RunHeader, summary: RunSummary) -> None:
        """The totals of a source."""
        with self._writing():
            csv.end_of(header, summary)
            self._sources += 1

    def drop(self, csv: CostCsv, header: RunHeader) -> None:
        """Take back the rows of a source that failed."""
        if self._failure is None:
            with self._writing():
                csv.drop_source(header.source.name)

    def finish(self) -> None:
        """Complete the file, if a source was analysed, and it could be written."""
        if self._csv is not None and self._sources and self._failure is None:
            self._csv.complete()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One at a time. Once the file could not be written it is thrown away, and all sources that want to write to it fail alike."""
        with self._lock:
            if self._failure is not None:
                raise OutputError(self._failure.message, self._failure.hint)
            try:
                yield
            except OutputError as error:
                self._failure = error
                raise


class _Run(Sink):
    """Passes one source's frames on to the shared file and leaves it open."""

    def __init__(self, costs: SharedCosts, csv: CostCsv, header: RunHeader) -> None:
        self.path = csv.path
        self._costs, self._csv, self._header = costs, csv, header
        self._ended = False

    def write(self, result: FrameResult) -> None:
        self._costs.write(self._csv, self._header, result)

    def finish(self, summary: RunSummary) -> None:
        self._costs.end(self._csv, self._header, summary)
        self._ended = True

    def close(self) -> None:
        """The shared file is closed with the command."""
        if not self._ended:
            self._costs.drop(self._csv, self._header)
            self._ended = True
