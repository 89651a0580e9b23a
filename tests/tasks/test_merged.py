"""What of a moved picture is drawn, to the same bits by the extension and by OpenCV; bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moved_pictures import Image, pictures

from skipvid.tasks.merged import merge_by_opencv, merge_changes

native = pytest.mark.skipif(merge_changes is merge_by_opencv, reason="the extension was not compiled")
MERGES = [pytest.param(merge_changes, marks=native, id="extension"), pytest.param(merge_by_opencv, id="OpenCV")]


def expected_of(seen: Image, picture: Image, share: int, base: int, mostly: float) -> Image:
    """By the definition, value by value."""
    height, width = seen.shape[:2]
    rest = np.pad(picture.astype(np.int64) - seen, ((1, 1), (1, 1), (0, 0)), "edge")
    differs, seeds = np.zeros(seen.shape, np.bool_), np.zeros((height + 2, width + 2, 3), np.bool_)
    for y, x, channel in np.ndindex(seen.shape):
        around = seen[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2, channel]
        allowed = (share * (int(around.max()) - int(around.min())) + base) >> 11
        differs[y, x, channel] = abs(rest[y + 1, x + 1, channel]) > allowed
        mean = rest[y : y + 3, x : x + 3, channel].sum() / 9
        seeds[y + 1, x + 1, channel] = differs[y, x, channel] and abs(mean) > allowed
    near = np.any([seeds[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    changed = differs & near
    return np.asarray(picture if changed.sum() > mostly * seen.size else np.where(changed, picture, seen), np.uint8)


@pytest.mark.parametrize("way", MERGES)
@settings(max_examples=60, deadline=None)
@given(pictures(), st.sampled_from([0.0, 0.15, 0.6, 1.0]), st.integers(0, 220), st.integers(0, 9000), st.sampled_from([0, 3, 9]))
def test_what_differs_by_more_than_the_contrast_around_allows_is_drawn(
    way: Callable[..., None], given_picture: Any, mostly: float, share: int, base: int, brighter: int
) -> None:
    seen, random = given_picture
    patch = np.zeros(seen.shape, np.int16)
    patch[seen.shape[0] // 3 :, : 1 + seen.shape[1] // 2] = brighter  # else noise is all that differs
    picture = np.clip(seen + patch + random.integers(-5, 6, seen.shape), 0, 255).astype(np.uint8)
    canvas = seen.copy()
    way(canvas, picture, share, base, mostly)
    assert np.array_equal(canvas, expected_of(seen, picture, share, base, mostly))


@pytest.mark.parametrize("way", MERGES)
def test_what_lies_by_itself_stays_and_what_lies_together_is_drawn(way: Callable[..., None]) -> None:
    seen = np.full((20, 30, 3), 100, np.uint8)
    picture = seen.copy()
    picture[4, 5] = 112  # noise: a mean of 12 / 9 grey levels, of which two are allowed
    picture[::2, 20:] += 4  # lines that go up and down by as much
    picture[1::2, 20:] -= 4
    picture[12:16, 8:12] = 104
    way(seen, picture, 0, 2 << 11, 1.0)
    assert (seen[12:16, 8:12] == 104).all()
    seen[12:16, 8:12] = 100
    assert (seen[:, :20] == 100).all() and (seen[1:-1, 21:] == 100).all()


@pytest.mark.parametrize("way", MERGES)
@pytest.mark.parametrize("wrong", [{"picture": np.zeros((8, 8, 3), np.uint8)}, {"share": -1}, {"base": -1}, {"share": 257}], ids=str)
def test_a_merge_that_does_not_fit_is_refused(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    fitting = {"canvas": np.zeros((8, 9, 3), np.uint8), "picture": np.zeros((8, 9, 3), np.uint8), "share": 200, "base": 5000, "mostly": 0.5}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())
