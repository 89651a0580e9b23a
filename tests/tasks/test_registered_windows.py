"""Windows in an anchor's coordinates: what they see of a frame that moved, and the way back from them."""

from __future__ import annotations

import math

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shaking_camera import SIZE, scene, seen

from skipvid.tasks.crops import CropWindow
from skipvid.tasks.registered_windows import LOOKED_AT, CameraMotion, RegisteredFrame, WindowView, in_phase, points_between
from skipvid.tasks.similarity import STANDSTILL, Similarity
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.orientation import Orientation

INPUT = (128, 96)
shifts = st.floats(-30, 30)
NOBODY = np.zeros((0, 4))


def turned(degrees: float, zoom: float, dx: float, dy: float) -> Similarity:
    angle = math.radians(degrees)
    return Similarity(zoom * math.cos(angle), zoom * math.sin(angle), dx, dy)


def spot(x: float, y: float) -> NDArray[np.uint8]:
    """(306, 544, 3) with a smooth spot whose centre lies at x, y; whole numbers are centres of pixels."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    level = 20 + 230 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.asarray(np.rint(level)[..., None].repeat(3, 2), np.uint8)


def centre(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(2,) x, y of what is bright in it."""
    weight = np.maximum(picture[..., 0].astype(np.float64) - 24, 0)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()], np.float32) / np.float32(weight.sum())


@given(shifts, shifts, st.floats(-2, 2), st.floats(0.95, 1.05), st.floats(-600, 2500), st.floats(-600, 2500))
def test_points_go_to_the_frame_and_back(dx: float, dy: float, degrees: float, zoom: float, x: float, y: float) -> None:
    for motion in (in_phase(Similarity(dx=dx, dy=dy)), in_phase(turned(degrees, zoom, dx, dy))):
        point = np.array([[x, y]], np.float32)
        back = points_between(points_between(point, motion), motion.inverse())
        assert np.abs(back - point).max() < 0.01


@pytest.mark.parametrize("side", [40, 90, 200])
@pytest.mark.parametrize(
    "motion", [Similarity(dx=0.5, dy=-0.25), Similarity(dx=-7.3, dy=4.6), turned(0.7, 1.0, 3.0, -2.0), turned(-0.4, 1.02, -5.0, 1.0)]
)
def test_a_spot_is_found_in_the_frame_where_it_lies(side: int, motion: Similarity) -> None:
    motion = in_phase(motion)
    window = CropWindow.around(np.array([270 - side / 2, 150 - side / 2, 270 + side / 2, 150 + side / 2], np.float32), INPUT)
    there = np.array([272.3, 148.8])
    cut = window.cut(RegisteredFrame(spot(*there), motion, WindowView()))
    found = points_between(window.to_frame(centre(cut)[None]), motion)[0]
    at_rest = window.to_frame(centre(window.cut(spot(*there)))[None])[0]
    # OpenCV's cubic kernel, for what turns, leads astray by up to 0.04 pixels
    assert np.abs(found - there).max() < (0.02 if motion.shifts else 0.05) + np.abs(at_rest - there).max()


@pytest.mark.parametrize("side", [60, 150])
def test_a_scene_at_rest_stays_where_it_was_in_the_window(side: int) -> None:
    whole, view = scene(), WindowView()
    window = CropWindow.around(np.array([250, 100, 250 + side, 100 + side], np.float32), INPUT)
    first = window.cut(RegisteredFrame(seen(whole), STANDSTILL, view))
    assert np.array_equal(first, window.cut(seen(whole)))
    for number in range(1, 12):
        picture, motion = seen(whole, 3 * math.sin(2.1 * number), math.cos(number), 0.2 * math.sin(number), with_motion=True)
        registered = window.cut(RegisteredFrame(picture, in_phase(motion), view)).astype(np.int16)
        assert np.abs(registered - first).mean() < 0.25 * np.abs(window.cut(picture).astype(np.int16) - first).mean()


def test_no_blur_adds_up_and_what_is_seen_again_stays() -> None:
    """The light changes from picture to picture, so that all is drawn; then no longer."""
    whole, view = scene() // 2 + 40, WindowView()
    window = CropWindow.around(np.array([250, 100, 330, 200], np.float32), INPUT)
    first = window.cut(RegisteredFrame(seen(whole), STANDSTILL, view)).astype(np.int16)
    changes = []
    for number in range(1, 80):
        brighter = 30 * (number % 2) * (number < 50)
        picture, motion = seen(whole, 1.5 * math.sin(2.1 * number), 0.7, with_motion=True)
        cut = window.cut(RegisteredFrame((picture + brighter).astype(np.uint8), in_phase(motion), view))
        changes.append(np.abs(cut.astype(np.int16) - brighter - first).mean())
    assert 0 < max(changes[25:50]) < 1.2 * max(changes[:25])
    assert len(set(changes[50:])) == 1


@pytest.mark.parametrize("motion", [Similarity(dx=6.25, dy=-3.5), turned(0.3, 1.01, 5.0, -4.0)])
def test_at_the_border_what_was_seen_last_stays_and_beyond_it_all_is_black(motion: Similarity) -> None:
    random = np.random.default_rng(0)
    before, after = (random.integers(1, 256, (*SIZE, 3), np.uint8) for _ in range(2))
    view = WindowView()
    window = CropWindow(SIZE[1] - 60, SIZE[0] - 60, 80, 80, (80, 80))
    first = window.cut(RegisteredFrame(before, STANDSTILL, view)).copy()
    second = window.cut(RegisteredFrame(after, motion, view))
    assert not first[60:].any() and not first[:, 60:].any() and not second[60:].any() and not second[:, 60:].any()
    assert np.array_equal(second[30:50, 57:60], first[30:50, 57:60]), "the frame ends before the anchor's border does"
    assert not np.array_equal(second[30:50, 20:40], first[30:50, 20:40])


def test_a_window_that_begins_while_the_camera_is_aside_goes_on_as_at_the_frame_s_border() -> None:
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:, -1] = 200
    window = CropWindow(SIZE[1] - 60, 100, 60, 60, (60, 60))
    cut = window.cut(RegisteredFrame(picture, Similarity(dx=5.0, dy=0.0), WindowView()))
    assert (cut[:, -6:] == 200).all() and not cut[:, :-6].any()


def test_a_window_that_the_frame_has_left_keeps_what_it_saw() -> None:
    picture = seen(scene())
    view = WindowView()
    window = CropWindow(0, 100, 40, 40, (40, 40))
    first = window.cut(RegisteredFrame(picture, STANDSTILL, view)).copy()
    assert np.array_equal(window.cut(RegisteredFrame(picture, Similarity(dx=-60.0), view)), first)
    view.forget()
    assert not window.cut(RegisteredFrame(picture, Similarity(dx=-60.0), view)).any()


@pytest.mark.parametrize("motion", [STANDSTILL, Similarity(dx=-2.25, dy=3.5), turned(0.5, 1.0, 1.0, 2.0)])
def test_a_decoder_s_picture_gives_the_same_bytes_as_its_pixels(motion: Similarity) -> None:
    decoded = DecodedPicture(
        av.VideoFrame.from_ndarray(seen(scene()), format="bgr24").reformat(format="yuv420p"), Orientation(), Converters()
    )
    window = CropWindow(200, 100, 75, 100, INPUT)
    one = window.cut(RegisteredFrame(decoded, motion, WindowView()))
    assert np.array_equal(one, window.cut(RegisteredFrame(decoded.bgr(), motion, WindowView())))


@pytest.mark.parametrize("factor", [1, 2])
def test_motion_is_told_in_pixels_of_frames_of_any_size(factor: int) -> None:
    whole = scene()
    size = (SIZE[0] * factor, SIZE[1] * factor)
    camera = CameraMotion("canvas", size)
    assert max(size) * min(1, LOOKED_AT / max(size)) <= LOOKED_AT
    for dx, dy in ((0.0, 0.0), (3.0, -2.0)):
        picture = seen(whole, dx, dy)
        camera.look(picture.repeat(factor, 0).repeat(factor, 1), NOBODY)
    assert camera.canvas.motion is not STANDSTILL
    moved = camera.frame_motion.points(np.array([100.0, 100.0]))
    np.testing.assert_allclose(moved - 100, [3.0 * factor, -2.0 * factor], atol=0.15 * factor)
