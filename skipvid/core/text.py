"""Text for people: what a terminal can show of names that a file system lets pass."""

from __future__ import annotations

import re

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:([^\s/:@?#]*):(?!\d*(?:[/?#\s]|$))\S*@|[^\s/:@?#]+@)")
"""Scheme, and user with password; a password may hold what an address may not (/ or @), so that all up to the last @ is taken for it."""

_FIELD = re.compile(r"([?&;][^\s=&;?#]*(?:pass|pwd|psw|token|secret|key|auth|sig|cred)[^\s=&;?#]*=)[^\s&;#'\"]+", re.IGNORECASE)

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, the marks that turn the direction of text, and the surrogates that stand for bytes that are no UTF-8."""


def printable(text: str) -> str:
    """Text in one line that any terminal and any UTF-8 file can take; what cannot be shown becomes an escape such as \\n or \\xe9.

    File names may hold line ends and terminal commands (which would let a name write over what stands on the screen), and on Linux bytes
    that are no UTF-8, which Python keeps as surrogates.
    """
    return _UNFIT.sub(_escape, text)


def without_secrets(text: str) -> str:
    """A text without the passwords, tokens and keys of the addresses in it: rtsp://user:***@camera/live?token=***."""
    if "://" not in text:
        return text
    text = _USER.sub(lambda match: match[1] + (match[2] + ":***@" if match[2] is not None else "***@"), text)
    return _FIELD.sub(r"\1***", text)


def one_line(error: BaseException, longest: int = 0) -> str:
    """What an error says, on one line; cut where it is longer than that many characters, 0 = never."""
    text = " ".join(str(error).split())
    return text[:longest].rstrip() + " …" if 0 < longest < len(text) else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that could not be decoded
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode("ascii") if code < 0xD800 or code > 0xDFFF else f"\\u{code:04x}"
