"""Block motion: shifts that are known are found, and what it adds up is what its definition says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.skip.warp.block_motion import BLOCK, MOST_ERROR, REACH, SCALE, SHIFTS, TILE, _window_errors, block_motion, small_grey

HEIGHT, WIDTH = 192, 256
ROOM = 64


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """(HEIGHT + 2 ROOM, WIDTH + 2 ROOM, 3) uint8 with structure everywhere."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT + 2 * ROOM, WIDTH + 2 * ROOM))
    smooth = cv2.GaussianBlur(noise, (0, 0), 6.0)
    grey = np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def seen(whole: NDArray[np.uint8], x: float = 0.0, y: float = 0.0) -> NDArray[np.uint8]:
    """What lies x, y pixels aside, so that (x, y) leads from a picture to the one that was seen at rest."""
    matrix = np.array([[1, 0, -ROOM - x], [0, 1, -ROOM - y]], np.float64)
    return np.asarray(cv2.warpAffine(whole, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC), np.uint8)


def inner(values: NDArray[np.float32], blocks: int = 3) -> NDArray[np.float32]:
    return values[blocks:-blocks, blocks:-blocks]


@pytest.mark.parametrize(("x", "y"), [(16, 0), (-16, 32), (0, -16), (4, -8), (-28, 12)])
def test_a_shift_by_whole_pixels_of_the_small_picture_is_found_exactly(x: int, y: int) -> None:
    whole = scene()
    motion = block_motion(small_grey(seen(whole)), small_grey(seen(whole, x, y)))
    assert motion.vectors.shape == (HEIGHT // BLOCK, WIDTH // BLOCK, 2)
    assert (inner(motion.vectors) == (x, y)).all()


@pytest.mark.parametrize(("x", "y"), [(1.5, 0), (-2.3, 5.1), (10, -3)])
def test_a_shift_between_them_is_found_to_a_pixel(x: float, y: float) -> None:
    whole = scene()
    found = inner(block_motion(small_grey(seen(whole)), small_grey(seen(whole, x, y))).vectors)
    assert np.abs(np.median(found, (0, 1)) - (x, y)).max() < 0.5
    assert np.quantile(np.abs(found - (x, y)).max(-1), 0.9) < 1.2


def test_noise_moves_nothing() -> None:
    whole, random = scene(), np.random.default_rng(1)
    given = [np.clip(seen(whole) + random.normal(0, 3, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    motion = block_motion(*(small_grey(picture) for picture in given))
    assert not motion.vectors.any() and motion.unmatched == 0


def test_only_blocks_around_what_moves_move() -> None:
    key, thing = seen(scene()), seen(scene(5))[:48, :48]
    current = key.copy()
    key[80:128, 80:128] = thing
    current[80:128, 96:144] = thing
    vectors = block_motion(small_grey(key), small_grey(current)).vectors
    assert (vectors[6:7, 7:8] == (-16, 0)).all()
    assert not vectors[:, :3].any() and not vectors[:, 12:].any() and not vectors[:2].any() and not vectors[11:].any()


def test_another_scene_and_a_shift_beyond_the_reach_do_not_match() -> None:
    key = small_grey(seen(scene()))
    assert block_motion(key, small_grey(seen(scene(9)))).unmatched > 0.5
    assert block_motion(key, small_grey(seen(scene(), SCALE * REACH + 16, 0))).unmatched > 0.2


def test_a_block_that_is_brighter_by_more_than_the_limit_does_not_match() -> None:
    key = seen(scene())
    for step, expected in ((MOST_ERROR - 2, 0), (MOST_ERROR + 2, 1 / (HEIGHT // BLOCK * WIDTH // BLOCK))):
        current = key.astype(np.float64)
        current[64:80, 64:80] += step
        shares = block_motion(small_grey(key), small_grey(np.clip(current, 0, 255).astype(np.uint8))).unmatched
        assert shares == pytest.approx(expected)


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_windows_add_up_absolute_differences_as_defined(height: int, width: int, seed: int) -> None:
    """Of pictures of any size: the sum over 3 x 3 tiles; past the last row and column pixels repeat, past the outer tiles tiles do."""
    random = np.random.default_rng(seed)
    key, current = (random.integers(0, 256, (height, width), np.uint8) for _ in range(2))
    errors = _window_errors(key, current)
    rows, columns = -(-height // TILE), -(-width // TILE)
    assert errors.shape == (len(SHIFTS), rows, columns)

    def at(picture: NDArray[np.uint8], y: int, x: int) -> int:
        return int(picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    number = int(random.integers(len(SHIFTS)))
    dy, dx = SHIFTS[number]
    tiles = np.zeros((rows, columns), int)
    for y in range(rows * TILE):
        for x in range(columns * TILE):
            tiles[y // TILE, x // TILE] += abs(at(current, y, x) - at(key, y + dy, x + dx))
    around = np.pad(tiles, 1, mode="edge")
    expected = sum(around[y : y + rows, x : x + columns] for y in range(3) for x in range(3))
    assert np.array_equal(errors[number], expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 40), (90, 161)])
def test_pictures_of_any_size_have_motion(size: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    grey = small_grey(random.integers(0, 256, (*size, 3), np.uint8))
    motion = block_motion(grey, grey)
    assert not motion.vectors.any() and motion.unmatched == 0 and motion.operations > 0
