"""Pictures shifted by a part of a pixel: by the compiled extension where there is one, otherwise by OpenCV, to the same bits.

Kernels are of whole numbers, so that all sums are exact, in float32 too, whatever the order.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

TAPS, BEFORE = 6, 2
"""Samples of a kernel, and how many of them lie before the first of the two that a place lies between."""
UNIT_BITS, KEPT_BITS = 10, 4
"""Of a kernel's sum; and, behind the point, of a value between filtering down and filtering across."""


def shift_by_opencv(pixels: Image, out: Image, across: NDArray[np.int16], down: NDArray[np.int16], x: int, y: int) -> None:
    """Write to out (h, w, 3) uint8 what pixels (H, W, 3) show at its places plus (x, y) and what the kernels add, clamped to bytes.

    across, down: (TAPS,) whole numbers of the sum 2 ** UNIT_BITS. Beyond their borders pixels go on as there. All of out lies in them.
    Raises ValueError for what does not fit.
    """
    (height, width), (rows, columns) = pixels.shape[:2], out.shape[:2]
    if len(across) != TAPS or len(down) != TAPS or min(x, y) < 0 or x + columns > width or y + rows > height:
        raise ValueError("what is asked for lies in the picture, and a kernel has six taps")
    one = np.ones(1, np.float32)
    by_row, by_column = down.astype(np.float32), across.astype(np.float32)
    kept = cv2.sepFilter2D(pixels, cv2.CV_32F, one, by_row, anchor=(0, BEFORE), borderType=cv2.BORDER_REPLICATE)
    kept = np.asarray(np.floor(kept / np.float32(1 << UNIT_BITS - KEPT_BITS) + np.float32(0.5)), np.float32)
    sums = cv2.sepFilter2D(kept, cv2.CV_32F, by_column, one, anchor=(BEFORE, 0), borderType=cv2.BORDER_REPLICATE)
    values = np.floor(sums[y : y + rows, x : x + columns] / np.float32(1 << UNIT_BITS + KEPT_BITS) + np.float32(0.5))
    np.copyto(out, np.clip(values, 0, 255), casting="unsafe")


try:
    from skipvid.tasks._registered import shift_picture as shift_picture
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    shift_picture = shift_by_opencv
"""As `shift_by_opencv`, in one pass where the extension is there."""
