"""Class maps: the picture under the colours of its classes, an outline round each part, and which colour means what."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.class_maps import ClassMap, Numbers, is_background
from skipvid.video.draw.canvas import Canvas, Colour, Rect
from skipvid.video.draw.text import Scale, colour_of, plate_size, printable, put_plate

SHARE = 0.45
"""Of a class's colour in its pixels."""
LINE = 0.85
"""Of it in the outline of a part."""
MOST_NAMES = 12
"""Names in a picture; of more classes those with the largest parts."""


def draw_classes(image: Canvas, found: ClassMap) -> None:
    """Colour the pixels of each class in place."""
    if not found.shown:
        return
    pixels = found.pixels
    if isinstance(image, np.ndarray):
        edges = _edges(pixels, Scale.of(image).line)
        for channel in range(3):
            colours = [colour[channel] for colour in _colours(found)]
            image[..., channel] = _blended(np.ascontiguousarray(image[..., channel]), pixels, colours, found, edges)
        return
    height, width = image.luma.shape
    below, beside = height - pixels.shape[0], width - pixels.shape[1]
    if below or beside:
        pixels = np.pad(pixels, ((0, below), (0, beside)), mode="edge")
    edges = _edges(pixels, Scale.of(image).line)
    levels = [image.levels(colour) for colour in _colours(found)]
    for number, plane in enumerate(image.all()):
        step = height // plane.shape[0]
        part = np.ascontiguousarray(pixels[::step, ::step])
        # The outline is in luma alone: it is too thin for chroma.
        plane[:] = _blended(plane, part, [level[number] for level in levels], found, edges if step == 1 else None)


def draw_class_names(image: Canvas, found: ClassMap) -> list[Rect]:
    """Draw the names of the classes that are in the frame on plates of their colours, one below the other at the bottom left, in place.

    Returns where they are.
    """
    scale = Scale.of(image)
    areas = np.bincount(found.cells.ravel(), minlength=len(found.names))
    numbers = sorted(found.shown, key=lambda number: -areas[number])[:MOST_NAMES]
    bottom, plates = image.shape[0] - scale.pad, []
    for number in sorted(numbers, reverse=True):
        name = printable(found.names[number])
        bottom -= plate_size(name, scale.text, scale.pad)[1]
        if bottom < image.shape[0] // 3:
            break
        plates.append(put_plate(image, name, scale.pad, bottom, scale.text, scale.pad, colour_of(number)))
    return plates


def _colours(found: ClassMap) -> list[Colour]:
    return [colour_of(number) for number in range(len(found.names))]


def _edges(pixels: Numbers, line: int) -> NDArray[np.uint8]:
    """255 where classes meet within about `line` pixels."""
    thickest = cv2.morphologyEx(pixels, cv2.MORPH_GRADIENT, np.ones((line + 1, line + 1), np.uint8))
    return np.asarray(thickest > 0, np.uint8) * np.uint8(255)


def _blended(
    plane: NDArray[np.uint8], pixels: Numbers, levels: Sequence[int], found: ClassMap, edges: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """plane, (H, W) of luma, chroma or one colour, with a class's level mixed in wherever it is."""
    level = _looked_up(levels, pixels)
    mixed = cv2.addWeighted(plane, 1 - SHARE, level, SHARE, 0)
    if edges is not None:
        cv2.copyTo(cv2.addWeighted(plane, 1 - LINE, level, LINE, 0), edges, mixed)
    cv2.copyTo(plane, _looked_up([255 * is_background(name) for name in found.names], pixels), mixed)
    return np.asarray(mixed, np.uint8)


def _looked_up(levels: Sequence[int], pixels: Numbers) -> NDArray[np.uint8]:
    """The level of each pixel's class."""
    table = np.zeros(max(256, len(levels)), np.uint8)
    table[: len(levels)] = levels
    return np.asarray(cv2.LUT(pixels, table) if pixels.dtype == np.uint8 else table[pixels], np.uint8)
