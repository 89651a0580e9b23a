"""The stream of a pose network: its persons, each with a session of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.tasks.areas import Areas, looked_at, share_note
from skipvid.tasks.canvas import Tally
from skipvid.tasks.crops import InParts
from skipvid.tasks.detect_stream import DetectStream
from skipvid.tasks.engine_stream import ACTIVITY_STRIDE, Clock, EngineStream
from skipvid.tasks.join import Patch, join_activity
from skipvid.tasks.motion import STANDSTILL
from skipvid.tasks.people import PERSON, DetectedPeople, Person, PersonInFrame, Pose
from skipvid.tasks.pose import PoseTask
from skipvid.tasks.registered_windows import CameraMotion, RegisteredFrame, in_phase
from skipvid.tasks.registration import Registration
from skipvid.tasks.viewers import Viewer
from skipvid.tasks.whole_picture import WholePicture

if TYPE_CHECKING:
    from skipvid.tasks.pose_engine import PoseEngine


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
        """At which ratios the network ran, which areas were left out, and what was registered."""
        areas: tuple[str, ...] = ()
        if self._task.left_out is not None:
            areas = (share_note(self._task.left_out),) if self._detector is None else self._detector.notes
        camera = self._registered
        registered = () if camera is None or camera.note is None else (camera.note,)
        return tuple(dict.fromkeys((*super().notes, *areas, *registered)))

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
