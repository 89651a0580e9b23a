"""The engine for poses: a detector finds persons, a tracker follows them, and a pose network looks at each through a window that stays.

Every person has a session of their own; their number is bounded, and the session of a person who is lost waits until another needs it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skipvid.engine import ACTIVITY_STRIDE, Engine, Stream
from skipvid.errors import PresetError
from skipvid.models import build_model, load_weights
from skipvid.presets import Preset
from skipvid.results import Detections, Frame, FrameCost, FrameResult, LayerCost
from skipvid.runtime.config import SkipConfig
from skipvid.runtime.model import SkipModel
from skipvid.tasks.crops import StickyRule, whole_frame
from skipvid.tasks.join import Patch, join_activity, nothing, prefixed, together, total
from skipvid.tasks.pose import PoseTask, extent, movement
from skipvid.tasks.scene import SceneCutDetector
from skipvid.tasks.track import Track, Tracker
from skipvid.tasks.viewers import Viewer, ViewerPool

PERSON = 1
"""COCO's number for persons."""

WEAK = 0.5
"""Boxes with this share of the score that begins a track may still continue one: the detector should deliver them."""

MOST_PERSONS = 12


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


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """How persons are found and followed.

    score_threshold: of a box that begins a track. detect_every: frames from one run of the detector to the next. max_persons: that are
    looked at in one frame. scene_cuts: begin anew where the picture changes as a whole. rule: when a person's window stays.
    """

    score_threshold: float = 0.3
    detect_every: int = 1
    max_persons: int = MOST_PERSONS
    scene_cuts: bool = True
    rule: StickyRule = StickyRule()


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
        self.backend = self.model.backend.name

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
        return FrameCost(tuple(LayerCost(layer.name, layer.stage, layer.kind, 0, 0, 0, 0) for layer in plan.layers))

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
        self._options = engine.options
        self._dense = dense
        self._dense_every = dense_every
        self._task = engine.task()
        detector = engine.detector
        self._detector = None if detector is None else detector.dense_stream() if dense else detector.stream(dense_every)
        self._tracker = Tracker(self._options.score_threshold, most=2 * self._options.max_persons)
        self._cuts = SceneCutDetector()
        self._viewers = ViewerPool(engine.model.session, self._options.max_persons)
        self._frames = 0
        self._detector_cost: FrameCost | None = None
        self._frame_size: tuple[int, int] | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes that the sessions of all persons hold."""
        return self._viewers.memory_bytes

    def process(self, frame: Frame) -> FrameResult:
        """Analyse the next frame. After a scene cut or a change of size all persons are new."""
        begin = time.perf_counter()
        size = (frame.height, frame.width)
        cut = self._options.scene_cuts and self._cuts.is_cut(frame.image)
        if cut or size != self._frame_size:
            self._begin_anew(size)
        clock = _Clock(begin)
        found = self._find(frame)
        if found is not None:
            clock.ms = {key: found.ms.get(key, 0.0) for key in clock.ms}
        clock.restart()
        people = self._people(frame)
        runs = [self._run(frame, viewer, clock) for _, viewer in people]
        if found is None and self._detector is not None:
            self._carry_boxes(people, runs, frame.time)
        detections = self._detections(people, runs, size)
        for (_, viewer), keypoints in zip(people, runs, strict=True):
            viewer.keypoints = keypoints
        clock.lap("postprocess")
        if self._dense_every and self._frames and self._frames % self._dense_every == 0:
            clock.ms["dense_model"] = self._time_dense(frame, people) + (found.ms.get("dense_model", 0.0) if found is not None else 0.0)
        self._frames += 1
        keyframes = [viewer.session.keyframe for _, viewer in people] + ([found.keyframe] if found is not None else [])
        gated = not self._dense and self._engine.model.config.gate != "none"
        return FrameResult(
            frame,
            detections,
            self._dense or (bool(keyframes) and all(keyframes)),
            {"decode": frame.decode_ms, **clock.ms},
            self._cost(found, [viewer for _, viewer in people]) if gated else None,
            self._activity(found, [viewer for _, viewer in people], size) if gated else None,
        )

    def _begin_anew(self, size: tuple[int, int]) -> None:
        self._tracker.clear()
        self._viewers.keep(())
        self._frames = 0
        self._detector_cost = None
        self._frame_size = size

    def _find(self, frame: Frame) -> FrameResult | None:
        """Run the detector and the tracker where this frame's turn has come."""
        if self._detector is None or self._frames % self._options.detect_every:
            return None
        found = self._detector.process(frame)
        persons = found.detections.category_ids == PERSON
        self._tracker.update(found.detections.boxes[persons], found.detections.scores[persons], frame.time)
        self._viewers.keep(self._tracker.tracks)
        return found

    def _people(self, frame: Frame) -> list[tuple[Track, Viewer]]:
        """Who is looked at in this frame, each through a window that serves."""
        size = (frame.height, frame.width)
        if self._detector is None:
            track = Track(1, np.array([0, 0, frame.width, frame.height], np.float32), 1.0, frame.time)
            viewer = self._viewers.take(track, ())
            if viewer.window is None:
                viewer.look_at(whole_frame(size, self._engine.input_size))
            return [(track, viewer)]
        # Those already looked at come first, so that nobody is dropped and taken up again from frame to frame.
        tracks = sorted(self._tracker.visible, key=lambda track: (track not in self._viewers, -track.score))
        people = []
        for track in tracks[: self._options.max_persons]:
            viewer = self._viewers.take(track, self._tracker.tracks)
            rule = self._options.rule
            if viewer.window is None or not rule.holds(viewer.window, track.box, size):
                viewer.look_at(rule.place(track.box, self._engine.input_size))
            people.append((track, viewer))
        return people

    def _run(self, frame: Frame, viewer: Viewer, clock: _Clock) -> NDArray[np.float32]:
        assert viewer.window is not None
        prepared = self._task.prepare(frame.image, viewer.window)
        clock.lap("preprocess")
        heatmaps: Tensor = self._engine.model.dense(prepared) if self._dense else viewer.session(prepared)
        clock.lap("model")
        keypoints = self._task.decode(heatmaps, viewer.window)
        clock.lap("postprocess")
        return keypoints

    def _time_dense(self, frame: Frame, people: Sequence[tuple[Track, Viewer]]) -> float:
        """Milliseconds of the pose network without gates for all persons."""
        taken = 0.0
        for _, viewer in people:
            assert viewer.window is not None
            prepared = self._task.prepare(frame.image, viewer.window)
            begin = time.perf_counter()
            self._engine.model.dense(prepared)
            taken += time.perf_counter() - begin
        return taken * 1e3

    def _carry_boxes(self, people: Sequence[tuple[Track, Viewer]], runs: Sequence[NDArray[np.float32]], now: float) -> None:
        """Without a detection, a person's box goes where the keypoints go."""
        for (track, viewer), keypoints in zip(people, runs, strict=True):
            track.shift(movement(viewer.keypoints, keypoints) if viewer.keypoints is not None else np.zeros(2, np.float32), now)

    def _detections(self, people: Sequence[tuple[Track, Viewer]], runs: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> Detections:
        """In whole frames the box and the score come from the keypoints; nobody may be there."""
        rows: list[tuple[float, NDArray[np.float32], int, NDArray[np.float32]]] = []
        for (track, _), keypoints in zip(people, runs, strict=True):
            if self._detector is not None:
                box = np.clip(track.box, 0, np.array([size[1], size[0]] * 2, np.float32))
                rows.append((track.score, box, track.id, keypoints))
                continue
            around, score = extent(keypoints, size), float(keypoints[:, 2].mean())
            if around is not None and score >= self._options.score_threshold:
                rows.append((score, around, track.id, keypoints))
        rows.sort(key=lambda row: -row[0])
        joints = self._engine.preset.label_set.num_outputs
        return Detections(
            np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
            np.array([row[0] for row in rows], np.float32),
            np.full(len(rows), PERSON, np.int64),
            ("person",) * len(rows),
            np.array([row[2] for row in rows], np.int64),
            np.array([row[3] for row in rows], np.float32).reshape(-1, joints, 3),
        )

    def _cost(self, found: FrameResult | None, viewers: Sequence[Viewer]) -> FrameCost:
        """Always the same list of layers: a network that did not run in this frame cost nothing."""
        assert self._frame_size is not None
        costs = [viewer.session.cost for viewer in viewers]
        pose = prefixed(total(costs, self._engine.no_cost(self._frame_size)), "pose")
        if self._detector is None:
            return pose
        if found is not None and found.cost is not None:
            cost = prefixed(found.cost, "detector")
            self._detector_cost = nothing(cost)
            return together(cost, pose)
        return pose if self._detector_cost is None else together(self._detector_cost, pose)

    def _activity(self, found: FrameResult | None, viewers: Sequence[Viewer], size: tuple[int, int]) -> NDArray[np.float32]:
        patches = []
        if found is not None and found.cost is not None and found.activity is not None:
            patches.append(Patch(found.activity, (0, 0, size[1], size[0]), found.cost.dense_macs))
        for viewer in viewers:
            assert viewer.window is not None
            patches.append(Patch(viewer.session.activity(ACTIVITY_STRIDE), viewer.window.box, viewer.session.cost.dense_macs))
        return join_activity(patches, size)


class _Clock:
    """Milliseconds by stage."""

    def __init__(self, begin: float) -> None:
        self.ms = {"preprocess": 0.0, "model": 0.0, "postprocess": 0.0}
        self._last = begin

    def restart(self) -> None:
        """Begin the next lap now."""
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self.ms[stage] += (now - self._last) * 1e3
        self._last = now
