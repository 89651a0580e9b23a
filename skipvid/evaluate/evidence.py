"""How large a loss may be that a calibration's frames have not shown, and the levels of thresholds that are tried against it.

Levels are tried from the most careful one upwards until the upper confidence limit of a loss exceeds the goal. With such a fixed order the
chance that the chosen level loses more than the goal is that of one limit, however many levels are tried (fixed-sequence testing:
Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then Test", 2021), as far as the frames stand for those to come.

The limit is the loss on frames that were left out, or its one-sided bootstrap limit over blocks of time where that is higher, plus what
resampling cannot know: frames with few objects show no loss because hardly anything can be lost. So EXPECTED_OBJECTS objects more are
counted, which lose what such thresholds lost on other cameras.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.evaluate.bootstrap import LEAST_BLOCKS, blocks_of

LEVELS = tuple(2 ** (step / 2) for step in range(-2, 5))
"""Levels that are tried, in units of the network's one threshold: from half of it to four times."""

EXPECTED = (0.0, 0.0, 0.3, 2.0, 4.6, 11.5, 26.0)
"""Points that LEVELS lose on other cameras: a fifth of the halves of thirteen clips lost more (efficientdet-nano, 60 frames each)."""

HIGHEST_UNIT = 0.06
"""The highest threshold of the presets that come with the package. Levels in units of a higher one, which was calibrated or given, say
nothing of what other cameras lost at that multiple."""

EXPECTED_OBJECTS = 20
"""How many objects that counts as."""

SURE = 0.9
"""Confidence of the limit, one-sided."""

BLOCK_FRAMES = 25
"""Frames that the bootstrap draws together, where there are enough."""


def limit_blocks(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """Blocks of time for a limit, shorter than BLOCK_FRAMES where there would be fewer than LEAST_BLOCKS. groups: as in `blocks_of`."""
    blocks = blocks_of(groups, BLOCK_FRAMES)
    return blocks if len(blocks) >= LEAST_BLOCKS else blocks_of(groups, min(BLOCK_FRAMES, -(-len(groups) // LEAST_BLOCKS)))


def expected(level: int, unit: float) -> float:
    """Points that a level loses on other cameras. level: number in LEVELS. unit: the network's one threshold, which they are multiples of.

    Between LEVELS it grows with their logarithm; beyond the last one, 100 points at 16 times the unit.
    """
    times = LEVELS[level] * max(1.0, unit / HIGHEST_UNIT)
    return float(np.interp(np.log2(times), [*np.log2(LEVELS), 4.0], [*EXPECTED, 100.0]))


def at_most(lost: float, draws: NDArray[np.float64], objects: int, expected: float, truth: bool) -> float:
    """The loss in points that is not exceeded with the confidence SURE.

    draws: (n,) of the bootstrap; empty = unknown. objects: that were there to be found. expected: loss on other cameras. truth: whether
    accuracy was measured, not agreement. Gates leave things out, which makes no network better: a gain of accuracy is chance, and counts
    as a loss.
    """
    known = draws[~np.isnan(draws)]
    highest = max([lost, *([float(np.quantile(known, SURE))] if len(known) else []), *([-lost] if truth else [])])
    return highest + expected * EXPECTED_OBJECTS / (objects + EXPECTED_OBJECTS)
