"""Detection: what stands before and behind the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.labels import LabelSet, label_set
from skipvid.core.results import Detections
from skipvid.models import DetectorSpec
from skipvid.models.detections import DetectionHead, RawDetections
from skipvid.models.heads.registry import find_head
from skipvid.presets.preset import Preset
from skipvid.tasks.areas import Areas, looked_at
from skipvid.tasks.canvas import Seen
from skipvid.tasks.look_ahead import Once
from skipvid.tasks.picture_task import PictureTask
from skipvid.tasks.registration import Registration


class DetectTask(PictureTask):
    """Prepares frames for a detector and reads its output.

    Use one per stream: it keeps what it read of the last frame. denoiser: what takes noise out of the pictures, where that is wanted.
    spec: of the preset's network. score_threshold: in [0, 1].
    areas: what is looked at; None: everything. motion, denoise: what is done where the camera moves, or is noisy, as in DetectEngine.
    """

    def __init__(
        self,
        preset: Preset,
        spec: DetectorSpec,
        score_threshold: float,
        areas: Areas | None = None,
        motion: str = "none",
        denoise: str = "none",
    ) -> None:
        super().__init__(preset, spec.fill, areas, motion, denoise)
        self.score_threshold = score_threshold
        self._sure = max(score_threshold, preset.score_threshold)
        self._make_head = spec.head
        self._labels = found_categories(preset)
        self._head: DetectionHead[Any] | None = None
        self._found: dict[int, Any] = {}  # by level, as the head has it

    def looked_at(self, detections: Detections) -> Detections:
        """Without those whose centre lies in what is left out."""
        return looked_at(detections, None if self._held is None else self._held.left_out)

    def decode(self, maps: Sequence[NDArray[np.float32]], frame_size: tuple[int, int], changed: Sequence[bool] | None = None) -> Detections:
        """maps: all that the network returns for one frame, in order -> detections in pixels of the frame, best first.

        changed: for each of them whether it differs from the last call's; levels without one are not read again.
        None = all do.
        """
        return self.read(maps, frame_size, changed)()

    def read(
        self, maps: Sequence[NDArray[np.float32]], frame_size: tuple[int, int], changed: Sequence[bool] | None = None
    ) -> Callable[[], Detections]:
        """As `decode`; what is returned chooses among what was read, for which the maps are no longer needed. It may run in any thread,
        also when frames have followed, where no area is left out."""
        letterbox = self.letterbox(frame_size)
        if self._head is None or self._head.image_size != letterbox.input_size:
            self._head = self._make_head(letterbox.input_size)
            self._found = {}
        head = self._head
        for level, numbers in enumerate(head.levels):
            if changed is None or level not in self._found or any(changed[number] for number in numbers):
                self._found[level] = head.find(level, [maps[number] for number in numbers], self.score_threshold)
        found, registration = [self._found[level] for level in range(len(head.levels))], self.registration
        seen, raw = registration.seen, Once(lambda: head.choose(found))
        self._boxes = None if registration.rests else lambda: self._surely(raw())
        return lambda: self._chosen(raw(), registration, seen)

    def _surely(self, raw: RawDetections) -> NDArray[np.float32]:
        """(K, 4) the boxes that what may move by itself is in.

        Faint ones, which are asked for to follow things or to measure accuracy, would cover all that a camera's motion is found by.
        """
        return raw.boxes[raw.scores >= self._sure]

    def _chosen(self, raw: RawDetections, registration: Registration, seen: Seen) -> Detections:
        categories = self._labels.category_ids(raw.classes)
        boxes = registration.boxes_to_frame(raw.boxes, seen)
        # Outputs without a category (COCO leaves ten numbers out), and boxes that lie wholly in the filling.
        known = (categories > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        categories = categories[known]
        keypoints = None if raw.keypoints is None else registration.points_to_frame(raw.keypoints[known], seen)
        names = self._labels.names(categories)
        return self.looked_at(Detections(boxes[known], raw.scores[known], categories, names, keypoints=keypoints))


def found_categories(preset: Preset) -> LabelSet:
    """What a detector finds: the names of its classes, or, where it finds people with their joints, persons."""
    return preset.label_set if preset.task == "detect" else label_set(("person",))


def finds_people(preset: Preset) -> bool:
    """Whether a preset's network finds all people in the picture itself, with their joints."""
    return preset.task == "pose" and bool(preset.head) and find_head(preset.head).whole
