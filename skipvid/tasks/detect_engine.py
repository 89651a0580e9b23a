"""The engine: a dense network, gates, a compiled plan. It turns a Frame into a FrameResult; each stream has its own session."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import PresetError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import build_model, load_weights
from skipvid.models.efficientdet import CONFIGS as EFFICIENTDETS
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect import DetectTask
from skipvid.tasks.scene import SceneCutDetector

ACTIVITY_STRIDE = 8
"""Side of an activity cell, in pixels of the network's input."""


class DetectEngine:
    """EfficientDet with norm gates.

    preset: of the task "detect". config: the gates. weights: the file to load. weights_sha256: its hash, for the record.
    score_threshold: detections below are left out. scene_cuts: begin anew where the picture changes as a whole.
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
    ) -> None:
        if preset.task != "detect" or preset.model not in EFFICIENTDETS:
            raise PresetError(f"preset {preset.name} is for the task '{preset.task}'", "choose a detection preset: skipvid presets list")
        self.preset = preset
        self.weights_sha256 = weights_sha256
        self.categories = preset.label_set.categories
        self.score_threshold = preset.score_threshold if score_threshold is None else score_threshold
        self.scene_cuts = scene_cuts
        self._anchor_scale = EFFICIENTDETS[preset.model].anchor_scale
        net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
        load_weights(net, weights)
        self.model = SkipModel(net.requires_grad_(False), config)

    @property
    def backend(self) -> str:
        """Name of what the network runs on."""
        return self.model.backend.name

    def prepare(self, height: int, width: int) -> None:
        """Build the plan for frames of this size, so that the first frame need not wait for it."""
        self.model.program(((1, 3, *self.preset.input_size(height, width)),))

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        """What runs for frames of this size: preset, network, and the (height, width) of its input."""
        return [(self.preset, self.model, self.preset.input_size(height, width))]

    def task(self) -> DetectTask:
        """What stands before and behind the network, for one stream."""
        return DetectTask(self.preset, self._anchor_scale, self.score_threshold)

    def regated(self, config: SkipConfig) -> DetectEngine:
        """The same network with other gates; what was loaded and exported is shared."""
        other = copy.copy(self)
        other.model = self.model.regated(config)
        return other

    def stream(self, dense_every: int = 0) -> DetectStream:
        """Begin a stream with gates (or, with gate "none", without).

        dense_every: measure the dense network, too, in every so many frames (0 = never), beside the gated run of the same frame.
        """
        return DetectStream(self, dense_every)

    def dense_stream(self) -> DenseDetectStream:
        """Begin a stream on the same back end without gates: the yardstick."""
        return DenseDetectStream(self)


class DetectStream:
    """One stream through the gated network."""

    def __init__(self, engine: DetectEngine, dense_every: int = 0) -> None:
        self._engine = engine
        self._dense_every = dense_every
        self._frames = 0
        self._task = engine.task()
        self._session = engine.model.session()
        self._cuts = SceneCutDetector()

    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame. After a scene cut or a change of size it is a keyframe."""
        begin = time.perf_counter()
        if self._engine.scene_cuts and self._cuts.is_cut(frame.image):
            self._session.reset()
        prepared = self._task.prepare(frame.image)
        ready = time.perf_counter()
        output = self._session(prepared)
        ran = time.perf_counter()
        detections = self._task.decode(output, (frame.height, frame.width), self._session.changed)
        done = time.perf_counter()
        ms = _milliseconds(frame, begin, ready, ran, done)
        if self._dense_every and self._frames and self._frames % self._dense_every == 0:
            ms["dense_model"] = self._engine.model.dense_ms(prepared)
        self._frames += 1
        letterbox = self._task.letterbox((frame.height, frame.width))
        gated = self._engine.model.config.gate != "none"
        return FrameResult(
            frame,
            detections,
            self._session.keyframe,
            ms,
            self._session.cost if gated else None,
            letterbox.crop_grid(self._session.activity(ACTIVITY_STRIDE), ACTIVITY_STRIDE) if gated else None,
        )

    def computed(self, frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """By layer the outputs that the last frame computed, (h, w) bool over a frame of (height, width); the input's filling is cut."""
        box = self._task.letterbox(frame_size)
        rows, columns = (part / whole for part, whole in zip(box.content_size, box.input_size, strict=True))
        masks = self._session.computed
        return {name: mask[: math.ceil(mask.shape[0] * rows), : math.ceil(mask.shape[1] * columns)] for name, mask in masks.items()}


class DenseDetectStream:
    """One stream through the same network without gates."""

    def __init__(self, engine: DetectEngine) -> None:
        self._engine = engine
        self._task = engine.task()

    def process(self, frame: Frame) -> FrameResult:
        """Analyse a frame; nothing is kept for the next."""
        begin = time.perf_counter()
        prepared = self._task.prepare(frame.image)
        ready = time.perf_counter()
        output = self._engine.model.dense(prepared)
        ran = time.perf_counter()
        detections: Detections = self._task.decode(output, (frame.height, frame.width))
        return FrameResult(frame, detections, True, _milliseconds(frame, begin, ready, ran, time.perf_counter()))


def _milliseconds(frame: Frame, begin: float, ready: float, ran: float, done: float) -> dict[str, float]:
    return {
        "decode": frame.decode_ms,
        "preprocess": (ready - begin) * 1e3,
        "model": (ran - ready) * 1e3,
        "postprocess": (done - ran) * 1e3,
    }
