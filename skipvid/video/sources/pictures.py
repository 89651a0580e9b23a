"""The pictures of image files: one of most, several of animated WebP, PNG and GIF and of TIFF with pages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_AT_ONCE = 256 << 20
"""Bytes of decoded pictures that are held at a time."""

_MOST_PAGES = 1 << 16
_SHORTEST = 0.011
"""Seconds; browsers show pictures of an animation that claim to last less for a tenth of a second."""

Image = NDArray[np.uint8]


def pictures_of(path: Path) -> Iterator[tuple[Image, float | None]]:
    """(picture (H, W, 3) uint8 BGR with EXIF's orientation applied, seconds for which it is shown) of one file; None for pages and stills.

    Nothing comes of a file that cannot be decoded.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return
    if not data.size:
        return
    head = data[:4096].tobytes()
    if _is_animated(head):
        yield from _animation(data)
    elif head[:4] in (b"II*\0", b"MM\0*") and (pages := _pages(data.tobytes())) > 1:
        yield from _book(data, pages)
    elif (image := _decoded(data)) is not None:
        yield image, None


def may_hold_several(path: Path) -> bool:
    """Whether a file is of a kind that can hold more than one picture, told by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return _is_animated(head) or head[:4] in (b"II*\0", b"MM\0*")


def first_picture(path: Path) -> Image | None:
    """The first picture, or None where there is none that can be decoded."""
    return next((image for image, _ in pictures_of(path)), None)


def _decoded(data: Image) -> Image | None:
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _is_animated(head: bytes) -> bool:
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return b"acTL" in head.partition(b"IDAT")[0]
    return head[:4] == b"GIF8"


def _animation(data: Image) -> Iterator[tuple[Image, float | None]]:
    """OpenCV decodes an animation from its start each time, so as much as memory allows is taken at once."""
    first = _decoded_animation(data, 0, 1)
    if not first:
        return
    step = max(1, _AT_ONCE // (first[0][0].size * 4 // 3))
    start = 0
    while part := _decoded_animation(data, start, step):
        yield from part
        start += len(part)
        if len(part) < step:
            return


def _decoded_animation(data: Image, start: int, count: int) -> list[tuple[Image, float | None]]:
    try:
        there, animation = cv2.imdecodeanimation(data, start, count)
    except cv2.error:
        return []
    if not there:
        return []
    shown = [ms / 1000 for ms in animation.durations]
    frames = [np.ascontiguousarray(_bgr(np.asarray(frame, np.uint8))) for frame in animation.frames]
    return [(frame, seconds if seconds >= _SHORTEST else 0.1) for frame, seconds in zip(frames, shown, strict=False)]


def _bgr(image: Image) -> Image:
    return image[:, :, :3] if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def _book(data: Image, pages: int) -> Iterator[tuple[Image, float | None]]:
    for page in range(pages):
        try:
            there, images = cv2.imdecodemulti(data, cv2.IMREAD_COLOR, None, (page, page + 1))
        except cv2.error:
            continue
        if there and images:
            yield np.asarray(images[0], np.uint8), None


def _pages(data: bytes) -> int:
    """Pages of a TIFF: the length of its chain of directories (TIFF 6.0, section 2)."""
    order = "<" if data[:2] == b"II" else ">"
    pages, at = 0, 4
    try:
        while pages < _MOST_PAGES:
            (directory,) = struct.unpack_from(order + "I", data, at)
            if not directory:
                break
            (entries,) = struct.unpack_from(order + "H", data, directory)
            pages, at = pages + 1, directory + 2 + 12 * entries
    except struct.error:
        pass  # a chain that leads out of the file ends there
    return pages
