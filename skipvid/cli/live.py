"""Cameras and windows: what `detect` and `pose` share for watching live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from skipvid.cli.jobs import Job, check_openable, plan_jobs
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.core.results import RunHeader
    from skipvid.video.sinks.base import Sink
    from skipvid.video.sources.base import Source

S = TypeVar("S", bound=AnalysisSettings)


def settle(settings: S) -> S:
    """Turn --webcam and --duration into a source and an end. Raises UsageError for combinations that cannot be meant, and where a window
    is wanted and none can be opened."""
    live = settings.live
    if live.webcam is None:
        if not live.sources:
            raise UsageError("there is no source", "give a video, a folder, a URL, - for stdin, or --webcam")
        if live.duration is not None:
            raise UsageError("--duration is for cameras", "use --end or --max-frames")
    else:
        if live.sources:
            raise UsageError(f"--webcam and {live.sources[0]} are two sources", "give one of them; a camera's number directly: --webcam 1")
        if live.duration is not None and settings.read.end is not None:
            raise UsageError("--duration and --end say the same of a camera", "give one of them")
        end = live.duration if settings.read.end is None else settings.read.end
        output = settings.output if settings.output or live.show else (f"webcam{live.webcam}_skipvid.mp4",)
        camera = replace(live, sources=(f"webcam://{live.webcam}",))
        settings = replace(settings, live=camera, read=replace(settings.read, end=end), output=output)
    if live.show:
        from skipvid.video.sinks.window import check_display

        check_display()
    return settings


def plan(settings: AnalysisSettings) -> list[Job]:
    """The work: with --show alone, nothing is written."""
    from skipvid.video.sources.specs import expand_specs

    sources, read = settings.live.sources, settings.read.options()
    if settings.output or not settings.live.show:
        return plan_jobs(sources, settings.output, settings.csv, settings.write, read, ending="_skipvid.mp4", check=not settings.dry_run)
    specs = expand_specs(sources)
    check_openable(specs, read)
    return [Job(spec, ()) for spec in specs]


def window(settings: AnalysisSettings, source: Source, header: RunHeader) -> Sink | None:
    """The window of a run, where one is wanted; its q ends the source."""
    if not settings.live.show:
        return None
    from skipvid.cli.drawing import ResultDrawer
    from skipvid.video.sinks.window import CvWindow, WindowSink

    mask = settings.overlay == "mask"
    return WindowSink(CvWindow(f"skipvid {header.source.name}"), ResultDrawer(header), source.close, mask=mask)
