"""Moved pictures drawn where they differ from what was seen: by the compiled extension where there is one, otherwise by OpenCV, to the same
bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SHARE_BITS = 11
"""Of a share of the contrast, behind the point."""
_AROUND = np.ones((3, 3), np.uint8)


def merge_by_opencv(canvas: Image, picture: Image, share: int, base: int, mostly: float) -> None:
    """Write to the canvas the values of a picture that differ from it by more than a tolerance, and not by themselves: at one of them, or
    at another beside it of its channel, the mean difference of 3×3 pixels must be above the tolerance, too.

    What moves in the scene covers pixels that lie together; noise, and what moving a picture by a part of a pixel leaves along an edge,
    goes up and down.

    Both (h, w, 3) uint8. The tolerance is (share · contrast + base) / 2 ** SHARE_BITS, rounded down; the contrast of a value is how far
    those of its channel in the 3×3 pixels around lie apart on the canvas. Beyond their borders pictures go on as there. Where more than a
    share `mostly` of the values would be written, all are. Raises ValueError where sizes differ, or a tolerance is above 16 bits.
    """
    if canvas.shape != picture.shape or min(share, base) < 0 or 255 * share + base > 65535:
        raise ValueError("canvas and picture have one size, and tolerances 16 bits")
    table = ((np.arange(256) * share + base) >> SHARE_BITS).astype(np.uint8)
    tolerance = cv2.LUT(cv2.morphologyEx(canvas, cv2.MORPH_GRADIENT, _AROUND), table)
    differs = cv2.compare(cv2.absdiff(picture, canvas), tolerance, cv2.CMP_GT)
    rest = picture.astype(np.int16) - canvas
    sums = cv2.boxFilter(rest, cv2.CV_16S, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    seeds = np.where(np.abs(sums) > _AROUND.size * tolerance.astype(np.int16), differs, np.uint8(0))
    changed = cv2.bitwise_and(differs, cv2.dilate(seeds, _AROUND))
    if cv2.countNonZero(changed.reshape(len(changed), -1)) > mostly * changed.size:
        np.copyto(canvas, picture)
    else:
        cv2.copyTo(picture, changed, canvas)


try:
    from skipvid.tasks._registered import merge_changes as merge_changes
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    merge_changes = merge_by_opencv
"""As `merge_by_opencv`, in one pass where the extension is there."""
