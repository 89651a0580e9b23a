"""Sources that go on whether or not anybody looks: the newest frame wins, what the analysis does not keep up with is dropped and counted.

A thread of its own empties the feed, so that frames do not grow old in a driver's or a socket's queue. Times count from the first frame
that is delivered, and follow the wall clock: a recording lasts as long as what it shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from skipvid.core import interrupts
from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo, StoredPicture
from skipvid.video.sources.base import Source
from skipvid.video.sources.containers import ContainerFacts
from skipvid.video.sources.options import ReadOptions, Selection

STALL = 2.0
"""Seconds without a frame that are reported as a stall. ReadOptions.timeout seconds end the stream, or the connection."""

FRESH = 1.0
"""Seconds for which the newest frame still is what is to be seen, when the first one is asked for."""

JUMP = 2.0
"""Seconds by which the stream's own stamps may differ from the arrival before the arrival is believed."""

PULL = 1e-3
"""Share of the difference between a stamp and its arrival that the clock follows with each frame: jitter is averaged away, and a camera's
clock that runs fast or slow never leads to a jump."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture of a feed. stamp: its time in seconds on the stream's own clock, None where it has none. passed_over: frames before it that
    came and were not decoded. resumed: the first one after the feed was lost."""

    picture: NDArray[np.uint8] | StoredPicture
    stamp: float | None = None
    passed_over: int = 0
    resumed: bool = False


class Feed(Protocol):
    """What delivers pictures at its own pace.

    fps: what it promises, 0 where unknown. codec: of what comes over the cable. facts: libav's, or the like.
    hint: what a user can do where it delivers nothing.
    steadfast: it sees for itself that it is silent, and comes back; else the one who waits gives it up after a time.
    endless: its end is a loss.
    """

    fps: float
    codec: str
    facts: ContainerFacts
    hint: str
    steadfast: bool
    endless: bool

    def read(self) -> Shot | None:
        """Wait for the next picture. None: there will be no more. May raise anything; that is the end, too."""

    def stop(self) -> None:
        """Called from another thread: the one that waits in `read` shall come back soon."""

    def release(self) -> None:
        """Give it back. Called once, by the thread that reads."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how it was read."""

    @property
    def problem(self) -> str | None:
        """One line on what was lost so far."""


class LiveClock:
    """Seconds since the first frame: by the stream's own stamps as long as they agree with the arrival, else by the arrival.

    Stamps tell more evenly when a picture was taken; but cameras set their clocks, begin anew, or have none. Times always rise.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._offset: float | None = None
        self._last = 0.0
        self.jumps = 0

    def stamp(self, stamp: float | None, arrival: float, resumed: bool = False) -> float:
        """stamp: of the stream, seconds or None. arrival: seconds on a steady clock. resumed: the stream's clock may be another one."""
        if self._first is None:
            self._first = arrival
        now = arrival - self._first
        if resumed:
            self._offset = None
        if stamp is not None:
            if self._offset is None:
                self._offset = now - stamp
            late = now - (stamp + self._offset)
            if abs(late) > JUMP:
                self.jumps += 1
                self._offset = now - stamp
            else:
                self._offset += PULL * late
            now = stamp + self._offset
        self._last = now if now > self._last or arrival == self._first else self._last + 1e-3
        return self._last


class _Arrived(NamedTuple):
    """A picture that came. clock: seconds since the first one. arrival: on a steady clock."""

    shot: Shot
    number: int
    clock: float
    arrival: float


class LiveSource(Source):
    """Frames of a feed, newest first served.

    name: for messages and results. options.end: seconds on the wall clock after the first frame, whether or not frames come.
    Opening waits for the first frame. Raises SourceError where none comes within options.timeout seconds.
    A feed that stalls is waited for and reported. One that stays silent for the timeout ends the stream with `problem`, unless it is
    steadfast; one that is gone ends it always.
    """

    def __init__(self, feed: Feed, name: str, options: ReadOptions | None = None, stall: float = STALL) -> None:
        self._feed = feed
        self._name = name
        self._options = options or ReadOptions()
        self._stall = stall
        self._changed = threading.Condition()
        self._newest: _Arrived | None = None
        self._clock = LiveClock()
        self._arrived = 0
        self._arrival = 0.0  # of the last one
        self._gone = self._closing = self._iterated = self._delivering = False
        self._deadline: float | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._empty_feed, name="skipvid-live", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._gone, self._options.timeout)
            if self._newest is None:
                self._closing = True
                feed.stop()
                raise self._refusal()
            picture = self._newest.shot.picture
        height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else (picture.height, picture.width)
        self.info = SourceInfo(name, width, height, feed.fps, live=True, codec=feed.codec)
        self.facts: ContainerFacts = feed.facts

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the clock and the colours so far."""
        jumps = self._clock.jumps
        times = f"time stamps jumped {jumps} time{'s' if jumps > 1 else ''}: those frames are dated by their arrival"
        return (*self._noted, *self._feed.notes, *((times,) if jumps else ()))

    def __iter__(self) -> Iterator[Frame]:
        if self._iterated:
            raise RuntimeError(f"{self._name} can be iterated only once")
        self._iterated = True
        selection = Selection(self._options)
        stalls, stalled, silent = 0, 0.0, False
        first: int | None = None
        origin = 0.0
        resumed = False
        while not self._closing:
            taken, waited = self._take()
            if taken is None:
                silent = not self._gone and not self._closing and not self._over()
                break
            shot, number, clock, arrival = taken
            if waited >= self._stall and not shot.resumed:
                stalls, stalled = stalls + 1, stalled + waited
            if first is None:
                first, origin = number, clock
                self._deadline = None if self._options.end is None else time.monotonic() + self._options.end
            seconds = clock - origin
            resumed = resumed or shot.resumed
            if selection.take(seconds):
                yield Frame(shot.picture, number - first, seconds, self._name, waited * 1e3, resumed=resumed, arrived=arrival)
                resumed = False
            if selection.finished(seconds) or self._over():
                break
        self._report(stalls, stalled, silent)
        self.close()

    def close(self) -> None:
        """Let the reading thread give the feed back."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._feed.stop()

    def _over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _empty_feed(self) -> None:
        try:
            while not self._closing and (shot := self._feed.read()) is not None:
                arrival = time.monotonic()
                with self._changed:
                    clock = self._clock.stamp(shot.stamp, arrival, shot.resumed)
                    self.dropped += shot.passed_over
                    self._arrived += shot.passed_over
                    if self._newest is not None:
                        self.dropped += 1
                        if self._newest.shot.resumed:
                            shot = Shot(shot.picture, shot.stamp, 0, True)
                    self._newest = _Arrived(shot, self._arrived, clock, arrival)
                    self._arrived += 1
                    self._arrival = arrival
                    self._changed.notify_all()
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._gone = True
                self._changed.notify_all()
            self._feed.release()

    def _take(self) -> tuple[_Arrived | None, float]:
        """The newest picture that was not delivered, None at the end; and how many seconds it was waited for."""
        begin = time.monotonic()
        if self.turn is not None:
            self.turn.give()
        with self._changed:
            if not self._delivering and not self._gone and time.monotonic() - self._arrival > FRESH:
                self._newest = None  # the feed was lost while networks were loaded
            interrupts.wait_for(self._changed, lambda: self._newest is not None or self._gone or self._closing, self._patience())
        waited = time.monotonic() - begin
        if self.turn is not None:
            self.turn.take()
        with self._changed:
            taken, self._newest = self._newest, None
            if not self._delivering:
                # What came before the first frame was asked for, while networks were loaded, is not missed.
                self._delivering, self.dropped = True, 0
            return None if self._closing else taken, waited

    def _patience(self) -> float | None:
        limits = [] if self._feed.steadfast else [self._options.timeout]
        if self._deadline is not None:
            limits.append(max(self._deadline - time.monotonic(), 0.0))
        return min(limits, default=None)

    def _report(self, stalls: int, stalled: float, silent: bool) -> None:
        lines = []
        if stalls:
            lines.append(f"stalled {stalls} time{'s' if stalls > 1 else ''}, {stalled:.1f} s in all")
        if self._feed.problem:
            lines.append(self._feed.problem)
        if silent:
            lines.append(f"delivered nothing for {self._options.timeout:g} s after {self._arrived} frames")
        elif self._gone and not self._closing and (self._feed.endless or self._error):
            lines.append(f"disappeared after {self._arrived} frames" + (f" ({self._error})" if self._error else ""))
        self.problem = "; ".join(lines) or None

    def _refusal(self) -> SourceError:
        why = f": {self._error}" if self._error else ""
        if self._gone:
            return SourceError(f"{self._name} delivers no picture{why}", self._feed.hint)
        return SourceError(f"{self._name} delivered nothing for {self._options.timeout:g} s", self._feed.hint)
