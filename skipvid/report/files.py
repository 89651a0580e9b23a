"""Writing whole files or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skipvid.errors import OutputError


def part_of(path: Path) -> Path:
    """The name that a file has until it is whole."""
    return path.with_name(path.name + ".part")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into OutputError, with the name of the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}", "check the folder, its permissions and the free space"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file under its final name; raises OutputError and leaves nothing behind where that fails."""
    part = part_of(path)
    with output_errors(path):
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
