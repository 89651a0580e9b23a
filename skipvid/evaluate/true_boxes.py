"""Stands in for a detector: delivers the true boxes of each frame, so that a pose network is measured alone."""

from __future__ import annotations

import numpy as np

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.truth import LabelledClip
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.tasks.engine import Engine

PERSON = 1


class TrueBoxes(Engine):
    """An engine without a network. clip: the one whose frames come next."""

    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.weights_sha256 = ""
        self.categories = {PERSON: "person"}
        self.clip: LabelledClip | None = None

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        return []

    def stream(self, dense_every: int = 0) -> TrueBoxes:
        return self

    def dense_stream(self) -> TrueBoxes:
        return self

    def look_ahead(self, frame: Frame) -> None:
        """There is nothing to prepare."""

    def process(self, frame: Frame) -> FrameResult:
        """The true persons of a frame, each with a score of 1; no cost, no time."""
        truth = self.clip.of(frame) if self.clip is not None else None
        if truth is None:
            return FrameResult(frame, Detections.empty(), frame.index == 0, {"model": 0.0})
        boxes = truth.boxes[~truth.crowd & (truth.category_ids == PERSON)]
        count = len(boxes)
        found = Detections(boxes, np.ones(count, np.float32), np.full(count, PERSON, np.int64), ("person",) * count)
        return FrameResult(frame, found, frame.index == 0, {"model": 0.0})
