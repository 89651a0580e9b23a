"""What a file is by its first bytes; its name is only a claim."""

from __future__ import annotations

from pathlib import Path

_HEAD = 4096
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"})

STILL = frozenset({"JPEG", "PNG", "TIFF", "BMP", "WebP", "PNM"})
"""Kinds of images that are decoded as such, animated WebP and TIFF of several pages among them."""

MOVING = frozenset({"GIF", "animated PNG"})
"""Kinds that are read as videos."""


def content_of(path: Path) -> str | None:
    """The kind of image that a file holds, "HEIF" for HEIC and AVIF; None for everything else, and where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    for start, kind in ((b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF")):
        if head.startswith(start):
            return kind
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        # Whatever tells of an animation comes before the first picture; colour profiles can be longer than what was read.
        before, picture, _ = (head if b"IDAT" in head else path.read_bytes()).partition(b"IDAT")
        return "animated PNG" if picture and b"acTL" in before else "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PNM"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIF"
    return None


def is_series(path: Path) -> bool:
    """Whether JPEG pictures follow one another without a container, as MJPEG does."""
    return b"\xff\xd9\xff\xd8\xff" in path.read_bytes()
