"""Seeded procedural noise: a tile of band-limited noise that repeats without a seam, looked up at any place and scale."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def smoothstep(low: float | Array, high: float | Array, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def hash01(*keys: Array | int) -> Array:
    """A repeatable pseudo-random number in [0, 1) for each tuple of integers."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), np.uint32)
    with np.errstate(over="ignore"):
        for key in keys:
            state = (state ^ np.asarray(key).astype(np.int64).astype(np.uint32)) * np.uint32(0x9E3779B1)
            state ^= state >> np.uint32(15)
            state *= np.uint32(0x85EBCA77)
            state ^= state >> np.uint32(13)
    return np.asarray(state.astype(np.float32) / np.float32(2**32))


def noise_tile(rng: np.random.Generator, size: int = 512, first: int = 4, octaves: int = 6, gain: float = 0.55) -> Array:
    """(size, size) float32 fractal noise, zero mean and unit deviation; octave k has first · 2^k lattice cells a side."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = first * 2**octave
        if cells > size:
            break
        lattice = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        scale = size // cells
        fine = cv2.resize(lattice, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += gain**octave * fine[2 * scale : 2 * scale + size, 2 * scale : 2 * scale + size]
    total -= total.mean()
    return np.asarray(total / total.std())


class Noise:
    """noise(u, v) looks a tile up, bilinearly, at u and v in tiles; `near` is the quick look-up without interpolation."""

    def __init__(self, rng: np.random.Generator, size: int = 512, first: int = 4, octaves: int = 6, gain: float = 0.55) -> None:
        self.tile = noise_tile(rng, size, first, octaves, gain)
        self.size = size

    def near(self, u: Array, v: Array) -> Array:
        mask = self.size - 1
        return np.asarray(self.tile[(v * self.size).astype(np.int32) & mask, (u * self.size).astype(np.int32) & mask])

    def __call__(self, u: Array, v: Array) -> Array:
        x, y = u * self.size, v * self.size
        column, row = np.floor(x), np.floor(y)
        fx, fy = (x - column).astype(np.float32), (y - row).astype(np.float32)
        mask = self.size - 1
        left, top = column.astype(np.int32) & mask, row.astype(np.int32) & mask
        right, bottom = (left + 1) & mask, (top + 1) & mask
        upper = self.tile[top, left] * (1 - fx) + self.tile[top, right] * fx
        lower = self.tile[bottom, left] * (1 - fx) + self.tile[bottom, right] * fx
        return np.asarray(upper * (1 - fy) + lower * fy)
