"""The engine for detection: each frame goes through the network as a whole, letterboxed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.results import Detections, Frame
from skipvid.models import DetectorSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect import DetectTask
from skipvid.tasks.engine import ACTIVITY_STRIDE, Clock, Engine, EngineStream, spec_for


class DetectEngine(Engine):
    """A detector with gates.

    preset: of the task "detect". config: the gates. weights: the file to load. weights_sha256: its hash, for the record.
    score_threshold: detections below are left out. scene_cuts: begin anew where the picture changes as a whole. programs: as in Engine.
    Raises PresetError for a preset of another task, WeightsError where the weights do not fit.
    """

    def __init__(
        self,
        preset: Preset,
        config: SkipConfig,
        weights: Path,
        weights_sha256: str = "",
        score_threshold: float | None = None,
        scene_cuts: bool = True,
        programs: Path | None = None,
    ) -> None:
        self.spec = spec_for(preset, DetectorSpec)
        super().__init__(self.spec, preset, config, weights, weights_sha256, programs)
        self.categories = preset.label_set.categories
        self.score_threshold = preset.score_threshold if score_threshold is None else score_threshold
        self.scene_cuts = scene_cuts

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        return [(self.preset, self.model, self.preset.input_size(height, width))]

    def task(self) -> DetectTask:
        """What stands before and behind the network, for one stream."""
        return DetectTask(self.preset, self.spec, self.score_threshold)

    def stream(self, dense_every: int = 0) -> DetectStream:
        return DetectStream(self, dense=False, dense_every=dense_every)

    def dense_stream(self) -> DetectStream:
        return DetectStream(self, dense=True)


class DetectStream(EngineStream):
    """One stream of frames through one session."""

    def __init__(self, engine: DetectEngine, dense: bool, dense_every: int = 0) -> None:
        # Without gates nothing is kept from frame to frame that a scene cut could spoil.
        super().__init__(engine.model, engine.scene_cuts and not dense, dense, dense_every)
        self._task = engine.task()
        self._session = engine.model.session()

    def _begin_anew(self, size: tuple[int, int]) -> None:
        self._session.reset()

    def _analyse(self, frame: Frame, clock: Clock) -> Detections:
        prepared = self._task.prepare(frame.picture)
        clock.lap("preprocess")
        maps = self._model.dense_maps(prepared) if self._dense else self._session.maps(prepared)
        clock.lap("model")
        detections = self._task.decode(maps, (frame.height, frame.width), None if self._dense else self._session.changed)
        clock.lap("postprocess")
        return detections

    def _dense_ms(self, frame: Frame) -> float:
        return self._model.dense_ms(self._task.prepare(frame.picture))

    @property
    def _keyframe(self) -> bool:
        return self._session.keyframe

    def _account(self, size: tuple[int, int]) -> tuple[FrameCost, NDArray[np.float32]]:
        grid = self._session.activity(ACTIVITY_STRIDE)
        return self._session.cost, self._task.letterbox(size).crop_grid(grid, ACTIVITY_STRIDE)

    def computed(self, frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """By layer the outputs that the last frame computed, (h, w) bool over a frame of (height, width); the input's filling is cut."""
        box = self._task.letterbox(frame_size)
        rows, columns = (part / whole for part, whole in zip(box.content_size, box.input_size, strict=True))
        masks = self._session.computed
        return {name: mask[: math.ceil(mask.shape[0] * rows), : math.ceil(mask.shape[1] * columns)] for name, mask in masks.items()}
