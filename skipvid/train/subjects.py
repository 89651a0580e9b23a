"""What gates are learned for: a detector on parts of the picture here, a pose network in pose_subject.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.errors import UsageError
from skipvid.core.ratios import NARROWER
from skipvid.models import DetectorSpec, ModelSpec
from skipvid.models.anchors import AnchorHead
from skipvid.presets.preset import Preset
from skipvid.tasks.engine import spec_for
from skipvid.train.clips import Clip, Piece, draw_clip, whole_clip
from skipvid.train.gate_losses import detector_distance
from skipvid.train.losses import detection_loss
from skipvid.train.predict import cached_anchors
from skipvid.train.samples import CATEGORIES, CLASS_COUNT


class Subject:
    """A preset's network as it was, the teacher; what its input is made of, and how far a student is from it.

    longest: longer side of stored frames, pixels.
    """

    longest = 512

    def __init__(self, preset: Preset, spec: ModelSpec, weights: Path) -> None:
        self.preset = preset
        self._mean, self._std = (torch.tensor(each).view(1, 3, 1, 1) for each in (preset.mean, preset.std))
        self.teacher = spec.load(weights, preset.label_set.num_outputs)
        vars(self.teacher).pop(NARROWER, None)  # of several widths it is the full one that teaches

    def prepare(self, images: NDArray[np.uint8]) -> Tensor:
        """(T, h, w, 3) uint8 BGR -> (T, 3, h, w) float32, the network's input."""
        ordered = images[..., ::-1] if self.preset.channels == "rgb" else images
        x = torch.from_numpy(np.ascontiguousarray(ordered)).permute(0, 3, 1, 2).float() / 255
        return (x - self._mean) / self._std

    def keep(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces that can be learned from."""
        return list(pieces)

    def example(self, pieces: Sequence[Piece], size: int) -> Tensor:
        """A few inputs, (K, 3, h, w), to measure maps on."""
        rng = np.random.default_rng(0)
        return torch.cat([self.prepare(self.draw(pieces, 2, size, rng).images[:1]) for _ in range(4)])

    def draw(self, pieces: Sequence[Piece], frames: int, size: int, rng: np.random.Generator) -> Clip:
        """A training clip. size: side of a detector's window, pixels."""
        raise NotImplementedError

    def exam(self, pieces: Sequence[Piece]) -> list[Tensor]:
        """Inputs (T, 3, h, w) to measure on, all frames of the pieces."""
        raise NotImplementedError

    def distance(self, student: Any, teacher: Any) -> Tensor:
        """Between the outputs for a batch of frames."""
        raise NotImplementedError

    def loss(self, student: Any, teacher: Any, clips: Sequence[Clip]) -> Tensor:
        """Of the outputs for all frames of some clips, one clip after the other."""
        return self.distance(student, teacher)


class DetectSubject(Subject):
    """A detector with anchors; where all frames of a step are labelled, its loss has the detection loss, too.

    Raises PresetError for another task, UsageError for a detector whose head is of another kind, WeightsError for unfit weights.
    """

    def __init__(self, preset: Preset, weights: Path) -> None:
        spec = spec_for(preset, DetectorSpec)
        head = spec.head(spec.config.image_size)
        if not isinstance(head, AnchorHead):
            raise UsageError(f"gates can be learned for detectors with anchors only, and {spec.name} has none", "choose an EfficientDet")
        super().__init__(preset, spec, weights)
        self._anchor_scale = head.anchor_scale
        size = preset.image_size
        self.longest = size if isinstance(size, int) else max(size)
        self._ours = tuple(preset.label_set.outputs) == tuple(CATEGORIES)

    def draw(self, pieces: Sequence[Piece], frames: int, size: int, rng: np.random.Generator) -> Clip:
        return draw_clip(pieces, frames, size, rng)

    def exam(self, pieces: Sequence[Piece]) -> list[Tensor]:
        return [self.prepare(whole_clip(piece, len(piece.frames))) for piece in pieces]

    def distance(self, student: Any, teacher: Any) -> Tensor:
        return detector_distance(student, teacher)

    def loss(self, student: Any, teacher: Any, clips: Sequence[Clip]) -> Tensor:
        targets = [each for clip in clips if clip.targets is not None for each in clip.targets]
        distance = self.distance(student, teacher)
        if len(targets) < sum(len(clip.images) for clip in clips) or not self._ours:
            return distance
        size = clips[0].images.shape[1:3]
        anchors = cached_anchors((size[0], size[1]), self._anchor_scale)
        # A class that the labels never name may be there all the same.
        known = torch.zeros(len(targets), CLASS_COUNT, dtype=torch.bool)
        known[:, sorted({int(number) for each in targets for number in each.classes})] = True
        class_levels, box_levels = student
        return detection_loss(class_levels, box_levels, anchors, targets, known).total + distance


def frames_of(output: Any) -> Any:
    """(N, T, ...) tensors in any structure as batches (N · T, ...) of frames."""
    if isinstance(output, Tensor):
        return output.flatten(0, 1)
    return type(output)(frames_of(part) for part in output)
