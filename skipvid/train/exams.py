"""The exams of a mix: clips with ground truth, decoded."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from skipvid.train.evaluate import Truth
from skipvid.train.measure import Exam
from skipvid.train.mix import ExamEntry, Mix
from skipvid.train.readers import NO_TRUTH, read_coco, read_frames, read_mot
from skipvid.train.samples import CATEGORY_IDS


def open_exams(mix: Mix) -> list[Exam]:
    """The clips with ground truth, decoded."""
    return [_coco_exam(mix.root, entry) if entry.truth.endswith(".json") else _mot_exam(mix.root, entry) for entry in mix.exams]


def _classes(entry: ExamEntry) -> tuple[int, ...]:
    return tuple(CATEGORY_IDS.index(category) for category in entry.categories)


def _mot_exam(root: Path, entry: ExamEntry) -> Exam:
    truth = read_mot(root / entry.truth, minimum_fill=entry.minimum_fill)
    images, truths = [], []
    for index, image in read_frames(root / entry.path, entry.stride):
        frame: Truth = truth.get(index + entry.first, NO_TRUTH)
        if entry.labelled_only and index + entry.first not in truth:
            continue
        images.append(image)
        truths.append(frame)
    return Exam(entry.name, tuple(images), tuple(truths), _classes(entry))


def _coco_exam(root: Path, entry: ExamEntry) -> Exam:
    classes = _classes(entry)
    images, truths = [], []
    for sample in islice(read_coco(root / entry.truth, root / entry.path, entry.name), 0, None, entry.stride):
        chosen = np.isin(sample.targets.classes, classes)
        images.append(sample.image)
        truths.append(Truth(sample.targets.boxes[chosen], sample.targets.ignore[chosen]))
    return Exam(entry.name, tuple(images), tuple(truths), classes)
