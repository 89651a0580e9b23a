"""Whether a frame is better computed by all threads or by one: found out while running, because it depends on what else the machine does.

On two cores that also decode, draw and encode, a loop that waits for a preempted worker costs more than the second thread brings, and what
the second thread computes is not computed elsewhere; on an idle machine it nearly halves the time. The result has the same bits either way.
"""

from __future__ import annotations

import statistics

PAIRS = 6
"""Frames of each way in a trial, taken in turns so that whatever happens meanwhile meets both. Their means count: a median would pass over
the frames in which a worker was preempted."""

FIRST_TRIAL = 4
"""Frames before the first trial: caches and clocks settle."""

SHORTEST, LONGEST = 30, 480
"""Frames between trials: doubled as long as the answer stays the same."""

WORTH = 0.1
"""The share of the time that more threads must save: they take as much from whatever else runs."""

MARGIN = 0.03
"""By which they must save more, or less, than that for the way in use to be replaced."""


class ThreadChoice:
    """Decides frame by frame. Call `alone` before a frame of one kind and `took` after it."""

    def __init__(self) -> None:
        self._alone = False
        self._left = FIRST_TRIAL
        self._interval = SHORTEST
        self._times: dict[bool, list[float]] = {False: [], True: []}

    @property
    def alone(self) -> bool:
        """Whether the next frame is to be computed by one thread."""
        if self._left:
            return self._alone
        return len(self._times[True]) < len(self._times[False])

    def took(self, seconds: float) -> None:
        """Take in the time of the frame just computed."""
        if self._left:
            self._left -= 1
            return
        self._times[self.alone].append(seconds)
        if len(self._times[True]) == PAIRS:
            self._decide()

    def _decide(self) -> None:
        saved = 1 - statistics.fmean(self._times[False]) / max(statistics.fmean(self._times[True]), 1e-9)
        changes = saved > WORTH + MARGIN if self._alone else saved < WORTH - MARGIN
        self._alone ^= changes
        self._interval = SHORTEST if changes else min(2 * self._interval, LONGEST)
        self._left = self._interval
        self._times = {False: [], True: []}
