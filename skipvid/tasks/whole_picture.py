"""What areas save, measured: in some frames the network sees all of the picture, too, beside the run in which areas are left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skipvid.core.results import AreaCost
from skipvid.skip.api import SkipModel
from skipvid.skip.picture import Picture
from skipvid.tasks.engine_stream import Clock

APART = 250
"""Frames from the beginning of one stretch of measured frames to the next."""

STRETCH = 15
"""Frames of a stretch."""

WARM_UP = 5
"""Frames at the beginning of a later stretch that do not count: after its keyframe, a session has less to compute than one that goes on."""


class WholePicture:
    """Runs the network on all of the picture in stretches of frames, or in every frame.

    Where the other run's frame is a keyframe, so is this one's, and it does not count: it costs the same with areas and without.
    Use one per stream. Call `begin_anew` before a keyframe of the other run, and `beside` in every frame; afterwards `cost`.
    """

    def __init__(self, model: SkipModel, always: bool = False) -> None:
        self._session = model.session()
        self._always = always
        self._frames = 0
        self._keyframe = True
        self._uncounted = 0
        self._ms: float | None = None

    def begin_anew(self) -> None:
        """The other run's next frame is a keyframe."""
        self._keyframe = True

    def shift(self, dy: int, dx: int) -> None:
        """As Session.shift, before a frame for which the other run's is called."""
        self._session.shift(dy, dx)

    @contextmanager
    def beside(self, picture: Callable[[], Picture], clock: Clock) -> Iterator[None]:
        """A frame of the other run lies in this context. picture: makes the network's input with nothing left out, where that is wanted.

        The two take turns in being the first, as the second finds caches filled. What this one does is left out of the clock.
        """
        keyframe, self._keyframe = self._keyframe, False
        place = self._frames if self._always else self._frames % APART
        self._frames += 1
        self._ms = None
        if place >= STRETCH and not self._always:
            yield
            return
        if keyframe or place == 0:
            self._session.reset()
            self._uncounted = max(self._uncounted, 1 if keyframe else WARM_UP)
        first = self._frames % 2 == 0
        if first:
            self._run(picture(), clock)
        yield
        if not first:
            self._run(picture(), clock)

    def _run(self, picture: Picture, clock: Clock) -> None:
        begin = time.perf_counter()
        self._session.maps(picture)
        if self._uncounted:
            self._uncounted -= 1
        else:
            self._ms = (time.perf_counter() - begin) * 1e3
        clock.leave_out()

    def cost(self, macs: int, ms: float) -> AreaCost | None:
        """Of the frame just run, None where it does not count. macs, ms: of the other run's network."""
        return None if self._ms is None else AreaCost(macs, self._session.cost.macs, ms, self._ms)
