"""`skipvid heatmap`: where in the picture the computation went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import model_options, option, read_options, source_argument, talk_options, write_options
from skipvid.cli.pose import check_people, people_options

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.core.results import FrameResult, RunHeader
    from skipvid.video.draw import TimeAverage
    from skipvid.video.sinks.base import Sink


@click.command()
@source_argument
@option(
    "-o",
    "--output",
    multiple=True,
    metavar="OUT",
    help="A video (.mp4 .mkv .webm), or a .png for the time average alone.  [default: STEM_heatmap.mp4]",
)
@option("--csv", metavar="FILE", help="Write the cost report: per frame, layer and stage.")
@option(
    "--mode",
    type=click.Choice(["mean", "frame"]),
    default="mean",
    help="Mean of about the last second, or each frame by itself.  [default: mean]",
)
@model_options
@people_options
@read_options
@write_options
@talk_options
def heatmap(**options: Any) -> int:
    """Render the gate heatmap of videos: which parts of the picture were computed, which were reused.

    Beside each video the time average is written as a PNG of the same name. The options about persons are for pose presets; there the map
    shows the detector's work and that in the window of each person.
    """
    from skipvid.cli.jobs import check_options, plan_jobs
    from skipvid.cli.networks import chosen_preset, load_engine
    from skipvid.cli.run_jobs import run_jobs
    from skipvid.cli.summary import tell
    from skipvid.cli.talk import Talk
    from skipvid.core.errors import UsageError
    from skipvid.presets.preset import DEFAULT_DETECT

    check_options(options)
    check_people(options)
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        jobs = plan_jobs(options, "_heatmap.mp4", suffixes=(".mp4", ".mkv", ".webm", ".png"), companion=_picture_beside)
        engine = load_engine(options, chosen_preset(options, DEFAULT_DETECT), talk)
        if engine.model.config.gate == "none":
            raise UsageError("there is no heatmap without gates", "leave out --gate none")
        done = run_jobs(
            "heatmap", jobs, engine, options, talk, lambda job, header: _sinks(job, header, options), lambda engine, header: engine.stream()
        )
        return tell(done, options, talk)


def _picture_beside(target: str) -> str | None:
    """The time average that comes with a heatmap video; None for a target that is a picture itself."""
    path = Path(target)
    return None if path.suffix.lower() == ".png" else str(path.with_suffix(".png"))


def _sinks(job: Job, header: RunHeader, options: dict[str, Any]) -> Sequence[Sink]:
    from skipvid.cli.jobs import sink_options
    from skipvid.video.draw import HeatmapRenderer, TimeAverage
    from skipvid.video.sinks.open import open_sink

    average = TimeAverage()
    renderer = HeatmapRenderer(options["mode"])
    pictures = [target for target in job.targets if target.lower().endswith(".png")]
    sinks: list[Sink] = [
        open_sink(target, header, sink_options(options), renderer.render) for target in job.targets if target not in pictures
    ]
    sinks += [_averaging_sink(Path(target), average, header) for target in pictures]
    return sinks


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
