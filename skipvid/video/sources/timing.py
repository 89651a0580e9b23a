"""Presentation times of decoded frames: from the container where it has them, from the order of its packets where it has not."""

from __future__ import annotations

from fractions import Fraction

import av

from skipvid.video.sources.timeline import JITTER

DEFAULT_RATE = Fraction(25)
"""Frames per second where neither the container nor the codec names any (raw H.264, MJPEG from a file)."""

_CREDIBLE = 1000
"""Frames per second up to which a rate is believed without further evidence."""

_COARSE = Fraction(1, 2000)
"""Ticks of so many seconds or more are too long to set apart frames that share one; Matroska's are 1/1000."""


def nominal_rate(stream: av.VideoStream) -> Fraction | None:
    """Frames per second as the container says or libav guesses, or None where the guess is but the clock's own rate (90,000, 1,000)."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if not rate or rate <= 0:
            continue
        clock = stream.time_base and rate >= _CREDIBLE and rate * stream.time_base == 1
        if rate <= _CREDIBLE and not clock or stream.frames or (rate == stream.average_rate and not clock):
            return Fraction(rate)
    return None


class PresentationClock:
    """Gives each frame of a video its time in seconds since the start of the pictures; times always rise.

    Frames must come in presentation order, with stamps on the repaired clock of a Timeline. Three kinds of streams exist: with presentation
    stamps (nearly all); with stamps for decoding only (AVI), where each frame takes the slot of the packet that pushed it out, so that
    dropped frames keep their gap; and without any, where frames follow at the nominal rate. rate: None where unknown.
    """

    def __init__(self, rate: Fraction | None) -> None:
        self._rate = rate
        self._step = 1 / (rate or DEFAULT_RATE)
        self._has_pts: bool | None = None
        self._origin = Fraction(0)
        self._last: Fraction | None = None
        self._shortest: Fraction | None = None
        self.backward_jumps = 0

    def stamp(self, frame: av.VideoFrame, tick: Fraction, origin: Fraction) -> float:
        """The time of the next frame. tick: seconds per tick of its stamps. origin: where the pictures begin on the repaired clock, in
        seconds; the first call's counts.
        """
        if self._has_pts is None:
            self._has_pts = frame.pts is not None
            self._origin = origin if self._has_pts or frame.dts is None else frame.dts * tick
        ticks = frame.pts if self._has_pts else frame.dts
        if self._last is None:
            now = Fraction(0) if ticks is None else ticks * tick - self._origin
        elif ticks is None:
            # A decoder that is being drained has no packet left to take a slot from, and an AVI may have more slots than frames: then
            # the frames before tell the distance. MPEG-PS stamps only some frames.
            now = self._last + (self._step if self._has_pts or self._shortest is None else self._shortest)
        else:
            now = self._after(self._last, ticks * tick - self._origin, tick)
            self._shortest = now - self._last if self._shortest is None else min(self._shortest, now - self._last)
        self._last = now
        return float(now)

    def _after(self, last: Fraction, now: Fraction, tick: Fraction) -> Fraction:
        if last - now > JITTER:
            self.backward_jumps += 1
            self._origin += now - last - self._step
            return last + self._step
        if self._rate is not None and self._step < tick and abs(last + self._step - now) <= tick:
            return last + self._step  # the clock is too coarse to tell these frames apart; their rate tells them
        if now > last:
            return now
        if tick < _COARSE:
            return last + tick
        return last + max((last // tick + 1) * tick - last, tick / 8) / 2

    @property
    def frame_seconds(self) -> float:
        """The nominal duration of a frame."""
        return float(self._step)


class ArrivalClock:
    """Times of frames that have none of their own and come at the pace of what they show: when they arrived, since the first."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = -1.0

    def stamp(self, arrival: float) -> float:
        """arrival: seconds on any steady clock."""
        if self._first is None:
            self._first = arrival
        self._last = max(arrival - self._first, self._last + 1e-6 if self._last >= 0 else 0.0)
        return self._last
