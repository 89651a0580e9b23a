"""Sticky crops: windows of the frame that stay where they are for as long as their person stays inside.

A window that follows its person would turn every pixel into a change. So a window is placed with some room around the person, at whole
pixels and never between them, and is left alone until the person needs another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

PADDING = 1.25
"""Window side per side of the person's box that pose networks are trained with (HRNet, PP-TinyPose)."""


class InParts(Protocol):
    """A picture of which parts can be had, as of skipvid.core.results.StoredPicture."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """The pixels within these bounds, (h, w, 3) uint8 BGR; they lie in the picture, right and bottom exclusive."""


@dataclass(frozen=True, slots=True)
class CropWindow:
    """A part of the frame and the size it is brought to: a fixed affine map, so that what does not change stays the same to the bit.

    x, y, width, height: in whole pixels of the frame; may reach beyond it, where the picture is continued in black, as in training.
    input_size: (height, width) of the network's input, pixels.
    """

    x: int
    y: int
    width: int
    height: int
    input_size: tuple[int, int]

    @classmethod
    def around(cls, box: NDArray[np.float32], input_size: tuple[int, int], padding: float = PADDING) -> CropWindow:
        """The smallest window of the input's shape that holds a box, enlarged `padding` times about its centre. box: (4,) xyxy."""
        x1, y1, x2, y2 = (float(value) for value in box)
        aspect = input_size[1] / input_size[0]
        height = max(y2 - y1, (x2 - x1) / aspect, 1.0) * padding
        width = height * aspect
        columns, rows = max(round(width), 1), max(round(height), 1)
        return cls(round((x1 + x2 - columns) / 2), round((y1 + y2 - rows) / 2), columns, rows, input_size)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in pixels of the frame."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the frame per pixel of the input, in x and y."""
        return self.width / self.input_size[1], self.height / self.input_size[0]

    def cut(self, picture: NDArray[Any] | InParts) -> NDArray[Any]:
        """picture: a frame's, (H, W, 3) uint8 BGR where it is an array -> (h, w, 3) uint8 of input_size. A map over the frame, (H, W)
        float32, becomes (h, w) float32 in the same way."""
        height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else (picture.height, picture.width)
        left, top = max(0, -self.x), max(0, -self.y)
        right, bottom = max(0, self.x + self.width - width), max(0, self.y + self.height - height)
        x1, y1 = min(max(self.x, 0), width), min(max(self.y, 0), height)
        x2, y2 = min(max(self.x + self.width, x1), width), min(max(self.y + self.height, y1), height)
        if x2 == x1 or y2 == y1:
            blank = np.zeros(3, np.uint8) if not isinstance(picture, np.ndarray) else np.zeros(picture.shape[2:], picture.dtype)
            return np.zeros((*self.input_size, *blank.shape), blank.dtype)
        part = picture[y1:y2, x1:x2] if isinstance(picture, np.ndarray) else picture.part(x1, y1, x2, y2)
        if left or top or right or bottom:
            part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT)
        # Area averaging when shrinking: it also averages sensor noise away, so that less counts as changed.
        shrinks = self.height > self.input_size[0]
        resized = cv2.resize(part, self.input_size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return resized

    def to_frame(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, 2) x, y in pixels of the input -> in pixels of the frame; whole numbers are pixel centres in both."""
        scale = np.array(self.scale)
        result: NDArray[np.float32] = ((points + 0.5) * scale - 0.5 + (self.x, self.y)).astype(np.float32)
        return result

    def to_input(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of to_frame."""
        scale = np.array(self.scale)
        result: NDArray[np.float32] = ((points - (self.x, self.y) + 0.5) / scale - 0.5).astype(np.float32)
        return result


@dataclass(frozen=True, slots=True)
class StickyRule:
    """When a window stays.

    room: a new window has this much padding. least: it stays while the person's own window, padded this much, lies inside it, as far as
    the frame reaches. largest: and while it is no more than this many times as large as a new one would be.
    """

    room: float = 1.45
    least: float = 1.1
    largest: float = 1.5

    def place(self, box: NDArray[np.float32], input_size: tuple[int, int]) -> CropWindow:
        """A new window for a person."""
        return CropWindow.around(box, input_size, self.room)

    def holds(self, window: CropWindow, box: NDArray[np.float32], frame_size: tuple[int, int]) -> bool:
        """Whether a window still serves a person at `box`, (4,) xyxy. frame_size: (height, width)."""
        x1, y1, x2, y2 = (float(value) for value in box)
        # Beyond the frame there is nothing to see: only what is cut off inside it counts.
        grow_x, grow_y = (x2 - x1) * (self.least - 1) / 2, (y2 - y1) * (self.least - 1) / 2
        height, width = frame_size
        left, top, right, bottom = window.box
        inside = left <= max(x1 - grow_x, 0) and top <= max(y1 - grow_y, 0)
        inside = inside and right >= min(x2 + grow_x, width) and bottom >= min(y2 + grow_y, height)
        wanted = self.place(box, window.input_size)
        return inside and window.height <= wanted.height * self.largest


EVERY_FRAME = StickyRule(room=PADDING, least=1.0, largest=0.0)
"""Windows that follow their person in every frame, as pose networks are usually run: the yardstick."""


def whole_frame(frame_size: tuple[int, int], input_size: tuple[int, int]) -> CropWindow:
    """A window on a whole frame for footage of one person.

    frame_size: (height, width). input_size: the network's; its height is kept, and its width follows the frame in steps of 32 pixels.
    """
    height, width = frame_size
    columns = max(round(input_size[0] * width / height / 32), 1) * 32
    aspect = columns / input_size[0]
    if width / height > aspect:
        rows = round(width / aspect)
        return CropWindow(0, (height - rows) // 2, width, rows, (input_size[0], columns))
    wide = round(height * aspect)
    return CropWindow((width - wide) // 2, 0, wide, height, (input_size[0], columns))
