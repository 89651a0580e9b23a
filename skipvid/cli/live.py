"""Cameras and windows: what `detect` and `pose` share for watching live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.options import combine, option
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.core.results import RunHeader
    from skipvid.video.sinks.base import Sink
    from skipvid.video.sources.base import Source

live_options = combine(
    click.argument("sources", nargs=-1, metavar="[SOURCE]..."),
    option("--webcam", type=click.IntRange(min=0), is_flag=False, flag_value=0, metavar="[N]", help="Read camera N; 0 is the first one."),
    option("--show", is_flag=True, help="Show a window: q ends, space halts, m switches the mask. Files are then written only with -o."),
    option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Stop a camera after S seconds.  [Ctrl-C]"),
)


def settle(options: dict[str, Any]) -> None:
    """Turn --webcam and --duration into a source and an end. Raises UsageError for combinations that cannot be meant, and where a window
    is wanted and none can be opened."""
    if options["webcam"] is None:
        if not options["sources"]:
            raise UsageError("there is no source", "give a video, a folder, a URL, - for stdin, or --webcam")
        if options["duration"] is not None:
            raise UsageError("--duration is for cameras", "use --end or --max-frames")
    else:
        if options["sources"]:
            raise UsageError(
                f"--webcam and {options['sources'][0]} are two sources", "give one of them; a camera's number directly: --webcam 1"
            )
        if options["duration"] is not None and options["end"] is not None:
            raise UsageError("--duration and --end say the same of a camera", "give one of them")
        number = options["webcam"]
        options["sources"] = (f"webcam://{number}",)
        options["end"] = options["duration"] if options["end"] is None else options["end"]
        if not options["output"] and not options["show"]:
            options["output"] = (f"webcam{number}_skipvid.mp4",)
    if options["show"]:
        from skipvid.video.sinks.window import check_display

        check_display()


def plan(options: dict[str, Any]) -> list[Job]:
    """The work: with --show alone, nothing is written."""
    from skipvid.cli.jobs import Job, check_openable, plan_jobs, read_options
    from skipvid.video.sources.specs import expand_specs

    if options["output"] or not options["show"]:
        return plan_jobs(options, "_skipvid.mp4", check=not options["dry_run"])
    specs = expand_specs(options["sources"])
    check_openable(specs, read_options(options))
    return [Job(spec, ()) for spec in specs]


def watcher(options: dict[str, Any], source: Source, header: RunHeader) -> Sink | None:
    """The window of a run, where one is wanted; its q ends the source."""
    if not options["show"]:
        return None
    from skipvid.cli.drawing import ResultDrawer
    from skipvid.video.sinks.window import CvWindow, WindowSink

    return WindowSink(CvWindow(f"skipvid {header.source.name}"), ResultDrawer(header), source.close, mask=options["overlay"] == "mask")
