"""The family of YOLOX by name (Ge et al., 2021), and what reads its output. The network is in networks/yolox.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipvid.models.detections import RawDetections, RowHead, sigmoid
from skipvid.models.spec import DetectorSpec

STRIDES = (8, 16, 32)
"""Pixels of the input per cell of each level."""

FILL = 114
"""Grey level around the picture, as in training."""

MAX_GROWTH = 10.0
"""Largest logarithm of a box's side over the stride that is taken seriously: e^10 is wider than any picture, and finite."""


@dataclass(frozen=True, slots=True)
class YoloxConfig:
    """One member of the family."""

    name: str
    depth: float  # factor on the number of blocks
    width: float  # factor on the channels, which are 64 to 1024 from the stem to the deepest map
    image_size: tuple[int, int]  # (height, width) of the published measurements, pixels; multiples of 32
    depthwise: bool = False  # 3x3 convolutions are depthwise, each followed by a pointwise one
    num_classes: int = 80  # COCO's classes without the gaps in their numbers

    def channels(self, full: int) -> int:
        """Of a map that has `full` in the largest network's proportions."""
        return int(full * self.width)

    def repeats(self, full: int) -> int:
        """Blocks of a stage that has `full` in YOLOX-L."""
        return max(round(full * self.depth), 1)


CONFIGS: dict[str, YoloxConfig] = {
    config.name: config
    for config in (
        YoloxConfig("yolox_nano", depth=0.33, width=0.25, image_size=(416, 416), depthwise=True),
        YoloxConfig("yolox_tiny", depth=0.33, width=0.375, image_size=(416, 416)),
        YoloxConfig("yolox_s", depth=0.33, width=0.5, image_size=(640, 640)),
        YoloxConfig("yolox_m", depth=0.67, width=0.75, image_size=(640, 640)),
        YoloxConfig("yolox_l", depth=1.0, width=1.0, image_size=(640, 640)),
        YoloxConfig("yolox_x", depth=1.33, width=1.25, image_size=(640, 640)),
    )
}
"""The published networks."""


class YoloxHead(RowHead):
    """Reads (class maps, box maps, objectness maps). A cell is one object at most, of its likeliest class.

    Its score is that class's times the objectness; suppression within a class at 0.45, as in upstream's programs for deployment.
    """

    iou_threshold = 0.45
    levels = tuple((level, len(STRIDES) + level, 2 * len(STRIDES) + level) for level in range(len(STRIDES)))

    def __init__(self, image_size: tuple[int, int]) -> None:
        self.image_size = image_size

    def find(self, level: int, maps: Sequence[NDArray[np.float32]], score_threshold: float) -> RawDetections:
        class_map, box_map, object_map = (each[0] for each in maps)
        # No score is above the objectness: only few cells' classes need to be looked at.
        objectness = sigmoid(object_map[0])
        y, x = np.nonzero(objectness > score_threshold)
        logits = class_map[:, y, x]
        classes = logits.argmax(0)
        scores = objectness[y, x] * sigmoid(logits.max(0))
        sure = scores > score_threshold
        y, x, scores, classes = y[sure], x[sure], scores[sure], classes[sure]
        dx, dy, lw, lh = box_map[:, y, x]
        centre = np.stack([x.astype(np.float32) + dx, y.astype(np.float32) + dy], 1)
        half = np.exp(np.minimum(np.stack([lw, lh], 1), np.float32(MAX_GROWTH))) / 2
        with np.errstate(invalid="ignore"):  # what is no box is left out by the suppression
            boxes = np.concatenate([centre - half, centre + half], 1) * np.float32(STRIDES[level])
        return RawDetections(boxes, scores, classes)


SPECS = tuple(
    DetectorSpec(config=config, network="skipvid.models.networks.yolox:Yolox", outputs="num_classes", head=YoloxHead, fill=FILL)
    for config in CONFIGS.values()
)
