"""A file that all sources of a command write to: the cost CSV, and the events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from skipvid.core.errors import OutputError
from skipvid.video.sinks.base import Sink

if TYPE_CHECKING:
    from types import TracebackType

    from skipvid.core.results import FrameResult, RunHeader, RunSummary


class OfSeveral(Protocol):
    """A sink of several sources, each of its rows naming its source."""

    def write_of(self, header: RunHeader, result: FrameResult) -> None:
        """A frame of the source that the header describes."""

    def end_of(self, header: RunHeader, summary: RunSummary) -> None:
        """The source is done."""

    def drop_source(self, name: str) -> None:
        """Take back the rows of a source that failed."""

    def complete(self) -> None:
        """Give the file its name."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class SharedFile:
    """One file for all sources, finished after the last of them. Runs may write to it side by side.

    open_file: makes it, for the first source.
    """

    def __init__(self, path: str, stack: ExitStack, open_file: Callable[[Path, RunHeader], OfSeveral]) -> None:
        self._path, self._stack, self._open_file = Path(path), stack, open_file
        self._file: OfSeveral | None = None
        self._sources = 0
        self._lock = threading.Lock()
        self._failure: OutputError | None = None

    def next_run(self, header: RunHeader) -> Sink:
        """The sink of one source; where it is closed without being finished, the source has no rows."""
        with self._lock:
            if self._file is None:
                self._file = self._stack.enter_context(self._open_file(self._path, header))
        return _Run(self, self._path, self._file, header)

    def write(self, file: OfSeveral, header: RunHeader, result: FrameResult) -> None:
        """A frame of one source."""
        with self._writing():
            file.write_of(header, result)

    def end(self, file: OfSeveral, header: RunHeader, summary: RunSummary) -> None:
        """A source is done."""
        with self._writing():
            file.end_of(header, summary)
            self._sources += 1

    def drop(self, file: OfSeveral, header: RunHeader) -> None:
        """Take back the rows of a source that failed."""
        if self._failure is None:
            with self._writing():
                file.drop_source(header.source.name)

    def finish(self) -> None:
        """Complete the file, if a source was analysed, and it could be written."""
        if self._file is not None and self._sources and self._failure is None:
            self._file.complete()

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

    def __init__(self, shared: SharedFile, path: Path, file: OfSeveral, header: RunHeader) -> None:
        self.path = path
        self._shared, self._file, self._header = shared, file, header
        self._ended = False

    def write(self, result: FrameResult) -> None:
        self._shared.write(self._file, self._header, result)

    def finish(self, summary: RunSummary) -> None:
        self._shared.end(self._file, self._header, summary)
        self._ended = True

    def close(self) -> None:
        """The shared file is closed with the command."""
        if not self._ended:
            self._shared.drop(self._file, self._header)
            self._ended = True


def shared_costs(path: str | None, stack: ExitStack) -> SharedFile | None:
    """The cost CSV of all sources together, where one is wanted."""
    if path is None:
        return None

    def open_file(path: Path, header: RunHeader) -> OfSeveral:
        from skipvid.report import CostCsv

        return CostCsv(path, header)

    return SharedFile(path, stack, open_file)
