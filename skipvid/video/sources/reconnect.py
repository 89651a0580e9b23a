"""Feeds that are lost and come back: cameras that are unplugged, servers that start anew, networks that fail for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from skipvid.core.errors import SourceError
from skipvid.video.sources.live import Feed, LiveSource, Shot
from skipvid.video.sources.options import ReadOptions

FIRST_DELAY = 1.0
"""Seconds before the first attempt to connect anew; each further one waits twice as long."""

LONGEST_DELAY = 30.0

STEADY = 10.0
"""Seconds after which a connection counts as sound: the next loss begins with the first delay again."""


class Reconnecting:
    """A Feed that connects anew whenever the one it has ends, fails or falls silent; the first picture after that is marked `resumed`.

    first: connected already; where it ends before its first picture, so does this one. connect: makes another one; raises SourceError.
    first_delay, longest_delay: seconds. tell: called with a line whenever the connection is lost and when it is back; set it.
    """

    steadfast = endless = True

    def __init__(
        self,
        first: Feed,
        connect: Callable[[], Feed],
        first_delay: float = FIRST_DELAY,
        longest_delay: float = LONGEST_DELAY,
    ) -> None:
        self.fps, self.codec, self.hint = first.fps, first.codec, first.hint
        self.facts = first.facts
        self._feed: Feed | None = first
        self._connect = connect
        self.tell: Callable[[str], None] = lambda line: None
        self._first_delay = self._delay = first_delay
        self._longest_delay = longest_delay
        self._stopped = threading.Event()
        self._began = time.monotonic()
        self._delivered = self._resumed = False
        self._lost_at: float | None = None
        self._losses = 0
        self._seconds = 0.0
        self._notes: tuple[str, ...] = ()

    def read(self) -> Shot | None:
        """The next picture, of this connection or of a later one; None once it was stopped."""
        while not self._stopped.is_set():
            if self._feed is None and not self._return():
                continue
            shot, why = self._next()
            if shot is not None:
                return self._taken(shot)
            if self._stopped.is_set() or not self._delivered:
                break
            self._lose(why)
        return None

    def stop(self) -> None:
        """End waiting, and the connection."""
        self._stopped.set()
        if (feed := self._feed) is not None:
            feed.stop()

    def release(self) -> None:
        """Give back what is connected."""
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.release()

    @property
    def notes(self) -> tuple[str, ...]:
        """What all connections so far had to say, each line once."""
        now = self._feed.notes if self._feed is not None else ()
        return tuple(dict.fromkeys((*self._notes, *now)))

    @property
    def problem(self) -> str | None:
        """How often and for how long the feed was lost."""
        if not self._losses:
            return None
        lost = self._seconds + (time.monotonic() - self._lost_at if self._lost_at is not None else 0.0)
        return f"connection lost {self._losses} time{'s' if self._losses > 1 else ''}, {lost:.1f} s in all"

    def _next(self) -> tuple[Shot | None, str]:
        """The next picture of this connection, or why there is none."""
        assert self._feed is not None
        try:
            return self._feed.read(), "it ended"
        except Exception as error:
            if not self._delivered:
                raise
            return None, str(error)

    def _taken(self, shot: Shot) -> Shot:
        if self._resumed:
            assert self._lost_at is not None
            away = time.monotonic() - self._lost_at
            self._seconds += away
            self._lost_at, self._resumed = None, False
            self.tell(f"back after {away:.1f} s")
            shot = replace(shot, resumed=True)
        self._delivered = True
        return shot

    def _lose(self, why: str) -> None:
        lived = time.monotonic() - self._began
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._losses += 1
            self._delay = self._first_delay if lived >= STEADY or self._losses == 1 else self._next_delay()
            self.tell(f"connection lost ({why}); trying again")
        else:
            self._delay = self._next_delay()
        self._notes = self.notes
        self.release()

    def _return(self) -> bool:
        """Wait, then try to connect; False where that failed."""
        self._stopped.wait(self._delay)
        if self._stopped.is_set():
            return False
        try:
            feed = self._connect()
        except SourceError:
            self._delay = self._next_delay()
            return False
        self._feed, self._began, self._resumed = feed, time.monotonic(), True
        if self._stopped.is_set():
            feed.stop()
        return True

    def _next_delay(self) -> float:
        return min(2 * self._delay, self._longest_delay)


def lasting(first: Feed, connect: Callable[[], Feed], name: str, options: ReadOptions) -> LiveSource:
    """A live source of a feed that is connected anew whenever it is lost, unless the options say never. Arguments: see Reconnecting."""
    if not options.reconnect:
        return LiveSource(first, name, options)
    feed = Reconnecting(first, connect)
    source = LiveSource(feed, name, options)
    feed.tell = lambda line: source.tell(f"{name}: {line}")
    return source
