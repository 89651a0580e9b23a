"""Text that can be read at any resolution: sizes relative to the picture, measured before it is drawn, on plates inside the frame.

OpenCV 5 draws its Hershey font names with a TrueType font, OpenCV 4 with single strokes of ASCII. Both are measured here through the same
calls; only the stroke thickness and the characters that exist differ.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from skipvid.core.planes import Matrix, Planes
from skipvid.video.draw.canvas import Canvas, Colour, Patch, Rect, patch_of

TRUETYPE = hasattr(cv2, "FontFace")
DARK: Colour = (22, 22, 22)
LIGHT: Colour = (250, 250, 250)
AMBER: Colour = (70, 185, 255)
"""Computed in this frame, in everything that is drawn."""

SMALLEST_TEXT = 10
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes in pixels that suit a picture.

    text: height of a line from baseline to ascender. line: strokes of boxes. pad: room round the text of a plate.
    """

    text: int
    line: int
    pad: int

    @classmethod
    def of(cls, image: Canvas) -> Scale:
        size = math.sqrt(image.shape[0] * image.shape[1])
        text = max(SMALLEST_TEXT, round(size * 0.0155))
        return cls(text, max(1, round(0.7 + size / 600)), max(2, round(text * 0.28)))


@lru_cache(maxsize=4096)
def printable(text: str, ascii_only: bool = not TRUETYPE) -> str:
    """One line that the font can draw: control characters become spaces; with ascii_only accents go, and what is not ASCII becomes "?"."""
    text = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text)
    if ascii_only:
        parts = unicodedata.normalize("NFKD", text)
        text = "".join("?" if ord(c) > 126 else c for c in parts if not unicodedata.combining(c))
    return " ".join(text.split())


@lru_cache(maxsize=4096)
def measure(text: str, size: int) -> tuple[int, int, int]:
    """(width, ascent, descent) in pixels of a printable line whose ascent is about `size` pixels."""
    (width, ascent), descent = cv2.getTextSize(text, _FONT, _font_scale(size), _thickness(size))
    return int(width), int(ascent), int(descent)


def fit(text: str, size: int, width: int) -> tuple[str, int]:
    """The text and size that keep a line within `width` pixels: first smaller, down to 70 %, then cut with dots; "" if nothing fits."""
    smallest = max(SMALLEST_TEXT, round(size * 0.7))
    for candidate in range(size, smallest - 1, -1):
        if measure(text, candidate)[0] <= width:
            return text, candidate
    size = min(size, smallest)
    for length in range(len(text) - 1, 0, -1):
        cut = text[:length].rstrip() + ".."
        if measure(cut, size)[0] <= width:
            return cut, size
    return "", size


def put_text(image: Canvas, text: str, left: int, baseline: int, size: int, colour: Colour) -> None:
    """Draw a printable line in place, anti-aliased."""
    width, ascent, descent = measure(text, size)
    with patch_of(image, (left - ascent, baseline - 2 * ascent, left + width + ascent, baseline + ascent + descent)) as patch:
        _put_text(patch, text, left, baseline, size, colour)


def _put_text(patch: Patch, text: str, left: int, baseline: int, size: int, colour: Colour) -> None:
    start = (left - patch.left, baseline - patch.top)
    cv2.putText(patch.pixels, text, start, _FONT, _font_scale(size), patch.colour(colour), _thickness(size), cv2.LINE_AA)


def plate_size(text: str, size: int, pad: int) -> tuple[int, int]:
    """(width, height) in pixels of the plate of a printable line."""
    width, ascent, descent = measure(text, size)
    return width + 2 * pad, ascent + descent + pad


def put_plate(image: Canvas, text: str, left: int, top: int, size: int, pad: int, plate: Colour, opacity: float = 1.0) -> Rect:
    """Draw text on a filled plate in place, moved and shortened so that it stays inside the image, and return where the plate is.

    An image too small for a single character is left as it is, and the plate has no area.
    """
    height, width = image.shape[:2]
    text, size = fit(printable(text), size, width - 2 * pad)
    plate_width, plate_height = plate_size(text, size, pad)
    if not text or plate_height > height:
        return left, top, left, top
    left, top = min(max(left, 0), width - plate_width), min(max(top, 0), height - plate_height)
    rect = (left, top, left + plate_width, top + plate_height)
    if isinstance(image, Planes) and opacity >= 1.0:
        # Labels come again and again: on whole samples of chroma a plate depends on nothing below it, and is drawn once.
        left, top = left // 2 * 2, top // 2 * 2
        for plane, part in zip(image.all(), _plate(image.matrix, text, size, pad, plate).all(), strict=True):
            step = image.luma.shape[0] // plane.shape[0]
            place = plane[top // step :, left // step :][: part.shape[0], : part.shape[1]]
            place[:] = part[: place.shape[0], : place.shape[1]]
        return left, top, left + plate_width, top + plate_height
    with patch_of(image, rect) as patch:
        _fill(patch, rect, plate, opacity)
        _put_text(patch, text, left + pad, top + pad // 2 + measure(text, size)[1], size, ink_for(plate))
    return rect


@lru_cache(maxsize=512)
def _plate(matrix: Matrix, text: str, size: int, pad: int, colour: Colour) -> Planes:
    """A line of text on its plate."""
    width, height = plate_size(text, size, pad)
    canvas = Planes.of_colour(height, width, matrix, colour)
    put_text(canvas, text, pad, pad // 2 + measure(text, size)[1], size, ink_for(colour))
    return canvas


def fill(image: Canvas, rect: Rect, colour: Colour, opacity: float) -> None:
    """Fill a rectangle in place."""
    with patch_of(image, rect) as patch:
        _fill(patch, rect, colour, opacity)


def _fill(patch: Patch, rect: Rect, colour: Colour, opacity: float) -> None:
    left, top, right, bottom = rect
    area = patch.pixels[top - patch.top : bottom - patch.top, left - patch.left : right - patch.left]
    values = patch.colour(colour)
    if opacity >= 1.0:
        area[:] = values
    elif area.size:
        area[:] = cv2.addWeighted(area, 1.0 - opacity, np.full_like(area, values), opacity, 0.0)


def ink_for(plate: Colour) -> Colour:
    """Black or white, whichever stands out more on a plate of this BGR colour."""
    blue, green, red = plate
    return DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 120 else LIGHT


@lru_cache(maxsize=512)
def colour_of(key: int) -> Colour:
    """A BGR colour for a category or an identity, the same in every run: equal lightness, hues by the golden angle (OKLCH, Ottosson)."""
    lightness, chroma, hue = 0.80, 0.15, math.radians(215.0 + (key - 1) * 137.50776)
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long, medium, short = (
        (lightness + i * a + j * b) ** 3
        for i, j in ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
    )
    linear = (
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
    )
    encoded = (1.055 * max(0.0, x) ** (1 / 2.4) - 0.055 for x in linear)
    blue, green, red = (round(255 * min(1.0, max(0.0, x))) for x in encoded)
    return blue, green, red


@lru_cache(maxsize=64)
def _font_scale(size: int) -> float:
    return size / float(cv2.getTextSize("A", _FONT, 1.0, 1)[0][1])


def _thickness(size: int) -> int:
    return 1 if TRUETYPE else max(1, round(size / 13))
