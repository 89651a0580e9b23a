"""Detection: what stands before and behind the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, StoredPicture
from skipvid.models import DetectorSpec
from skipvid.models.detections import DetectionHead
from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.areas import Areas, HeldOut, looked_at
from skipvid.tasks.canvas import Canvas
from skipvid.tasks.denoise import Denoiser
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.registration import Registration


class DetectTask:
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
        self.score_threshold = score_threshold
        self._preset = preset
        self._make_head = spec.head
        self._labels = preset.label_set
        self._preprocess = Preprocessor(preset.channels, preset.mean, preset.std, spec.fill)
        self._letterbox: Letterbox | None = None
        self._head: DetectionHead[Any] | None = None
        self._found: dict[int, Any] = {}  # by level, as the head has it
        self._areas = areas
        self._fill = (spec.fill,) * 3 if spec.fill is not None else mean_colour(preset)
        self._held: HeldOut | None = None
        self._whole: Picture | None = None
        self._motion = motion
        self._registration: Registration | None = None
        self.denoiser = Denoiser() if denoise == "auto" else None
        self._boxes: NDArray[np.float32] | None = None  # of the last frame, in pixels of the input

    def letterbox(self, frame_size: tuple[int, int]) -> Letterbox:
        """The placing of frames of (height, width) pixels in the network's input."""
        if self._letterbox is None or self._letterbox.frame_size != frame_size:
            self._letterbox = Letterbox.fit(frame_size, self._preset.input_size(*frame_size))
            if self._areas is not None:
                self._held = HeldOut(self._areas.left_out(*frame_size), self._letterbox.content_size, self._fill)
            self._registration = Registration(self._motion, self._letterbox, self._preprocess, self._held)
            if self.denoiser is not None:
                self.denoiser.forget()
            self._boxes = None
        return self._letterbox

    def prepare(self, picture: NDArray[np.uint8] | StoredPicture) -> Picture:
        """picture: a frame's, (H, W, 3) uint8 BGR where it is an array -> the network's input, of shape (1, 3, h, w)."""
        size = (picture.shape[0], picture.shape[1]) if isinstance(picture, np.ndarray) else (picture.height, picture.width)
        self.letterbox(size)
        prepared = self.registration.picture(picture, self._boxes)
        if self.denoiser is not None:
            if self.canvas is not None and self.canvas.shift != (0, 0):
                self.denoiser.forget()  # its means lie on the canvas as it was
            prepared = replace(prepared, pixels=self.denoiser(prepared.pixels))
        self._whole = prepared
        return prepared if self._held is None else replace(prepared, pixels=self._held.hold(prepared.pixels))

    @property
    def registration(self) -> Registration:
        """What makes the pictures of frames of the last size; there is one from the first call of `letterbox` on."""
        assert self._registration is not None
        return self._registration

    @property
    def whole(self) -> Picture:
        """The picture prepared last, with nothing left out of it. Valid until the next one."""
        assert self._whole is not None
        return self._whole

    @property
    def canvas(self) -> Canvas | None:
        """What registers the pictures, where that is wanted."""
        return None if self._registration is None else self._registration.canvas

    def begin_anew(self) -> None:
        """The next frame has nothing in common with those before."""
        self._boxes = None
        if self._registration is not None:
            self._registration.begin_anew()
        if self.denoiser is not None:
            self.denoiser.forget()

    @property
    def held(self) -> HeldOut | None:
        """What is left out of frames of the last size."""
        return self._held

    def looked_at(self, detections: Detections) -> Detections:
        """Without those whose centre lies in what is left out."""
        return looked_at(detections, None if self._held is None else self._held.left_out)

    def decode(self, maps: Sequence[NDArray[np.float32]], frame_size: tuple[int, int], changed: Sequence[bool] | None = None) -> Detections:
        """maps: all that the network returns for one frame, in order -> detections in pixels of the frame, best first.

        changed: for each of them whether it differs from the last call's; levels without one are not read again.
        None = all do.
        """
        letterbox = self.letterbox(frame_size)
        if self._head is None or self._head.image_size != letterbox.input_size:
            self._head = self._make_head(letterbox.input_size)
            self._found = {}
        for level, numbers in enumerate(self._head.levels):
            if changed is None or level not in self._found or any(changed[number] for number in numbers):
                self._found[level] = self._head.find(level, [maps[number] for number in numbers], self.score_threshold)
        raw = self._head.choose([self._found[level] for level in range(len(self._head.levels))])
        categories = self._labels.category_ids(raw.classes)
        self._boxes = raw.boxes
        boxes = self.registration.boxes_to_frame(raw.boxes)
        # Outputs without a category (COCO leaves ten numbers out), and boxes that lie wholly in the filling.
        known = (categories > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        categories = categories[known]
        return self.looked_at(Detections(boxes[known], raw.scores[known], categories, self._labels.names(categories)))


def mean_colour(preset: Preset) -> tuple[int, int, int]:
    """Of a preset's training data: (blue, green, red), the bytes whose values in the input are nearest to 0."""
    first, second, third = (round(255 * mean) for mean in preset.mean)
    return (third, second, first) if preset.channels == "rgb" else (first, second, third)
