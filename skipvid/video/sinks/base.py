"""The interface of all sinks: consumers of FrameResults that leave either a whole, valid output or none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from skipvid.core.results import FrameResult, RunSummary


class Sink(ABC):
    """Takes results one by one and keeps none of them in memory longer than its format needs.

    A file sink writes to a part file (see core/files.py) and renames it in `finish`, so that a file of the final name is always whole.
    `finish` is called after the last frame, also when the run was interrupted; `close` without `finish` throws the output away.
    All methods raise OutputError where the output cannot be written.
    """

    path: Path | None = None
    """Where the output will be, for files; None for streams and windows."""

    problem: str | None = None
    """One line where the output lacks something that was asked for (the sound could not be copied), known after `finish`."""

    draws: bool = False
    """Whether `draw` takes time, which deserves a thread of its own."""

    def draw(self, result: FrameResult) -> None:  # noqa: B027  most sinks have nothing to draw
        """Do what `write` can be spared, for all results in order or for none. From another thread, some results ahead of `write`."""

    @abstractmethod
    def write(self, result: FrameResult) -> None:
        """Consume one frame's result."""

    @abstractmethod
    def finish(self, summary: RunSummary) -> None:
        """Complete the output and give it its final name."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. After `finish` it does nothing; without it, it removes the unfinished output. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
