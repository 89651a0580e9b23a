"""`skipvid heatmap`: where in the picture the computation went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, SourceSettings, TalkSettings, WriteSettings
from skipvid.cli.settings.motion import MotionSettings

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.core.results import FrameResult, RunHeader
    from skipvid.video.draw import TimeAverage
    from skipvid.video.sinks.base import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapSettings:
    """Settings of `heatmap`."""

    source: SourceSettings
    output: tuple[str, ...] = setting(
        "-o",
        "--output",
        default=(),
        metavar="OUT",
        help="A video (.mp4 .mkv .webm), or a .png for the time average alone.  [default: STEM_heatmap.mp4]",
    )
    csv: str | None = setting("--csv", default=None, metavar="FILE", help="Write the cost report: per frame, layer and stage.")
    mode: Literal["mean", "frame"] = setting(
        "--mode",
        default="mean",
        help="Mean of about the last second, or each frame by itself.  [default: mean]",
    )
    network: PeopleNetworkSettings = field(default_factory=PeopleNetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    talk: TalkSettings = field(default_factory=TalkSettings)


@command(HeatmapSettings)
def heatmap(settings: HeatmapSettings) -> int:
    """Render the gate heatmap of videos: which parts of the picture were computed, which were reused.

    Beside each video the time average is written as a PNG of the same name. The options about persons are for pose presets; there the map
    shows the detector's work and that in the window of each person.
    """
    from skipvid.cli.jobs import plan_jobs
    from skipvid.cli.networks import load_engine, network_preset
    from skipvid.cli.run_jobs import Work, run_jobs
    from skipvid.cli.summary import tell
    from skipvid.cli.talk import Talk
    from skipvid.core.errors import UsageError
    from skipvid.presets.preset import DEFAULT_DETECT

    read = settings.read.options()
    with Talk(settings.talk) as talk:
        jobs = plan_jobs(
            settings.source.sources,
            settings.output,
            settings.csv,
            settings.write,
            read,
            ending="_heatmap.mp4",
            suffixes=(".mp4", ".mkv", ".webm", ".png"),
            companion=_picture_beside,
        )
        engine = load_engine(settings.network, network_preset(settings.network, DEFAULT_DETECT), talk)
        settings.motion.set_on(engine)
        if engine.model.config.gate == "none":
            raise UsageError("there is no heatmap without gates", "leave out --gate none")
        work = Work(
            "heatmap", engine, read, talk, lambda job, header: _sinks(job, header, settings), lambda engine, header: engine.stream()
        )
        outcome = run_jobs(work, jobs, settings.csv)
        return tell(outcome, talk, settings.talk.as_json)


def _picture_beside(target: str) -> str | None:
    """The time average that comes with a heatmap video; None for a target that is a picture itself."""
    path = Path(target)
    return None if path.suffix.lower() == ".png" else str(path.with_suffix(".png"))


def _sinks(job: Job, header: RunHeader, settings: HeatmapSettings) -> Iterable[Sink]:
    from skipvid.cli.jobs import sink_options
    from skipvid.video.draw import HeatmapRenderer, TimeAverage
    from skipvid.video.sinks.open import open_sink

    options = sink_options(settings.read, settings.write)
    average = TimeAverage()
    renderer = HeatmapRenderer(settings.mode)
    pictures = [target for target in job.targets if target.lower().endswith(".png")]
    for target in job.targets:
        if target not in pictures:
            yield open_sink(target, header, options, renderer.render)
    yield from (_averaging_sink(Path(target), average, header) for target in pictures)


def _averaging_sink(path: Path, average: TimeAverage, header: RunHeader) -> Sink:
    """A PNG of the run's mean activity."""
    from skipvid.video.sinks.image import ImageSink

    class AveragingSink(ImageSink):
        def __init__(self) -> None:
            self._macs = self._dense = 0
            super().__init__(path, self._picture)

        def write(self, result: FrameResult) -> None:
            average.add(result)
            if result.cost is not None:
                self._macs += result.cost.macs
                self._dense += result.cost.dense_macs
            super().write(result)

        def _picture(self) -> Any:
            saved = 1 - self._macs / self._dense if self._dense else 0.0
            facts = [header.preset, f"threshold {header.threshold:g}", f"{average.frames} frames", f"{saved:.1%} MACs saved"]
            return average.render(header.source.name, facts)

    return AveragingSink()
