"""Held-out material and what is measured on it: AP50 on clips with ground truth and on labelled samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skipvid.train.evaluate import Truth, average_precision, merge_classes
from skipvid.train.predict import fit, predict
from skipvid.train.samples import CATEGORIES, CATEGORY_IDS, Sample
from skipvid.train.teachers import Teacher


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Pictures with ground truth for some classes taken together as one.

    images: (H, W, 3) uint8, BGR each. truths: one per picture, in its pixels. classes: indices into CATEGORY_IDS that count as a hit
    (ground truth of plain "vehicles" has five of them).
    """

    name: str
    images: tuple[NDArray[np.uint8], ...]
    truths: tuple[Truth, ...]
    classes: tuple[int, ...]

    def grade(self, net: nn.Module, *, longest: int, anchor_scale: float) -> float:
        """AP50 of an EfficientDet in eval mode."""
        found = predict(net, self.images, longest=longest, anchor_scale=anchor_scale)
        return average_precision([merge_classes(f, self.classes) for f in found], self.truths)

    def grade_teacher(self, teacher: Teacher) -> float:
        """AP50 of a teacher, by the same rules."""
        return average_precision([merge_classes(teacher.detect(image), self.classes) for image in self.images], self.truths)


def exams_of_samples(samples: Sequence[Sample]) -> list[Exam]:
    """One exam per class that the samples show at all, over the samples in which it is labelled."""
    exams = []
    for index, category in enumerate(CATEGORY_IDS):
        chosen = [sample for sample in samples if sample.known[index]]
        truths = []
        for sample in chosen:
            rows = sample.targets.classes == index
            truths.append(Truth(sample.targets.boxes[rows], sample.targets.ignore[rows]))
        if any((~truth.ignore).any() for truth in truths):
            images = tuple(sample.image for sample in chosen)
            exams.append(Exam(CATEGORIES[category], images, tuple(truths), (index,)))
    return exams


class Examiner:
    """Grades a network in training on all exams; the first number it returns is their mean, by which the best weights are chosen.

    longest: longer side of the network's input, pixels; larger pictures are kept at that size to save memory.
    """

    def __init__(self, exams: Sequence[Exam], *, longest: int, anchor_scale: float) -> None:
        self._longest, self._anchor_scale = longest, anchor_scale
        self._exams = [self._shrunk(exam) for exam in exams]

    def _shrunk(self, exam: Exam) -> Exam:
        images, truths = [], []
        for image, truth in zip(exam.images, exam.truths, strict=True):
            if max(image.shape[:2]) > self._longest:
                image, scale = fit(image, self._longest, multiple=1)
                truth = Truth((truth.boxes * scale).astype(np.float32), truth.ignore)
            images.append(image)
            truths.append(truth)
        return Exam(exam.name, tuple(images), tuple(truths), exam.classes)

    def __call__(self, net: nn.Module) -> dict[str, float]:
        net.eval()
        grades = {exam.name: exam.grade(net, longest=self._longest, anchor_scale=self._anchor_scale) for exam in self._exams}
        return {"AP50": float(np.mean(list(grades.values()))), **grades}
