"""Detection: what stands before and behind the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.results import Detections
from skipvid.models.anchors import Anchors, Candidates, choose_detections, find_candidates, make_anchors
from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.letterbox import Letterbox, Preprocessor


class DetectTask:
    """Prepares frames of one size for a detector and reads its output.

    Use one per stream: it keeps the anchors of the stream's frame size. anchor_scale: as in make_anchors. score_threshold: in [0, 1].
    """

    def __init__(self, preset: Preset, anchor_scale: float, score_threshold: float) -> None:
        self.score_threshold = score_threshold
        self._preset = preset
        self._anchor_scale = anchor_scale
        self._labels = preset.label_set
        self._preprocess = Preprocessor(preset.channels, preset.mean, preset.std)
        self._letterbox: Letterbox | None = None
        self._anchors: Anchors | None = None
        self._candidates: dict[int, Candidates] = {}

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """The placing of frames of (height, width) pixels in the network's input."""
        if self._letterbox is None or self._letterbox.frame_size != frame_size:
            self._letterbox = Letterbox.fit(frame_size, self._preset.input_size(*frame_size))
        return self._letterbox

    def prepare(self, image: NDArray[np.uint8]) -> Picture:
        """image: (H, W, 3) uint8 BGR -> the network's input, of shape (1, 3, h, w)."""
        return self._preprocess(image, self.letterbox((image.shape[0], image.shape[1])))

    def decode(
        self, output: tuple[Sequence[Tensor], Sequence[Tensor]], frame_size: tuple[int, int], changed: Sequence[bool] | None = None
    ) -> Detections:
        """output: the class and box maps of a network's five levels -> detections in pixels of the frame, best first.

        changed: for each class map, then for each box map, whether it differs from the last call's; only those are read. None = all.
        """
        letterbox = self.letterbox(frame_size)
        if self._anchors is None or self._anchors.image_size != letterbox.input_size:
            self._anchors = make_anchors(letterbox.input_size, self._anchor_scale)
            self._candidates = {}
        for level, (class_map, box_map) in enumerate(zip(*output, strict=True)):
            if changed is None or changed[level] or changed[len(output[0]) + level] or level not in self._candidates:
                self._candidates[level] = find_candidates(class_map[0], box_map[0], self.score_threshold)
        raw = choose_detections([self._candidates[level] for level in range(len(output[0]))], self._anchors)
        categories = self._labels.category_ids(raw.classes)
        boxes = letterbox.boxes_to_frame(raw.boxes)
        # Outputs without a category (COCO leaves ten numbers out), and boxes that lie wholly in the filling.
        known = (categories > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        categories = categories[known]
        return Detections(boxes[known], raw.scores[known], categories, self._labels.names(categories))
