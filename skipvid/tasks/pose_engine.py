"""The engine for poses: a detector finds persons, a tracker follows them, and a pose network looks at each through a window that stays.

Every person has a session of their own; their number is bounded, and the session of a person who is lost waits until another needs it.
"""

from __future__ import annotations

from pathlib import Path

from skipvid.core.costs import FrameCost
from skipvid.core.errors import PresetError, UsageError
from skipvid.models import PoseSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.tasks.auto_canvas import motion_in_use
from skipvid.tasks.crops import whole_frame
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Engine, spec_with
from skipvid.tasks.people import PERSON, PoseOptions
from skipvid.tasks.pose import PoseTask
from skipvid.tasks.pose_stream import PoseStream


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
