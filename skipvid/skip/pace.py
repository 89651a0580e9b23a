"""How long the frames of one stream take, and by how many threads the next one is computed."""

from __future__ import annotations

import statistics
import time
from collections import deque

from skipvid.skip.thread_choice import ThreadChoice

RECENT = 50
"""Gated frames that tell how long frames wait for a core."""
STILL = 0.05
"""What a frame takes in which hardly anything changes, in times of a dense one."""


class Pace:
    """Call `begin` before a frame, `end` right behind it, then `took`.

    chooses: whether the number of threads is found out while running; one that was asked for is kept to.
    seconds: that the last frame took. typical: whether by as many threads as pay.
    """

    def __init__(self, chooses: bool) -> None:
        self.seconds = 0.0
        self.typical = True
        self._choices = {dense: ThreadChoice() for dense in (False, True)} if chooses else {}  # by whether the frame is computed densely
        self._dense = self._alone = False  # of the frame that runs
        self._begin = (0.0, 0.0)  # by the wall clock, and by that of the thread
        self._thread_seconds = 0.0
        # Of the last gated frames: seconds that they took, and how much there was to do, in times of about a dense frame; and the seconds
        # for which their thread worked for one of a dense frame's work, by whether it was alone.
        self._took: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._own: dict[bool, deque[float]] = {alone: deque(maxlen=RECENT) for alone in (False, True)}

    def begin(self, dense: bool) -> bool:
        """Whether one thread is to compute the frame. dense: whether it is computed densely."""
        choice = self._choices.get(dense)
        self.typical = choice is None or not choice.trying
        self._dense, self._alone = dense, choice is not None and choice.alone
        self._begin = time.perf_counter(), time.thread_time()
        return self._alone

    def end(self) -> None:
        """The frame has been computed."""
        wall, own = self._begin
        self.seconds, self._thread_seconds = time.perf_counter() - wall, time.thread_time() - own

    def took(self, share: float) -> None:
        """Take in the times of the frame. share: of the MACs, that it executed; a dense one's is not asked for."""
        work = 1.0
        if not self._dense:
            work = STILL + share
            self._took.append((self.seconds, work))
            self._own[self._alone].append(self._thread_seconds / work)
        choice = self._choices.get(self._dense)
        if choice is not None:
            choice.took(self.seconds, work)
            self._choices[not self._dense].interrupted()

    def reconsider(self) -> None:
        """Be told that the machine has other things to do: where one thread computes the frames, more may pay again."""
        for choice in self._choices.values():
            choice.reconsider()

    @property
    def held_up(self) -> float:
        """See Session.held_up."""
        if not self._took:
            return 1.0
        seconds, work = (statistics.median(values) for values in zip(*self._took, strict=True))
        best = work * min(statistics.median_low(own) for own in self._own.values() if own)
        return seconds / best if best > 0 else 1.0
