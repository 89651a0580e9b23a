"""The mask of a video: what was computed in a frame or shortly before it, calm in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import FrameResult

HOLD = 25
"""Frames for which a cell stays lit after the last one that lit it.

Gates open and close from frame to frame, and the share of work in a cell is another number in each. A mask that follows both tires the eye,
and each change of a cell's brightness is a new picture to the encoder: docs/notes.md has what that took.
"""

LIT = 0.5
"""The share of a cell's MACs from which it is shown as computed. Held for so long, smaller shares light twice the area that was computed:
75 % of TownCentre's picture at 0.3, 57 % at 0.5, where 36 % of the MACs are executed."""


class RecentActivity:
    """Call it with one result after the other."""

    def __init__(self) -> None:
        self._left: NDArray[np.int64] = np.zeros((0, 0), np.int64)  # frames for which each cell will still be lit
        self._since_keyframe = HOLD

    def __call__(self, result: FrameResult) -> FrameResult:
        """The result with an activity of 1 in each cell that was lit in the last HOLD frames, 0 elsewhere.

        A keyframe is shown as it is, and memory begins anew there: all of it was computed, which says nothing of what changes. Where one
        follows another within HOLD frames, the mask stays instead, as flashes would hide it. Memory begins anew, too, at a result without
        activity or with a grid of another size.
        """
        soon, self._since_keyframe = self._since_keyframe < HOLD, 0 if result.keyframe else self._since_keyframe + 1
        if result.activity is None:
            self._left = np.zeros((0, 0), np.int64)
            return result
        fits = self._left.shape == result.activity.shape
        if result.keyframe and not (soon and fits):
            self._left = np.zeros((0, 0), np.int64)
            return result
        if not result.keyframe:
            left = self._left if fits else np.zeros(result.activity.shape, np.int64)
            self._left = np.where(result.activity >= LIT, HOLD, np.maximum(left - 1, 0))
        return replace(result, activity=(self._left > 0).astype(np.float32))
