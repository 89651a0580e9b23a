"""The colours of activity and the legend that explains them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.video.draw.canvas import Colour, Image
from skipvid.video.draw.text import DARK, Scale, fill, fit, measure, printable, put_text

PICTURE_SHARE = 0.4
"""How much of the grey picture shows through the colours."""

_COLOUR_SHARE = 0.74
_GROUND: Colour = (24, 20, 20)
_WHITE: Colour = (240, 240, 240)
_GREY: Colour = (190, 190, 190)
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
# (wording of the two ends, the share of the bar that it may take: the best wording only where the ticks between keep their labels)
_ENDS = (
    ("0% reused", "100% computed in every frame", 0.7),
    ("0% reused", "100% computed", 0.9),
    ("0%", "100%", 1.0),
)


def colours_of(activity: NDArray[np.float32]) -> Image:
    """(h, w) in [0, 1] -> (h, w, 3) uint8 BGR of the inferno map, darkened to leave room for the picture under it."""
    colours = cv2.applyColorMap(np.rint(activity * 255.0).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.convertScaleAbs(colours, alpha=_COLOUR_SHARE), np.uint8)


def inset_legend(image: Image, caption: str) -> None:
    """Draw the legend at the bottom left of the image in place; smaller where it would cover much, not at all where it has no room."""
    scale = Scale.of(image)
    height, width = image.shape[:2]
    legend_width = min(width - 4 * scale.pad, 22 * scale.text)
    legend_height = _legend_height(scale, caption)
    if 4 * (legend_height + 2 * scale.pad) > height:
        caption = ""
        legend_height = _legend_height(scale, caption)
    if legend_height + 4 * scale.pad > height or legend_width < 4 * scale.text:
        return
    left, top = 2 * scale.pad, height - 2 * scale.pad - legend_height
    fill(image, (left - scale.pad, top - scale.pad, left + legend_width + scale.pad, height - scale.pad), DARK, 0.72)
    _legend(image, left, top, legend_width, caption, scale)


def legend_strip(image: Image, caption: str) -> Image:
    """A strip (h, W, 3) with the legend, as wide as the image."""
    scale = Scale.of(image)
    margin = 2 * scale.pad
    strip = np.full((_legend_height(scale, caption) + 2 * margin, image.shape[1], 3), _GROUND, np.uint8)
    _legend(strip, margin, margin, min(image.shape[1] - 2 * margin, 40 * scale.text), caption, scale)
    return strip


def caption_strip(image: Image, title: str, facts: Sequence[str]) -> Image:
    """A strip (h, W, 3) as wide as the image with a title, and facts below it in as many lines as they need."""
    scale = Scale.of(image)
    margin, width = 2 * scale.pad, image.shape[1]
    room = width - 2 * margin
    gap = "   "
    lines: list[str] = []
    for fact in map(printable, facts):
        if lines and measure(lines[-1] + gap + fact, scale.text)[0] <= room:
            lines[-1] += gap + fact
        else:
            lines.append(fact)
    rows = [(printable(title), round(1.35 * scale.text), _WHITE), *((line, scale.text, _GREY) for line in lines)]
    heights = [size + scale.pad + measure("g", size)[2] for _, size, _ in rows]
    strip = np.full((sum(heights) + margin, width, 3), _GROUND, np.uint8)
    top = scale.pad
    for (text, size, colour), height in zip(rows, heights, strict=True):
        text, fitted = fit(text, size, room)
        put_text(strip, text, margin, top + size, fitted, colour)
        top += height
    return strip


def _legend_height(scale: Scale, caption: str) -> int:
    bar_and_ticks = 2 * scale.text + 2 * scale.pad
    return bar_and_ticks + (scale.text + scale.pad + measure("g", scale.text)[2] if caption else 0)


def _legend(image: Image, left: int, top: int, width: int, caption: str, scale: Scale) -> None:
    """Caption, bar and labelled ticks in a box of width x _legend_height at (left, top), in place."""
    caption, size = fit(printable(caption), scale.text, width)
    put_text(image, caption, left, top + scale.text, size, _WHITE)
    bar_bottom = top + _legend_height(scale, caption) - scale.text - 2 * scale.pad
    bar_top = bar_bottom - scale.text
    ramp = colours_of(np.linspace(0.0, 1.0, width, dtype=np.float32)[None])
    # as the colours look over a middle grey of the picture
    image[bar_top:bar_bottom, left : left + width] = cv2.add(ramp, np.full_like(ramp, round(110 * PICTURE_SHARE)))
    tick_end, baseline = bar_bottom + scale.pad // 2 + 1, bar_bottom + scale.pad + scale.text
    for tick in _TICKS:
        x = left + round(tick * (width - 1))
        cv2.line(image, (x, bar_bottom), (x, tick_end), _WHITE, max(1, scale.line // 2))
    low, high = next((low, high) for low, high, share in _ENDS if share == 1.0 or _widths(low, high, scale) <= share * width)
    space = scale.text
    low_width, high_width = measure(low, scale.text)[0], measure(high, scale.text)[0]
    put_text(image, low, left, baseline, scale.text, _GREY)
    put_text(image, high, left + width - high_width, baseline, scale.text, _GREY)
    for tick in _TICKS[1:-1]:
        text = f"{tick:.0%}"
        text_width = measure(text, scale.text)[0]
        x = left + round(tick * (width - 1)) - text_width // 2
        if x >= left + low_width + space and x + text_width <= left + width - high_width - space:
            put_text(image, text, x, baseline, scale.text, _GREY)


def _widths(low: str, high: str, scale: Scale) -> int:
    return measure(low, scale.text)[0] + measure(high, scale.text)[0]
