"""Files that appear under their own name only when they are whole."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from skipvid.errors import OutputError
from skipvid.results import RunSummary
from skipvid.sinks.base import Sink

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EACCES: "check the permissions of the folder",
    errno.EROFS: "the disk is read-only; write elsewhere",
    errno.ENOENT: "make the folder first",
    errno.EPIPE: "whoever read it has ended",
}


@contextmanager
def output_errors(target: object, *kinds: type[Exception]) -> Iterator[None]:
    """Turns OSError and the other kinds of error given into OutputError while `target` is written."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *kinds)):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        hint = _HINTS.get(getattr(error, "errno", None) or 0, "check the disk and the folder")
        raise OutputError(f"{target} cannot be written: {reason}", hint) from error


class PartFile:
    """The name of an output and of the ".part" file beside it that takes its place when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")

    def commit(self) -> None:
        with output_errors(self.path):
            os.replace(self.part, self.path)

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)


class TextSink(Sink):
    """Base of sinks that write one text file from its first line to its last; `path` None is stdout.

    Subclasses call `_put` and may override `_complete` for what comes after the last frame. Text is UTF-8 with "\\n" on every system.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file = None if path is None else PartFile(path)
        self._done = False
        with output_errors(self._target):
            self._text: TextIO = sys.stdout if self._file is None else open(self._file.part, "w", encoding="utf-8", newline="\n")

    @property
    def _target(self) -> object:
        return "stdout" if self.path is None else self.path

    def _put(self, text: str, flush: bool = False) -> None:
        """Write text; an output that could not be written is thrown away at once."""
        try:
            with output_errors(self._target):
                self._text.write(text)
                if flush:
                    self._text.flush()
        except OutputError:
            self.close()
            raise

    def _complete(self, summary: RunSummary) -> None:
        """Write what follows the last frame."""

    def finish(self, summary: RunSummary) -> None:
        self._seal(summary)
        self._commit()

    def _seal(self, summary: RunSummary) -> None:
        """Everything that can still fail for want of space."""
        self._complete(summary)
        with output_errors(self._target):
            self._text.flush()
            if self._file is not None:
                self._text.close()

    def _commit(self) -> None:
        if self._file is not None:
            self._file.commit()
        self._done = True

    def close(self) -> None:
        if self._file is None or self._done:
            return
        self._done = True
        try:
            self._text.close()
        except OSError:
            pass  # What could not be flushed is thrown away next.
        self._file.discard()
