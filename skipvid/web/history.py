"""What a stream did in the last minutes, second by second, for small charts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SECONDS = 180


@dataclass(slots=True)
class _Second:
    number: int
    frames: int = 0
    saving: float = 0.0
    delay_ms: float = 0.0
    dropped: int = 0


class History:
    """Frames, MACs saved, delay and dropped frames by second, of the last SECONDS seconds."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=SECONDS + 1)
        self._dropped = 0

    def add(self, now: float, saving: float | None, delay_ms: float | None, dropped: int) -> None:
        """A frame. now: seconds on a steady clock. saving: fraction of the MACs, None without gates. dropped: frames so far, in all."""
        if not self._seconds or self._seconds[-1].number != int(now):
            self._seconds.append(_Second(int(now)))
        second = self._seconds[-1]
        second.frames += 1
        second.saving += saving or 0.0
        second.delay_ms += delay_ms or 0.0
        second.dropped += dropped - self._dropped
        self._dropped = dropped

    def series(self, now: float) -> dict[str, list[float]]:
        """Oldest first, one number for each whole second since the first frame; a second without frames counts 0 of everything."""
        last = int(now) - 1  # the present one is not over
        by_number = {second.number: second for second in self._seconds}
        numbers = range(max(min(by_number, default=last + 1), last - SECONDS + 1), last + 1)
        seconds = [by_number.get(number, _Second(number)) for number in numbers]
        return {
            "fps": [float(second.frames) for second in seconds],
            "saving": [round(second.saving / second.frames, 4) if second.frames else 0.0 for second in seconds],
            "delay_ms": [round(second.delay_ms / second.frames, 1) if second.frames else 0.0 for second in seconds],
            "dropped": [float(second.dropped) for second in seconds],
        }
