"""Pictures that are turned or scaled, natively and by numpy."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from shaking_camera import scene

from skipvid.tasks import turned
from skipvid.tasks.similarity import STANDSTILL, Similarity
from skipvid.tasks.turned import KERNELS, UNIT_BITS, places, turn_by_numpy, turn_picture

native = pytest.mark.skipif(turn_picture is turn_by_numpy, reason="the extension is not there")


def similarity(dice: np.random.Generator, far: float = 20.0) -> Similarity:
    angle, scale = dice.normal(0, 0.05), dice.normal(1, 0.05)
    return Similarity(scale * math.cos(angle), scale * math.sin(angle), dice.normal(0, far), dice.normal(0, far))


@native
@pytest.mark.parametrize("seed", range(20))
def test_both_ways_give_the_same_bits(seed: int) -> None:
    dice = np.random.default_rng(seed)
    size, whole = tuple(dice.integers(1, 90, 2)), tuple(dice.integers(1, 90, 2))
    pixels = dice.integers(0, 256, (*whole, 3), np.uint8)
    if seed % 3 == 0:
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)  # overshoots
    motion = similarity(dice) if seed % 4 else STANDSTILL
    one, other = np.full((*size, 3), 7, np.uint8), np.full((*size, 3), 7, np.uint8)
    turn_picture(pixels, one, *places(motion.matrix(), size), KERNELS)
    turn_by_numpy(pixels, other, *places(motion.matrix(), size), KERNELS)
    np.testing.assert_array_equal(one, other)


@native
def test_parts_of_larger_pictures_are_read_and_written() -> None:
    dice = np.random.default_rng(3)
    whole, canvas = dice.integers(0, 256, (70, 90, 3), np.uint8), dice.integers(0, 256, (80, 80, 3), np.uint8)
    expected, at = canvas.copy(), places(similarity(dice, 3.0).matrix(), (50, 60))
    turn_by_numpy(whole[5:60, 10:80], expected[20:70, 10:70], *at, KERNELS)
    turn_picture(whole[5:60, 10:80], canvas[20:70, 10:70], *at, KERNELS)
    np.testing.assert_array_equal(canvas, expected)


def test_kernels_sum_to_one_and_without_motion_nothing_changes() -> None:
    assert (KERNELS.sum((2, 3), dtype=np.int64) == 1 << UNIT_BITS).all()
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    out = np.zeros_like(picture)
    turn_picture(picture, out, *places(STANDSTILL.matrix(), (40, 50)), KERNELS)
    np.testing.assert_array_equal(out, picture)


@pytest.mark.parametrize("seed", range(6))
def test_it_shows_what_opencv_shows_and_leaves_what_the_picture_does_not_show(seed: int) -> None:
    picture, motion = np.ascontiguousarray(scene()[:200, :300]), similarity(np.random.default_rng(seed), 4.0)
    size = (180, 320)
    ours = np.full((*size, 3), 90, np.uint8)
    turn_picture(picture, ours, *places(motion.matrix(), size), KERNELS)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpAffine(picture, motion.matrix(), size[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((200, 300), np.uint8), motion.matrix(), size[::-1], flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    core = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0) > 0
    assert np.abs(ours.astype(int) - theirs)[core].max() <= 6 and np.abs(ours.astype(int) - theirs)[core].mean() < 0.5
    beyond = cv2.dilate(inside, np.ones((3, 3), np.uint8)) == 0
    assert (ours[beyond] == 90).all() and core.mean() > 0.3


@pytest.mark.parametrize("turn", {turn_by_numpy, turn_picture})
def test_what_does_not_fit_is_refused(turn: object) -> None:
    assert callable(turn)
    picture = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="a place for each column"):
        turn(picture, picture.copy(), *places(STANDSTILL.matrix(), (9, 8)), KERNELS)
    turn(np.zeros((0, 0, 3), np.uint8), picture, *places(STANDSTILL.matrix(), (8, 9)), turned.KERNELS)
