"""The line of numbers on a picture, and the badge of a keyframe."""

from __future__ import annotations

from dataclasses import dataclass

from skipvid.video.draw.canvas import Canvas, Colour, Rect
from skipvid.video.draw.text import AMBER, DARK, Scale, fill, measure, plate_size, printable, put_plate, put_text

_WHITE: Colour = (245, 245, 245)
_GREY: Colour = (190, 190, 190)

_Field = tuple[str, Colour]


@dataclass(frozen=True, slots=True)
class Status:
    """What the line says. fps: frames per second of the pipeline. saving: fraction of MACs saved. A field of None or "" is left out."""

    fps: float | None = None
    saving: float | None = None
    preset: str = ""
    threshold: float | None = None


def draw_status(image: Canvas, status: Status, keyframe: bool) -> list[Rect]:
    """Draw the line at the top left and the badge of a keyframe at the top right, in place. Returns the places that both need.

    What does not fit is left out, the least important first. The badge's place is kept free in every frame: the line must not change when
    it appears.
    """
    scale = Scale.of(image)
    width = image.shape[1]
    margin, gap = scale.pad, 2 * scale.pad
    badge = next((text for text in ("KEYFRAME", "KEY") if 4 * measure(text, scale.text)[0] <= width), "K")
    badge_width, badge_height = plate_size(badge, scale.text, scale.pad)
    badge_left = width - margin - badge_width
    room = badge_left - 2 * margin - 2 * scale.pad
    fields = next((f for f in _versions(status) if f and _line_width(f, scale.text, gap) <= room), [])
    places = [(badge_left, margin, width - margin, margin + badge_height)]
    if fields:
        _, ascent, descent = measure("0", scale.text)
        right, bottom = margin + _line_width(fields, scale.text, gap) + 2 * scale.pad, margin + ascent + descent + scale.pad
        fill(image, (margin, margin, right, bottom), DARK, 0.72)
        places.append((margin, margin, right, bottom))
        left = margin + scale.pad
        for text, colour in fields:
            put_text(image, text, left, margin + scale.pad // 2 + ascent, scale.text, colour)
            left += _steady_width(text, scale.text) + gap
    if keyframe:
        put_plate(image, badge, badge_left, margin, scale.text, scale.pad, AMBER)
    return places


def _versions(status: Status) -> list[list[_Field]]:
    """Ever shorter versions of the line."""
    fps = [] if status.fps is None else [(f"{status.fps:.1f} fps", _WHITE)]
    saving = [] if status.saving is None else [(f"{status.saving:.0%} MACs saved", AMBER)]
    brief = [] if status.saving is None else [(f"{status.saving:.0%} saved", AMBER)]
    preset = [(printable(status.preset), _GREY)] if status.preset else []
    threshold = [] if status.threshold is None else [(f"threshold {status.threshold:g}", _GREY)]
    return [fps + saving + preset + threshold, fps + saving + threshold, fps + saving, fps + brief, brief, fps]


def _line_width(fields: list[_Field], size: int, gap: int) -> int:
    return sum(_steady_width(text, size) for text, _ in fields) + gap * (len(fields) - 1)


def _steady_width(text: str, size: int) -> int:
    """The width with every digit as wide as a zero: the line must not jitter while its numbers run."""
    return measure("".join("0" if c.isdigit() else c for c in text), size)[0]
