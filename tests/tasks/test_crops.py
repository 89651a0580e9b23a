"""Windows of the frame: exact there and back, unchanged where nothing changes, and sticky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipvid.tasks.crops import EVERY_FRAME, CropWindow, StickyRule, whole_frame

INPUT = (256, 192)
starts = st.floats(-200, 2000)
extents = st.floats(12, 1500)


def box(x: float, y: float, width: float, height: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([x, y, x + width, y + height], np.float32)


@given(starts, starts, extents, extents)
def test_a_window_holds_its_box_in_the_middle_and_has_the_shape_of_the_input(x: float, y: float, width: float, height: float) -> None:
    window = CropWindow.around(box(x, y, width, height), INPUT)
    left, top, right, bottom = window.box
    assert left <= x + 1 and top <= y + 1 and right >= x + width - 1 and bottom >= y + height - 1
    assert abs((left + right) / 2 - (x + width / 2)) <= 1 and abs((top + bottom) / 2 - (y + height / 2)) <= 1
    assert abs(window.width - window.height * 0.75) <= 1


@given(starts, starts, extents, extents, st.floats(-50, 250), st.floats(-50, 300))
def test_points_map_to_the_frame_and_back(x: float, y: float, width: float, height: float, u: float, v: float) -> None:
    window = CropWindow.around(box(x, y, width, height), INPUT)
    points = np.array([[u, v]], np.float32)
    np.testing.assert_allclose(window.to_input(window.to_frame(points)), points, atol=0.05)


@pytest.mark.parametrize("side", [24, 100, 300])
def test_a_spot_in_the_frame_is_found_in_the_crop_where_the_map_says(side: int) -> None:
    image = np.zeros((400, 500, 3), np.uint8)
    spots = np.array([[200, 150], [215, 160]], np.float32)
    window = CropWindow.around(box(208 - side / 2, 155 - side / 2, side, side), INPUT)
    for spot in spots:
        image[...] = 0
        reach = max(1, side // 50)
        x, y = spot.astype(int)
        image[y - reach : y + reach + 1, x - reach : x + reach + 1] = 255
        weight = window.cut(image)[..., 0].astype(np.float64)
        rows, columns = np.mgrid[: INPUT[0], : INPUT[1]]
        centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(centre, window.to_input(spot), atol=0.6)


def test_what_does_not_change_in_the_frame_does_not_change_in_the_crop() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    window = CropWindow.around(box(-30, 20, 150, 260), INPUT)
    before = window.cut(image)
    changed = image.copy()
    changed[250:260, 60:70] = 255 - changed[250:260, 60:70]
    after = window.cut(changed)
    u, v = window.to_input(np.array([[60, 250], [69, 259]], np.float32)).T
    away = np.ones(INPUT, bool)
    away[int(v[0]) - 2 : int(v[1]) + 3, int(u[0]) - 2 : int(u[1]) + 3] = False
    assert np.array_equal(before[away], after[away])
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("factor", [2, 3])
def test_shrinking_averages_every_pixel(factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (INPUT[0] * factor, INPUT[1] * factor, 3), dtype=np.uint8)
    cut = CropWindow(0, 0, INPUT[1] * factor, INPUT[0] * factor, INPUT).cut(image)
    means = image.reshape(INPUT[0], factor, INPUT[1], factor, 3).mean((1, 3))
    assert np.abs(cut - means).max() <= 1


def test_beyond_the_frame_it_is_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    outside = CropWindow(-30, -40, 75, 100, INPUT).cut(image)
    assert outside[:90].max() == 0 and outside[:, :70].max() == 0 and outside[-1, -1].min() == 200
    assert CropWindow(150, 0, 75, 100, INPUT).cut(image).max() == 0


@pytest.mark.parametrize(
    ("moved", "stays"),
    [
        (box(100, 100, 60, 150), True),
        (box(112, 95, 60, 150), True),
        (box(100, 100, 60, 110), True),
        (box(165, 100, 60, 150), False),
        (box(100, 145, 60, 150), False),
        (box(90, 90, 80, 200), False),
        (box(110, 120, 40, 80), False),
    ],
    ids=["same", "a little aside", "crouching", "far aside", "far down", "grown", "shrunk"],
)
def test_a_window_stays_until_the_person_leaves_it(moved: np.ndarray[tuple[int], np.dtype[np.float32]], stays: bool) -> None:
    rule = StickyRule()
    window = rule.place(box(100, 100, 60, 150), INPUT)
    assert rule.holds(window, moved, (480, 640)) == stays


def test_a_person_cut_off_by_the_frame_does_not_make_the_window_jump() -> None:
    rule = StickyRule()
    window = rule.place(box(0, 100, 60, 150), INPUT)
    assert rule.holds(window, box(0, 100, 30, 150), (480, 640))


@given(starts, starts, extents, extents)
def test_a_new_window_always_serves_and_a_following_one_never_stays(x: float, y: float, width: float, height: float) -> None:
    person = box(x, y, width, height)
    for rule, stays in ((StickyRule(), True), (EVERY_FRAME, False)):
        assert rule.holds(rule.place(person, INPUT), person, (1080, 1920)) == stays


@pytest.mark.parametrize("size", [(1080, 1920), (1920, 1080), (480, 640), (240, 320), (300, 300)])
def test_a_whole_frame_fits_a_window_of_its_own_shape(size: tuple[int, int]) -> None:
    window = whole_frame(size, INPUT)
    left, top, right, bottom = window.box
    assert left <= 0 and top <= 0 and right >= size[1] and bottom >= size[0]
    assert window.input_size[0] == 256 and window.input_size[1] % 32 == 0
    assert (right - left) * (bottom - top) <= 1.25 * size[0] * size[1]
