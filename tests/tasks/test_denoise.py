"""The filter over time that takes the noise of a camera out of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.tasks.denoise import LEAST, MOST, Denoiser

Picture = NDArray[np.uint8]
SIZE = (96, 128)


def scene(seed: int = 0) -> Picture:
    """Smooth, as pictures are, and far from 0 and 255."""
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 190, (SIZE[0] // 16, SIZE[1] // 16, 3))
    return np.kron(coarse, np.ones((16, 16, 1))).astype(np.uint8)


def noisy(sigma: float, seed: int = 1, whole: Picture | None = None) -> Iterator[Picture]:
    random = np.random.default_rng(seed)
    whole = scene() if whole is None else whole
    while True:
        yield np.clip(np.rint(whole + random.normal(0, sigma, whole.shape)), 0, 255).astype(np.uint8)


def warmed(sigma: float, pictures: int = 30) -> Denoiser:
    denoiser = Denoiser()
    for picture, _ in zip(noisy(sigma), range(pictures), strict=False):
        denoiser(picture)
    return denoiser


@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_a_camera_without_noise_is_left_alone(sigma: float) -> None:
    denoiser = Denoiser()
    for picture, _ in zip(noisy(sigma), range(20), strict=False):
        assert denoiser(picture) is picture
    assert denoiser.note is None


@pytest.mark.parametrize("sigma", [1.5, 3.0, 5.0])
def test_noise_is_left_as_a_third_of_what_it_was(sigma: float) -> None:
    denoiser, stream = Denoiser(), noisy(sigma)
    given = [denoiser(next(stream)).copy() for _ in range(60)]
    left = np.std(np.array(given[40:], np.float32) - scene())
    assert left < 0.45 * sigma
    assert denoiser.note is not None and "noise was taken out of" in denoiser.note


def test_what_moves_is_given_as_it_is() -> None:
    denoiser, stream = warmed(3.0), noisy(3.0, seed=2)
    for column in range(8, 88, 4):
        picture = next(stream).copy()
        picture[40:56, column : column + 16] = 255
        found = denoiser(picture)
        assert np.array_equal(found[40:56, column + 12 : column + 16], picture[40:56, column + 12 : column + 16])
        behind = slice(column - 4, column if column > 8 else column - 4)
        assert np.array_equal(found[40:56, behind], picture[40:56, behind])


@given(st.integers(0, 2**32 - 1), st.floats(1.5, 8), st.lists(st.floats(-60, 60), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_a_pixel_is_never_farther_from_what_was_seen_than_the_limit(seed: int, sigma: float, steps: list[float]) -> None:
    denoiser, random = warmed(3.0), np.random.default_rng(seed)
    for step in steps:
        picture = np.clip(scene() + random.normal(step, sigma, (*SIZE, 3)), 0, 255).astype(np.uint8)
        assert np.abs(denoiser(picture).astype(np.int16) - picture).max() <= MOST
    calm = warmed(1.2)
    picture = next(noisy(1.2, seed))
    assert np.abs(calm(picture).astype(np.int16) - picture).max() <= LEAST


def test_a_scene_that_moves_as_a_whole_is_not_taken_for_noise() -> None:
    whole = np.random.default_rng(3).integers(0, 255, (SIZE[0], SIZE[1] + 60, 3)).astype(np.float32)
    blurred = np.mean([np.roll(whole, shift, axis=(0, 1)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1))], 0)
    sparse = np.where(np.arange(whole.shape[1])[None, :, None] % 20 < 6, blurred, 128.0).astype(np.uint8)
    denoiser = Denoiser()
    for number in range(30):
        picture = np.ascontiguousarray(sparse[:, 2 * number : 2 * number + SIZE[1]])
        assert denoiser(picture) is picture


def textured(seed: int = 6) -> NDArray[np.float32]:
    """Fine and coarse structure everywhere, as grass and gravel have, 40 pixels larger than a picture."""
    random = np.random.default_rng(seed)
    whole = np.zeros((SIZE[0] + 40, SIZE[1] + 40, 3), np.float32)
    for blur, contrast in ((1.5, 20), (4, 40), (12, 60)):
        layer = cv2.GaussianBlur(random.normal(0, 1, whole.shape[:2]).astype(np.float32), (0, 0), blur)
        whole += (layer * (contrast / layer.std()))[..., None]
    return np.asarray(np.clip(128 + whole, 20, 235), np.float32)


def seen_from(whole: NDArray[np.float32], x: float, y: float) -> Picture:
    moved = cv2.warpAffine(whole, np.array([[1, 0, -20 - x], [0, 1, -20 - y]], np.float64), SIZE[::-1], flags=cv2.INTER_CUBIC)
    return np.asarray(np.clip(np.rint(moved), 0, 255), np.uint8)


@pytest.mark.parametrize("by", [0.3, 1.0, 2.0])
def test_a_camera_that_shakes_is_not_taken_for_a_noisy_one(by: float) -> None:
    whole, random, denoiser = textured(), np.random.default_rng(7), Denoiser()
    for _ in range(30):
        picture = seen_from(whole, *random.uniform(-by, by, 2))
        assert denoiser(picture) is picture


def test_noise_that_is_stronger_in_the_light_and_somebody_who_passes_hide_no_noise() -> None:
    still, random, denoiser = seen_from(textured(), 0, 0), np.random.default_rng(8), Denoiser()
    for number in range(30):
        picture = np.clip(np.rint(still + random.normal(0, 3, still.shape) * np.sqrt(still / 64)), 0, 255).astype(np.uint8)
        picture[20:70, 3 * number : 3 * number + 25] = still[20:70, :25]
        denoiser(picture)
    assert denoiser.level > 2


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (9, 9), (11, 18)])
def test_small_pictures_are_measured_too(size: tuple[int, int]) -> None:
    denoiser, random = Denoiser(), np.random.default_rng(9)
    for _ in range(20):
        denoiser(random.integers(120, 136, (*size, 3), np.uint8))
    assert denoiser.level > 1


@pytest.mark.parametrize("step", [2, 6, 30])
def test_one_picture_that_differs_everywhere_is_not_taken_for_noise(step: int) -> None:
    denoiser = Denoiser()
    for number in range(20):
        picture = scene() + np.uint8(step * (number >= 10))
        assert denoiser(picture) is picture


def test_pictures_that_come_twice_do_not_hide_the_noise() -> None:
    denoiser = Denoiser()
    for picture, _ in zip(noisy(3.0), range(20), strict=False):
        denoiser(picture)
        denoiser(picture.copy())
    assert denoiser.level > 1.5


def test_a_new_scene_begins_with_its_own_picture_and_the_noise_that_is_known() -> None:
    denoiser = warmed(3.0)
    denoiser.forget()
    first, second, *_ = zip(noisy(3.0, 4, scene(5)), range(2), strict=False)
    assert np.array_equal(denoiser(first[0]), first[0])
    assert not np.array_equal(denoiser(second[0]), second[0])


def test_a_picture_of_another_size_begins_anew() -> None:
    denoiser = warmed(3.0)
    denoiser.forget()
    smaller = np.ascontiguousarray(next(noisy(3.0))[:64, :64])
    assert np.array_equal(denoiser(smaller), smaller)
