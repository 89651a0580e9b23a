"""Pictures are shifted to the same bits by the extension and by OpenCV, and bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moved_pictures import pictures
from numpy.typing import NDArray

from skipvid.tasks.moved import KERNELS
from skipvid.tasks.shifted import BEFORE, TAPS, shift_by_opencv, shift_picture

Image = NDArray[np.uint8]
native = pytest.mark.skipif(shift_picture is shift_by_opencv, reason="the extension was not compiled")
SHIFTS = [pytest.param(shift_picture, marks=native, id="extension"), pytest.param(shift_by_opencv, id="OpenCV")]


@pytest.mark.parametrize("way", SHIFTS)
@settings(max_examples=60, deadline=None)
@given(pictures(), st.data())
def test_a_picture_is_shifted_as_two_sums_of_whole_numbers_say(way: Callable[..., None], given_picture: Any, data: st.DataObject) -> None:
    pixels, random = given_picture
    height, width = pixels.shape[:2]
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    across, down = KERNELS[random.integers(len(KERNELS))], KERNELS[random.integers(len(KERNELS))]
    padded = np.pad(pixels, ((BEFORE, TAPS), (BEFORE, TAPS), (0, 0)), "edge").astype(np.int64)
    kept = sum(int(down[tap]) * padded[tap : tap + height] for tap in range(TAPS)) + 32 >> 6
    sums = sum(int(across[tap]) * kept[:, tap : tap + width] for tap in range(TAPS)) + 8192 >> 14
    wide = np.full((rows, columns + 2, 3), 77, np.uint8)
    before = pixels.copy()
    way(pixels, wide[:, :columns], across, down, x, y)
    assert np.array_equal(wide[:, :columns], np.clip(sums, 0, 255)[y : y + rows, x : x + columns])
    assert (wide[:, columns:] == 77).all() and np.array_equal(pixels, before)


@pytest.mark.parametrize("way", SHIFTS)
@pytest.mark.parametrize(
    "wrong", [{"x": -1}, {"x": 3}, {"y": -1}, {"y": 3}, {"across": np.ones(4, np.int16)}, {"down": np.ones(8, np.int16)}], ids=str
)
def test_a_shift_that_does_not_fit_is_refused(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    fitting = {"pixels": np.zeros((8, 9, 3), np.uint8), "out": np.zeros((6, 7, 3), np.uint8)}
    fitting |= {"across": KERNELS[1], "down": KERNELS[2], "x": 2, "y": 2}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())
