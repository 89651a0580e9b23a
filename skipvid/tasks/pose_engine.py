"""The engine for poses: a detector finds persons, a tracker follows them, and a pose network looks at each through a window that stays.

Every person has a session of their own; their number is bounded, and the session of a person who is lost waits until another needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.errors import PresetError, UsageError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import PoseSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, looked_at, share_note
from skipvid.tasks.auto_canvas import motion_in_use
from skipvid.tasks.canvas import Tally
from skipvid.tasks.crops import InParts, whole_frame
from skipvid.tasks.detect_engine import DetectEngine, DetectStream
from skipvid.tasks.engine import Engine, spec_with
from skipvid.tasks.engine_stream import ACTIVITY_STRIDE, Clock, EngineStream
from skipvid.tasks.join import Patch, join_activity
from skipvid.tasks.people import DetectedPeople, Person, PersonInFrame, Pose, PoseOptions
from skipvid.tasks.pose import PoseTask
from skipvid.tasks.registered_windows import CameraMotion, RegisteredFrame, in_phase
from skipvid.tasks.registration import Registration
from skipvid.tasks.similarity import STANDSTILL
from skipvid.tasks.viewers import Viewer
from skipvid.tasks.whole_picture import WholePicture

PERSON = 1
"""COCO's number for persons."""


class PoseEngine(Engine):
    """A pose network with gates, behind a detector, or without one on whole frames.

    preset: of the task "pose". config: the gates of the pose network. weights: the file to load. weights_sha256: its hash, for the record.
    detector: finds the persons and should report boxes from WEAK * score_threshold on; None = one person, the window is the whole frame.
    programs: as in Engine.
    Raises PresetError for a preset of another task and for a detector that knows no persons, WeightsError where the weights do not fit.
    """

    def __init__(
        self,
        preset: Preset,
        config: SkipConfig,
        weights: Path,
        weights_sha256: str = "",
        detector: Engine | None = None,
        options: PoseOptions | None = None,
        programs: Path | None = None,
    ) -> None:
        self.spec = spec_with(preset, PoseSpec, weights)
        if detector is not None and PERSON not in detector.categories:
            raise PresetError("the detector knows no persons", "choose another detection preset: skipvid presets list")
        if isinstance(preset.image_size, int):
            raise PresetError(f"preset {preset.name}: 'image_size' must be [height, width] for the task 'pose', got {preset.image_size}")
        super().__init__(self.spec, preset, config, weights, weights_sha256, programs)
        self.input_size: tuple[int, int] = preset.image_size
        self.categories = {PERSON: "person"}
        self.detector = detector
        self.motion = detector.motion if isinstance(detector, DetectEngine) else preset.motion
        self.options = options or PoseOptions()

    def window_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the pose network's input for frames of (height, width)."""
        return self.input_size if self.detector is not None else whole_frame(frame_size, self.input_size).input_size

    def use_motion(self, motion: str | None) -> None:
        """As Engine.use_motion: the detector's pictures are registered, and windows on persons stand still in the scene.

        None: what the pose network's preset says, and where that says nothing, the detector's.
        Raises UsageError for what moves maps: that is for networks that see all of the picture.
        """
        says = next((preset for preset in self._presets if preset.motion != "none"), self.preset)
        asked = motion or says.motion
        if asked not in ("none", "auto", "canvas"):
            who = f"--motion {asked}" if motion else f"the preset {says.name} says 'motion: {asked}', which"
            raise UsageError(f"{who} is for detectors, not for poses", "use --motion canvas or auto")
        self.motion = asked
        if self.detector is not None:
            self.detector.use_motion(asked)

    @property
    def _presets(self) -> list[Preset]:
        """Whose word counts where none is given, the first that says something."""
        return [self.preset] if self.detector is None else [self.preset, self.detector.preset]

    def show_activity(self, shown: bool) -> None:
        super().show_activity(shown)
        if self.detector is not None:
            self.detector.show_activity(shown)

    @property
    def motion_in_use(self) -> str:
        """What the windows of a stream with gates do where the camera moves."""
        return motion_in_use(self.motion, self.model.config)

    def use_denoising(self, denoise: str | None) -> None:
        """As Engine.use_denoising; it is the detector whose pictures are filtered.

        None: what the pose network's preset says, and where that says nothing, the detector's.
        """
        if self.detector is not None:
            self.denoise = denoise or next((preset.denoise for preset in self._presets if preset.denoise != "none"), "none")
            self.detector.use_denoising(self.denoise)

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        own = (self.preset, self.model, self.window_size((height, width)))
        return [*(self.detector.networks(height, width) if self.detector is not None else []), own]

    def no_cost(self, frame_size: tuple[int, int]) -> FrameCost:
        """What the pose network costs in a frame of (height, width) without a person: nothing, for every layer."""
        costs = self.model.program(((1, 3, *self.window_size(frame_size)),)).costs
        return FrameCost.nothing(costs.units.table)

    def task(self) -> PoseTask:
        """What stands before and behind the pose network."""
        return PoseTask(self.preset, self.spec, self.areas)

    def stream(self, dense_every: int = 0) -> PoseStream:
        """As Engine.stream; nothing is measured where the detector skips frames: those with the dense run would not be like the others."""
        return PoseStream(self, dense=False, dense_every=dense_every if self.options.detect_every == 1 else 0)

    def dense_stream(self) -> PoseStream:
        """As Engine.dense_stream, with windows that stay as they do with gates."""
        return PoseStream(self, dense=True)


class PoseStream(EngineStream):
    """One stream of frames with all its persons."""

    def __init__(self, engine: PoseEngine, dense: bool, dense_every: int = 0) -> None:
        super().__init__(engine, engine.options.scene_cuts, dense, dense_every)
        self._engine = engine
        self._task = engine.task()
        detector, people = engine.detector, (engine.model.session, engine.input_size, engine.options)
        self._detector = None if detector is None else detector.dense_stream() if dense else detector.stream(dense_every)
        self._people = PersonInFrame(*people) if detector is None else DetectedPeople(*people)
        self._motion_asked = "none" if dense else engine.motion_in_use
        every = self._motion_asked != "none" and engine.options.detect_every == 1
        # The detector, where it says of every frame how the camera moved.
        self._riding = self._detector if every and isinstance(self._detector, DetectStream) else None
        self._camera: CameraMotion | None = None  # in its place
        self._tally = Tally()  # of frames of all sizes
        self._motion = STANDSTILL  # from the windows to the last frame
        self._boxes = np.zeros((0, 4))  # of the last frame's persons, where their windows are
        self._since_start = 0  # frames since everything began anew
        self._found: FrameResult | None = None  # what the detector said of the last frame, where it ran
        self._viewed: list[Person] = []  # who was looked at in the last frame
        self._costs: list[FrameCost] = []  # of each of them
        # With a detector, it is the one that sees all of the picture.
        self._measured = detector is None and dense_every > 0 and not dense and engine.model.config.gate != "none"
        self._whole = self._whole_picture(engine.areas)

    def look_at(self, areas: Areas | None) -> None:
        """Look at these areas from the next frame on; None: at all of the picture. Raises UsageError where they leave nothing of it."""
        self._task = PoseTask(self._engine.preset, self._engine.spec, areas)
        self._whole = self._whole_picture(areas)
        if self._frame_size is not None:
            self._look_from_here(self._frame_size)
        if isinstance(self._detector, DetectStream):
            self._detector.look_at(areas)

    def _whole_picture(self, areas: Areas | None) -> WholePicture | None:
        return WholePicture(self._model) if self._measured and areas is not None else None

    def _look_from_here(self, size: tuple[int, int]) -> None:
        self._task.frame_size(size)
        if self._cuts is not None:
            self._cuts.leave_out(self._task.left_out)
        own = self._motion_asked != "none" and self._riding is None
        about = self._task.left_out, self._engine.preset.dense_above, self._tally
        self._camera = CameraMotion(self._motion_asked, size, *about) if own else None
        self._boxes = np.zeros((0, 4))

    @property
    def memory_bytes(self) -> int:
        """Bytes that the sessions of all persons hold."""
        return self._people.memory_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """At which ratios the network ran, what was left out of the detector's pictures and filtered, and what was registered."""
        camera, detector = self._registered, self._detector
        seen: tuple[str, ...] = ()
        if isinstance(detector, DetectStream):
            seen = detector.picture_notes(self._engine.options.detect_every > 1, registered=camera is None)
        elif self._task.left_out is not None:
            seen = (share_note(self._task.left_out),) if detector is None else detector.notes
        registered = () if camera is None or camera.note is None else (camera.note,)
        return tuple(dict.fromkeys((*super().notes, *seen, *registered)))

    @property
    def problems(self) -> tuple[str, ...]:
        """A line where persons were left out."""
        return () if self._people.problem is None else (self._people.problem,)

    def _begin_anew(self, size: tuple[int, int]) -> None:
        if self._camera is None or size != self._frame_size:
            self._look_from_here(size)
        else:
            self._camera.forget()
            self._boxes = np.zeros((0, 4))
        self._people.clear()
        self._since_start = 0
        if self._whole is not None:
            self._whole.begin_anew()

    def look_ahead(self, frame: Frame) -> None:
        super().look_ahead(frame)
        if self._detector is not None and self._engine.options.detect_every == 1:
            self._detector.look_ahead(frame)

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        """As EngineStream.begin; what areas saved the detector, or where there is none the pose network, is added."""
        complete = super().begin(frame)
        if self._whole is None and self._found is None:
            return complete
        result = complete()
        if self._whole is not None and result.cost is not None:
            result = replace(result, areas=self._whole.cost(result.cost.macs, result.ms["model"]))
        elif self._found is not None:
            result = replace(result, areas=self._found.areas)
        return lambda: result

    def _analyse(self, frame: Frame, clock: Clock) -> Detections:
        found = self._found = self._find(frame)
        if found is not None:
            clock.take_over(found.ms)
        self._follow_camera(frame)
        clock.lap("preprocess")
        self._viewed = self._people.in_view((frame.height, frame.width), self._motion)
        poses = [self._look(frame, person, clock, carried=found is None) for person in self._viewed]
        clock.lap("postprocess")
        self._since_start += 1
        found_poses = _detections([pose for pose in poses if pose is not None], len(self._engine.preset.keypoints))
        if self._camera is not None:
            self._boxes = self._motion.inverse().boxes(found_poses.boxes)
        return looked_at(found_poses, self._task.left_out)

    @property
    def _registered(self) -> CameraMotion | Registration | None:
        """What says how the camera moved."""
        return self._camera if self._riding is None else self._riding.registration

    def _follow_camera(self, frame: Frame) -> None:
        """Find out how the camera moved; a new anchor is one for all windows."""
        if self._camera is not None:
            self._camera.look(frame.picture, self._boxes)
        registered = self._registered
        self._motion = STANDSTILL if registered is None else in_phase(registered.frame_motion)
        if registered is not None and registered.seen.anchored:
            self._people.anchored()
            if self._whole is not None:
                self._whole.begin_anew()

    def _find(self, frame: Frame) -> FrameResult | None:
        """Run the detector and the tracker where this frame's turn has come."""
        if self._detector is None or self._since_start % self._engine.options.detect_every:
            return None
        assert isinstance(self._people, DetectedPeople)
        found = self._detector.process(frame)
        if self._dense_ms is not None:
            self._dense_ms += found.ms.get("dense_model", 0.0)
        persons = found.detections.category_ids == PERSON
        self._people.found(found.detections.boxes[persons], found.detections.scores[persons], frame.time)
        return found

    def _look(self, frame: Frame, person: Person, clock: Clock, carried: bool) -> Pose | None:
        """Run the pose network on one person. carried: no detection says where the person is in this frame."""
        viewer = person.viewer
        assert viewer.window is not None
        window, picture = viewer.window, self._picture(frame, viewer)
        prepared = self._task.prepare(picture, window)
        clock.lap("preprocess")
        self._time_dense(prepared, viewer.session, clock)
        if self._registered is not None and self._registered.seen.stray:
            viewer.session.expect_stray()
        with nullcontext() if self._whole is None else self._whole.beside(lambda: self._task.prepare_whole(picture, window), clock):
            maps = self._model.dense_maps(prepared) if self._dense else viewer.session.maps(prepared)
            clock.lap("model")
        self._ratios[viewer.session.ratio] += 1
        keypoints = self._task.decode(maps, window, self._motion)
        if carried and isinstance(self._people, DetectedPeople):
            self._people.carry(person, keypoints, frame.time)
        viewer.keypoints = keypoints
        pose = self._people.pose(person, keypoints, (frame.height, frame.width))
        clock.lap("postprocess")
        return pose

    def _picture(self, frame: Frame, viewer: Viewer) -> NDArray[np.uint8] | InParts:
        """What a viewer's window is cut from."""
        return frame.picture if self._registered is None else RegisteredFrame(frame.picture, self._motion, viewer.view)

    @property
    def _keyframe(self) -> bool:
        keyframes = [person.viewer.session.keyframe for person in self._viewed]
        if self._found is not None:
            keyframes.append(self._found.keyframe)
        return bool(keyframes) and all(keyframes)

    def _cost(self, size: tuple[int, int]) -> FrameCost:
        """Of both networks; a pose network that had nobody to look at is listed, too."""
        self._costs = costs = [person.viewer.session.cost for person in self._viewed]
        found = self._found
        if self._camera is not None:
            whole = max(1, sum(cost.dense_macs for cost in costs))
            self._camera.canvas.spent(sum(cost.macs for cost in costs) / whole, whole)
        pose = sum(costs, start=self._engine.no_cost(size)).named("pose")
        return pose if found is None or found.cost is None else found.cost.named("detector") + pose

    def _activity(self, size: tuple[int, int]) -> NDArray[np.float32]:
        found, patches = self._found, []
        if found is not None and found.cost is not None and found.activity is not None:
            patches.append(Patch(found.activity, (0, 0, size[1], size[0]), found.cost.dense_macs))
        for person, cost in zip(self._viewed, self._costs, strict=True):
            assert person.viewer.window is not None
            left, top, right, bottom = self._motion.boxes(np.array([person.viewer.window.box], np.float64))[0].tolist()
            grid = person.viewer.session.activity(ACTIVITY_STRIDE)
            patches.append(Patch(grid, (left, top, right, bottom), cost.dense_macs))
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
