"""Runs of the network without gates, what a stream is measured against: by how many threads, and how long they take."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence

from skipvid.skip.backend import Output, Program
from skipvid.skip.picture import Input
from skipvid.skip.thread_choice import ThreadChoice

TRIALS = 3
"""Timed runs by all threads and by one, before the faster way alone is timed."""


class DenseRuns:
    """On inputs of the same shapes, from any thread. chooses: whether the number of threads is found out while running; one that was asked
    for is kept to."""

    def __init__(self, chooses: bool) -> None:
        self._choice = ThreadChoice() if chooses else None
        self._lock = threading.Lock()  # of the choice
        self._times: dict[bool, deque[float]] = {alone: deque(maxlen=TRIALS) for alone in ((False, True) if chooses else (False,))}
        self._warm = False

    def run(self, program: Program, inputs: Sequence[Input]) -> tuple[Output, ...]:
        """By as many threads as pay."""
        if self._choice is None:
            return program.run_dense(inputs)
        begin = time.perf_counter()
        outputs = program.run_dense(inputs, self._choice.alone)
        with self._lock:
            self._choice.took(time.perf_counter() - begin)
        return outputs

    def own_ms(self, program: Program, inputs: Sequence[Input]) -> float:
        """Run once, and tell the milliseconds that a run takes the calling thread, by the faster way.

        Both ways are run by turns in the first calls, and what counts is the lower median of their last times: the lower of two single
        times would flatter the dense network on a busy machine. The very first run is not counted: it has its memory to fetch.
        """
        if not self._warm:
            program.run_dense(inputs)
            self._warm = True
        rarest = min(self._times, key=lambda alone: len(self._times[alone]))
        alone = rarest if len(self._times[rarest]) < TRIALS else self._faster()
        begin = time.thread_time()
        program.run_dense(inputs, alone)
        self._times[alone].append((time.thread_time() - begin) * 1e3)
        return statistics.median_low(self._times[self._faster()])  # other work makes times longer, never shorter

    def _faster(self) -> bool:
        """The way with the lower median of those that were tried."""
        return min((alone for alone, taken in self._times.items() if taken), key=lambda alone: statistics.median(self._times[alone]))
