"""The base of sinks that write a text file."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from pathlib import Path

from skipvid.core import interrupts
from skipvid.core.errors import OutputError
from skipvid.core.files import PartFile, output_errors
from skipvid.core.results import RunSummary
from skipvid.video.sinks.base import Sink

FLUSH_SECONDS = 0.5
"""Most that a killed run loses of a text output, or one frame where frames take longer."""

_MOST_WAITING = 1 << 12  # characters

_PIECE = 1 << 20
"""Bytes of lines that are looked at together; a line is far shorter."""

_PRINTING = threading.Lock()
"""Sources that are analysed side by side share stdout, line by line."""


class TextSink(Sink):
    """Base of sinks that write one text file from its first line to its last; `path` None is stdout.

    Subclasses call `_put` and may override `_complete` for what comes after the last frame. Text is UTF-8 with "\\n" on every system.
    What a killed run leaves is valid: text reaches the file in the pieces that `_put` got, never in parts of them, each time followed by
    `_ending`, which the next piece replaces. A reader of stdout that goes away (`| head`) ends the run as Ctrl-C does.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._waiting: list[str] = []
        self._size = self._end = 0
        self._flushed = time.monotonic()
        self._file = self._text = None
        if path is None:
            _use_utf8(sys.stdout)
            return
        self._file = PartFile(path)
        try:
            with output_errors(path):
                self._text = self._file.part.open("r+b", buffering=0)
        except OutputError:
            self._file.discard()
            raise

    @property
    def _target(self) -> object:
        return "stdout" if self.path is None else self.path

    def _ending(self) -> str:
        """What would make the file valid if no more came."""
        return ""

    def _put(self, text: str, flush: bool = False) -> None:
        """Write text; an output that could not be written is thrown away at once."""
        self._waiting.append(text)
        self._size += len(text)
        if flush or self._size > _MOST_WAITING or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush(self._ending())

    def _flush(self, ending: str = "") -> None:
        text = "".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._flushed = time.monotonic()
        try:
            with output_errors(self._target):
                if self.path is None:
                    _print(text)
                elif self._text is not None:
                    # Bytes of file names that are no UTF-8 become escapes, which JSON reads back.
                    data, rest = (part.encode("utf-8", "backslashreplace") for part in (text, ending))
                    _write_whole(self._text, self._end, data + rest)
                    self._end += len(data)
        except OutputError:
            self.close()
            raise

    def _drop_lines(self, beginning: bytes) -> None:
        """Take back the lines that begin so."""
        self._flush()
        with output_errors(self._target):
            if self._text is not None:
                self._end = _without_lines(self._text, beginning, self._end)
                self._text.truncate(self._end)

    def finish(self, summary: RunSummary) -> None:
        self._seal(summary)
        self._commit()

    def _seal(self, summary: RunSummary) -> None:
        """Everything that can still fail for want of space."""
        self._complete(summary)
        self._close_file()

    def _close_file(self) -> None:
        self._flush()
        with output_errors(self._target):
            if self._text is not None:
                self._text.truncate(self._end)
                self._text.close()

    def _complete(self, summary: RunSummary) -> None:
        """Write what follows the last frame."""

    def _commit(self) -> None:
        if self._file is not None:
            self._file.commit()

    def close(self) -> None:
        if self._file is None:
            return
        try:
            if self._text is not None:
                self._text.close()
        except OSError:
            pass  # What could not be flushed is thrown away next.
        self._file.discard()


def _write_whole(file: io.FileIO, place: int, data: bytes) -> None:
    file.seek(place)
    rest = memoryview(data)
    while rest:  # one call, unless the disk fills up
        rest = rest[file.write(rest) or 0 :]


def _without_lines(file: io.FileIO, beginning: bytes, end: int) -> int:
    """Move lines up over those that begin so; returns where they end. end: of the lines, before."""
    reading = writing = 0
    while reading < end:
        file.seek(reading)
        piece = file.read(min(_PIECE, end - reading))
        piece = piece[: piece.rindex(b"\n") + 1]
        kept = b"".join(line for line in piece.splitlines(keepends=True) if not line.startswith(beginning))
        file.seek(writing)
        file.write(kept)
        reading, writing = reading + len(piece), writing + len(kept)
    return writing


def _print(text: str) -> None:
    """To stdout; where its reader has gone, the run is asked to end, and what is still to come is dropped."""
    if interrupts.reader_gone():
        return
    try:
        with _PRINTING:
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        if not hasattr(signal, "SIGPIPE") or not interrupts.send(signal.SIGPIPE):
            raise


def _use_utf8(stream: object) -> None:
    if stream is None:
        raise OutputError("stdout cannot be written: it is closed", "write to a file, or leave stdout open")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
