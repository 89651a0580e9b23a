"""Cameras and windows: what `detect` and `pose` share for watching live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from skipvid.cli.jobs import Job, check_openable, expand_each, plan_jobs
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.groups import LiveSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.core.results import RunHeader
    from skipvid.video.sinks.base import Sink
    from skipvid.video.sources.base import Source
    from skipvid.video.sources.options import ReadOptions

S = TypeVar("S", bound=AnalysisSettings)


def settle(settings: S) -> S:
    """Turn --webcam and --duration into a source and an end. Raises UsageError for combinations that cannot be meant, and where a window
    is wanted and none can be opened."""
    live, duration = settings.live, settings.live.stream.duration
    if live.webcam is None:
        if not live.sources:
            raise UsageError("there is no source", "give a video, a folder, a URL, - for stdin, or --webcam")
        _check_pace(live)
    else:
        if live.sources:
            raise UsageError(f"--webcam and {live.sources[0]} are two sources", "give one of them; a camera's number directly: --webcam 1")
        output = settings.output if settings.output or live.watched else (f"webcam{live.webcam}_skipvid.mp4",)
        settings = replace(settings, live=replace(live, sources=(f"webcam://{live.webcam}",)), output=output)
    if live.stream.segment is not None and live.stream.segment < 1:
        raise UsageError(f"--segment is {live.stream.segment:g} s", "give a second or more")
    if duration is not None:
        if settings.read.end is not None:
            raise UsageError("--duration and --end say the same of a live source", "give one of them")
        settings = replace(settings, read=replace(settings.read, end=duration))
    if live.show:
        from skipvid.video.sinks.window import check_display

        check_display()
    return settings


def _check_pace(live: LiveSettings) -> None:
    """Raises UsageError where a file is to be read as if it were live."""
    from skipvid.video.sources.specs import STDIN, is_url

    files = [source for source in live.sources if not is_url(source) and source != STDIN]
    if live.stream.newest and files:
        raise UsageError(f"--live is for cameras, addresses and standard input, not for {files[0]}", "leave it out")
    recordings = files or ([STDIN] if STDIN in live.sources and not live.stream.newest else [])
    if live.stream.duration is not None and recordings:
        raise UsageError("--duration is for live sources", "use --end or --max-frames" if files else "use --end, or say --live")


def read_options(settings: AnalysisSettings) -> ReadOptions:
    """Which frames to read, and at what pace."""
    return settings.live.stream.over(settings.read.options())


def plan(settings: AnalysisSettings) -> list[Job]:
    """The work: with --show or --web alone, nothing is written."""
    sources, read = settings.live.sources, read_options(settings)
    if settings.output or not settings.live.watched:
        return plan_jobs(sources, settings.output, settings.csv, settings.write, read, ending="_skipvid.mp4", check=not settings.dry_run)
    specs, failed = expand_each(sources)
    check_openable(specs, read)
    return [*(Job(spec, ()) for spec in specs), *failed]


def window(settings: AnalysisSettings, source: Source, header: RunHeader) -> Sink | None:
    """The window of a run, where one is wanted; its q ends the source."""
    if not settings.live.show:
        return None
    from skipvid.cli.drawing import ResultDrawer
    from skipvid.video.sinks.window import CvWindow, WindowSink

    mask = settings.overlay == "mask"
    return WindowSink(CvWindow(f"skipvid {header.source.name}"), ResultDrawer(header), source.close, mask=mask)


def segments(target: str, header: RunHeader, settings: AnalysisSettings, open_one: Callable[[str], Sink], talk: Talk) -> Sink:
    """The files of an output that rolls over. Raises UsageError for a source that is not live."""
    from skipvid.report import SummaryBuilder
    from skipvid.video.sinks.segments import SegmentSink

    seconds = settings.live.stream.segment
    assert seconds is not None
    if not header.source.live:
        raise UsageError(f"--segment is for live sources, not for {header.source.name}", "leave it out, or say --live")

    def tell(path: Path) -> None:
        talk.say(f"wrote {path.resolve()}")

    return SegmentSink(target, seconds, open_one, lambda: SummaryBuilder(header), tell)
