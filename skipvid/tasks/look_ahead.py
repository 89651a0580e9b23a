"""Work on the pictures of a stream that is done before their turn, in another thread, where they are there in time.

The results are the same wherever and whenever it is done: pictures are worked on in their order, and what was found in those before counts
only from LAG pictures on, by when it is known to all threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import StoredPicture

Image = NDArray[np.uint8] | StoredPicture
Boxes = NDArray[np.float32] | None
T = TypeVar("T")
R = TypeVar("R")

LAG = 8
"""More than the frames that a pipeline reads ahead, so that who reads never waits for what the network finds."""


class Once(Generic[R]):
    """What is worked out by the first who asks for it, in any thread; others wait for that one."""

    def __init__(self, work: Callable[[], R]) -> None:
        self._work: Callable[[], R] | None = work
        self._lock = Lock()
        self._result: list[R] = []

    def __call__(self) -> R:
        with self._lock:
            if self._work is not None:
                self._result.append(self._work())
                self._work = None  # and what it holds
        return self._result[0]


class LookAhead(Generic[T]):
    """`offer` is called from a thread that reads ahead, with all pictures or with none, everything else from that whose turn it is.

    work: called with a picture and the boxes found LAG pictures before, None where there was none, by one thread at a time.
    can: whether a picture may be worked on before its turn, as things stand.
    """

    def __init__(self, work: Callable[[Image, Boxes], T], can: Callable[[Image], bool]) -> None:
        self._work, self._can = work, can
        self._lock = Lock()  # held by who works, and while it begins anew
        self._waiting: deque[Image] = deque()
        self._ready: deque[tuple[Image, T]] = deque()
        self._taken = self._worked = 0  # pictures
        self._begin = 0  # the number of the first picture that what was found counts for
        self._found: dict[int, Boxes | Callable[[], Boxes]] = {}
        self._asked = False  # whether a result is waited for

    def offer(self, picture: Image) -> None:
        """Work on this picture, and on those before that still wait, as far as that can be done now, and until a result is asked for."""
        with self._lock:
            self._waiting.append(picture)
            while not self._asked and self._waiting and self._known(self._worked) and self._can(self._waiting[0]):
                self._work_on(self._waiting[0])
                self._waiting.popleft()

    def take(self, picture: Image, found: Boxes | Callable[[], Boxes]) -> T:
        """The result for the next picture. found: in the picture taken last, or what says so, in whatever thread works."""
        self._found[self._taken - 1] = found
        self._found.pop(self._taken - 1 - 2 * LAG, None)
        if not (self._ready and self._ready[0][0] is picture):
            self._asked = True  # of those that are to be done again, others need not come first
            with self._lock:
                self._asked = False
                self._work_now(picture)
        self._taken += 1
        return self._ready.popleft()[1]

    def redo(self, reset: Callable[[], None]) -> None:
        """Let what was done ahead be done again, after a call of `reset`."""
        self._asked = True
        with self._lock:
            self._asked = False
            self._waiting.extendleft(picture for picture, _ in reversed(self._ready))
            self._ready.clear()
            self._worked = self._taken
            reset()

    def begin_anew(self, reset: Callable[[], None]) -> None:
        """The same, where the next picture has nothing in common with those before."""
        self._begin = self._taken
        self.redo(reset)

    def _known(self, number: int) -> bool:
        return number - LAG < self._begin or number - LAG in self._found

    def _work_on(self, picture: Image) -> None:
        before = self._worked - LAG
        found = self._found[before] if before >= self._begin else None
        self._ready.append((picture, self._work(picture, found() if callable(found) else found)))
        self._worked += 1

    def _work_now(self, picture: Image) -> None:
        """Make the picture's result the first that is ready; those offered before it are left out."""
        while self._ready and self._ready[0][0] is not picture:
            self._ready.popleft()
        if self._ready:
            return
        while self._waiting and self._waiting.popleft() is not picture:
            pass
        self._worked = self._taken
        self._work_on(picture)
