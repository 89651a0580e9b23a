"""Block motion between two pictures: for each block the shift that its surroundings match best under.

As the receptive field block motion estimation of EVA² (Buckler et al., ISCA 2018, section III.A): absolute differences are added up in
tiles, and those of the tiles around a block decide about it, as an activation sees more of the picture than its own cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

SCALE = 4
"""Motion is looked for in pictures this many times smaller."""
REACH = 8
"""Their pixels by which a block may have moved in each direction: 32 of the picture."""
TILE = 4
"""Side of a tile and of a block, in their pixels: 16 of the picture. A block is matched by the 3 x 3 tiles around it."""
BLOCK = SCALE * TILE
"""Side of a block, in pixels of the picture."""
WINDOW = (3 * TILE) ** 2
"""Pixels that decide about a block."""
GAIN = 0.5
"""Grey levels by which a shift must match better than none, so that noise moves nothing."""
MOST_ERROR = 12.0
"""Grey levels above which a block does not match."""

SHIFTS = np.array(
    sorted(((y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)), key=lambda shift: shift[0] ** 2 + shift[1] ** 2)
)
"""(candidates, 2): y, x; of shifts that match equally well the shortest is taken, none first."""
AT_ONCE = 2 * REACH + 1
"""Shifts whose differences are held at a time, so that they stay in the caches; it divides their number."""
NUMBERS = np.empty((2 * REACH + 1, 2 * REACH + 1), np.intp)
"""Of each shift by y + REACH, x + REACH."""
NUMBERS[SHIFTS[:, 0] + REACH, SHIFTS[:, 1] + REACH] = np.arange(len(SHIFTS))


@dataclass(frozen=True, slots=True, eq=False)
class BlockMotion:
    """vectors: (rows, columns, 2) float32 x, y in pixels of the picture, from each block to where its content lay in the key picture.

    unmatched: share of the blocks whose mean absolute difference to the key picture moved so is above MOST_ERROR, or that match best as far
    away as was looked, so that they may have moved further. operations: element-wise ones that it took.
    """

    vectors: NDArray[np.float32]
    unmatched: float
    operations: int


def small_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR -> what motion is looked for in."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    size = (max(1, grey.shape[1] // SCALE), max(1, grey.shape[0] // SCALE))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def block_motion(key: NDArray[np.uint8], current: NDArray[np.uint8]) -> BlockMotion:
    """key, current: two pictures of one size, as `small_grey` makes them."""
    errors = _window_errors(key, current)
    best = errors.argmin(0)
    y, x = SHIFTS[best, 0], SHIFTS[best, 1]
    places = np.indices(best.shape)
    down = y + _between(lambda step: errors[NUMBERS[(y + step + REACH).clip(0, 2 * REACH), x + REACH], *places], y)
    across = x + _between(lambda step: errors[NUMBERS[y + REACH, (x + step + REACH).clip(0, 2 * REACH)], *places], x)
    steps = np.stack([across, down], -1).astype(np.float32)
    unmoved, left = (_left_over(key, current, shifts) for shifts in (np.zeros_like(steps), steps))
    moves = cv2.blur(left, (3, 3), borderType=cv2.BORDER_REPLICATE) < cv2.blur(unmoved, (3, 3), borderType=cv2.BORDER_REPLICATE) - GAIN
    unmatched = (np.where(moves, left, unmoved) > MOST_ERROR) | (moves & (np.maximum(np.abs(y), np.abs(x)) == REACH))
    # A difference, its magnitude and a sum for each pixel of the tiles, and eight sums for each window; then twice more for what is left.
    operations = best.size * (len(SHIFTS) * (3 * TILE**2 + 8) + 2 * (3 + 7) * TILE**2 + 2 * 8)
    vectors = np.where(moves[..., None], steps * SCALE, 0).astype(np.float32)
    return BlockMotion(vectors, float(unmatched.mean()), operations)


def _left_over(key: NDArray[np.uint8], current: NDArray[np.uint8], steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns): the mean absolute difference of each block to what the key picture shows so many pixels, x and y, beside it."""
    height, width = current.shape
    own = steps.repeat(TILE, 0).repeat(TILE, 1)[:height, :width]
    y, x = np.indices(current.shape, np.float32)
    there = cv2.remap(key, x + own[..., 0], y + own[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.absdiff(current, there)
    rows, columns = steps.shape[:2]
    whole = cv2.copyMakeBorder(difference, 0, rows * TILE - height, 0, columns * TILE - width, cv2.BORDER_REPLICATE)
    return np.asarray(whole.reshape(rows, TILE, columns, TILE).mean((1, 3), dtype=np.float32))


def _window_errors(key: NDArray[np.uint8], current: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(candidates, rows, columns): the sum of absolute differences over each block's window; beyond the border its tiles are repeated."""
    height, width = current.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    beyond = rows * TILE - height, 8 * (-(-width // 8)) - width  # tiles are added up eight bytes at a time
    border = partial(cv2.copyMakeBorder, borderType=cv2.BORDER_REPLICATE)
    filled = border(current, 0, beyond[0], 0, beyond[1])
    around = border(key, REACH, REACH + beyond[0], REACH, REACH + beyond[1])
    sums = np.empty((len(SHIFTS), rows, filled.shape[1] // TILE), np.uint16)
    some = np.empty((AT_ONCE, *filled.shape), np.uint8)
    for first in range(0, len(SHIFTS), AT_ONCE):
        for difference, (y, x) in zip(some, SHIFTS[first : first + AT_ONCE].tolist(), strict=True):
            cv2.absdiff(filled, around[REACH + y : REACH + y + filled.shape[0], REACH + x : REACH + x + filled.shape[1]], difference)
        sums[first : first + AT_ONCE] = _tile_sums(some)
    tiles = np.pad(sums[:, :, :columns], ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = tiles[:, :-2] + tiles[:, 1:-1] + tiles[:, 2:]
    return np.asarray(down[..., :-2] + down[..., 1:-1] + down[..., 2:], np.int32)


def _tile_sums(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(n, h, w) uint8, h a multiple of TILE and w of 8 -> the sums over tiles, (n, h / 4, w / 4)."""
    count, height, width = values.shape
    eight, low = values.view(np.uint64), np.uint64(0x00FF00FF00FF00FF)
    pairs, odd = eight & low, eight >> np.uint64(8)
    odd &= low
    pairs += odd
    rows = pairs.reshape(count, height // TILE, TILE, width // 8)
    columns = rows[:, :, 0] + rows[:, :, 1]
    columns += rows[:, :, 2]
    columns += rows[:, :, 3]
    four = columns.view(np.uint16)
    return np.asarray(four[..., ::2] + four[..., 1::2])


def _between(error_at: Callable[[int], NDArray[np.int32]], place: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where between whole shifts two lines of one slope through the best one and its neighbours meet, -0.5 … 0.5.

    A perfect match is at its place. place: of the best one, along this side.
    """
    before, at, after = (error_at(step) for step in (-1, 0, 1))
    slope = np.maximum(before, after) - at
    inner = (np.abs(place) < REACH) & (slope > 0) & (at > 0)
    return np.where(inner, (before - after) / np.where(inner, 2.0 * slope, 1), 0)
