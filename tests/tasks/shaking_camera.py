"""A scene that is richer than its picture, seen by a camera that moves by known amounts."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Frame
from skipvid.tasks.similarity import Similarity

SIZE = (306, 544)
ROOM = 40


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with edges and corners everywhere, larger than SIZE by ROOM on all sides."""
    random = np.random.default_rng(seed)
    height, width = (side + 2 * ROOM for side in SIZE)
    picture = np.full((height, width, 3), 128, np.uint8)
    for _ in range(400):
        x, y, w, h = random.integers(0, width), random.integers(0, height), random.integers(6, 60), random.integers(6, 60)
        picture[y : y + h, x : x + w] = random.integers(20, 236, 3)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8), np.uint8)


def seen(
    whole: NDArray[np.uint8], dx: float = 0.0, dy: float = 0.0, degrees: float = 0.0, zoom: float = 1.0, with_motion: bool = False
) -> Any:
    """What the camera sees, (306, 544, 3) uint8; with_motion: and the Similarity from what it saw at rest to that."""
    height, width = SIZE
    a, b = zoom * math.cos(math.radians(degrees)), zoom * math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    motion = Similarity(a, b, x + dx - a * x + b * y, y + dy - b * x - a * y)
    matrix = motion.matrix()
    matrix[:, 2] -= matrix[:, :2] @ (ROOM, ROOM)
    picture = np.asarray(cv2.warpAffine(whole, matrix, (width, height), flags=cv2.INTER_LANCZOS4), np.uint8)
    return (picture, motion) if with_motion else picture


def shaken(count: int, pixels: float = 2.0, seed: int = 0, start: int = 0) -> list[Frame]:
    """Frames of a camera that shakes by up to so many pixels, before which a square moves."""
    whole, result = scene(seed), []
    for number in range(count):
        there = whole.copy()
        x, y = 120 + 3 * number, 150
        there[y : y + 40, x : x + 30] = (40, 60, 230)
        picture = seen(there, pixels * math.sin(2.1 * number), pixels * (math.cos(1.3 * number) - 1) / 2)
        result.append(Frame(picture, start + number, (start + number) / 25, "clip"))
    return result
