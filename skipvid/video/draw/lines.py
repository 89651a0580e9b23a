"""Thin lines along rows and columns of a plane: by the compiled extension where there is one, otherwise by OpenCV, to the same bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def draw_polylines(plane: NDArray[np.uint8], lines: NDArray[np.int32], level: int, halved: bool) -> None:
    """Draw level and upright lines, one pixel wide, in place; of what lies beyond the plane nothing. By OpenCV.

    plane: (H, W), side by side in each row. lines: (K, 2, 2), x and y of both ends, which belong to the line. halved: whether the plane has
    half the resolution of that. Raises ValueError for other lines.
    """
    if (lines[:, 0] != lines[:, 1]).all(axis=1).any():
        raise ValueError("lines are level or upright")
    cv2.polylines(plane, list(lines >> 1 if halved else lines), False, level, 1)


try:
    from skipvid.video.draw._tint import draw_lines as draw_lines
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    draw_lines = draw_polylines
"""As `draw_polylines`, without an array for each line where the extension is there."""
