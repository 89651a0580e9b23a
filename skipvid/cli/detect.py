"""`skipvid detect`: find people and vehicles in videos, computing only what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.live import live_options, plan, settle, watcher
from skipvid.cli.options import combine, model_options, option, read_options, talk_options, write_options
from skipvid.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.analyse import Job
    from skipvid.engine import DetectEngine, Stream
    from skipvid.pose_engine import PoseEngine
    from skipvid.results import RunHeader
    from skipvid.sinks.base import Sink

output_options = combine(
    option(
        "-o",
        "--output",
        multiple=True,
        metavar="OUT",
        help="Output, by suffix: .mp4 .mkv .webm, .jsonl .json .csv, .coco.json, .mot.txt; - streams JSONL. May be given several times; "
        "for several sources a folder or a name with {stem}.  [default: STEM_skipvid.mp4]",
    ),
    option("--csv", metavar="FILE", help="Write the cost report: per frame, layer and stage."),
    option("--overlay", type=click.Choice(["mask", "none"]), default="mask", help="Tint what was computed in the frame.  [default: mask]"),
)


@click.command()
@live_options
@output_options
@model_options
@read_options
@write_options
@option("--layers", is_flag=True, help="Show every layer in the report.")
@option("--dry-run", is_flag=True, help="Say what would be done and what it costs at most; write nothing.")
@talk_options
def detect(**options: Any) -> int:
    """Detect objects in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input.
    """
    from skipvid.cli.analyse import print_dry_run, run_jobs, tell
    from skipvid.cli.setup import check_options, chosen_preset, load_detect_engine
    from skipvid.cli.talk import Talk
    from skipvid.presets import DEFAULT_DETECT

    settle(options)
    check_options(options)
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        jobs = plan(options)
        to_stdout = any("-" in job.targets for job in jobs)
        if to_stdout and options["as_json"]:
            raise UsageError("-o - and --json both want stdout", "write one of them to a file")
        engine = load_detect_engine(options, chosen_preset(options, DEFAULT_DETECT), talk)
        if options["dry_run"]:
            return print_dry_run(jobs, engine, options)
        done = run_jobs(
            "detect",
            jobs,
            engine,
            options,
            talk,
            lambda job, header: sinks_of(job, header, options),
            stream_of,
            lambda source, header: watcher(options, source, header),
        )
        return tell(done, options, talk, stdout_taken=to_stdout)


def stream_of(engine: DetectEngine | PoseEngine, header: RunHeader) -> Stream:
    """A gated stream that measures the dense network now and then."""
    from skipvid.cli.analyse import DENSE_EVERY

    # On a live source the dense run would cost frames.
    return engine.stream(0 if header.source.live else DENSE_EVERY)


def sinks_of(job: Job, header: RunHeader, options: dict[str, Any]) -> Sequence[Sink]:
    """The outputs of one source."""
    from skipvid.cli.analyse import StatusLine
    from skipvid.cli.setup import sink_options
    from skipvid.draw import draw_result
    from skipvid.sinks.open import open_sink

    status = StatusLine(header)
    return [
        open_sink(
            target, header, sink_options(options), lambda result: draw_result(result, overlay=options["overlay"], status=status(result))
        )
        for target in job.targets
    ]
