"""Whether gated frames take less time than dense ones: found out while running, for networks in whose midst PyTorch computes a part.

Where all kernels are native, the executed MACs tell (`dense_above`). What PyTorch computes runs as a whole whenever anything changed, so
that few MACs may take as long as all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

SEEN = 4
"""Times of a kind that are looked at: the last ones."""
TRIAL = 5
"""Keyframes of the first trial. The last one leaves to the next frame what gates need, and the first has its memory to fetch."""
SHORTEST, LONGEST = 8, 64
"""Dense frames before gates are tried again: doubled as long as the answer stays the same."""
MARGIN = 1.05
"""So many times as long as dense ones gated frames may take: as much is noise."""


class GateChoice:
    """Call `took` after each frame."""

    def __init__(self) -> None:
        self._gated: deque[float] = deque(maxlen=SEEN)
        self._dense: deque[float] = deque(maxlen=SEEN)
        self._tried = self._warm = False
        self._run = 0

    def took(self, seconds: float, dense: bool) -> int:
        """Take in the time of a frame. dense: whether it left nothing to a gated one. Returns how many frames shall be keyframes now."""
        if dense:
            if self._warm:
                self._dense.append(seconds)
            self._warm = True
            return 0
        self._gated.append(seconds)
        if len(self._gated) < SEEN:
            return 0
        if not self._dense:
            run, self._tried = (0 if self._tried else TRIAL), True
            return run
        if not self.slower:
            self._run = 0
            return 0
        self._gated.clear()
        self._run = min(2 * self._run or SHORTEST, LONGEST)
        return self._run

    @property
    def slower(self) -> bool:
        """Whether gated frames are the slower ones."""
        return bool(self._gated and self._dense) and _typical(self._gated) > MARGIN * _typical(self._dense)

    @property
    def dense_run(self) -> int:
        """Frames that are computed densely because of that, at a time; 0 = none."""
        return self._run


def _typical(times: Iterable[float]) -> float:
    """The second shortest: what else the machine does makes times longer, never shorter, and several of a few at once."""
    return sorted(times)[:2][-1]
