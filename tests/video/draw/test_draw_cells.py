"""Cells of a plane are tinted to the same bits by the extension and by OpenCV, and bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.video.draw.cells import tint_cells, tint_rectangles

Way = Callable[..., None]
native = pytest.mark.skipif(tint_cells is tint_rectangles, reason="the extension was not compiled")
WAYS = [pytest.param(tint_cells, marks=native, id="extension"), pytest.param(tint_rectangles, id="OpenCV")]


def edges(draw: st.DrawFn, cells: int, side: int) -> NDArray[np.int64]:
    return np.array(sorted(draw(st.lists(st.integers(0, side), min_size=cells + 1, max_size=cells + 1))), np.int64)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], ...]:
    """A plane, perhaps part of a wider one, its cells and their edges, factors and offsets."""
    height, width, rows, columns = (draw(st.integers(1, most)) for most in (40, 70, 6, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    plane = random.integers(0, 256, (height, width + draw(st.integers(0, 9))), np.uint8)[:, :width]
    cells = random.integers(0, draw(st.sampled_from([1, 2, 256])), (rows, columns)).astype(np.uint8)
    factors = random.integers(0, 257, 256).astype(np.uint16)
    offsets = random.integers(0, 65536 - 255 * factors.astype(np.int64)).astype(np.uint16)
    return plane, cells, edges(draw, rows, height), edges(draw, columns, width), factors, offsets


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(pictures())
def test_every_pixel_is_tinted_by_its_cell_and_no_other_is_written(way: Way, given_picture: tuple[NDArray[np.generic], ...]) -> None:
    plane, cells, rows, columns, factors, offsets = given_picture
    wide = np.full((plane.shape[0], plane.shape[1] + 3), 77, np.uint8)
    expected = wide.copy()
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            row, column = np.searchsorted(rows, y, "right") - 1, np.searchsorted(columns, x, "right") - 1
            if 0 <= row < cells.shape[0] and 0 <= column < cells.shape[1]:
                step = cells[row, column]
                expected[y, x] = (int(plane[y, x]) * int(factors[step]) + int(offsets[step])) >> 8
    before = plane.copy()
    way(plane, wide[:, : plane.shape[1]], cells, rows, columns, factors, offsets)
    assert np.array_equal(wide, expected) and np.array_equal(plane, before)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"out": np.zeros((8, 11), np.uint8)},
        {"rows": np.array([0, 4, 9], np.int64)},
        {"rows": np.array([-1, 4, 8], np.int64)},
        {"columns": np.array([0, 7, 6, 12], np.int64)},
        {"columns": np.array([0, 4, 12], np.int64)},
        {"factors": np.full(256, 257, np.uint16), "offsets": np.full(256, 1, np.uint16)},
    ],
    ids=lambda wrong: " and ".join(wrong),
)
def test_what_does_not_fit_is_refused(way: Way, wrong: dict[str, NDArray[np.generic]]) -> None:
    fitting = {
        "plane": np.zeros((8, 12), np.uint8),
        "out": np.zeros((8, 12), np.uint8),
        "cells": np.zeros((2, 3), np.uint8),
        "rows": np.array([0, 4, 8], np.int64),
        "columns": np.array([0, 4, 8, 12], np.int64),
        "factors": np.full(256, 256, np.uint16),
        "offsets": np.zeros(256, np.uint16),
    }
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())
