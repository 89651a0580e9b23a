"""Learning gates for a pose network, on windows of persons that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.errors import UsageError
from skipvid.models import PoseSpec
from skipvid.presets.preset import Preset
from skipvid.tasks.crops import CropWindow, StickyRule
from skipvid.tasks.engine import spec_for
from skipvid.tasks.track import iou_matrix
from skipvid.train.clips import Clip, Piece, draw_frames, relight
from skipvid.train.gate_losses import heatmap_distance
from skipvid.train.people import JOINTS
from skipvid.train.pose import NEAR, heat_loss
from skipvid.train.pose_augment import draw_heat
from skipvid.train.samples import CATEGORY_IDS, Targets
from skipvid.train.subjects import Subject

PERSON = CATEGORY_IDS.index(1)
SMALLEST_PERSON = 32
"""Height in pixels of a stored frame from which a person is worth a window."""
LEAST_OVERLAP = 0.3
"""Intersection over union from which boxes of two successive frames can be one person's."""

FindPersons = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(H, W, 3) uint8 BGR -> (K, 4) boxes of persons, xyxy."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A person of a piece of L frames. window: around the person in its middle. joints: (L, 17, 3) as in Targets, or None."""

    window: CropWindow
    joints: NDArray[np.float32] | None


class PoseSubject(Subject):
    """A top-down pose network, on windows that stay where a person was in the middle of a piece. find: for pieces without labels.

    Where all persons of a step have keypoints, its loss has that of pose training, too.
    """

    longest = 640

    def __init__(self, preset: Preset, weights: Path, find: FindPersons) -> None:
        super().__init__(preset, spec_for(preset, PoseSpec), weights)
        if isinstance(preset.image_size, int):
            raise UsageError(f"preset {preset.name} has no fixed input size", "choose a pose preset: skipvid presets list")
        self._size: tuple[int, int] = preset.image_size
        self._find = find
        self._watched: dict[int, list[Watched]] = {}

    def keep(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Those that show a person. Raises UsageError where none does."""
        kept = [piece for piece in pieces if self.watched(piece)]
        if not kept:
            raise UsageError("no person was found in these clips", "give clips with persons, or their boxes with --labels")
        return kept

    def watched(self, piece: Piece) -> list[Watched]:
        """The persons who are there in the middle of the piece."""
        key = id(piece)
        if key not in self._watched:
            middle = len(piece.frames) // 2
            if piece.targets is None:
                boxes = self._find(np.ascontiguousarray(piece.frames[middle]))
            else:
                found = piece.targets[middle]
                boxes = found.boxes[(found.classes == PERSON) & ~found.ignore]
            tall = boxes[boxes[:, 3] - boxes[:, 1] >= SMALLEST_PERSON]
            self._watched[key] = [Watched(StickyRule().place(box, self._size), follow(box, piece.targets)) for box in tall]
        return self._watched[key]

    def draw(self, pieces: Sequence[Piece], frames: int, size: int, rng: np.random.Generator) -> Clip:
        piece = pieces[int(rng.integers(len(pieces)))]
        persons = self.watched(piece)
        person = persons[int(rng.integers(len(persons)))]
        rows = draw_frames(piece, frames, rng)
        part = relight(piece.frames[rows], rng)
        joints = None if person.joints is None else person.joints[rows].copy()
        if joints is not None:
            joints[..., :2] = person.window.to_input(joints[..., :2])
        return Clip(np.stack([person.window.cut(image) for image in part]), None, joints)

    def exam(self, pieces: Sequence[Piece]) -> list[Tensor]:
        clips = [(piece, person.window) for piece in pieces for person in self.watched(piece)[:2]]
        return [self.prepare(np.stack([window.cut(np.ascontiguousarray(image)) for image in piece.frames])) for piece, window in clips]

    def distance(self, student: Any, teacher: Any) -> Tensor:
        return heatmap_distance(student, teacher)

    def loss(self, student: Any, teacher: Any, clips: Sequence[Clip]) -> Tensor:
        distance = self.distance(student, teacher)
        joints = [clip.joints for clip in clips if clip.joints is not None]
        if len(joints) < len(clips) or student.shape[1] != JOINTS:
            return distance
        points = np.concatenate(joints)
        # What lies outside the window is not there to be seen, as in pose training.
        inside = ((points[..., :2] >= -0.5) & (points[..., :2] < np.array(self._size[::-1]) - 0.5)).all(2)
        heat = draw_heat(points[..., :2], (points[..., 2] > 0) & inside, self._size)
        return distance + heat_loss(student, torch.from_numpy(heat), torch.from_numpy(points[..., 2] > 0), NEAR)


def follow(box: NDArray[np.float32], targets: Sequence[Targets] | None) -> NDArray[np.float32] | None:
    """The keypoints, (L, 17, 3), of who has this box in the middle of L frames: in each frame those of the box that overlaps most with the
    one before, outwards from the middle; unknown from where there is none. None where any frame has no keypoints at all."""
    if targets is None or any(each.joints is None for each in targets):
        return None
    joints: NDArray[np.float32] = np.zeros((len(targets), JOINTS, 3), np.float32)
    middle = len(targets) // 2
    for way in (range(middle, len(targets)), range(middle - 1, -1, -1)):
        last = box
        for frame in way:
            found = targets[frame]
            overlaps = iou_matrix(found.boxes, last[None])[:, 0] * ((found.classes == PERSON) & ~found.ignore)
            if not len(overlaps) or overlaps.max() < LEAST_OVERLAP:
                break
            best = int(overlaps.argmax())
            assert found.joints is not None
            last, joints[frame] = found.boxes[best], found.joints[best]
    return joints
