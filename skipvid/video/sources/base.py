"""The interface of all sources: an iterable of Frames with a little knowledge of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from skipvid.core.results import Frame, SourceInfo


class Turn(Protocol):
    """Where several sources are read side by side: the right to be worked on."""

    def take(self) -> None:
        """Wait for it. Does nothing where it is held."""

    def give(self) -> None:
        """Give it back, if it is held."""


class Source(ABC):
    """Yields the frames of one file, folder, URL or device, once, in order. Use it as a context manager.

    After (or during) iteration `problem` holds one line where the input turned out to be damaged or shorter than it said,
    `notes` lines on what was done to make sense of it (colours mapped, a clock repaired), and
    `dropped` counts frames of a live source that came and were not delivered. `tell` may be set: it is called, from whatever thread, with a
    line on what cannot wait for the end (a connection that is lost). `turn` may be set: a live source takes it once a frame is there, so
    that the one it then delivers is the newest, and gives it back where it waits for the next.
    """

    info: SourceInfo
    problem: str | None = None
    dropped: int = 0
    turn: Turn | None = None
    tell: Callable[[str], None] = staticmethod(lambda line: None)
    _noted: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the source was read; complete after the last frame."""
        return self._noted

    def note(self, line: str | None) -> None:
        """Add a line to `notes`, once; None is none."""
        if line is not None and line not in self._noted:
            self._noted = (*self._noted, line)

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in presentation order. Raises SourceError where not a single frame can be decoded."""

    def close(self) -> None:  # noqa: B027  (a source that holds nothing has nothing to close)
        """Release the file or device. May be called twice, and while another thread iterates."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
