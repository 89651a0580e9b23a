"""One clock for all streams of a recording: where its time stamps jump, what follows is moved to where it belongs."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from fractions import Fraction

JITTER = Fraction(1, 2)
"""Seconds up to which a stamp that runs backwards is a slip of one packet, no new start."""

_NEAR = 2
"""Seconds within which a stream that jumps meets the place to which another one has jumped before it."""

_OVERLAP = 1
"""Seconds by which a recording that takes over may begin before the end of the one before."""

_WRAP = Fraction(2**33, 90_000)
"""Seconds after which the counter of MPEG-TS begins anew."""

_HOUR = 3600

_REORDERED = 20
"""Pictures by which presentation stamps may run backwards in the order of decoding (B-frames; H.264 allows 16)."""

_USUAL = 20
"""A gap is a jump only where it is so many times longer than the longest distance between two stamps so far."""


@dataclass(slots=True)
class _Line:
    """What is known of one stream, in repaired seconds. step: its last distance; longest: the longest one.

    counted: what has changed since, in ticks of its own stamps, or None.
    """

    offset: Fraction
    last: Fraction
    furthest: Fraction
    step: Fraction
    longest: Fraction
    counted: _Counted | None = None

    def count(self, tick: Fraction) -> _Counted | None:
        """Begin to count in ticks of so many seconds, where everything is a whole number of them."""
        self.settle()
        numbers = [(value / tick) for value in (self.last - self.offset, self.furthest - self.offset, self.longest)]
        if all(number.denominator == 1 for number in numbers):
            self.counted = _Counted(tick, *(number.numerator for number in numbers))
        return self.counted

    def settle(self) -> _Line:
        """Take over what was counted."""
        if self.counted is not None:
            tick = self.counted.tick
            self.last, self.furthest = self.counted.last * tick + self.offset, self.counted.furthest * tick + self.offset
            if self.counted.step:
                self.step = self.counted.step * tick
            self.counted = None
        return self


@dataclass(slots=True)
class _Counted:
    """tick: seconds. The others as in _Line, in ticks and before anything is added; step: 0 where it has not changed."""

    tick: Fraction
    last: int
    furthest: int
    longest: int
    step: int = 0


class Timeline:
    """Finds what must be added to the stamps of each packet, so that every stream goes on where it was.

    Joined recordings start again, cameras set their clocks, counters of 33 bits wrap: then all streams jump, one after another and by the
    same amount. The first one sets the new offset; those that follow take it over, so that pictures and sound stay together. A gap that
    another stream bridges is none, nor is one of the usual length: a picture an hour is a time lapse.
    limit: seconds forward from which on a gap can be a jump. ordered: whether decoding stamps are the file's own (Matroska has none).
    joins: whether streams may come up in the middle, after a jump (MPEG-TS).
    """

    def __init__(self, limit: float, ordered: bool = True, joins: bool = False) -> None:
        self._limit = Fraction(limit)
        self._ordered = ordered
        self._joins = joins
        self._offsets = [Fraction(0)]
        self._lines: dict[Hashable, _Line] = {}
        self._begins = False
        self.jumps: list[tuple[float, float]] = []
        """(where on the repaired clock, by how much) in seconds, one for each jump that was repaired."""

    def follow(self, key: Hashable, pts: int | None, dts: int | None, tick: Fraction) -> Fraction | None:
        """As `offset`, of stamps in ticks of so many seconds, where they follow the last ones at a usual distance; otherwise None, and
        `offset` is to be called. Nearly all do, and fractions would take most of what reading a packet does."""
        line, shown = self._lines.get(key), dts if pts is None else pts
        if line is None or shown is None:
            return None
        counted = line.counted
        if counted is None or counted.tick != tick:
            counted = line.count(tick)
        ordered = dts is not None and self._ordered
        decoded = dts if dts is not None and ordered else shown
        if counted is None or decoded < counted.last or shown - counted.furthest > counted.longest:
            return None
        if not ordered and shown < counted.furthest:
            return None
        if shown > counted.furthest:
            counted.step, counted.furthest = shown - counted.furthest, shown
        counted.last = decoded
        return line.offset

    def offset(self, key: Hashable, pts: Fraction | None, dts: Fraction | None, step: Fraction, joined: bool = False) -> Fraction:
        """Seconds to add to the stamps (in seconds) of the next packet of the stream `key`.

        step: the nominal distance of its packets, 0 where unknown. The first distance is believed, whatever it is: a nominal rate can lie.
        joined: another recording begins with this stream, and its stamps have nothing to do with those before.
        """
        line = self._lines.get(key)
        shown = pts if pts is not None else dts
        decoded = dts if dts is not None and self._ordered else shown
        if shown is None or decoded is None:
            return self._offsets[-1] if line is None else line.offset
        if line is None:
            offset = self._first(shown, joined)
            self._lines[key] = _Line(offset, decoded + offset, shown + offset, step, Fraction(0))
            return offset
        line.settle()
        jumped = self._jumped_back(line, shown, decoded, dts is not None and self._ordered) or self._jumped_ahead(key, line, shown)
        if jumped:
            line.offset = self._settle(line, shown, decoded)
        else:
            ahead = shown + line.offset - line.furthest
            if ahead > 0:
                line.step, line.longest = ahead, max(line.longest, ahead)
        line.last = decoded + line.offset
        line.furthest = max(line.furthest, shown + line.offset)
        return line.offset

    def reach(self, key: Hashable) -> Fraction | None:
        """How far the presentation stamps of a stream go, in repaired seconds; None where it had none."""
        line = self._lines.get(key)
        return None if line is None else line.settle().furthest

    def current(self, key: Hashable) -> Fraction | None:
        """What was added to the last packet of a stream; None where it had none."""
        line = self._lines.get(key)
        return None if line is None else line.offset

    def keep(self, keys: Collection[Hashable]) -> None:
        """Forget all streams but these: another recording begins, and nothing was made of the others."""
        self._begins = True
        self._lines = {key: line for key, line in self._lines.items() if key in keys}
        now = self.now
        self.jumps = [jump for jump in self.jumps if now is not None and jump[0] <= now]
        in_use = {line.offset for line in self._lines.values()}
        self._offsets = [Fraction(0), *(offset for offset in self._offsets if offset in in_use and offset)]

    @property
    def now(self) -> Fraction | None:
        """How far the furthest stream goes."""
        return max((line.settle().furthest for line in self._lines.values()), default=None)

    def usual(self, key: Hashable) -> Fraction:
        """The longest distance between two packets of a stream so far."""
        line = self._lines.get(key)
        return Fraction(0) if line is None else line.settle().longest

    def _first(self, shown: Fraction, joined: bool) -> Fraction:
        now = self.now
        if now is not None and self._joins and not joined:
            for wrap in (_WRAP, -_WRAP):  # sound that begins just before 0, say
                if abs(shown - now) > _HOUR >= abs(shown - wrap - now):
                    self._offsets.insert(0, -wrap)
                    return -wrap
        if now is None or not (joined or len(self._offsets) > 1 and self._joins):
            return Fraction(0)
        # The other streams of a recording follow the first of them, which may be well ahead by then.
        overlap, self._begins = _OVERLAP if self._begins else 5 * _NEAR, False
        found = next((o for o in reversed(self._offsets) if -overlap <= shown + o - now <= 5 * _NEAR), None)
        return self._add(now, now - shown, self._offsets[-1]) if found is None else found

    @staticmethod
    def _jumped_back(line: _Line, shown: Fraction, decoded: Fraction, ordered: bool) -> bool:
        if ordered:
            return line.last - (decoded + line.offset) > JITTER
        return line.furthest - (shown + line.offset) > max(JITTER, _REORDERED * line.step)

    def _jumped_ahead(self, key: Hashable, line: _Line, shown: Fraction) -> bool:
        there = shown + line.offset
        if not line.longest or there - line.furthest <= max(self._limit, _USUAL * line.longest):
            return False
        bridged = (there - other.settle().furthest <= self._limit for name, other in self._lines.items() if name != key)
        return not any(bridged)

    def _settle(self, line: _Line, shown: Fraction, decoded: Fraction) -> Fraction:
        """The offset after a jump: another stream's where this one fits there, else one that lets it go on without a gap."""
        wanted, stamp = (line.last + line.step, decoded) if self._ordered else (line.furthest + line.step, shown)
        for offset in reversed(self._offsets):
            if offset != line.offset and abs(stamp + offset - wanted) <= _NEAR:
                return offset
        return self._add(wanted, wanted - stamp, line.offset)

    def _add(self, where: Fraction, offset: Fraction, before: Fraction) -> Fraction:
        self._offsets.append(offset)
        self.jumps.append((float(where), float(before - offset)))
        return offset
