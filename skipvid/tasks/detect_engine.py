"""The engine for detection: each frame goes through the network as a whole, letterboxed."""

from __future__ import annotations

from pathlib import Path

from skipvid.core.errors import UsageError
from skipvid.core.motions import WARP
from skipvid.models import DetectorSpec, WholePoseSpec
from skipvid.presets.preset import Preset
from skipvid.skip.api import SkipModel
from skipvid.skip.backend import Program
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas
from skipvid.tasks.auto_canvas import motion_in_use
from skipvid.tasks.counting import CountOption
from skipvid.tasks.detect import DetectTask, finds_people, found_categories
from skipvid.tasks.detect_stream import DetectStream
from skipvid.tasks.engine import Engine, spec_with
from skipvid.tasks.identities import FollowOptions


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
