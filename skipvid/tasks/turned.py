"""Pictures turned or scaled: by the compiled extension where there is one, otherwise by numpy, to the same bits.

Places and kernels are whole numbers, so that all sums are exact, whatever the order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Places = NDArray[np.int32]

PHASES = 32
"""Places between two pixels that are told apart, in each direction."""
TAPS, BEFORE = 4, 1
"""Samples of a kernel in each direction, and how many of them lie before the first of the two that a place lies between."""
PLACE_BITS, UNIT_BITS = 12, 14
"""Of a place, behind the point; of a kernel's sum."""
_DROPPED = PLACE_BITS - 5  # 2 ** 5 = PHASES
SHARPNESS = -0.75
"""The slope of the cubic kernel at one pixel from its middle, as OpenCV has it."""


def turn_by_numpy(
    pixels: Image, out: Image, across_x: Places, across_y: Places, down_x: Places, down_y: Places, kernels: NDArray[np.int16]
) -> None:
    """Write to out (h, w, 3) uint8 what pixels (H, W, 3) show at its places; out stays where they show nothing.

    across_x, across_y: (w,), down_x, down_y: (h,): a place is the sum of its column's and its row's numbers, centres of pixels being whole
    ones, times 2 ** PLACE_BITS. kernels: KERNELS. Beyond their borders pixels go on as there. Raises ValueError for what does not fit.
    """
    if (len(down_x), len(across_x)) != out.shape[:2] or (len(down_y), len(across_y)) != out.shape[:2]:
        raise ValueError("there is a place for each column and each row")
    height, width = pixels.shape[:2]
    if not pixels.size:
        return
    half = 1 << _DROPPED - 1
    x, y = ((row[:, None] + column + half) >> _DROPPED for column, row in ((across_x, down_x), (across_y, down_y)))
    shown = (x >= 0) & (y >= 0) & (x <= (width - 1) * PHASES) & (y <= (height - 1) * PHASES)
    x, y = x[shown], y[shown]
    weights = kernels[y % PHASES, x % PHASES].astype(np.int32)
    sums = np.full((len(x), 3), 1 << UNIT_BITS - 1, np.int32)
    for down in range(TAPS):
        rows = pixels[np.clip(y // PHASES - BEFORE + down, 0, height - 1)[:, None], _columns(x, width)]
        sums += np.einsum("nt,ntc->nc", weights[:, down], rows.astype(np.int32))
    out[shown] = np.clip(sums >> UNIT_BITS, 0, 255)


def _columns(x: Places, width: int) -> NDArray[np.intp]:
    return np.asarray(np.clip((x // PHASES - BEFORE)[:, None] + np.arange(TAPS), 0, width - 1), np.intp)


def places(matrix: NDArray[np.float64], size: tuple[int, int]) -> tuple[Places, Places, Places, Places]:
    """Of a picture of (height, width), as `turn_by_numpy` takes them. matrix: (2, 3), from its pixels to those that they show."""
    rows, columns = np.arange(size[0]), np.arange(size[1])
    exact = (
        matrix[0, 0] * columns,
        matrix[1, 0] * columns,
        matrix[0, 1] * rows + matrix[0, 2],
        matrix[1, 1] * rows + matrix[1, 2],
    )
    across_x, across_y, down_x, down_y = (np.rint(each * (1 << PLACE_BITS)).astype(np.int32) for each in exact)
    return across_x, across_y, down_x, down_y


def _kernels() -> NDArray[np.int16]:
    """(PHASES, PHASES, TAPS, TAPS): by the place down and across, whole numbers of the sum 2 ** UNIT_BITS."""
    away = np.abs(np.arange(TAPS) - BEFORE - np.arange(PHASES)[:, None] / PHASES)
    near = ((SHARPNESS + 2) * away - (SHARPNESS + 3)) * away**2 + 1
    far = SHARPNESS * (((away - 5) * away + 8) * away - 4)
    line = np.where(away <= 1, near, far)
    whole = np.rint(line[:, None, :, None] * line[None, :, None, :] * (1 << UNIT_BITS)).astype(np.int16).reshape(-1, TAPS * TAPS)
    whole[np.arange(len(whole)), whole.argmax(1)] += ((1 << UNIT_BITS) - whole.sum(1, dtype=np.int64)).astype(np.int16)
    return np.asarray(whole.reshape(PHASES, PHASES, TAPS, TAPS), np.int16)


KERNELS = _kernels()

try:
    from skipvid.tasks._registered import turn_picture as turn_picture
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    turn_picture = turn_by_numpy
"""As `turn_by_numpy`, in one pass where the extension is there."""
