"""Whether a frame is better computed by all threads or by one: found out while running, because it depends on what else the machine does.

On two cores that also decode, draw and encode, a loop that waits for a preempted worker costs more than the second thread brings, and what
the second thread computes is not computed elsewhere; on an idle machine it nearly halves the time. The result has the same bits either way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from skipvid.core.cores import usable_cores

TRIAL, EDGE = 12, 3
"""Frames of a trial, and those at its start and at its end that one thread computes; all threads compute the ones between, so that work
that grows or shrinks meanwhile meets both alike. Their means count: a median would pass over the frames in which a worker was preempted."""

BUSY = 0.9
"""The share of the cores' time, while one thread computes, from which on a second one takes from other work what it brings."""

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
        self._since: tuple[float, float] | None = None
        self._begin_trial()

    @property
    def trying(self) -> bool:
        """Whether the next frame is one of a trial, which may take longer than it has to."""
        return not self._left

    @property
    def alone(self) -> bool:
        """Whether the next frame is to be computed by one thread."""
        return self._alone if self._left else not EDGE <= self._tried < TRIAL - EDGE

    def took(self, seconds: float, work: float = 1.0) -> None:
        """Take in the time of the frame just computed. work: about how long it takes beside others, in any unit: frames of a trial differ,
        and by chance one way gets more of it."""
        if self._left:
            self._left -= 1
            return
        if self.alone:
            self._look()
        times = self._times[self.alone]
        times[0] += seconds
        times[1] += work
        self._tried += 1
        if self._tried == TRIAL:
            together, alone = (spent / max(work, 1e-9) for spent, work in (self._times[False], self._times[True]))
            saved = 1 - together / max(alone, 1e-9)
            self._decide(self._used > BUSY * self._passed or saved < (WORTH + MARGIN if self._alone else WORTH - MARGIN))

    def reconsider(self) -> None:
        """Be told that the machine has other things to do: one thread is soon tried against all again."""
        if self._alone and self._left:
            self._left, self._interval = min(self._left, FIRST_TRIAL), SHORTEST

    def interrupted(self) -> None:
        """Be told that a frame of another kind was computed, by however many threads."""
        self._since = None

    def _look(self) -> None:
        """Add up how busy the cores are from one frame that one thread computes to the next, where no other comes between."""
        now = self._clock()
        if self._since is not None and self._tried not in (0, TRIAL - EDGE):  # what came before these two is not that of one thread
            self._passed += now[0] - self._since[0]
            self._used += now[1] - self._since[1]
        self._since = now

    def _decide(self, alone: bool) -> None:
        self._interval = SHORTEST if alone != self._alone else min(2 * self._interval, LONGEST)
        self._alone, self._left = alone, self._interval
        self._begin_trial()

    def _begin_trial(self) -> None:
        self._tried = 0
        self._passed = self._used = 0.0  # as of the clock, from frame to frame of one thread
        self._times = {False: [0.0, 0.0], True: [0.0, 0.0]}  # seconds and work, by whether one thread computed
