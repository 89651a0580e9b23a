"""Pictures without (all) labels -> samples, by asking a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.track import iou_matrix
from skipvid.train.readers import read_frames
from skipvid.train.samples import Sample, Targets, shrink
from skipvid.train.teachers import Found, Teacher


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a teacher is believed.

    sure: from this score on its box is a label. unsure: from this score on its box is ignored (neither object nor background); below, it
    is background. smallest: boxes with a side below this many pixels of the stored picture are ignored at best.
    """

    sure: float = 0.35
    unsure: float = 0.12
    smallest: float = 5.0

    def targets(self, found: Found) -> Targets:
        rows = np.flatnonzero(found.scores >= self.unsure)
        sides = (found.boxes[rows, 2:] - found.boxes[rows, :2]).min(axis=1) if len(rows) else np.zeros(0, np.float32)
        unsure = (found.scores[rows] < self.sure) | (sides < self.smallest)
        return Targets(found.boxes[rows], found.classes[rows], np.asarray(unsure, np.bool_))


def label_frames(path: Path, teacher: Teacher, *, stride: int, longest: int = 640, trust: Trust | None = None) -> Iterator[Sample]:
    """Every `stride`-th frame of a clip, seen by the teacher at full size and stored with at most `longest` pixels on its longer side."""
    trust = trust or Trust()
    for _, image in read_frames(path, stride):
        found = teacher.detect(image)
        small, boxes = shrink(image, found.boxes, longest)
        yield Sample(small, trust.targets(replace(found, boxes=boxes)), path.stem, teacher.known)


def complete(sample: Sample, teacher: Teacher, *, trust: Trust | None = None) -> Sample:
    """A partly labelled picture with the teacher's opinion on the rest.

    Classes that are not labelled take the teacher's boxes. Of labelled classes it adds as ignored what the labels seem to have missed.
    """
    trust = trust or Trust()
    extra = trust.targets(teacher.detect(sample.image))
    labelled = sample.known[extra.classes]
    missed = labelled & ~extra.ignore & ~_overlaps(extra, sample.targets)
    added = extra.take(~labelled | missed)
    added = Targets(added.boxes, added.classes, added.ignore | sample.known[added.classes])
    return replace(sample, targets=sample.targets + added, known=sample.known | teacher.known)


def _overlaps(a: Targets, b: Targets, iou: float = 0.4) -> NDArray[np.bool_]:
    """Which boxes of a have a partner in b, whatever its class."""
    if not len(a) or not len(b):
        return np.zeros(len(a), np.bool_)
    return np.asarray((iou_matrix(a.boxes, b.boxes) > iou).any(axis=1))


def doubt(targets: Targets) -> Targets:
    """The boxes without the two mistakes that teachers and annotators make most.

    A person's box that is also a vehicle's (IoU > 0.5) goes: tail lights at night look like a walker. A person's box that holds two others
    almost wholly is a crowd, and becomes ignored.
    """
    person, vehicle = targets.classes == 0, targets.classes >= 2
    if not person.any():
        return targets
    overlap = iou_matrix(targets.boxes, targets.boxes[vehicle]) if vehicle.any() else np.zeros((len(targets), 1), np.float32)
    boxes = targets.boxes
    sides = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    inside = np.prod(np.maximum(sides, 0), axis=2) >= 0.8 * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    np.fill_diagonal(inside, False)
    crowd = person & ((inside & person).sum(axis=1) >= 2)
    keep = ~(person & (overlap > 0.5).any(axis=1))
    return Targets(boxes[keep], targets.classes[keep], (targets.ignore | crowd)[keep])
