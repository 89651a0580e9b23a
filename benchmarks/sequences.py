"""Sequences with true boxes, to measure detectors on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections
from skipvid.train.evaluate import Truth, merge_classes
from skipvid.train.readers import NO_TRUTH, read_frames, read_mot
from skipvid.train.teachers import Found


@dataclass(frozen=True, slots=True)
class Sequence:
    """A clip with truth. first: number in the truth of the first frame. categories: COCO's, taken together as one class."""

    name: str
    clip: str
    truth: str
    first: int
    categories: tuple[int, ...]
    minimum_fill: float = 0.0


SEQUENCES = (
    Sequence("PETS09", "sequences/pets09_s2l1/vtest_480x360.avi", "sequences/pets09_s2l1/gt_mot_480x360.txt", 1, (1,)),
    Sequence("TownCentre", "sequences/towncentre_a/clip.mp4", "sequences/towncentre_a/gt_mot_1920x1080.txt", 1, (1,)),
    Sequence("highway", "sequences/cdnet_highway/input", "sequences/cdnet_highway/gt_boxes.txt", 470, (3, 4, 6, 8), 0.6),
)


def load_frames(data: Path, sequence: Sequence, frames: int) -> tuple[list[NDArray[np.uint8]], list[Truth]]:
    """The first frames and their truths."""
    truth = read_mot(data / sequence.truth, minimum_fill=sequence.minimum_fill)
    images = [image for _, image in itertools.islice(read_frames(data / sequence.clip), frames)]
    return images, [truth.get(index + sequence.first, NO_TRUTH) for index in range(len(images))]


def as_found(detections: Detections, sequence: Sequence) -> Found:
    """Detections of the sequence's categories as one class."""
    found = Found(detections.boxes, detections.scores, detections.category_ids)
    return merge_classes(found, sequence.categories)
