"""Turns: streams that are analysed side by side share a few places, first come, first served: each gets as many frames as any other.

A place is a thread's worth of computing, or more: `places` says how many frames are worked on at a time, and by how many threads each.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How a number of threads is shared. places: frames that are worked on at a time. threads: of the pool, which one of them at a time
    has to itself; the others run on one thread each, so that all together never take more than the whole."""

    places: int
    threads: int

    @classmethod
    def of(cls, threads: int, streams: int) -> Budget:
        """threads: all that there are, at least 1. streams: that want a share, at least 1."""
        places = min(threads, streams)
        return cls(places, threads - places + 1)


class Turns:
    """Hands out places. Each stream has a Turn of its own, from `turn`."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()

    def turn(self) -> Turn:
        """Of one stream."""
        return Turn(self)

    def _enter(self, turn: Turn) -> None:
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._free > 0 and self._waiting[0] is turn)
                self._free -= 1
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()


class Turn:
    """The right of one stream to a place, for one frame after the other; used from one thread at a time."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held = False

    def take(self) -> None:
        """Wait for a place behind those who asked before. Does nothing where it is held."""
        if not self._held:
            self._turns._enter(self)
            self._held = True

    def give(self) -> None:
        """Give the place back, if it is held."""
        if self._held:
            self._held = False
            self._turns._leave()
