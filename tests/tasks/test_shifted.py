"""Pictures are shifted and drawn to the same bits by the extension and by OpenCV, and bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.tasks.moved import KERNELS
from skipvid.tasks.shifted import BEFORE, TAPS, merge_by_opencv, merge_changes, shift_by_opencv, shift_picture

Image = NDArray[np.uint8]
native = pytest.mark.skipif(shift_picture is shift_by_opencv, reason="the extension was not compiled")
SHIFTS = [pytest.param(shift_picture, marks=native, id="extension"), pytest.param(shift_by_opencv, id="OpenCV")]
MERGES = [pytest.param(merge_changes, marks=native, id="extension"), pytest.param(merge_by_opencv, id="OpenCV")]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Image, np.random.Generator]:
    """A picture, perhaps part of a wider one, of extremes or of near values."""
    height, width, spare = (draw(st.integers(least, most)) for least, most in ((1, 24), (1, 110), (0, 5)))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    low, high = draw(st.sampled_from([(0, 256), (100, 112)]))
    values = random.integers(low, high, (height, width + spare, 3), np.uint8)
    if draw(st.booleans()):
        values = np.where(values > (low + high) // 2, 255, 0).astype(np.uint8)
    return values[:, :width], random


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


@pytest.mark.parametrize("way", MERGES)
@settings(max_examples=60, deadline=None)
@given(pictures(), st.sampled_from([0.0, 0.15, 0.6, 1.0]), st.integers(0, 220), st.integers(0, 9000))
def test_what_differs_by_more_than_the_contrast_around_allows_is_drawn(
    way: Callable[..., None], given_picture: Any, mostly: float, share: int, base: int
) -> None:
    pixels, random = given_picture
    picture = np.clip(pixels.astype(np.int16) + random.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
    differs = np.zeros(pixels.shape, np.bool_)
    for y, x, channel in np.ndindex(pixels.shape):
        around = pixels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2, channel]
        allowed = (share * (int(around.max()) - int(around.min())) + base) >> 11
        differs[y, x, channel] = abs(int(picture[y, x, channel]) - int(pixels[y, x, channel])) > allowed
    expected = picture if differs.sum() > mostly * pixels.size else np.where(differs, picture, pixels)
    canvas = pixels.copy()
    way(canvas, picture, share, base, mostly)
    assert np.array_equal(canvas, expected)


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


@pytest.mark.parametrize("way", MERGES)
@pytest.mark.parametrize("wrong", [{"picture": np.zeros((8, 8, 3), np.uint8)}, {"share": -1}, {"base": -1}, {"share": 257}], ids=str)
def test_a_merge_that_does_not_fit_is_refused(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    fitting = {"canvas": np.zeros((8, 9, 3), np.uint8), "picture": np.zeros((8, 9, 3), np.uint8), "share": 200, "base": 5000, "mostly": 0.5}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())
