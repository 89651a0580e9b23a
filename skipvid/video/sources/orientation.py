"""Making pictures upright: phones store them as the sensor sees them, and a matrix that says how to show them.

The matrix is ISO 14496-12's (libav: AV_PKT_DATA_DISPLAYMATRIX): nine 32-bit numbers a b u / c d v / x y w, row by row. A stored pixel in
column p, row q is shown in column a·p + c·q, row b·p + d·q (16.16 fixed point). Cameras write multiples of 90° and mirrorings only.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_ONE = 1 << 16


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes upright: first transpose, then flip left-right, then top-bottom.

    rotation: degrees clockwise, one of 0, 90, 180, 270, for the user to read (a mirroring is not part of it).
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False
    rotation: int = 0

    @classmethod
    def from_display_matrix(cls, data: bytes) -> Orientation:
        """The orientation in a display matrix; the identity where it is no multiple of 90° (slanted video is shown as stored)."""
        if len(data) < 36:
            return cls()
        a, b, _, c, d = (value / _ONE for value in struct.unpack("=5i", data[:20]))
        if b == c == 0 and a * d != 0:
            transpose, flip_x, flip_y = False, a < 0, d < 0
        elif a == d == 0 and b * c != 0:
            transpose, flip_x, flip_y = True, c < 0, b < 0
        else:
            return cls()
        mirrored = a * d - b * c < 0
        angle = math.atan2(-b, -a) if mirrored else math.atan2(b, a)
        return cls(transpose, flip_x, flip_y, round(math.degrees(angle)) % 360)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """image: (H, W, 3) or (H, W) uint8 as stored. Returns it upright, (W, H, ...) where the picture lay on its side."""
        if self.transpose:
            image = np.asarray(cv2.transpose(image), np.uint8)
        if self.flip_x or self.flip_y:
            image = np.asarray(cv2.flip(image, -1 if self.flip_x and self.flip_y else int(self.flip_x)), np.uint8)
        return image
