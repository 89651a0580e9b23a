"""When the units of gates are looked at: seldom, and ever more seldom where keyframes do not help, as units swing."""

from __future__ import annotations

from collections.abc import Callable

PERIOD = 4
"""Gated frames from one look at a gate's unit to the next."""
LONGEST_WAIT = 256
"""Gated frames before units are looked at again, where keyframes for their sake have followed each other."""


class UnitChecks:
    """Of one stream. Each check looks at one gate's unit (skipvid.skip.gates.units)."""

    def __init__(self) -> None:
        self._wait = 1  # gated frames before the first check behind a keyframe
        self._number = 0

    def are_due(self, since_keyframe: int) -> bool:
        """Whether a unit is to be looked at in this frame, the keyframe and those behind it counted."""
        return since_keyframe > self._wait and (since_keyframe - 1 == self._wait or since_keyframe % PERIOD == 0)

    def asks_for_keyframe(self, since_keyframe: int, is_stale: Callable[[int], bool]) -> bool:
        """Look at one unit. is_stale: whether that of the check of this number no longer fits."""
        stale = is_stale(self._number)
        self._number += 1
        if stale:
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        elif since_keyframe > 8 * self._wait:
            self._wait = 1
        return stale
