"""What the threads of a pipeline are made of: channels between them, and workers whose failures are kept."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from skipvid.core import interrupts

T = TypeVar("T")


class Channel(Generic[T]):
    """A bounded queue between two threads that either side can close; the reader still gets what was put before."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._closed = False
        self.full_seconds = 0.0
        """How long `put` has waited for room: the reader was the slower side."""
        self.empty_seconds = 0.0
        """How long the reader has waited for an item."""

    def put(self, item: T) -> bool:
        """Wait for room and put an item. False, without waiting, where the channel is closed."""
        with self._changed:
            if len(self._items) >= self._depth and not self._closed:
                begin = time.perf_counter()
                interrupts.wait_for(self._changed, lambda: len(self._items) < self._depth or self._closed)
                self.full_seconds += time.perf_counter() - begin
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def close(self, discard: bool = False) -> None:
        """Let nothing more in; discard: forget what waits, too. May be called twice."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items as they come, until the channel is closed and empty."""
        while True:
            with self._changed:
                if not self._items and not self._closed:
                    begin = time.perf_counter()
                    interrupts.wait_for(self._changed, lambda: self._items or self._closed)
                    self.empty_seconds += time.perf_counter() - begin
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Worker(threading.Thread):
    """A thread that keeps the exception that ended it."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
