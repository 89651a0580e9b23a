"""Names of files as text that every reader of a result can take."""

from __future__ import annotations

import os


def printable(name: str | os.PathLike[str]) -> str:
    """The name as valid Unicode: a byte that is no UTF-8 becomes a backslash, an x and two hexadecimal digits, as in "caf\\xe9.mp4".

    Python keeps such bytes of a file's name as lone surrogates, which neither UTF-8 nor JSON can hold.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
