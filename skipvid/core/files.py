"""Files that appear under their own name only when they are whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skipvid.core.errors import OutputError

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


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file under its final name; raises OutputError and leaves nothing behind where that fails."""
    file = PartFile(path)
    try:
        with output_errors(path):
            file.part.write_text(text, encoding="utf-8")
        file.commit()
    except OutputError:
        file.discard()
        raise
