"""What people do instead of gating: the dense network in every k-th frame, its boxes held or moved in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.wrapped import WrappedStream
from skipvid.report.agreement import box_iou
from skipvid.tasks.engine import Stream

LEAST_OVERLAP = 0.3
"""Of a box with that of the frame analysed before: less is another object."""


class EveryKth(WrappedStream):
    """A stream that analyses every k-th frame and fills in the others.

    inner: analyses. every: k. moved: boxes go on with the velocity between the last two analysed frames; False: they stay.
    A frame that is filled in costs no MACs; what the analysis of the k-th costs stands in its own result.
    """

    def __init__(self, inner: Stream, every: int, moved: bool) -> None:
        if every < 1:
            raise ValueError(f"every {every} frames")
        super().__init__(inner)
        self._every, self._moved = every, moved
        self._last: Detections | None = None
        self._speed: NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self._since = 0

    def look_ahead(self, frame: Frame) -> None:
        """Nothing: most frames are filled in."""

    def process(self, frame: Frame) -> FrameResult:
        """Analyse or fill in the next frame."""
        if self._last is None or self._since + 1 >= self._every:
            result = super().process(frame)
            self._speed = _speeds(self._last, result.detections, self._every)
            self._last, self._since = result.detections, 0
            return result
        self._since += 1
        boxes = self._last.boxes + self._since * self._speed if self._moved else self._last.boxes
        return FrameResult(frame, replace(self._last, boxes=boxes.astype(np.float32)), False, {"model": 0.0})


def _speeds(before: Detections | None, now: Detections, frames: int) -> NDArray[np.float32]:
    """(K, 4) pixels a frame of each box's sides, 0 where the box of before cannot be told; best score first, each takes the nearest."""
    speeds = np.zeros((len(now), 4), np.float32)
    if before is None or not len(before):
        return speeds
    overlaps = box_iou(now.boxes, before.boxes)
    overlaps[now.category_ids[:, None] != before.category_ids[None]] = 0
    for row in range(len(now)):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= LEAST_OVERLAP:
            speeds[row] = (now.boxes[row] - before.boxes[best]) / frames
            overlaps[:, best] = 0
    return speeds
