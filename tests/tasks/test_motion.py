"""How a camera moved: estimates against known motions, and the algebra of motions."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shaking_camera import scene, seen

from skipvid.tasks.motion import COARSE, MotionEstimator, _smaller
from skipvid.tasks.similarity import STANDSTILL, Similarity

small = st.floats(-0.05, 0.05)
shifts = st.floats(-20, 20)
motions = st.builds(lambda a, b, dx, dy: Similarity(1 + a, b, dx, dy), small, small, shifts, shifts)


@given(motions, st.integers(0, 2**32 - 1))
def test_points_and_boxes_come_back_within_a_hundredth_of_a_pixel(motion: Similarity, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.uniform(-50, 2000, (20, 17, 2)).astype(np.float32)
    corner, sides = random.uniform(0, 1900, (20, 2)), random.uniform(1, 400, (20, 2))
    boxes = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    there = motion.points(points).astype(np.float32)
    assert np.abs(motion.inverse().points(there) - points).max() < 0.01
    moved = motion.boxes(boxes).astype(np.float32)
    assert np.abs(motion.inverse().boxes(moved) - boxes).max() < 0.01
    assert np.abs(motion.points((boxes[:, :2] + boxes[:, 2:]) / 2) - (moved[:, :2] + moved[:, 2:]) / 2).max() < 0.01


@given(motions)
def test_the_matrix_says_the_same_of_pixel_centres(motion: Similarity) -> None:
    centres = np.array([[0, 0], [543, 0], [100, 305]], np.float64)
    by_matrix = centres @ motion.matrix()[:, :2].T + motion.matrix()[:, 2]
    np.testing.assert_allclose(by_matrix, motion.points(centres + 0.5) - 0.5, atol=1e-6)
    assert Similarity.of_centres(motion.a, motion.b, *motion.matrix()[:, 2]).apart(motion, (306, 544)) < 1e-6


@pytest.mark.parametrize("dx", [-6.0, -0.5, 0.25, 3.3])
@pytest.mark.parametrize(("angle", "zoom"), [(0.0, 1.0), (0.4, 1.0), (0.0, 1.01), (-0.3, 0.99)])
def test_a_known_motion_is_found_to_a_tenth_of_a_pixel(dx: float, angle: float, zoom: float) -> None:
    whole = scene(seed=1)
    estimator = MotionEstimator()
    estimator.anchor(seen(whole))
    for degrees in (angle / 2, angle):  # a camera does not turn at once
        picture, true = seen(whole, dx, 1.2, degrees, 1 + (zoom - 1) * (degrees / angle if angle else 1), with_motion=True)
        found = estimator.estimate(picture)
    assert found is not None
    assert found.apart(true, picture.shape[:2]) < 0.1 + 0.15 * (angle != 0 or zoom != 1)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_camera_that_stands_still_has_not_moved_at_all(noise: float) -> None:
    random = np.random.default_rng(0)
    first = seen(scene(seed=2))
    estimator = MotionEstimator()
    estimator.anchor(first)
    for brighter in (0, 4, 8):
        noisy = np.clip(first + random.normal(brighter, noise, first.shape), 0, 255).astype(np.uint8)
        assert estimator.estimate(noisy) is STANDSTILL


def hidden(picture: NDArray[np.uint8], share: float, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of which so much is hidden by things with a texture of their own, all over it."""
    random, other = np.random.default_rng(seed), seen(scene(seed=50))
    result = picture.copy()
    for top in range(0, picture.shape[0], 34):
        for left in range(0, picture.shape[1], 34):
            if random.random() < share:
                result[top : top + 34, left : left + 34] = other[top : top + 34, left : left + 34]
    return result


def test_a_camera_that_stands_still_has_not_moved_although_most_of_what_was_seen_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left agrees on hardly any motion, which need not lower the change of all that came."""
    first, estimator = seen(scene(seed=2)), MotionEstimator()
    monkeypatch.setattr(estimator, "_share_left", lambda *_: 1.1)
    estimator.anchor(first)
    for number in range(4):
        assert estimator.estimate(hidden(first, 0.6, number)) is STANDSTILL


@pytest.mark.parametrize(("dx", "expected"), [(0.2, STANDSTILL), (2.0, None)])
def test_hardly_any_motion_that_raises_the_change_is_none(dx: float, expected: Similarity | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do cameras whose encoders shift the picture by a part of a pixel; where it is more, something else moves."""
    whole, estimator = scene(seed=2), MotionEstimator()
    estimator.anchor(seen(whole))
    assert (found := estimator.estimate(seen(whole, dx))) is not None and found is not STANDSTILL
    estimator.anchor(seen(whole))
    monkeypatch.setattr(estimator, "_share_left", lambda *_: 1.1)
    assert estimator.estimate(seen(whole, dx)) is expected


@pytest.mark.parametrize("aside", [0.0, 0.05, 0.15, 0.25])
def test_a_camera_that_shakes_is_found_where_it_is_nearly_back(aside: float) -> None:
    """Noise is most of the change there, and no motion lowers it."""
    random, whole = np.random.default_rng(0), scene(seed=2)

    def noisy(dx: float) -> NDArray[np.uint8]:
        picture = seen(whole, dx)
        return np.asarray(np.clip(picture + random.normal(0, 6, picture.shape), 0, 255), np.uint8)

    estimator = MotionEstimator()
    estimator.anchor(noisy(0.0))
    for _ in range(4):
        assert estimator.estimate(noisy(2.0)) is not None
        found = estimator.estimate(noisy(aside))
        assert found is not None and found.apart(Similarity(dx=aside), whole.shape[:2]) < 0.2


@pytest.mark.parametrize("aside", [0.4, 0.5, 0.7])
def test_a_camera_that_shakes_by_little_is_found_although_half_of_what_was_seen_is_hidden(aside: float) -> None:
    """Most of the change is what hides it and noise, and a small motion lowers that by little."""
    random, whole, estimator = np.random.default_rng(0), scene(seed=2), MotionEstimator()
    first = seen(whole)
    estimator.anchor(first)
    for number in range(4):
        picture = hidden(seen(whole, aside), 0.45, number)
        noisy = np.asarray(np.clip(picture + random.normal(0, 8, picture.shape), 0, 255), np.uint8)
        found = estimator.estimate(noisy)
        assert found is not None and found.apart(Similarity(dx=aside), whole.shape[:2]) < 0.2


def crossed(picture: NDArray[np.uint8], left: int, width: int) -> NDArray[np.uint8]:
    """A picture before which something rich in texture stands, from top to bottom."""
    result = picture.copy()
    texture = cv2.GaussianBlur(np.random.default_rng(7).integers(0, 256, (picture.shape[0], width, 3)).astype(np.uint8), (0, 0), 2)
    result[:, left : left + width] = cv2.normalize(texture, texture.copy(), 0, 255, cv2.NORM_MINMAX)
    return result


def bare(texture: float) -> NDArray[np.uint8]:
    """A room with little on its walls."""
    return np.asarray(128 + texture * (scene(seed=3).astype(np.float32) - 128), np.uint8)


@pytest.mark.parametrize("texture", [0.25, 1.0])
@pytest.mark.parametrize("dx", [0.0, 1.7])
def test_somebody_who_crosses_the_picture_does_not_carry_the_motion_along(texture: float, dx: float) -> None:
    whole = bare(texture)
    estimator = MotionEstimator()
    estimator.anchor(crossed(seen(whole), 100, 160))
    for step in range(1, 6):
        picture, true = seen(whole, dx * step / 5, 0.0, with_motion=True)
        found = estimator.estimate(crossed(picture, 100 + 3 * step, 160))
        assert found is None or found.apart(true, picture.shape[:2]) < 0.25, (step, found)


def test_what_was_detected_is_not_looked_at() -> None:
    whole = bare(0.0)
    estimator = MotionEstimator()
    estimator.anchor(crossed(seen(whole), 100, 300))
    later = crossed(seen(whole), 103, 300)
    assert estimator.estimate(later, np.array([[90.0, 0.0, 410.0, 306.0]])) is None


def test_nothing_is_found_in_another_scene_or_without_texture() -> None:
    estimator = MotionEstimator()
    estimator.anchor(seen(scene(seed=4)))
    assert estimator.estimate(seen(scene(seed=5))) is None
    estimator.anchor(np.full((306, 544, 3), 90, np.uint8))
    assert estimator.patches == 0 and estimator.estimate(seen(scene(seed=5))) is None


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (40, 40), (306, 544)])
def test_pictures_of_any_size_are_taken(size: tuple[int, int]) -> None:
    estimator = MotionEstimator()
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    estimator.anchor(picture)
    assert estimator.estimate(picture) in (None, STANDSTILL)
    assert estimator.estimate(np.roll(picture, 1, 1)) is None or math.isfinite(estimator.estimate(np.roll(picture, 1, 1)).dx)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(40, 64), (43, 62), (4, 7), (3, 5)])
def test_the_coarse_picture_is_that_of_means(size: tuple[int, int]) -> None:
    grey = np.random.default_rng(3).integers(0, 256, size).astype(np.uint8)
    small = _smaller(grey)
    rows, columns = (max(1, side // COARSE) for side in size)
    assert small.shape == (rows, columns)
    if min(size) >= COARSE:  # each pixel over the COARSE x COARSE ones that its centre is taken to lie between
        means = grey[: rows * COARSE, : columns * COARSE].reshape(rows, COARSE, columns, COARSE).mean((1, 3))
        assert np.abs(small - means).max() <= 1
