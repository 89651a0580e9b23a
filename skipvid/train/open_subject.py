"""What gates are learned for, by the task of a preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.presets.preset import DEFAULT_DETECT, Preset
from skipvid.train.pose_subject import PERSON, PoseSubject
from skipvid.train.preset_teacher import open_preset_teacher
from skipvid.train.subjects import DetectSubject, Subject


def open_subject(preset: Preset, weights: Path, sure: float = 0.4) -> Subject:
    """The subject of a preset. sure: score from which the bundled detector's persons get a window, for a pose network."""
    if preset.task == "detect":
        return DetectSubject(preset, weights)
    detector = open_preset_teacher(DEFAULT_DETECT)

    def find(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = detector.detect(image)
        boxes: NDArray[np.float32] = found.boxes[(found.classes == PERSON) & (found.scores >= sure)]
        return boxes

    return PoseSubject(preset, weights, find)
