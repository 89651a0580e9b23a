"""Intervals by bootstrap over blocks: frames that follow each other are alike, so that whole blocks of them, or whole clips, are drawn.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8.6 and 13.3 (percentile interval, moving blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
LEAST_BLOCKS = 8
"""Of fewer, a percentile interval is too narrow to be believed."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the range in which it lies with a confidence of 95 %; of a difference, `tie` = 0 lies within."""

    value: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        """Whether the data cannot tell the value from 0."""
        return self.low <= 0 <= self.high


def blocks_of(groups: Sequence[str], length: int) -> list[NDArray[np.int64]]:
    """Numbers of frames cut into blocks of `length` within each group (a clip); the last block of a group may be shorter.

    groups: of each frame, frames of a group adjacent. length 0: a whole group is a block. Raises ValueError for a negative one.
    """
    if length < 0:
        raise ValueError(f"a block of {length} frames")
    blocks: list[NDArray[np.int64]] = []
    start = 0
    for end in range(1, len(groups) + 1):
        if end < len(groups) and groups[end] == groups[start]:
            continue
        step = length or end - start
        blocks += [np.arange(begin, min(begin + step, end)) for begin in range(start, end, step)]
        start = end
    return blocks


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], blocks: Sequence[NDArray[np.int64]], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The statistic of all frames, and its percentile interval over resampled blocks.

    statistic: takes how often each frame counts, (frames,) int64; of a difference, it takes both sides at the same draw, so that what both
    share cancels. With fewer than LEAST_BLOCKS blocks there is no interval: it is (-inf, inf).
    """
    value = statistic(np.ones(sum(len(block) for block in blocks), np.int64))
    if len(blocks) < LEAST_BLOCKS:
        return Interval(value, -np.inf, np.inf)
    return interval_of(value, resampled(statistic, blocks, draws, seed))


def interval_of(value: float, values: NDArray[np.float64]) -> Interval:
    """The percentile interval of what was resampled; (-inf, inf) where nothing could be measured."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(value, -np.inf, np.inf)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def resampled(
    statistic: Callable[[NDArray[np.int64]], float], blocks: Sequence[NDArray[np.int64]], draws: int, seed: int = 0
) -> NDArray[np.float64]:
    """(draws,) the statistic of resampled blocks."""
    generator = np.random.default_rng(seed)
    members = np.zeros((len(blocks), sum(len(block) for block in blocks)), np.int64)
    for number, block in enumerate(blocks):
        members[number, block] = 1
    draw = np.full(len(blocks), 1 / len(blocks))
    return np.array([statistic(generator.multinomial(len(blocks), draw) @ members) for _ in range(draws)], np.float64)
