"""One analysed frame as a picture: what was computed, what was found, and a line of numbers."""

from __future__ import annotations

from typing import Literal

from skipvid.core.planes import Planes
from skipvid.core.results import FrameResult
from skipvid.video.draw.canvas import Canvas, Image
from skipvid.video.draw.classes import draw_class_names, draw_classes
from skipvid.video.draw.counts import draw_counts
from skipvid.video.draw.labels import draw_boxes, draw_labels
from skipvid.video.draw.status import Status, draw_status
from skipvid.video.draw.tint import tint_activity, tint_planes
from skipvid.video.planes import canvas_for

Overlay = Literal["mask", "none"]


def draw_result(result: FrameResult, *, overlay: Overlay = "mask", status: Status | None = None) -> Image:
    """A copy of the frame, (H, W, 3) uint8 BGR, with its result drawn on it.

    overlay "mask": what was reused turns grey and dark, what was computed keeps its colours under an amber tint, in proportion to the
    activity of the result; a line surrounds the cells where at least half of the MACs were spent. A result without activity
    has no mask. status None leaves the line of numbers away.
    """
    image = result.frame.image
    canvas = tint_activity(image, result.activity) if overlay == "mask" and result.activity is not None else image.copy()
    _draw_findings(canvas, result, status)
    return canvas


def draw_planes(picture: Planes, result: FrameResult, *, overlay: Overlay = "mask", status: Status | None = None) -> Planes:
    """The same on the planes of the frame's picture, which are not written to; what is returned goes to an encoder as it is."""
    if overlay == "mask" and result.activity is not None:
        canvas = tint_planes(picture, result.activity)
    else:
        canvas = canvas_for(picture)
        for plane, own in zip(canvas.all(), picture.all(), strict=True):
            plane[:] = own
    _draw_findings(canvas, result, status)
    return canvas


def _draw_findings(canvas: Canvas, result: FrameResult, status: Status | None) -> None:
    if result.class_map is not None:
        draw_classes(canvas, result.class_map)
    draw_boxes(canvas, result.detections)
    places = draw_counts(canvas, result.counts)
    if result.class_map is not None:
        places += draw_class_names(canvas, result.class_map)
    places += [] if status is None else draw_status(canvas, status, result.keyframe)
    draw_labels(canvas, result.detections, places)
