"""The analysis of sources for `detect` and `pose`: what happens from the settings to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.jobs import Job
    from skipvid.cli.page import Page
    from skipvid.cli.run_jobs import MakeSinks
    from skipvid.cli.talk import Talk
    from skipvid.core.results import RunHeader
    from skipvid.tasks.engine import Engine, Stream
    from skipvid.video.sinks.base import Sink
    from skipvid.video.sources.base import Source

DENSE_EVERY = 40
"""The dense network is timed beside the gated one in every so many frames of a recording: enough for a median in a short clip, under the
load of the frames around."""


S = TypeVar("S", bound=AnalysisSettings)


def analyse(
    command: str,
    settings: S,
    load: Callable[[S, Talk], Engine],
    more_sinks: Callable[[S], AbstractContextManager[MakeSinks]] = lambda settings: nullcontext(lambda job, header: ()),
) -> int:
    """Check the settings, load the network, analyse the sources, report. load: called when all else is known to be right.
    more_sinks: as long as it lasts, what it gives opens a command's own outputs of one source.
    """
    from skipvid.cli.dry_run import print_dry_run
    from skipvid.cli.live import plan, read_options, settle, window
    from skipvid.cli.ray_jobs import for_ray, run_on_ray
    from skipvid.cli.run_jobs import Work, run_jobs
    from skipvid.cli.side_by_side import run_side_by_side, share
    from skipvid.cli.summary import tell
    from skipvid.cli.talk import Talk

    settings = settle(settings if settings.ray is None else for_ray(settings))
    read, as_json = read_options(settings), settings.talk.as_json
    with Talk(settings.talk) as talk:
        jobs = plan(settings)
        to_stdout = any("-" in job.targets for job in jobs)
        if to_stdout and as_json:
            raise UsageError("-o - and --json both want stdout", "write one of them to a file")
        if settings.ray is not None and not settings.dry_run:
            with more_sinks(settings) as more:
                outcome = run_on_ray(command, settings, load, partial(_all_sinks, more), jobs, talk)
            return tell(outcome, talk, as_json, settings.layers)
        settings, how = share(settings, jobs)
        page = _page(settings, jobs)
        engine = load(settings, talk)
        engine.show_activity(_draws_masks(settings, jobs))
        if settings.dry_run:
            return print_dry_run(jobs, engine, read, as_json)
        with page if page is not None else nullcontext(), more_sinks(settings) as more:

            def watchers(job: Job, source: Source, stream: Stream, header: RunHeader) -> Iterable[Sink]:
                if (opened := window(settings, source, header)) is not None:
                    yield opened
                if page is not None:
                    yield page.watch(job, source, stream, header, engine.areas)

            work = Work(
                command,
                engine,
                read,
                talk,
                lambda job, header: _all_sinks(more, job, header, settings, talk),
                _stream,
                watchers,
                None if page is None else page.failed,
            )
            outcome = run_jobs(work, jobs, settings.csv) if how is None else run_side_by_side(work, jobs, how, settings.csv)
        return tell(outcome, talk, as_json, settings.layers, to_stderr=to_stdout)


def _page(settings: AnalysisSettings, jobs: Sequence[Job]) -> Page | None:
    """The page of a run, where one is wanted."""
    if settings.live.web is None or settings.dry_run:
        return None
    from skipvid.cli.page import Page

    return Page(settings.live.web, jobs)


def _draws_masks(settings: AnalysisSettings, jobs: Sequence[Job]) -> bool:
    """Whether anybody sees where the work was done."""
    from skipvid.video.sinks.targets import VIDEO_SUFFIXES

    videos = any(target.lower().endswith(VIDEO_SUFFIXES) for job in jobs for target in job.targets)
    return settings.live.watched or (videos and settings.overlay == "mask")


def _stream(engine: Engine, header: RunHeader) -> Stream:
    """A gated stream that measures the dense network now and then."""
    # On a live source the dense run would cost frames.
    return engine.stream(0 if header.source.live else DENSE_EVERY)


def _all_sinks(more: MakeSinks, job: Job, header: RunHeader, settings: AnalysisSettings, talk: Talk) -> Iterable[Sink]:
    """The outputs of one source, and a command's own."""
    return chain(_sinks(job, header, settings, talk), more(job, header))


def _sinks(job: Job, header: RunHeader, settings: AnalysisSettings, talk: Talk) -> Iterable[Sink]:
    """The outputs of one source."""
    from skipvid.cli.drawing import ResultDrawer
    from skipvid.cli.jobs import sink_options
    from skipvid.cli.live import segments
    from skipvid.video.sinks.open import open_sink

    options = sink_options(settings.read, settings.write)
    mask = settings.overlay == "mask"

    def open_one(target: str) -> Sink:
        return open_sink(target, header, options, partial(ResultDrawer(header).planes, mask=mask))

    for target in job.targets:
        yield (
            open_one(target)
            if settings.live.stream.segment is None or target == "-"
            else segments(target, header, settings, open_one, talk)
        )
