"""One of skipvid's own detectors as a teacher."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._pytree import tree_leaves

from skipvid.core.errors import UsageError
from skipvid.models import DetectorSpec
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.tasks.detect import DetectTask
from skipvid.tasks.engine import spec_for
from skipvid.train.samples import CATEGORY_IDS, CLASS_COUNT
from skipvid.train.teachers import Found

FLOOR = 0.05
"""Score below which a box says nothing."""


class PresetTeacher:
    """A detector that finds what the bundled one knows. net: in eval mode. task: what stands before and behind it."""

    def __init__(self, net: nn.Module, task: DetectTask, category_ids: tuple[int, ...]) -> None:
        self._net, self._task = net, task
        self.known = np.isin(np.array(CATEGORY_IDS), category_ids)
        assert len(self.known) == CLASS_COUNT

    @torch.inference_mode()
    def detect(self, image: NDArray[np.uint8]) -> Found:
        picture = self._task.prepare(image)
        maps = [leaf.float().numpy(force=True) for leaf in tree_leaves(self._net(picture.tensor()))]
        found = self._task.decode(maps, (image.shape[0], image.shape[1]))
        ours = np.isin(found.category_ids, CATEGORY_IDS)
        classes = np.array([CATEGORY_IDS.index(number) for number in found.category_ids[ours].tolist()], np.int64)
        return Found(found.boxes[ours], found.scores[ours], classes)


def open_preset_teacher(name_or_path: str) -> PresetTeacher:
    """The detector of a preset, its weights downloaded where needed. Raises UsageError, PresetError and WeightsError."""
    preset = load_preset(name_or_path)
    if preset.task != "detect":
        raise UsageError(f"preset {preset.name} is for the task '{preset.task}'", "a teacher must detect: skipvid presets list")
    spec = spec_for(preset, DetectorSpec)
    net = spec.load(resolve_weights(preset).path, preset.label_set.num_outputs)
    return PresetTeacher(net, DetectTask(preset, spec, FLOOR), preset.label_set.outputs)
