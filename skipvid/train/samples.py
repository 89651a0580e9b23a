"""Training samples: one picture with its boxes, and packs of them in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.train.packs import read_pack, write_pack

CATEGORIES: dict[int, str] = {1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 6: "bus", 8: "truck"}
"""What the bundled detector knows: COCO's category numbers and names, in the order of its class channels."""

CATEGORY_IDS: tuple[int, ...] = tuple(CATEGORIES)
CLASS_COUNT = len(CATEGORY_IDS)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The boxes of one picture.

    boxes: (K, 4) float32, xyxy, pixels. classes: (K,) int64, index into CATEGORY_IDS. ignore: (K,) bool, True = the box may or may not be
    there: a detection of its class inside it is neither rewarded nor punished. joints: (K, 17, 3) float32, COCO's keypoints as x, y in
    pixels (whole numbers are pixel centres) and 1, or 0 where nothing is known; None = no keypoints were labelled in this picture.
    """

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    joints: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        k = len(self.boxes)
        if self.boxes.shape != (k, 4) or self.classes.shape != (k,) or self.ignore.shape != (k,):
            raise ValueError(f"targets do not fit together: {self.boxes.shape}, {self.classes.shape}, {self.ignore.shape}")
        if self.joints is not None and self.joints.shape != (k, 17, 3):
            raise ValueError(f"keypoints {self.joints.shape} do not fit {k} boxes")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Targets:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))

    @classmethod
    def of(cls, boxes: Sequence[Sequence[float]], classes: Sequence[int], ignore: Sequence[bool] | None = None) -> Targets:
        k = len(classes)
        flags = np.zeros(k, np.bool_) if ignore is None else np.asarray(ignore, np.bool_)
        return cls(np.asarray(boxes, np.float32).reshape(k, 4), np.asarray(classes, np.int64), flags)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Targets:
        joints = None if self.joints is None else self.joints[index]
        return Targets(self.boxes[index], self.classes[index], self.ignore[index], joints)

    def __add__(self, other: Targets) -> Targets:
        """Of both, as boxes: keypoints are left behind."""
        return Targets(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.ignore, other.ignore]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture to learn from.

    image: (H, W, 3) uint8, BGR. known: (CLASS_COUNT,) bool, False = objects of this class were not labelled in this picture, so that
    their absence from `targets` says nothing. source: the data set or clip it comes from; splits are made by it.
    """

    image: NDArray[np.uint8]
    targets: Targets
    source: str
    known: NDArray[np.bool_] = field(default_factory=lambda: np.ones(CLASS_COUNT, np.bool_))


def shrink(image: NDArray[np.uint8], boxes: NDArray[np.float32], longest: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture with its longer side at most `longest` pixels, and its (K, 4) boxes in the new pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image, boxes
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, (boxes * np.array([size[0] / width, size[1] / height] * 2, np.float32)).astype(np.float32)


def save_pack(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples as one file, whole or not at all. Raises OutputError."""
    together = Targets.empty()
    for sample in samples:
        together = together + sample.targets
    arrays: dict[str, NDArray[Any]] = {
        "boxes": together.boxes,
        "classes": together.classes,
        "ignore": together.ignore,
        "box_counts": np.array([len(sample.targets) for sample in samples], np.int64),
        "known": np.array([sample.known for sample in samples], np.bool_).reshape(len(samples), CLASS_COUNT),
        "sources": np.array([sample.source for sample in samples], np.str_),
    }
    write_pack(path, [sample.image for sample in samples], arrays)


def load_pack(path: Path) -> list[Sample]:
    """Read a pack whole. Raises SourceError where the file is missing, damaged or no pack of samples."""
    images, arrays = read_pack(path, ("boxes", "classes", "ignore", "box_counts", "known", "sources"))
    ends = np.cumsum(arrays["box_counts"])
    samples = []
    for i, image in enumerate(images):
        rows = slice(ends[i] - arrays["box_counts"][i], ends[i])
        targets = Targets(arrays["boxes"][rows], arrays["classes"][rows], arrays["ignore"][rows])
        samples.append(Sample(image, targets, str(arrays["sources"][i]), arrays["known"][i]))
    return samples
