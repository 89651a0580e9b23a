"""Presentation times of decoded frames: from the container where it has them, from the order of its packets where it has not."""

from __future__ import annotations

from fractions import Fraction

import av

DEFAULT_RATE = Fraction(25)
"""Frames per second where neither the container nor the codec names any (raw H.264, MJPEG from a pipe)."""

_JITTER = Fraction(1, 2)
"""Seconds up to which a stamp that runs backwards is a slip of one frame (or rounding: Matroska counts in milliseconds), no new start."""


def nominal_rate(stream: av.VideoStream) -> Fraction | None:
    """Frames per second as the container says or libav guesses, or None: for MPEG-TS of variable rate the guess is the clock's 90,000."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate and rate <= 1000 else None


class PresentationClock:
    """Gives each frame of a video stream its time in seconds since the stream's start; times always rise.

    Frames must come in presentation order. Three kinds of streams exist: with presentation stamps (nearly all); with stamps for decoding
    only (AVI), where each frame takes the slot of the packet that pushed it out, so that dropped frames keep their gap; and without any,
    where frames follow at the nominal rate. Where stamps run backwards (joined recordings), the later part is moved behind the earlier.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._tick = Fraction(stream.time_base or Fraction(1, 1000))
        self._step = max(1, round(1 / (nominal_rate(stream) or DEFAULT_RATE) / self._tick))
        self._has_pts: bool | None = None
        self._origin = stream.start_time or 0
        self._last: int | None = None
        self.backward_jumps = 0

    def stamp(self, frame: av.VideoFrame) -> float:
        """The time of the next frame, in seconds."""
        if self._has_pts is None:
            self._has_pts = frame.pts is not None
            if not self._has_pts and frame.dts is not None:
                self._origin = frame.dts
        ticks = frame.pts if self._has_pts else frame.dts
        if self._last is None:
            now = 0 if ticks is None else ticks - self._origin
        elif ticks is None:
            # A decoder that is being drained has no packet left to take a slot from; MPEG-PS stamps only some frames.
            now = self._last + self._step
        else:
            now = ticks - self._origin
            if (self._last - now) * self._tick > _JITTER:
                self.backward_jumps += 1
                now = self._last + self._step
                self._origin = ticks - now
            now = max(now, self._last + 1)
        self._last = now
        return float(now * self._tick)

    @property
    def frame_seconds(self) -> float:
        """The nominal duration of a frame."""
        return float(self._step * self._tick)
