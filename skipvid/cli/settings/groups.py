"""Settings that several commands share: the same names and the same meaning everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from skipvid.cli.settings.config import use_config
from skipvid.cli.settings.fields import argument, flag, optional_argument, setting
from skipvid.cli.settings.model_file import ModelSettings
from skipvid.cli.settings.precedence import given_or_preset
from skipvid.cli.settings.streams import StreamSettings
from skipvid.cli.settings.types import Fraction, Threshold
from skipvid.core.errors import UsageError
from skipvid.core.gate_kinds import KINDS
from skipvid.skip.config import BACKENDS, BLOCKS, PRECISIONS, REFERENCES

if TYPE_CHECKING:
    from skipvid.presets.preset import Preset
    from skipvid.video.sources.options import ReadOptions

PRESET_HELP = "Network to use (see: skipvid presets list).  [default: {}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """What to read."""

    sources: tuple[str, ...] = argument("SOURCE...")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What to read, cameras among it, and whether to watch."""

    sources: tuple[str, ...] = optional_argument("[SOURCE]...", default=())
    webcam: int | None = setting(
        "--webcam", default=None, type=click.IntRange(min=0), bare=0, metavar="[N]", help="Read camera N; 0 is the first one."
    )
    show: bool = flag("--show", help="Show a window: q ends, space halts, m switches the mask. Files are then written only with -o.")
    web: str | None = setting(
        "--web",
        default=None,
        metavar="[HOST:]PORT",
        help="Show all sources on a page at http://127.0.0.1:PORT (needs skipvid[web]); other machines reach it at another HOST, with the "
        "token that is printed. Files are then written only with -o.",
    )
    stream: StreamSettings = field(default_factory=StreamSettings)

    @property
    def watched(self) -> bool:
        """Whether somebody looks on, so that nothing needs to be written."""
        return self.show or self.web is not None


@dataclass(frozen=True, slots=True)
class GateChoice:
    """What gates a network gets once the preset is known: names of SkipConfig. score_threshold: detections below are left out."""

    gate: str
    reference: str
    block: int
    precision: str
    score_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What network to run, and how. Where the help says [preset], None is what the preset says."""

    preset: str | None = setting("--preset", default=None, metavar="NAME|FILE", help=PRESET_HELP.format("efficientdet-nano"))
    source: ModelSettings = field(default_factory=ModelSettings)
    weights: str | None = setting("--weights", default=None, metavar="FILE", help="Load this file instead of the preset's weights.")
    offline: bool = flag("--offline", help="Never download; say what is missing and where to put it.")
    threshold: float | None = setting(
        "--threshold",
        default=None,
        type=Threshold(),
        metavar="T",
        help="Gate threshold, relative to each map's mean magnitude; 0 is exact.  [preset]",
    )
    gate: str | None = setting(
        "--gate",
        default=None,
        type=click.Choice(list(KINDS)),
        help="How to decide what to compute: by the change of what a layer reads (norm), the same in the mean around a pixel "
        "(norm-smooth), by how far off its outputs can be (norm-output), by learned gates (gumbel); none = everything.  [preset]",
    )
    gate_weights: str | None = setting("--gate-weights", default=None, metavar="FILE", help="Learned gates for --gate gumbel.  [preset]")
    block: int | None = setting(
        "--block", default=None, type=click.Choice(BLOCKS), help="Gates open in blocks of so many pixels squared.  [preset]"
    )
    reference: str | None = setting(
        "--reference",
        default=None,
        type=click.Choice(REFERENCES),
        help="Measure changes against what was last taken over, or (slow, as published, drifts) against the last frame.  [preset]",
    )
    refresh: int = setting(
        "--refresh",
        default=0,
        type=click.IntRange(min=0),
        metavar="N",
        help="Compute every N-th frame densely; 0 = only when needed.",
    )
    conf: float | None = setting("--conf", default=None, type=Fraction(), help="Leave out detections with a lower score.  [preset]")
    backend: str = setting("--backend", default="auto", type=click.Choice(["auto", *BACKENDS]), help="What to run on.  [default: auto]")
    precision: str | None = setting(
        "--precision",
        default=None,
        type=click.Choice(["auto", *PRECISIONS]),
        help="Keep maps and weights as 32 or 16 bits; auto takes bf16 where the processor multiplies it.  [preset]",
    )
    threads: int | None = setting(
        "--threads", default=None, type=click.IntRange(min=1), metavar="N", help="Threads for the network.  [all cores]"
    )

    def __post_init__(self) -> None:
        if self.source.model is not None and (self.preset is not None or self.weights is not None):
            other = "--preset" if self.preset is not None else "--weights"
            raise UsageError(f"--model and {other} contradict each other", "the file is the network, with its weights")

    def over(self, preset: Preset) -> GateChoice:
        """These settings, and the preset's where there are none."""
        return GateChoice(
            given_or_preset(self.gate, preset.gate),
            given_or_preset(self.reference, preset.reference),
            given_or_preset(self.block, preset.block),
            given_or_preset(self.precision, preset.precision),
            given_or_preset(self.conf, preset.score_threshold),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSettings:
    """How persons are found and followed. Raises UsageError where settings contradict each other."""

    detector: str | None = setting(
        "--detector", default=None, metavar="NAME|FILE", help="Detection preset that finds the persons.  [default: efficientdet-nano]"
    )
    detector_weights: str | None = setting(
        "--detector-weights", default=None, metavar="FILE", help="Load this file instead of that preset's weights."
    )
    detect_every: int = setting(
        "--detect-every", default=1, type=click.IntRange(min=1), metavar="N", help="Run the detector in every N-th frame."
    )
    max_persons: int = setting(
        "--max-persons", default=12, type=click.IntRange(min=1), metavar="N", help="Look at N persons at most.  [default: 12]"
    )
    full_frame: bool = flag("--full-frame", help="No detector: one person who fills the picture.")

    def __post_init__(self) -> None:
        if self.full_frame and (self.detector or self.detector_weights or self.detect_every > 1):
            raise UsageError("--full-frame uses no detector", "leave out the detector's options")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleNetworkSettings(NetworkSettings):
    """What network to run where it may be one for poses."""

    people: PeopleSettings = field(default_factory=PeopleSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """Which frames to read. Raises UsageError for what cannot be meant."""

    start: float = setting("--start", default=0.0, metavar="S", help="Begin at this second.")
    end: float | None = setting("--end", default=None, metavar="S", help="Stop before this second.")
    max_frames: int | None = setting("--max-frames", default=None, type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
    stride: int = setting("--stride", default=1, type=click.IntRange(min=1), metavar="N", help="Take every N-th frame.")
    fps: float | None = setting("--fps", default=None, metavar="F", help="Frames per second of a folder of images.  [25]")

    def options(self) -> ReadOptions:
        """The same for sources."""
        from skipvid.video.sources.options import ReadOptions

        options = ReadOptions(self.start, self.end, self.max_frames, self.stride)
        return options if self.fps is None else replace(options, fps=self.fps)

    def __post_init__(self) -> None:
        self.options()


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSettings:
    """How to write. Raises UsageError where settings contradict each other."""

    overwrite: bool = flag("--overwrite", help="Replace existing outputs.")
    skip_existing: bool = flag("--skip-existing", help="Leave out sources whose outputs exist.")
    no_audio: bool = flag("--no-audio", help="Do not copy the sound.")
    speed: Literal["fast", "balanced", "small"] = setting(
        "--speed", default="fast", help="Encoder of videos: less time, or a smaller file of the same quality.  [default: fast]"
    )

    def __post_init__(self) -> None:
        if self.overwrite and self.skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkSettings:
    """How much to say, and where. Raises UsageError where settings contradict each other."""

    as_json: bool = flag("--json", help="Print exactly one JSON document on stdout.")
    quiet: bool = flag("-q", "--quiet", help="Only errors.")
    verbose: bool = flag("-v", "--verbose", help="More detail, and tracebacks.")
    log_file: str | None = setting("--log-file", default=None, metavar="FILE", help="Write messages to this file, too.")
    config: Path | None = setting("--config", default=None, callback=use_config, metavar="FILE", help="Read settings from a YAML file.")

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("-q and -v contradict each other")
