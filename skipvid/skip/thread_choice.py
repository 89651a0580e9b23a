"""Whether a frame is better computed by all threads or by one: found out while running, because it depends on what else the machine does.

On two cores that also decode, draw and encode, a loop that waits for a preempted worker costs more than the second thread brings, and what
the second thread computes is not computed elsewhere; on an idle machine it nearly halves the time. The result has the same bits either way.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from skipvid.core.cores import usable_cores

LOOKS = 6
"""Frames that one thread computes at the start of a trial, to see how busy the process keeps its cores without a second one."""

BUSY = 0.75
"""The share of the cores' time from which on a second thread takes from other work of the process what it brings."""

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


def core_seconds() -> tuple[float, float]:
    """What has passed for all cores of this process together, and what its threads have used of that, in seconds."""
    return time.perf_counter() * usable_cores(), time.process_time()


class ThreadChoice:
    """Decides frame by frame. Call `alone` before a frame of one kind and `took` after it. clock: as `core_seconds`."""

    def __init__(self, clock: Callable[[], tuple[float, float]] = core_seconds) -> None:
        self._clock = clock
        self._alone = False
        self._left = FIRST_TRIAL
        self._interval = SHORTEST
        self._begin_trial()

    @property
    def alone(self) -> bool:
        """Whether the next frame is to be computed by one thread."""
        if self._left:
            return self._alone
        return self._looked < LOOKS or len(self._times[True]) < len(self._times[False])

    def took(self, seconds: float) -> None:
        """Take in the time of the frame just computed."""
        if self._left:
            self._left -= 1
            return
        if self._looked < LOOKS:
            self._look()
            return
        self._times[self.alone].append(seconds)
        if len(self._times[True]) == PAIRS:
            saved = 1 - statistics.fmean(self._times[False]) / max(statistics.fmean(self._times[True]), 1e-9)
            self._decide(saved < (WORTH + MARGIN if self._alone else WORTH - MARGIN))

    def _look(self) -> None:
        if self._looked == 0:
            self._since = self._clock()  # what came before this frame is not that of one thread
        self._looked += 1
        if self._looked == LOOKS:
            passed, used = (now - then for now, then in zip(self._clock(), self._since, strict=True))
            if used > BUSY * passed:
                self._decide(True)

    def _decide(self, alone: bool) -> None:
        self._interval = SHORTEST if alone != self._alone else min(2 * self._interval, LONGEST)
        self._alone, self._left = alone, self._interval
        self._begin_trial()

    def _begin_trial(self) -> None:
        self._looked = 0
        self._since = (0.0, 0.0)
        self._times: dict[bool, list[float]] = {False: [], True: []}
