"""Frames into network inputs and boxes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipvid.tasks.letterbox import Letterbox, Preprocessor

IDENTITY = Preprocessor("bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
sides = st.integers(1, 3000)


@given(sides, sides, st.integers(1, 16), st.integers(1, 16))
def test_a_scaled_frame_fits_its_input_and_touches_one_side(height: int, width: int, rows: int, columns: int) -> None:
    size = (32 * rows, 32 * columns)
    box = Letterbox.fit((height, width), size)
    assert 1 <= box.content_size[0] <= size[0] and 1 <= box.content_size[1] <= size[1]
    assert box.content_size[0] == size[0] or box.content_size[1] == size[1]


@given(sides, sides)
def test_the_whole_content_maps_back_to_the_whole_frame(height: int, width: int) -> None:
    box = Letterbox.fit((height, width), (384, 512))
    content = np.array([[0, 0, box.content_size[1], box.content_size[0]]], np.float32)
    np.testing.assert_allclose(box.boxes_to_frame(content), [[0, 0, width, height]], rtol=1e-5)


def test_boxes_in_the_filling_are_clipped_to_the_frame() -> None:
    box = Letterbox.fit((100, 400), (384, 512))
    assert box.content_size == (128, 512)
    mapped = box.boxes_to_frame(np.array([[256, 64, 600, 300]], np.float32))
    np.testing.assert_allclose(mapped, [[200, 50, 400, 100]])


def test_pixels_are_normalised_in_the_wanted_channel_order_and_the_rest_is_zero() -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[...] = (255, 51, 0)  # blue, green, red
    result = Preprocessor("rgb", (0.5, 0.2, 0.0), (0.5, 1.0, 2.0))(image, Letterbox.fit((32, 64), (64, 64))).tensor()
    assert result.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(result[0, :, 0, 0], [-1.0, 0.0, 0.5], atol=1e-6)
    assert not result[0, :, 32:].any()


@pytest.mark.parametrize("size", [(360, 480), (1080, 1920), (97, 61)])
def test_unchanged_pixels_give_the_same_bits(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    moved = image.copy()
    moved[: size[0] // 4, : size[1] // 4] ^= 255
    box = Letterbox.fit(size, (384, 512))
    before, after = IDENTITY(image, box).tensor(), IDENTITY(moved, box).tensor()
    changed = (before != after).any(1)[0]
    assert changed.any()
    assert not changed[box.content_size[0] // 3 :].any() and not changed[:, box.content_size[1] // 3 :].any()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_averages_every_pixel(factor: int) -> None:
    """What lies between the sampled points would otherwise flicker in the input, and open gates."""
    image = np.random.default_rng(0).integers(0, 256, (96 * factor, 128 * factor, 3), dtype=np.uint8)
    pixels = IDENTITY(image, Letterbox.fit(image.shape[:2], (96, 128))).pixels
    means = image.reshape(96, factor, 128, factor, 3).mean((1, 3))
    assert np.abs(pixels - means).max() <= 1


@pytest.mark.parametrize("size", [(1080, 1920), (361, 641), (120, 650), (700, 90)])
def test_shrinking_is_opencv_s_area_average_to_within_a_grey_level(size: tuple[int, int]) -> None:
    box = Letterbox.fit(size, (96, 160))
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = cv2.resize(image, box.content_size[::-1], interpolation=cv2.INTER_AREA).astype(np.int16)
    assert np.abs(IDENTITY(image, box).pixels - expected).max() <= 1


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[..., ::-1], np.s_[::2], np.s_[:, ::2], np.s_[5:, 7:]], ids=str)
def test_views_in_any_order_are_shrunk_as_their_copies(view: Any) -> None:
    image = np.random.default_rng(2).integers(0, 256, (600, 800, 3), np.uint8)[view]
    image.flags.writeable = False
    box = Letterbox.fit(image.shape[:2], (96, 160))
    assert np.array_equal(IDENTITY(image, box).pixels, IDENTITY(image.copy(), box).pixels)


def test_the_activity_grid_is_cropped_to_the_frame() -> None:
    grid = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    cropped = Letterbox.fit((100, 400), (384, 512)).crop_grid(grid, 8)
    assert cropped.shape == (16, 64) and cropped[0, 0] == 0
    box = Letterbox((97, 500), (97, 500), (384, 512))
    assert box.crop_grid(grid, 8).shape == (13, 63)  # cells that the frame covers in part belong to it


@pytest.mark.parametrize(("size", "lasts"), [((64, 96), False), ((32, 48), True), ((128, 192), True)])
def test_only_pictures_in_memory_of_their_own_last(size: tuple[int, int], lasts: bool) -> None:
    image = np.zeros((*size, 3), np.uint8)
    prepared = IDENTITY(image, Letterbox.fit(size, (64, 96)))
    assert prepared.lasts == lasts == (not np.shares_memory(prepared.pixels, image))
    turned = np.zeros((96, 64, 3), np.uint8).swapaxes(0, 1)
    assert IDENTITY(turned, Letterbox.fit((64, 96), (64, 96))).lasts  # a copy, as its rows do not lie one behind the other


def test_a_view_of_another_type_of_array_does_not_last(tmp_path: Path) -> None:
    image = np.memmap(tmp_path / "frames", np.uint8, "w+", shape=(64, 96, 3))
    prepared = IDENTITY(image, Letterbox.fit((64, 96), (64, 96)))
    assert np.shares_memory(prepared.pixels, image) and not prepared.lasts
