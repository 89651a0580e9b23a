"""What is compared with a truth: which classes, or which joints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skipvid.core.errors import UsageError
from skipvid.core.labels import COCO_LABELS
from skipvid.core.results import Detections
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.models.detections import class_wise_nms
from skipvid.presets.preset import Preset

FAINTEST = 0.02
"""Score from which detections are measured: average precision needs those that would not be shown, too."""

SAME_OBJECT = 0.6
"""IoU above which two boxes of merged categories are one object."""

VEHICLE = "vehicle"
VEHICLES = (3, 4, 6, 8)
"""That class, which datasets of traffic have in place of COCO's cars, motorcycles, buses and trucks."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is compared. categories: COCO's numbers, each a class of its own. merged: all of them are one class (a van is a car or a truck).

    keypoints: names of the joints that the network finds, () for boxes.
    """

    categories: tuple[int, ...]
    merged: bool = False
    keypoints: tuple[str, ...] = ()

    def found(self, detections: Detections) -> Detections:
        """The detections as one class, where the categories are merged; of boxes on the same object the best stays."""
        if not self.merged:
            return detections
        keep = np.flatnonzero(np.isin(detections.category_ids, self.categories))
        one_class = np.zeros(len(keep), np.int64)
        keep = keep[class_wise_nms(detections.boxes[keep], detections.scores[keep], one_class, SAME_OBJECT, len(keep))]
        poses = None if detections.keypoints is None else detections.keypoints[keep]
        ids = np.full(len(keep), self.categories[0], np.int64)
        return Detections(detections.boxes[keep], detections.scores[keep], ids, ("",) * len(keep), keypoints=poses)

    def true(self, truth: FrameTruth) -> FrameTruth:
        """The truth likewise."""
        if not self.merged:
            return truth
        ids = np.where(np.isin(truth.category_ids, self.categories), self.categories[0], truth.category_ids)
        return replace(truth, category_ids=ids)


def known_classes(preset: Preset) -> Mapping[int, str]:
    """Names of the classes that a truth is matched with, by number: those that the preset finds; for poses COCO's, persons among them."""
    return COCO_LABELS.categories if preset.task == "pose" else preset.label_set.categories


def labels_for(preset: Preset, clips: Sequence[LabelledClip], classes: Sequence[str] = (), layout: str | None = None) -> Labels:
    """What is measured: of the preset's classes those that are named, or else those that the truth has. Raises UsageError."""
    if preset.task == "pose":
        if not any(clip.keypoint_names for clip in clips):
            raise UsageError("the truth has no keypoints", "choose a detection preset: skipvid presets list")
        return Labels((1,), keypoints=preset.keypoints)
    numbers = {name.lower(): number for number, name in preset.label_set.categories.items()}
    if tuple(classes) == (VEHICLE,) or layout == "detrac" or (not classes and _is_detrac(clips)):
        return Labels(tuple(number for number in VEHICLES if number in numbers.values()), merged=True)
    for name in classes:
        if name.lower() not in numbers:
            raise UsageError(f"preset {preset.name} does not know the class '{name}'", f"known: {', '.join(numbers)}")
    if classes:
        return Labels(tuple(numbers[name.lower()] for name in classes))
    present = sorted(set(_categories(clips)) & set(numbers.values()))
    if not present:
        raise UsageError("the truth has no object of a class that the preset knows", f"known: {', '.join(numbers)}")
    return Labels(tuple(present))


def _is_detrac(clips: Sequence[LabelledClip]) -> bool:
    return all(clip.name.startswith("MVI_") and clip.group for clip in clips)


def _categories(clips: Sequence[LabelledClip]) -> Iterator[int]:
    for clip in clips:
        for truth in (*clip.frames.values(), *clip.by_file.values()):
            yield from truth.category_ids[~truth.crowd].tolist()
