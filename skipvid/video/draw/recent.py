"""The mask of a video: what was computed in a frame or shortly before it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import FrameResult

HOLD = 4
"""Frames for which a cell stays lit. Gates open and close from frame to frame: a mask that does so, too, tires the eye, and took the H.264
encoder 2.4 times as long as the video without a mask (measured on the TownCentre clip, 1080p; lit for four frames, no longer at all)."""


class RecentActivity:
    """Call it with one result after the other."""

    def __init__(self) -> None:
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=HOLD)

    def __call__(self, result: FrameResult) -> FrameResult:
        """The result with the highest activity of each cell in its own frame and the three before.

        A keyframe is shown as it is and not remembered: all of it was computed, which says nothing of what changes. Neither is a result
        without activity or with a grid of another size: memory begins anew there.
        """
        if result.activity is None or result.keyframe:
            self._recent.clear()
            return result
        if self._recent and self._recent[-1].shape != result.activity.shape:
            self._recent.clear()
        self._recent.append(result.activity)
        return replace(result, activity=np.fmax.reduce(list(self._recent)))
