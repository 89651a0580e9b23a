"""The course of `detect` and `pose`: their common options, and what happens from the options to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.live import live_options, plan, settle, watcher
from skipvid.cli.options import F, combine, network_options, option, read_options, talk_options, write_options
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.cli.talk import Talk
    from skipvid.core.results import RunHeader
    from skipvid.tasks.engine import Engine, Stream
    from skipvid.video.sinks.base import Sink

DENSE_EVERY = 50
"""The dense network is timed beside the gated one in every so many frames of a recording: enough for a median, at most 2 % more time."""

_output_options = combine(
    option(
        "-o",
        "--output",
        multiple=True,
        metavar="OUT",
        help="Output, by suffix: .mp4 .mkv .webm, .jsonl .json .csv, .coco.json, .mot.txt; - streams JSONL. May be given several times; "
        "for several sources a folder or a name with {stem}.  [default: STEM_skipvid.mp4]",
    ),
    option("--csv", metavar="FILE", help="Write the cost report: per frame, layer and stage."),
    option(
        "--overlay",
        type=click.Choice(["mask", "none"]),
        default="mask",
        help="Tint what was computed lately: in four frames.  [default: mask]",
    ),
)
_say_options = combine(
    option("--layers", is_flag=True, help="Show every layer in the report."),
    option("--dry-run", is_flag=True, help="Say what would be done and what it costs at most; write nothing."),
)


def course_options(default: str, *own: Callable[[Any], Any]) -> Callable[[F], F]:
    """All options of a command. default: the preset where none is named. own: the command's own, shown behind the network's."""
    return combine(live_options, _output_options, network_options(default), *own, read_options, write_options, _say_options, talk_options)


def follow(command: str, options: dict[str, Any], load: Callable[[Talk], Engine]) -> int:
    """Check the options, load the network, analyse the sources, report. load: called when all else is known to be right."""
    from skipvid.cli.dry_run import print_dry_run
    from skipvid.cli.jobs import check_options
    from skipvid.cli.run_jobs import run_jobs
    from skipvid.cli.summary import tell
    from skipvid.cli.talk import Talk

    settle(options)
    check_options(options)
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        jobs = plan(options)
        to_stdout = any("-" in job.targets for job in jobs)
        if to_stdout and options["as_json"]:
            raise UsageError("-o - and --json both want stdout", "write one of them to a file")
        engine = load(talk)
        if options["dry_run"]:
            return print_dry_run(jobs, engine, options)
        done = run_jobs(
            command,
            jobs,
            engine,
            options,
            talk,
            lambda job, header: _sinks(job, header, options),
            _stream,
            lambda source, header: watcher(options, source, header),
        )
        return tell(done, options, talk, stdout_taken=to_stdout)


def _stream(engine: Engine, header: RunHeader) -> Stream:
    """A gated stream that measures the dense network now and then."""
    # On a live source the dense run would cost frames.
    return engine.stream(0 if header.source.live else DENSE_EVERY)


def _sinks(job: Job, header: RunHeader, options: dict[str, Any]) -> Sequence[Sink]:
    """The outputs of one source."""
    from skipvid.cli.drawing import ResultDrawer
    from skipvid.cli.jobs import sink_options
    from skipvid.video.sinks.open import open_sink

    mask = options["overlay"] == "mask"
    return [open_sink(target, header, sink_options(options), partial(ResultDrawer(header), mask=mask)) for target in job.targets]
