"""Pictures that are registered, and the way back from the canvas to the frame."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shaking_camera import SIZE, scene, seen, shaken

from skipvid.tasks.canvas import CELL, MOST_LOST, RESTS, Canvas
from skipvid.tasks.moved import ASIDE, KERNELS, ROUNDING, cut_to_frame, draw_changes, move_onto, to_picture
from skipvid.tasks.shifted import BEFORE, UNIT_BITS
from skipvid.tasks.similarity import STANDSTILL, Similarity


def change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean change of what lies off the border."""
    inner = (slice(16, -16), slice(16, -16))
    return float(np.abs(one[inner].astype(np.int16) - other[inner]).mean())


def test_a_camera_that_stands_still_gives_its_own_pictures() -> None:
    canvas = Canvas(SIZE)
    for frame in shaken(5, 0.0):
        assert canvas.register(frame.image) is frame.image
        assert canvas.motion is STANDSTILL


def test_a_still_camera_before_a_scene_that_turns_into_another_one_needs_no_new_anchor() -> None:
    """One square after the other, until nothing of the first picture is left: parked cars go, others come."""
    canvas, now, other = Canvas(SIZE), seen(scene(seed=2)), seen(scene(seed=3))
    places = [(y, x) for y in range(0, SIZE[0], 34) for x in range(0, SIZE[1], 34)]
    canvas.register(now)
    for at in np.random.default_rng(0).permutation(len(places)):
        y, x = places[at]
        now = now.copy()
        now[y : y + 34, x : x + 34] = other[y : y + 34, x : x + 34]
        assert canvas.register(now) is now and canvas.motion is STANDSTILL and not canvas.lost and not canvas.seen.is_anchor
    assert np.array_equal(now, other)


@pytest.mark.parametrize(("pixels", "degrees", "zoom"), [(0.5, 0.0, 1.0), (4.0, 0.0, 1.0), (1.0, 0.3, 1.0), (0.0, 0.0, 1.01)])
def test_a_scene_at_rest_stays_where_it_was_before_a_camera_that_moves(pixels: float, degrees: float, zoom: float) -> None:
    whole, canvas = scene(), Canvas(SIZE)
    first = seen(whole)
    canvas.register(first)
    for number in range(1, 12):
        share = math.sin(number / 2)
        picture = seen(whole, pixels * share, -pixels * share / 2, degrees * share, 1 + (zoom - 1) * share)
        registered = canvas.register(picture)
        assert not canvas.anchored
        assert change(registered, first) < max(1.5, 0.4 * change(picture, first))


def test_no_blur_adds_up() -> None:
    whole, canvas = scene(), Canvas(SIZE)
    canvas.register(seen(whole))
    changes = [change(canvas.register(seen(whole, 1.5 * math.sin(2.1 * n), 0.7)), seen(whole)) for n in range(1, 60)]
    assert max(changes[30:]) < 1.2 * max(changes[:30]) + 1e-4


def test_where_the_picture_shows_nothing_what_was_seen_last_stays() -> None:
    random = np.random.default_rng(0)
    before = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    picture = random.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    canvas = before.copy()
    move_onto(canvas, picture, Similarity(dx=5.0, dy=-3.0))
    assert np.array_equal(canvas[:, -5:], before[:, -5:]) and np.array_equal(canvas[:3], before[:3])
    assert np.array_equal(canvas[3:, :-5], picture[:-3, 5:])
    turned = before.copy()
    angle = math.radians(1.0)
    move_onto(turned, picture, Similarity(math.cos(angle), math.sin(angle), 6.0, 0.0))
    assert np.array_equal(turned[-1, -1], before[-1, -1]) and not np.array_equal(turned[150, 200], before[150, 200])


def test_the_kernels_have_one_sum_and_the_first_moves_nothing() -> None:
    assert (KERNELS.sum(1) == 1 << UNIT_BITS).all() and (KERNELS == np.rint(KERNELS)).all()
    assert KERNELS[0, BEFORE] == 1 << UNIT_BITS and np.count_nonzero(KERNELS[0]) == 1


def test_shifting_agrees_with_warping() -> None:
    picture = seen(scene())
    one, other = np.zeros_like(picture), np.zeros_like(picture)
    move_onto(one, picture, Similarity(dx=2.25, dy=-1.5))
    cv2.warpAffine(picture, Similarity(dx=2.25, dy=-1.5).matrix(), SIZE[::-1], other, cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP)
    assert change(one, other) < 0.5


@pytest.mark.parametrize(("aside", "keyframes"), [(3.3, 1), (0.2, 0)])
def test_a_camera_that_was_pushed_aside_gets_a_new_anchor_when_it_rests(aside: float, keyframes: int) -> None:
    whole, canvas = scene(), Canvas(SIZE)
    canvas.register(seen(whole))
    anchored, anchors = [], []
    for number in range(RESTS + 3):
        pushed = seen(whole, aside, 0.4 * (aside > 1))
        pushed[:8] = number
        registered = canvas.register(pushed)
        anchored.append(canvas.anchored)
        anchors.append(canvas.seen.is_anchor)
    assert anchored.count(True) == keyframes and anchored[-1] is False and anchors.count(True) == 1
    assert registered is pushed


@pytest.mark.parametrize("follows", [False, True])
def test_a_picture_that_is_sent_again_stays_where_it_is_to_the_bit(follows: bool) -> None:
    """Of a stream at twice the camera's rate, or one that is frozen, however long."""
    whole, canvas = scene(), Canvas(SIZE, follows=follows)
    for number in range(20):
        buffer = seen(whole, 2 * math.sin(2.1 * number) + (3.0 * number if follows else 0.0), math.cos(1.3 * number))
        first, motion = canvas.register(buffer).copy(), canvas.motion
        for _ in range(2 * RESTS if number == 10 else 1):
            assert np.array_equal(canvas.register(buffer.copy()), first) and canvas.motion is motion
            assert not canvas.anchored and canvas.shift == (0, 0) and not canvas.seen.is_anchor


def test_a_picture_whose_memory_is_written_to_anew_is_another_one() -> None:
    whole, canvas, buffer = scene(), Canvas(SIZE), np.zeros((*SIZE, 3), np.uint8)
    for number in range(4):
        np.copyto(buffer, seen(whole, 1.5 * (number % 2)))
        canvas.register(buffer)
        assert (canvas.motion is STANDSTILL) == (number % 2 == 0)


def test_a_pan_sets_a_new_anchor_when_it_leaves_the_reach_of_the_old_one() -> None:
    whole, canvas = scene(), Canvas(SIZE)
    anchors = []
    for number in range(16):
        canvas.register(seen(whole, 2.0 * number))
        anchors.append(canvas.anchored)
        assert canvas.motion.apart(STANDSTILL, SIZE) <= 0.02 * SIZE[1]
    assert anchors[0] and 2 <= anchors.count(True) <= 4


@pytest.mark.parametrize("size", [(97, 161), (211, 97), (300, 60)])
def test_pictures_cut_from_a_larger_one_are_registered_as_that(size: tuple[int, int]) -> None:
    whole, canvas, unlike = scene(), Canvas(size), []
    for number in range(12):
        picture = np.ascontiguousarray(
            seen(whole, 1.3 * math.sin(2.1 * number), 1.3 * math.cos(1.3 * number))[: size[0], 150 : 150 + size[1]]
        )
        registered = canvas.register(picture)
        assert canvas.anchored == (number == 0) and canvas.lost == 0
        if number == 0:
            first = picture
        unlike.append(change(registered, first) / max(1e-9, change(picture, first)))
    assert np.mean(unlike[1:]) < 0.4


def test_a_canvas_that_follows_a_pan_moves_by_whole_cells_and_keeps_the_scene_in_place() -> None:
    whole, canvas = scene(), Canvas(SIZE, follows=True)
    before = canvas.register(seen(whole, -38.0)).copy()
    shifts = []
    for number in range(1, 20):
        picture = seen(whole, -38.0 + 4.1 * number, -0.7)
        registered = canvas.register(picture)
        assert not canvas.anchored and canvas.lost == 0
        dy, dx = canvas.shift
        if dx:
            shifts.append(dx)
            assert dy == 0 and dx % CELL == 0
            assert change(registered, picture) < 40, "what came in is the picture's"
        there = registered[:, max(0, -dx) : min(SIZE[1], SIZE[1] - dx)]
        assert change(there, before[:, max(0, dx) : min(SIZE[1], SIZE[1] + dx)]) < 1.5
        before = registered.copy()
    assert shifts == [-CELL, -CELL], "the scene went to the right, and the canvas to the left"
    boxes = np.array([[200, 100, 260, 180]], np.float32)
    moved = canvas.motion.boxes(boxes) - boxes
    assert np.abs(moved[0] - [38.0 * 0 + 4.1 * 19 - 2 * CELL, -0.7] * 2).max() < 0.5


def test_what_cannot_be_registered_is_given_as_it_is_and_then_anchored() -> None:
    canvas, other = Canvas(SIZE), seen(scene(seed=5))
    canvas.register(seen(scene(seed=4)))
    canvas.register(seen(scene(seed=4), 1.0))
    for number in range(MOST_LOST + 1):
        assert canvas.register(other) is other and canvas.motion is STANDSTILL
        assert canvas.anchored == (number == MOST_LOST), "what lies on the canvas has nothing in common with it"
    canvas.register(seen(scene(seed=5), 2.0))
    assert canvas.motion is not STANDSTILL and canvas.lost == 0


def test_bare_walls_are_given_as_they_are_and_seldom_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, anchors = Canvas(SIZE), []
    set_anchor = canvas._estimator.anchor
    monkeypatch.setattr(canvas._estimator, "anchor", lambda pixels: anchors.append(1) or set_anchor(pixels))
    for number in range(100):
        picture = np.full((*SIZE, 3), 100 + number, np.uint8)
        assert canvas.register(picture) is picture and canvas.anchored == (number == 0)
    assert len(anchors) < 8


def test_boxes_are_cut_to_the_frame_and_ghosts_dropped() -> None:
    boxes = np.array([[-5, 10, 20, 60], [-30, 10, 20, 60], [600, 100, 641, 200], [10, 10, 20, 20]], np.float32)
    cut = cut_to_frame(boxes, (360, 640))
    assert cut.tolist() == [[0, 10, 20, 60], [0, 0, 0, 0], [600, 100, 640, 200], [10, 10, 20, 20]]


@pytest.mark.parametrize("kind", [np.bool_, np.float32])
def test_grids_go_where_the_picture_shows_their_cells(kind: type) -> None:
    grid = np.zeros((38, 68), kind)
    grid[10:20, 30:40] = 1
    moved = to_picture(grid, Similarity(dx=16.0, dy=-8.0), (8, 8))
    expected = np.zeros_like(grid)
    expected[9:19, 32:42] = 1
    assert moved.dtype == kind
    np.testing.assert_array_equal(moved, expected)
    assert to_picture(grid, STANDSTILL, (8, 8)) is grid


def test_what_is_seen_again_stays_and_what_changed_is_drawn() -> None:
    shift = Similarity(dx=4.0)
    seen = np.full((60, 80, 3), 100, np.uint8)
    shown = seen.copy()
    shown[:, 30:40] = 160
    shown[:, 60:] += int(ROUNDING)
    canvas = seen.copy()
    draw_changes(canvas, shown, shift)
    assert (canvas[:, 26:36] == 160).all() and (canvas[:, :26] == 100).all() and (canvas[:, 36:] == 100).all()
    other = np.full_like(seen, 100 + int(ROUNDING) + 1)
    draw_changes(canvas, other, shift)
    assert (canvas[:, :76] == other[:, :76]).all() and (canvas[:, 76:] == 100).all(), "the picture shows nothing there"


@pytest.mark.parametrize("motion", [Similarity(dx=1.3, dy=-0.6), Similarity(1.001, 0.002, 1.0, 0.5)])
def test_nothing_on_the_canvas_drifts_from_what_the_picture_shows(motion: Similarity) -> None:
    """The light goes up by less than what is drawn, frame by frame."""
    whole = scene()[:200, :300]
    canvas, exact = whole.copy(), whole.copy()
    drawn = []
    for number in range(30):
        picture = np.asarray(np.clip(whole.astype(np.int16) + number // 2, 0, 255), np.uint8)
        before = canvas.copy()
        draw_changes(canvas, picture, motion)
        move_onto(exact, picture, motion)
        contrast = cv2.morphologyEx(before, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        aside = np.abs(canvas.astype(np.int16) - exact)
        assert (aside <= np.rint(ROUNDING + ASIDE * contrast.astype(np.float64)) + 1).all()
        drawn.append(float((canvas != before).mean()))
    assert min(drawn[1:]) < 0.05 and max(drawn[1:]) > 0.2


def test_pictures_that_are_not_registered_are_strays_until_the_camera_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [None] * (MOST_LOST + 1)
    motions = iter([None, STANDSTILL, None, STANDSTILL, *lost, *lost, STANDSTILL, None])
    monkeypatch.setattr("skipvid.tasks.canvas.MotionEstimator.estimate", lambda estimator, pixels, boxes: next(motions))
    canvas, picture = Canvas((48, 64)), np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    canvas.register(picture)
    strays = []
    for number in range(4 + 2 * len(lost) + 2):
        canvas.register(picture + np.uint8(number + 1))
        strays.append(canvas.seen.stray)
    first = [True] * MOST_LOST + [False]  # the last one is an anchor
    assert strays == [False, False, True, False, *first, *[False] * len(lost), False, True]
