"""What the outputs of a network mean: COCO's categories, the selections from them that small networks know, and people's joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COCO_CATEGORIES: dict[int, str] = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    7: "train",
    8: "truck",
    9: "boat",
    10: "traffic light",
    11: "fire hydrant",
    13: "stop sign",
    14: "parking meter",
    15: "bench",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
    20: "sheep",
    21: "cow",
    22: "elephant",
    23: "bear",
    24: "zebra",
    25: "giraffe",
    27: "backpack",
    28: "umbrella",
    31: "handbag",
    32: "tie",
    33: "suitcase",
    34: "frisbee",
    35: "skis",
    36: "snowboard",
    37: "sports ball",
    38: "kite",
    39: "baseball bat",
    40: "baseball glove",
    41: "skateboard",
    42: "surfboard",
    43: "tennis racket",
    44: "bottle",
    46: "wine glass",
    47: "cup",
    48: "fork",
    49: "knife",
    50: "spoon",
    51: "bowl",
    52: "banana",
    53: "apple",
    54: "sandwich",
    55: "orange",
    56: "broccoli",
    57: "carrot",
    58: "hot dog",
    59: "pizza",
    60: "donut",
    61: "cake",
    62: "chair",
    63: "couch",
    64: "potted plant",
    65: "bed",
    67: "dining table",
    70: "toilet",
    72: "tv",
    73: "laptop",
    74: "mouse",
    75: "remote",
    76: "keyboard",
    77: "cell phone",
    78: "microwave",
    79: "oven",
    80: "toaster",
    81: "sink",
    82: "refrigerator",
    84: "book",
    85: "clock",
    86: "vase",
    87: "scissors",
    88: "teddy bear",
    89: "hair drier",
    90: "toothbrush",
}
"""COCO's 80 categories by number; ten numbers between 1 and 90 are not used (cocodataset.org)."""

FIRST_OWN_CATEGORY = 91
"""Names that COCO does not have are numbered from here, so that a number never means two things."""

COCO_KEYPOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's keypoints of a person, in the order of a pose network's heat maps."""

COCO_SKELETON: tuple[tuple[str, str], ...] = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)
"""The 19 pairs of joints that COCO's files of person keypoints join."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The categories of one network. outputs: the category number of each output of the class head, 0 where the output is not used."""

    outputs: tuple[int, ...]
    categories: Mapping[int, str]

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def category_ids(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """classes: (K,) numbers of head outputs -> (K,) category numbers, 0 for an output without a category."""
        return np.array(self.outputs, np.int64)[classes]

    def names(self, category_ids: NDArray[np.int64]) -> tuple[str, ...]:
        """category_ids: (K,), all of this set -> their names."""
        return tuple(self.categories[int(category)] for category in category_ids)


COCO_LABELS = LabelSet(tuple(n if n in COCO_CATEGORIES else 0 for n in range(1, 91)), COCO_CATEGORIES)
"""A head with one output for each of the numbers 1 to 90, as effdet's checkpoints have it."""


def label_set(names: Sequence[str]) -> LabelSet:
    """A head with one output per name, in this order; COCO's names keep COCO's numbers, others are numbered from 91 on.

    Raises ValueError where a name is given twice or none is given.
    """
    if not names or len(set(names)) != len(names):
        raise ValueError("labels must be different names, at least one")
    coco = {name: number for number, name in COCO_CATEGORIES.items()}
    own = FIRST_OWN_CATEGORY
    outputs = []
    for name in names:
        if name in coco:
            outputs.append(coco[name])
        else:
            outputs.append(own)
            own += 1
    return LabelSet(tuple(outputs), dict(zip(outputs, names, strict=True)))


def skeleton(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Which joints of a pose to join, as pairs of their numbers from 1, as COCO's files have it: the pairs of COCO_SKELETON that are there.

    names: of the joints, in the order of the keypoints. Empty where none of COCO's pairs is among them.
    """
    number = {name: position for position, name in enumerate(names, start=1)}
    return tuple((number[one], number[other]) for one, other in COCO_SKELETON if one in number and other in number)
