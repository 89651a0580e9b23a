"""One of skipvid's own detectors as a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.models import build_model, load_weights
from skipvid.models.efficientdet import EfficientDet
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.train.predict import predict
from skipvid.train.samples import CATEGORY_IDS, CLASS_COUNT
from skipvid.train.teachers import Found


class PresetTeacher:
    """A network in eval mode that finds what the bundled detector knows.

    outputs: for each output of its class head COCO's category number, 0 = unused. longest: longer side of its input, pixels.
    """

    def __init__(self, net: EfficientDet, outputs: Sequence[int], longest: int) -> None:
        self._net, self._longest = net.eval(), longest
        self._classes = np.array([CATEGORY_IDS.index(number) if number in CATEGORY_IDS else -1 for number in outputs], np.int64)
        self.known = np.isin(np.arange(CLASS_COUNT), self._classes)

    def detect(self, image: NDArray[np.uint8]) -> Found:
        found = next(predict(self._net, [image], longest=self._longest, anchor_scale=self._net.config.anchor_scale, floor=0.05))
        classes = self._classes[found.classes]
        ours = classes >= 0
        return Found(found.boxes[ours], found.scores[ours], classes[ours])


def open_preset_teacher(name_or_path: str) -> PresetTeacher:
    """The detector of a preset, its weights downloaded where needed. Raises UsageError, PresetError and WeightsError."""
    preset = load_preset(name_or_path)
    if preset.task != "detect":
        raise UsageError(f"preset {preset.name} is for the task '{preset.task}'", "a teacher must detect: skipvid presets list")
    net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    assert isinstance(net, EfficientDet)
    load_weights(net, resolve_weights(preset).path)
    longest = preset.image_size if isinstance(preset.image_size, int) else max(preset.image_size)
    return PresetTeacher(net, preset.label_set.outputs, longest)
