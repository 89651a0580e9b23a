"""Samples for pose training: one person each, cut out with room around, and packs of them in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.crops import PADDING
from skipvid.train.packs import read_pack, write_pack

JOINTS = 17
"""COCO's keypoints."""

MIRRORED: tuple[int, ...] = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Joint that a joint becomes in a mirror image."""

UNKNOWN, PRESENT, ABSENT = 0, 1, 2
"""What is known of a joint: nothing; its place; that it cannot be seen at all, so that its heat map is to stay dark."""

ROOM = 1.5
"""Side of what is cut out per side of the window that the network gets, so that training can turn, shrink and shift it."""


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """image: (H, W, 3) uint8, BGR. box: (4,) float32 xyxy. joints: (17, 2) float32 x, y. states: (17,) int8. area: of what is seen.

    All in pixels of `image`, whole numbers being pixel centres for joints. source: the data set or clip it comes from.
    """

    image: NDArray[np.uint8]
    box: NDArray[np.float32]
    joints: NDArray[np.float32]
    states: NDArray[np.int8]
    area: float
    source: str

    def __post_init__(self) -> None:
        if self.box.shape != (4,) or self.joints.shape != (JOINTS, 2) or self.states.shape != (JOINTS,):
            raise ValueError(f"a person does not fit together: {self.box.shape}, {self.joints.shape}, {self.states.shape}")


def cut_out(person: Person, height: int = 256) -> Person:
    """A person of a whole picture -> with room around, shrunk so that the network's window would be at most `height` pixels high."""
    image, box = person.image, person.box
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    window = max(float(size[1]), float(size[0]) / 0.75, 1.0) * PADDING
    reach = window * ROOM / 2
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach), image.shape[1::-1]).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    factor = min(height / window, 1.0)
    wanted = np.maximum(np.round((high - low) * factor), 1).astype(int)
    scale = (wanted / np.maximum(high - low, 1)).astype(np.float32)
    small = np.asarray(cv2.resize(part, (int(wanted[0]), int(wanted[1])), interpolation=cv2.INTER_AREA), np.uint8) if factor < 1 else part
    moved_box = ((box.reshape(2, 2) - low) * scale).reshape(4).astype(np.float32)
    joints = ((person.joints - low + 0.5) * scale - 0.5).astype(np.float32)
    area = person.area * float(scale[0] * scale[1])
    return Person(np.ascontiguousarray(small), moved_box, joints, person.states, area, person.source)


def save_people(path: Path, people: Sequence[Person]) -> None:
    """Write persons as one file, whole or not at all. Raises OutputError."""
    count = len(people)
    arrays: dict[str, NDArray[Any]] = {
        "boxes": np.array([person.box for person in people], np.float32).reshape(count, 4),
        "joints": np.array([person.joints for person in people], np.float32).reshape(count, JOINTS, 2),
        "states": np.array([person.states for person in people], np.int8).reshape(count, JOINTS),
        "areas": np.array([person.area for person in people], np.float64),
        "sources": np.array([person.source for person in people], np.str_),
    }
    write_pack(path, [person.image for person in people], arrays)


def load_people(path: Path) -> list[Person]:
    """Read a pack whole. Raises SourceError where the file is missing, damaged or no pack of persons."""
    images, arrays = read_pack(path, ("boxes", "joints", "states", "areas", "sources"))
    return [
        Person(image, arrays["boxes"][i], arrays["joints"][i], arrays["states"][i], float(arrays["areas"][i]), str(arrays["sources"][i]))
        for i, image in enumerate(images)
    ]
