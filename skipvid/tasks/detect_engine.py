"""The engine for detection: each frame goes through the network as a whole, letterboxed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import DetectorSpec, WholePoseSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.backend import Program
from skipvid.skip.config import SkipConfig
from skipvid.skip.session import Session
from skipvid.skip.warp.session import WarpSession
from skipvid.tasks.areas import Areas
from skipvid.tasks.auto_canvas import motion_in_use
from skipvid.tasks.counting import CountOption, Counts
from skipvid.tasks.detect import DetectTask, finds_people, found_categories
from skipvid.tasks.engine import Engine, spec_with
from skipvid.tasks.engine_stream import ACTIVITY_STRIDE, Clock, EngineStream
from skipvid.tasks.identities import FollowOptions, Identities
from skipvid.tasks.registration import Registration
from skipvid.tasks.track import WEAK
from skipvid.tasks.whole_picture import WholePicture


class DetectEngine(Engine):
    """A detector with gates.

    preset: of the task "detect", or of "pose" with a head that finds all people itself. config: the gates. weights: the file to load.
    weights_sha256: its hash, for the record.
    score_threshold: detections below are left out. scene_cuts: begin anew where the picture changes as a whole. programs: as in Engine.
    follow: how detections get identities in the streams with gates; None, which is the default: they get none.
    areas: what is looked at, in all streams; None: everything. count: lines and zones at which those with identities are counted.
    motion: what the streams with gates do where the camera moves, of skipvid.core.motions: at first what the preset says. With threshold 0,
    which promises the dense network's results, "auto" is "none", and "warp" raises UsageError. denoise: what they do about the noise of the
    camera, likewise, of skipvid.core.denoising.
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
        self.spec: DetectorSpec = spec_with(preset, WholePoseSpec if finds_people(preset) else DetectorSpec, weights)
        super().__init__(self.spec, preset, config, weights, weights_sha256, programs)
        self.categories = found_categories(preset).categories
        self.score_threshold = preset.score_threshold if score_threshold is None else score_threshold
        self.scene_cuts = scene_cuts
        self.follow: FollowOptions | None = None
        self.count: tuple[CountOption, ...] = ()
        self.motion = preset.motion
        self.denoise = preset.denoise

    def networks(self, height: int, width: int) -> list[tuple[Preset, SkipModel, tuple[int, int]]]:
        return [(self.preset, self.model, self.preset.input_size(height, width))]

    def task(self, share: float = 1.0, areas: Areas | None = None, motion: str = "none", denoise: str = "none") -> DetectTask:
        """What stands before and behind the network, for one stream. share: of the score threshold, from which on boxes are reported."""
        return DetectTask(self.preset, self.spec, self.score_threshold * share, areas, motion, denoise)

    def prepare(self, height: int, width: int) -> tuple[Program, ...]:
        if not self.warps:
            return super().prepare(height, width)
        parts = self.model.split(((1, 3, *self.preset.input_size(height, width)),))
        return (parts.prefix, parts.suffix)

    def use_motion(self, motion: str | None) -> None:
        """As Engine.use_motion. Raises UsageError as `motion_in_use`."""
        super().use_motion(motion)
        _ = self.motion_in_use

    @property
    def warps(self) -> bool:
        return self.motion_in_use == WARP

    @property
    def motion_in_use(self) -> str:
        """What a stream with gates does where the camera moves. Raises UsageError for "warp" with threshold 0."""
        motion = motion_in_use(self.motion, self.model.config)
        if motion == WARP and self.model.config.threshold == 0:
            raise UsageError("threshold 0 promises the dense network's results, --motion warp promises none", "leave one of them out")
        return motion

    @property
    def denoise_in_use(self) -> str:
        """What a stream with gates does about the noise of the camera."""
        config = self.model.config
        return "none" if config.gate == "none" or config.threshold == 0 else self.denoise

    def stream(self, dense_every: int = 0) -> DetectStream:
        """As Engine.stream; the dense network is left out where the detector skips frames: those with it would not be like the others.

        dense_every: where it is not 0, what areas save is measured, too, in stretches of frames.
        """
        skips = self.follow is not None and self.follow.detect_every > 1
        return DetectStream(self, dense=False, dense_every=0 if skips else dense_every, whole=dense_every > 0)

    def measured_stream(self) -> DetectStream:
        """A stream with gates in which what areas save is measured in every frame."""
        return DetectStream(self, dense=False, whole=True, whole_always=True)

    def dense_stream(self) -> DetectStream:
        return DetectStream(self, dense=True)


class DetectStream(EngineStream):
    """One stream of frames through one session.

    whole: measure what areas save, in stretches of frames. whole_always: in every frame.
    """

    def __init__(self, engine: DetectEngine, dense: bool, dense_every: int = 0, whole: bool = False, whole_always: bool = False) -> None:
        # Without gates nothing but what stands in areas is kept from frame to frame, so that a scene cut could spoil it.
        super().__init__(engine, engine.scene_cuts and not (dense and engine.areas is None), dense, dense_every)
        follow = None if dense else engine.follow
        self._engine, self._share = engine, 1.0 if follow is None else WEAK
        self._motion = "none" if dense else engine.motion_in_use
        self._denoise = "none" if dense else engine.denoise_in_use
        self._task = engine.task(self._share, engine.areas, self._motion, self._denoise)
        self._session: Session = engine.model.warp_session() if self._motion == WARP else engine.model.session()
        self._identities = None if follow is None else Identities(engine.score_threshold, engine.categories, follow.confirm)
        self._detect_every = 1 if follow is None else follow.detect_every
        self._looks_ahead = self._detect_every == 1
        # Whether what was found may be told after the next frame has begun: who registers pictures asks for it some frames later.
        self._tells_later = follow is None and engine.areas is None
        self._counts = Counts(engine.count) if engine.count and follow is not None else None
        self._since_start = 0  # frames since everything began anew
        self._ran = True  # the detector, in the last frame
        # Without gates what is left out costs as much as the rest.
        self._measured, self._always = whole and not dense and engine.model.config.gate != "none" and self._motion != WARP, whole_always
        self._whole = self._whole_picture(engine.areas)

    def look_at(self, areas: Areas | None) -> None:
        """Look at these areas from the next frame on, which is a keyframe; None: at all of the picture. What has an identity keeps it.

        Raises UsageError where they leave nothing of the picture.
        """
        self._looks_ahead = False  # those that were read ahead have been prepared for the task that ends here
        self._tells_later = False
        tally = self._task.tally
        self._task = self._engine.task(self._share, areas, self._motion, self._denoise)
        self._task.tally = tally
        self._whole = self._whole_picture(areas)
        if self._frame_size is not None:
            self._look_from_here(self._frame_size)
            self._resume(self._frame_size)

    @property
    def registration(self) -> Registration | None:
        """What registers the pictures, of frames of the last size."""
        return None if self._frame_size is None else self._task.registration

    def _whole_picture(self, areas: Areas | None) -> WholePicture | None:
        return WholePicture(self._model, self._always) if self._measured and areas is not None else None

    def _look_from_here(self, size: tuple[int, int]) -> None:
        self._task.letterbox(size)
        if self._cuts is not None:
            self._cuts.leave_out(None if self._task.held is None else self._task.held.left_out)

    def _begin_anew(self, size: tuple[int, int]) -> None:
        self._resume(size)
        self._look_from_here(size)
        if self._identities is not None:
            self._identities.clear()
        if self._counts is not None:
            self._counts.begin_anew(size)

    def _resume(self, size: tuple[int, int]) -> None:
        self._reset()
        self._task.begin_anew()
        self._since_start = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """At which ratios the network ran, what was left out, what was registered, what was filtered, and what was counted."""
        notes = (*super().notes, *self.picture_notes(self._detect_every > 1))
        return notes if self._counts is None else (*notes, *self._counts.notes)

    def picture_notes(self, in_some: bool, registered: bool = True) -> tuple[str, ...]:
        """What was left out of the pictures, how many were registered (where that is asked for), and filtered.

        in_some: the detector ran in some frames only, which counts of frames then are of.
        """
        registration, held, denoiser = self.registration, self._task.held, self._task.denoiser
        told = (registration if registered else None, denoiser)
        counted = [each.note for each in told if each is not None and each.note is not None]
        of = " (of the frames that the detector ran in)" if in_some else ""
        return (*(() if held is None else (held.note,)), *(note + of for note in counted))

    @property
    def problems(self) -> tuple[str, ...]:
        """That there is no bound, where there is none."""
        return (self._session.problem,) if isinstance(self._session, WarpSession) else ()

    def look_ahead(self, frame: Frame) -> None:
        super().look_ahead(frame)
        if self._looks_ahead:
            self._task.look_ahead(frame.picture)

    def begin(self, frame: Frame) -> Callable[[], FrameResult]:
        """As EngineStream.begin; what was counted is added, and what areas saved."""
        complete = super().begin(frame)
        if self._whole is None and self._counts is None:
            return complete
        result = complete()
        if self._whole is not None and self._ran and result.cost is not None:
            result = replace(result, areas=self._whole.cost(result.cost.macs, result.ms["model"]))
        if self._counts is not None:
            events, counts = self._counts.update(result.detections, frame.time)
            result = replace(result, events=events, counts=counts)
        return lambda: result

    def _analyse(self, frame: Frame, clock: Clock) -> Detections | Callable[[], Detections]:
        self._ran = self._since_start % self._detect_every == 0
        self._since_start += 1
        found = self._detect(frame, clock) if self._ran else None
        if self._identities is None:
            assert found is not None  # who skips frames follows what is found
            if self._tells_later:
                return found
            detections = found()
            clock.lap("postprocess")
            return detections
        if found is not None:
            followed = self._identities.found(found(), frame.time)
        else:
            followed = self._task.looked_at(self._identities.expected(frame.time, (frame.height, frame.width)))
        clock.lap("postprocess")
        return followed

    def _detect(self, frame: Frame, clock: Clock) -> Callable[[], Detections]:
        """Runs the network. What is returned chooses among what it found."""
        prepared = self._task.prepare(frame.picture)
        seen = self._task.registration.seen
        if seen.anchored:
            self._reset()
        elif seen.shift != (0, 0):
            self._session.shift(*seen.shift)
            if self._whole is not None:
                self._whole.shift(*seen.shift)
        if seen.stray:
            self._session.expect_stray()
        clock.lap("preprocess", frame.ahead_ms)
        self._time_dense(prepared, self._session, clock)
        with nullcontext() if self._whole is None else self._whole.beside(lambda: self._task.whole, clock):
            maps = self._model.dense_maps(prepared) if self._dense else self._session.maps(prepared)
            clock.lap("model")
        self._ran_densely(self._session)
        self._ratios[self._session.ratio] += 1
        found = self._task.read(maps, (frame.height, frame.width), None if self._dense else self._session.changed)
        clock.lap("postprocess")
        return found

    def _reset(self) -> None:
        """The next frame is a keyframe."""
        self._session.reset()
        if self._whole is not None:
            self._whole.begin_anew()

    @property
    def _keyframe(self) -> bool:
        return self._ran and self._session.keyframe

    def _account(self, size: tuple[int, int]) -> Callable[[], FrameCost]:
        if not self._ran:
            return super()._account(size)
        account = self._session.account()
        if self._motion != "none" and self._task.spent(*self._session.spent):
            self._session.expect_other_load()
        return account

    def _cost(self, size: tuple[int, int]) -> FrameCost:
        cost = self._session.cost
        return cost if self._ran else FrameCost.nothing(cost.table)

    def _activity(self, size: tuple[int, int]) -> NDArray[np.float32]:
        return self._later_activity(size)()

    def _later_activity(self, size: tuple[int, int]) -> Callable[[], NDArray[np.float32]]:
        grid, letterbox = self._session.later_activity(ACTIVITY_STRIDE), self._task.letterbox(size)
        registration, ran = self._task.registration, self._ran
        seen = registration.seen

        def over_frame() -> NDArray[np.float32]:
            found = grid() if ran else np.zeros_like(grid())
            return registration.to_frame(letterbox.crop_grid(found, ACTIVITY_STRIDE), (ACTIVITY_STRIDE, ACTIVITY_STRIDE), seen)

        return over_frame

    def computed(self, frame_size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
        """By layer the outputs that the last frame computed, (h, w) bool over a frame of (height, width); the input's filling is cut."""
        return self._task.over_frame(self._session.computed, frame_size)
