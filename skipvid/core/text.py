"""Text for people: what a terminal can show of names that a file system lets pass."""

from __future__ import annotations

import re

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, the marks that turn the direction of text, and the surrogates that stand for bytes that are no UTF-8."""


def printable(text: str) -> str:
    """Text in one line that any terminal and any UTF-8 file can take; what cannot be shown becomes an escape such as \\n or \\xe9.

    File names may hold line ends and terminal commands (which would let a name write over what stands on the screen), and on Linux bytes
    that are no UTF-8, which Python keeps as surrogates.
    """
    return _UNFIT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that could not be decoded
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode("ascii") if code < 0xD800 or code > 0xDFFF else f"\\u{code:04x}"
