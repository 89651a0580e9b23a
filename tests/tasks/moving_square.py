"""Frames in which little moves, and what is the same in two sets of detections."""

from __future__ import annotations

import numpy as np

from skipvid.core.results import Detections, Frame

SIZE = (90, 160)


def frames(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[Frame]:
    """A noisy background that stands still, with a square that moves. size: (height, width)."""
    background = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    result = []
    for index in range(count):
        image = background.copy()
        image[30:50, 10 + 4 * index : 30 + 4 * index] = 200
        result.append(Frame(image, index, index / 25, "clip"))
    return result


def assert_same(one: Detections, other: Detections) -> None:
    assert one.labels == other.labels
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
