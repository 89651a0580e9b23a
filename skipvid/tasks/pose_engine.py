"""The engine for poses: a detector finds persons, a tracker follows them, and a pose network looks at each through a window that stays.

Every person has a session of their own; their number is bounded, and the session of a person who is lost waits until another needs it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.costs import FrameCost
from skipvid.core.errors import PresetError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import build_model, load_weights
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.crops import whole_frame
from skipvid.tasks.detect_engine import ACTIVITY_STRIDE
from skipvid.tasks.engine import Engine, Stream
from skipvid.tasks.join import Patch, join_activity
from skipvid.tasks.people import DetectedPeople, Person, PersonInFrame, Pose, PoseOptions
from skipvid.tasks.pose import PoseTask
from skipvid.tasks.scene import SceneCutDetector

PERSON = 1
"""COCO's number for persons."""

WEAK = 0.5
"""Boxes with this share of the score that begins a track may still continue one: the detector should deliver them."""


class Detector(Engine, Protocol):
    """What PoseEngine needs of the engine that finds persons; DetectEngine is one."""

    def prepare(self, height: int, width: int) -> None:
        """Build the plan for frames of this size."""

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        """What runs for frames of this size."""

    def stream(self, dense_every: int = 0) -> Stream:
        """Begin a stream; dense_every: measure the dense network, too, in every so many frames."""

    def dense_stream(self) -> Stream:
        """Begin a stream without gates."""


class PoseEngine:
    """A pose network with gates, behind a detector, or without one on whole frames.

    preset: of the task "pose". config: the gates of the pose network. weights: the file to load. weights_sha256: its hash, for the record.
    detector: finds the persons and should report boxes from WEAK * score_threshold on; None = one person, the window is the whole frame.
    Raises PresetError for a preset of another task and for a detector that knows no persons, WeightsError where the weights do not fit.
    """

    def __init__(
        self,
        preset: Preset,
        config: SkipConfig,
        weights: Path,
        weights_sha256: str = "",
        detector: Detector | None = None,
        options: PoseOptions | None = None,
    ) -> None:
        if preset.task != "pose":
            raise PresetError(f"preset {preset.name} is for the task '{preset.task}'", "choose a pose preset: skipvid presets list")
        if detector is not None and PERSON not in detector.categories:
            raise PresetError("the detector knows no persons", "choose another detection preset: skipvid presets list")
        assert not isinstance(preset.image_size, int)
        self.preset = preset
        self.input_size: tuple[int, int] = preset.image_size
        self.weights_sha256 = weights_sha256
        self.categories: Mapping[int, str] = {PERSON: "person"}
        self.detector = detector
        self.options = options or PoseOptions()
        net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
        load_weights(net, weights)
        self.model = SkipModel(net.requires_grad_(False), config)

    @property
    def backend(self) -> str:
        """Name of what the pose network runs on."""
        return self.model.backend.name

    def prepare(self, height: int, width: int) -> None:
        """Build the plans for frames of this size, so that the first frame need not wait for them."""
        if self.detector is not None:
            self.detector.prepare(height, width)
        self.model.program(((1, 3, *self.window_size((height, width))),))

    def window_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the pose network's input for frames of (height, width)."""
        return self.input_size if self.detector is not None else whole_frame(frame_size, self.input_size).input_size

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        """What runs for frames of this size: preset, network, and the (height, width) of its input. The pose network is the last."""
        own = (self.preset, self.model, self.window_size((height, width)))
        return [*(self.detector.networks(height, width) if self.detector is not None else []), own]

    def no_cost(self, frame_size: tuple[int, int]) -> FrameCost:
        """What the pose network costs in a frame of (height, width) without a person: nothing, for every layer."""
        plan = self.model.program(((1, 3, *self.window_size(frame_size)),)).plan
        return FrameCost.nothing(plan.unit_costs.table)

    def task(self) -> PoseTask:
        """What stands before and behind the pose network."""
        return PoseTask(self.preset)

    def regated(self, config: SkipConfig) -> PoseEngine:
        """The same pose network with other gates, behind the same detector; what was loaded and exported is shared."""
        other = copy.copy(self)
        other.model = self.model.regated(config)
        return other

    def stream(self, dense_every: int = 0) -> PoseStream:
        """Begin a stream with gates (or, with gate "none", without).

        dense_every: measure the dense networks, too, in every so many frames (0 = never). Not done where the detector does not run in
        every frame: the measured frames would not be like the others.
        """
        return PoseStream(self, dense=False, dense_every=dense_every if self.options.detect_every == 1 else 0)

    def dense_stream(self) -> PoseStream:
        """Begin a stream on the same back end, with the same windows, but without gates: the yardstick."""
        return PoseStream(self, dense=True)


class PoseStream:
    """One stream of frames with all its persons."""

    def __init__(self, engine: PoseEngine, dense: bool, dense_every: int = 0) -> None:
        self._engine = engine
        self._dense = dense
        self._dense_every = dense_every
        self._task = engine.task()
        self._cuts = SceneCutDetector()
        detector, people = engine.detector, (engine.model.session, engine.input_size, engine.options)
        self._detector = None if detector is None else detector.dense_stream() if dense else detector.stream(dense_every)
        self._people = PersonInFrame(*people) if detector is None else DetectedPeople(*people)
        self._total = 0  # frames so far
        self._frames = 0  # of them since everything began anew
        self._frame_size: tuple[int, int] | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes that the sessions of all persons hold."""
        return self._people.memory_bytes

    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame. After a scene cut or a change of size all persons are new."""
        clock = _Clock()
        size = (frame.height, frame.width)
        cut = self._engine.options.scene_cuts and self._cuts.is_cut(frame.image)
        if cut or size != self._frame_size:
            self._begin_anew(size)
        found = self._find(frame)
        if found is not None:
            clock.take_over(found.ms)
        people = self._people.in_view(size)
        poses = [self._look(frame, person, clock, carried=found is None) for person in people]
        clock.lap("postprocess")
        if self._dense_every and self._total and self._total % self._dense_every == 0:
            clock.ms["dense_model"] = self._time_dense(frame, people) + (found.ms.get("dense_model", 0.0) if found is not None else 0.0)
        self._frames += 1
        self._total += 1
        keyframes = [person.viewer.session.keyframe for person in people] + ([found.keyframe] if found is not None else [])
        gated = not self._dense and self._engine.model.config.gate != "none"
        costs = [person.viewer.session.cost for person in people] if gated else []
        return FrameResult(
            frame,
            _detections([pose for pose in poses if pose is not None], len(self._engine.preset.keypoints)),
            self._dense or (bool(keyframes) and all(keyframes)),
            {"decode": frame.decode_ms, **clock.ms},
            self._cost(found, costs) if gated else None,
            self._activity(found, people, costs, size) if gated else None,
        )

    def _begin_anew(self, size: tuple[int, int]) -> None:
        self._people.clear()
        self._frames = 0
        self._frame_size = size

    def _find(self, frame: Frame) -> FrameResult | None:
        """Run the detector and the tracker where this frame's turn has come."""
        if self._detector is None or self._frames % self._engine.options.detect_every:
            return None
        assert isinstance(self._people, DetectedPeople)
        found = self._detector.process(frame)
        persons = found.detections.category_ids == PERSON
        self._people.found(found.detections.boxes[persons], found.detections.scores[persons], frame.time)
        return found

    def _look(self, frame: Frame, person: Person, clock: _Clock, carried: bool) -> Pose | None:
        """Run the pose network on one person. carried: no detection says where the person is in this frame."""
        viewer = person.viewer
        assert viewer.window is not None
        prepared = self._task.prepare(frame.image, viewer.window)
        clock.lap("preprocess")
        heatmaps: Tensor = self._engine.model.dense(prepared) if self._dense else viewer.session(prepared)
        clock.lap("model")
        keypoints = self._task.decode(heatmaps, viewer.window)
        if carried and isinstance(self._people, DetectedPeople):
            self._people.carry(person, keypoints, frame.time)
        viewer.keypoints = keypoints
        pose = self._people.pose(person, keypoints, (frame.height, frame.width))
        clock.lap("postprocess")
        return pose

    def _time_dense(self, frame: Frame, people: Sequence[Person]) -> float:
        """Milliseconds of the pose network without gates for all persons."""
        taken = 0.0
        for person in people:
            assert person.viewer.window is not None
            taken += self._engine.model.dense_ms(self._task.prepare(frame.image, person.viewer.window))
        return taken

    def _cost(self, found: FrameResult | None, costs: Sequence[FrameCost]) -> FrameCost:
        """Of both networks; a pose network that had nobody to look at is listed, too."""
        assert self._frame_size is not None
        pose = sum(costs, start=self._engine.no_cost(self._frame_size)).named("pose")
        return pose if found is None or found.cost is None else found.cost.named("detector") + pose

    def _activity(
        self, found: FrameResult | None, people: Sequence[Person], costs: Sequence[FrameCost], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        patches = []
        if found is not None and found.cost is not None and found.activity is not None:
            patches.append(Patch(found.activity, (0, 0, size[1], size[0]), found.cost.dense_macs))
        for person, cost in zip(people, costs, strict=True):
            assert person.viewer.window is not None
            patches.append(Patch(person.viewer.session.activity(ACTIVITY_STRIDE), person.viewer.window.box, cost.dense_macs))
        return join_activity(patches, size)


def _detections(poses: Sequence[Pose], joints: int) -> Detections:
    """Best score first."""
    ranked = sorted(poses, key=lambda pose: -pose.score)
    return Detections(
        np.array([pose.box for pose in ranked], np.float32).reshape(-1, 4),
        np.array([pose.score for pose in ranked], np.float32),
        np.full(len(ranked), PERSON, np.int64),
        ("person",) * len(ranked),
        np.array([pose.id for pose in ranked], np.int64),
        np.array([pose.keypoints for pose in ranked], np.float32).reshape(-1, joints, 3),
    )


class _Clock:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.ms = {"preprocess": 0.0, "model": 0.0, "postprocess": 0.0}
        self._last = time.perf_counter()

    def take_over(self, ms: Mapping[str, float]) -> None:
        """Begin with another's account of the time so far."""
        self.ms = {stage: ms.get(stage, 0.0) for stage in self.ms}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self.ms[stage] += (now - self._last) * 1e3
        self._last = now
