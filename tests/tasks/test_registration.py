"""Registered inputs, of frames that are scaled down and of frames that are enlarged, and the way back from them."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shaking_camera import scene, seen

from skipvid.core.results import StoredPicture
from skipvid.skip.picture import Picture
from skipvid.tasks import canvas
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.moved import move_onto
from skipvid.tasks.registration import Registration
from skipvid.tasks.similarity import STANDSTILL

INPUT = (320, 544)
SMALL, LARGE = (180, 320), (612, 1088)
PREPROCESS = Preprocessor("rgb", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def frame(size: tuple[int, int], dx: float = 0.0, dy: float = 0.0) -> NDArray[np.uint8]:
    """A scene seen in this size. dx, dy: how far the camera moved it, pixels of the frame."""
    whole = scene()
    if size[0] < 306:
        # Finer than its pixels, as scenes are: what moves by parts of a pixel is sampled anew.
        factor = 1.0 / 1.5
        matrix = np.array([[factor, 0, dx - 20], [0, factor, dy - 20]])
        return np.asarray(cv2.warpAffine(cv2.GaussianBlur(whole, (0, 0), 0.9), matrix, size[::-1], flags=cv2.INTER_LANCZOS4), np.uint8)
    factor = size[1] / 544
    return np.asarray(cv2.resize(seen(whole, dx / factor, dy / factor), size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def registration(size: tuple[int, int], motion: str = "canvas") -> tuple[Registration, Letterbox]:
    letterbox = Letterbox.fit(size, INPUT)
    return Registration(motion, letterbox, PREPROCESS), letterbox


def shown(made: Registration, picture: NDArray[np.uint8] | StoredPicture, boxes: NDArray[np.float32] | None = None) -> Picture:
    prepared, what = made.look(picture, boxes)
    made.show(what)
    return prepared


def change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean change of what lies off the border."""
    inner = (slice(20, 280), slice(20, -20))
    return float(np.abs(one[inner].astype(np.int16) - other[inner]).mean())


class Stored:
    """A decoder's picture, which enlarges by other code than OpenCV's."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def bgr(self) -> NDArray[np.uint8]:
        return self._pixels

    def scaled(self, height: int, width: int) -> NDArray[np.uint8]:
        resized = cv2.resize(self._pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(resized.astype(np.int16) + 1, 0, 255).astype(np.uint8)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not wanted here")


@pytest.mark.parametrize("size", [SMALL, LARGE, (320, 544)])
@pytest.mark.parametrize("motion", ["canvas", "auto", "none"])
def test_frames_of_a_camera_that_stands_still_are_prepared_as_ever(size: tuple[int, int], motion: str) -> None:
    made, letterbox = registration(size, motion)
    for _ in range(3):
        picture = frame(size)
        assert np.array_equal(shown(made, picture).pixels, PREPROCESS(picture, letterbox).pixels)


def test_frames_of_a_camera_that_comes_to_rest_or_is_lost_are_prepared_as_ever() -> None:
    made, letterbox = registration(LARGE)
    rest, other = frame(LARGE), np.ascontiguousarray(frame(LARGE)[::-1, ::-1])
    for moved, picture in ((0.0, rest), (2.5, rest), (2.0, rest), (-3.0, other)):
        shown(made, frame(LARGE, moved))
        assert made.moves == (moved != 0)
        assert np.array_equal(shown(made, picture).pixels, PREPROCESS(picture, letterbox).pixels)
        assert not made.moves and made.seen.motion is STANDSTILL


def test_nothing_is_left_of_pictures_before_when_they_are_forgotten() -> None:
    """As where frames were looked at before their turn, and are looked at again."""
    made, again = (registration(LARGE)[0] for _ in range(2))
    for dx in (0.0, 2.5, -1.5):
        shown(made, frame(LARGE, dx))
    made.forget()
    for dx in (1.3, -1.2, 0.4, 0.0):
        picture = frame(LARGE, dx, 0.7)
        assert np.array_equal(shown(made, picture).pixels, shown(again, picture).pixels) and made.seen == again.seen


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_scene_at_rest_stays_where_it_was_in_the_network_s_picture(size: tuple[int, int]) -> None:
    made, letterbox = registration(size)
    first = shown(made, frame(size)).pixels.copy()
    for number in range(1, 10):
        picture = frame(size, 1.5 * math.sin(2.1 * number), math.cos(1.3 * number) - 1)
        registered = shown(made, picture).pixels
        assert registered.shape == first.shape
        moved = change(PREPROCESS(picture, letterbox).pixels, first)
        assert change(registered, first) < 0.2 * moved + 0.3


def test_enlarging_blurs_each_place_of_the_scene_alike_whatever_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered after it was enlarged, the same picture changes several times as much."""
    monkeypatch.setattr(canvas, "draw_changes", move_onto)
    made, _ = registration(SMALL)
    whole = Letterbox.fit(INPUT, INPUT)
    behind = Registration("canvas", whole, PREPROCESS)
    enlarge = Letterbox.fit(SMALL, INPUT)
    begin = shown(made, frame(SMALL)).pixels.copy()

    def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        result = np.zeros((*INPUT, 3), np.uint8)
        height, width = enlarge.content_size
        result[:height, :width] = PREPROCESS(picture, enlarge).pixels
        return result

    behind_begin = shown(behind, enlarged(frame(SMALL))).pixels.copy()
    before = after = 0.0
    for number in range(1, 8):
        picture = frame(SMALL, 0.5 * math.sin(2.1 * number), 0.4 * math.cos(1.3 * number))
        before += change(shown(made, picture).pixels, begin)
        after += change(shown(behind, enlarged(picture)).pixels, behind_begin)
    assert before < 0.75 * after


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_boxes_go_back_to_where_the_frame_shows_them(size: tuple[int, int]) -> None:
    made, letterbox = registration(size)
    shown(made, frame(size))
    dx, dy = 0.01 * size[1], -0.005 * size[1]
    shown(made, frame(size, dx, dy))
    assert made.seen.motion is not STANDSTILL
    boxes = np.array([[100, 80, 160, 200], [300.5, 20.25, 400, 120]], np.float32)
    expected = letterbox.boxes_to_frame(boxes) + np.array([dx, dy, dx, dy], np.float32)
    np.testing.assert_allclose(made.boxes_to_frame(boxes, made.seen), expected, atol=0.15 * size[1] / 544)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_grids_go_back_by_the_motion_in_their_own_cells(size: tuple[int, int]) -> None:
    made, letterbox = registration(size)
    shown(made, frame(size))
    shown(made, frame(size, 0.0147 * size[1]))  # 8 pixels of the input
    grid = np.zeros((38, 68), np.float32)
    grid[10:20, 30:40] = 1
    back = made.to_frame(grid, (8, 8), made.seen)
    assert np.argmax(back[15] > 0.5) == 31


def test_a_stored_picture_is_enlarged_by_one_way_while_its_camera_moves() -> None:
    made, letterbox = registration(SMALL)
    pictures: list[StoredPicture] = [Stored(frame(SMALL, dx)) for dx in (0.0, 0.0, 1.0, 0.0)]
    still, again, moved, back = [shown(made, picture).pixels.copy() for picture in pictures]
    assert np.array_equal(still, PREPROCESS(pictures[0], letterbox).pixels) and np.array_equal(again, still)
    assert change(moved, back) < 0.5 < change(moved, still)


def test_what_may_move_by_itself_is_told_in_pixels_of_the_input() -> None:
    """All that is rich in corners lies in the boxes, so that nothing is left to find a motion by."""
    made, _ = registration(SMALL)
    shown(made, frame(SMALL))
    everything = np.array([[0, 0, 544, 306]], np.float32)
    shown(made, frame(SMALL, 1.0), everything)
    assert made.seen.lost == 1
