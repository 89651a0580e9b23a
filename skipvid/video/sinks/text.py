"""The base of sinks that write a text file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from skipvid.core.errors import OutputError
from skipvid.core.files import PartFile, output_errors
from skipvid.core.results import RunSummary
from skipvid.video.sinks.base import Sink


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
