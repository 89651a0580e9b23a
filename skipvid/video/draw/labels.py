"""Boxes of detections, and their labels laid out so that none hides another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from skipvid.core.results import Detections
from skipvid.video.draw.canvas import Canvas, Rect, rectangle
from skipvid.video.draw.skeleton import draw_skeleton
from skipvid.video.draw.text import DARK, SMALLEST_TEXT, Scale, colour_of, fit, plate_size, printable, put_plate


def draw_boxes(image: Canvas, detections: Detections) -> None:
    """Draw boxes and skeletons in place, the best score on top, in the colour of the track's identity or else of the category."""
    line = Scale.of(image).line
    boxes = _pixel_boxes(image, detections)
    for k in _by_score(detections)[::-1]:
        left, top, right, bottom = boxes[k]
        colour = _colour(detections, k)
        # a dark rim keeps the box visible on a ground of its own colour; round the thinnest line it would drown the colour
        if line > 1:
            rectangle(image, (left, top, right, bottom), DARK, line + 2)
        rectangle(image, (left, top, right, bottom), colour, line)
        if detections.keypoints is not None:
            draw_skeleton(image, detections.keypoints[k], size=bottom - top)


def draw_labels(image: Canvas, detections: Detections, keep_clear: Sequence[Rect] = ()) -> list[Rect]:
    """Draw "name score #identity" at each box in place, and return where the labels are.

    The best scores are placed first. A label that would cover an earlier one, or a rectangle to keep clear, moves to the other end of its
    box, then shrinks to the identity or the name, and is at last left out.
    """
    scale = Scale.of(image)
    width = image.shape[1]
    boxes = _pixel_boxes(image, detections)
    taken = list(keep_clear)
    for k in _by_score(detections):
        left, top, right, bottom = boxes[k]
        # in a crowd of small objects full-size labels would hide what they name
        wanted = max(SMALLEST_TEXT, min(scale.text, round(0.22 * (bottom - top))))
        texts = [printable(text) for text in _wordings(detections, k)]
        if plate_size(texts[0], wanted, scale.pad)[0] > max(width // 3, 4 * (right - left)):
            texts = texts[1:]
        for text, below in product(texts, (False, True)):
            text, size = fit(text, wanted, width - 2 * scale.pad)
            plate = _beside(image, boxes[k], plate_size(text, size, scale.pad), below)
            if text and not any(_overlap(plate, other) for other in taken):
                taken.append(put_plate(image, text, plate[0], plate[1], size, scale.pad, _colour(detections, k)))
                break
    return taken[len(keep_clear) :]


def _wordings(detections: Detections, k: int) -> tuple[str, str]:
    """The whole label, and the shortest one that still tells objects apart."""
    name, score = detections.labels[k], f"{detections.scores[k]:.2f}"
    identity = "" if detections.ids is None else f"#{detections.ids[k]}"
    return " ".join(part for part in (name, score, identity) if part), identity or name


def _beside(image: Canvas, box: list[int], size: tuple[int, int], below: bool) -> Rect:
    """Where a plate of this size lies above or below a box, moved into the image; above a box at the upper edge means inside its top."""
    left, top, _, bottom = box
    height, width = image.shape[:2]
    y = bottom if below else top - size[1]
    if y < 0:
        y = top
    x, y = max(0, min(left, width - size[0])), max(0, min(y, height - size[1]))
    return x, y, x + size[0], y + size[1]


def _pixel_boxes(image: Canvas, detections: Detections) -> list[list[int]]:
    height, width = image.shape[:2]
    outside = 2 * Scale.of(image).line
    corners = np.clip(np.nan_to_num(detections.boxes), -outside, np.array([width, height] * 2) + outside)
    boxes: list[list[int]] = np.rint(corners).astype(np.int64).tolist()
    return boxes


def _by_score(detections: Detections) -> list[int]:
    order: list[int] = np.argsort(-detections.scores, kind="stable").tolist()
    return order


def _colour(detections: Detections, k: int) -> tuple[int, int, int]:
    return colour_of(int(detections.category_ids[k] if detections.ids is None else detections.ids[k]))


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
