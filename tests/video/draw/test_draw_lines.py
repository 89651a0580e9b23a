"""Thin lines are drawn to the same bits by the extension and by OpenCV, and slanting ones are refused by both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.video.draw.lines import draw_lines, draw_polylines

Way = Callable[..., None]
native = pytest.mark.skipif(draw_lines is draw_polylines, reason="the extension was not compiled")
WAYS = [pytest.param(draw_lines, marks=native, id="extension"), pytest.param(draw_polylines, id="OpenCV")]
COORDINATE = st.integers(-9, 90)


@st.composite
def lines(draw: st.DrawFn) -> NDArray[np.int32]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        at, start, end = draw(COORDINATE), draw(COORDINATE), draw(COORDINATE)
        found.append([[at, start], [at, end]] if draw(st.booleans()) else [[start, at], [end, at]])
    return np.array(found, np.int32).reshape(-1, 2, 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("halved", [False, True])
@settings(max_examples=60, deadline=None)
@given(lines=lines(), height=st.integers(1, 50), width=st.integers(1, 70))
def test_both_ends_and_what_lies_between_are_drawn(way: Way, halved: bool, lines: NDArray[np.int32], height: int, width: int) -> None:
    wide = np.full((height, width + 3), 77, np.uint8)
    expected = wide.copy()
    for ends in lines // 2 if halved else lines:
        (left, top), (right, bottom) = np.maximum(ends.min(0), 0), np.maximum(ends.max(0) + 1, 0)
        expected[top:bottom, left : min(right, width)] = 200
    way(wide[:, :width], lines, 200, halved)
    assert np.array_equal(wide, expected)


@pytest.mark.parametrize("way", WAYS)
def test_slanting_lines_are_refused_and_nothing_is_drawn(way: Way) -> None:
    plane = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="level or upright"):
        way(plane, np.array([[[0, 1], [5, 1]], [[0, 0], [4, 4]]], np.int32), 9, False)
    assert not plane.any()
