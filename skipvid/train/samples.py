"""Training samples: one picture with its boxes, and packs of them in one file.

A pack is a NumPy .npz with JPEG bytes back to back, so that thousands of pictures load in seconds and travel as one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.errors import OutputError, SourceError

CATEGORIES: dict[int, str] = {1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 6: "bus", 8: "truck"}
"""What the bundled detector knows: COCO's category numbers and names, in the order of its class channels."""

CATEGORY_IDS: tuple[int, ...] = tuple(CATEGORIES)
CLASS_COUNT = len(CATEGORY_IDS)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The boxes of one picture.

    boxes: (K, 4) float32, xyxy, pixels. classes: (K,) int64, index into CATEGORY_IDS. ignore: (K,) bool, True = the box may or may not be
    there: a detection of its class inside it is neither rewarded nor punished.
    """

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]

    def __post_init__(self) -> None:
        k = len(self.boxes)
        if self.boxes.shape != (k, 4) or self.classes.shape != (k,) or self.ignore.shape != (k,):
            raise ValueError(f"targets do not fit together: {self.boxes.shape}, {self.classes.shape}, {self.ignore.shape}")

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
        return Targets(self.boxes[index], self.classes[index], self.ignore[index])

    def __add__(self, other: Targets) -> Targets:
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


def save_pack(path: Path, samples: Sequence[Sample], *, quality: int = 92) -> None:
    """Write samples as one .npz of JPEG bytes and labels; the file appears whole or not at all. Raises OutputError."""
    jpegs = [cv2.imencode(".jpg", sample.image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].ravel() for sample in samples]
    together = Targets.empty()
    for sample in samples:
        together = together + sample.targets
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez(
                file,
                jpegs=np.concatenate(jpegs) if jpegs else np.zeros(0, np.uint8),
                jpeg_sizes=np.array([len(jpeg) for jpeg in jpegs], np.int64),
                boxes=together.boxes,
                classes=together.classes,
                ignore=together.ignore,
                box_counts=np.array([len(sample.targets) for sample in samples], np.int64),
                known=np.array([sample.known for sample in samples], np.bool_).reshape(len(samples), CLASS_COUNT),
                sources=np.array([sample.source for sample in samples], np.str_),
            )
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write the sample pack {path}: {error.strerror}", "choose a folder that exists and can be written"
        ) from error


def load_pack(path: Path) -> list[Sample]:
    """Read a pack whole, pictures decoded. Raises SourceError where the file is missing, damaged or no pack."""
    try:
        with np.load(path, allow_pickle=False) as pack:
            arrays = {name: pack[name] for name in pack.files}
        jpeg_ends, box_ends = np.cumsum(arrays["jpeg_sizes"]), np.cumsum(arrays["box_counts"])
        samples = []
        for i, source in enumerate(arrays["sources"]):
            jpeg = arrays["jpegs"][jpeg_ends[i] - arrays["jpeg_sizes"][i] : jpeg_ends[i]]
            rows = slice(box_ends[i] - arrays["box_counts"][i], box_ends[i])
            image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f"picture {i} is damaged")
            targets = Targets(arrays["boxes"][rows], arrays["classes"][rows], arrays["ignore"][rows])
            samples.append(Sample(np.asarray(image, np.uint8), targets, str(source), arrays["known"][i]))
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"cannot read the sample pack {path}: {error}", "make it anew with `skipvid distill`") from error
    return samples
