"""Pictures shifted by a part of a pixel, and drawn where they differ from what was seen: by the compiled extension where there is one,
otherwise by OpenCV, to the same bits.

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
SHARE_BITS = 11
"""Of a share of the contrast, behind the point."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)


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


def merge_by_opencv(canvas: Image, picture: Image, share: int, base: int, mostly: float) -> None:
    """Write to the canvas the values of a picture that differ from it by more than a tolerance.

    Both (h, w, 3) uint8. The tolerance is (share · contrast + base) / 2 ** SHARE_BITS, rounded down; the contrast of a value is how far
    those of its channel in the 3×3 pixels around lie apart on the canvas. Where more than a share `mostly` of the values differ, all are
    written. Raises ValueError where sizes differ, or a tolerance is above 16 bits.
    """
    if canvas.shape != picture.shape or min(share, base) < 0 or 255 * share + base > 65535:
        raise ValueError("canvas and picture have one size, and tolerances 16 bits")
    table = ((np.arange(256) * share + base) >> SHARE_BITS).astype(np.uint8)
    tolerance = cv2.LUT(cv2.morphologyEx(canvas, cv2.MORPH_GRADIENT, _NEIGHBOURS), table)
    changed = cv2.compare(cv2.absdiff(picture, canvas), tolerance, cv2.CMP_GT)
    if cv2.countNonZero(changed.reshape(len(changed), -1)) > mostly * changed.size:
        np.copyto(canvas, picture)
    else:
        cv2.copyTo(picture, changed, canvas)


try:
    from skipvid.tasks._registered import merge_changes as merge_changes
    from skipvid.tasks._registered import shift_picture as shift_picture
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    shift_picture, merge_changes = shift_by_opencv, merge_by_opencv
"""As `shift_by_opencv` and `merge_by_opencv`, in one pass where the extension is there."""
