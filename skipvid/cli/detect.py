"""`skipvid detect`: find people and vehicles in videos, computing only what changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.cli.analysis import analyse
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.command import command
from skipvid.cli.settings.follow import AreaSettings, FollowSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.run_jobs import MakeSinks
    from skipvid.cli.talk import Talk
    from skipvid.tasks.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings(AnalysisSettings):
    """Settings of `detect`."""

    area: AreaSettings = field(default_factory=AreaSettings)
    follow: FollowSettings = field(default_factory=FollowSettings)


@command(DetectSettings)
def detect(settings: DetectSettings) -> int:
    """Detect objects in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input.
    """
    return analyse("detect", settings, _load, _events)


def _load(settings: DetectSettings, talk: Talk) -> Engine:
    from skipvid.cli.networks import load_detect_engine, network_preset
    from skipvid.presets.preset import DEFAULT_DETECT

    if settings.ray is None:
        _check_events(settings)
    areas, counts = settings.area.areas(), settings.follow.counts()
    engine = load_detect_engine(settings.network, network_preset(settings.network, DEFAULT_DETECT, "detect"), talk)
    settings.motion.set_on(engine)
    engine.follow, engine.areas, engine.count = settings.follow.options(settings.output), areas, counts
    return engine


def _check_events(settings: DetectSettings) -> None:
    """Raises UsageError or OutputError where the events could not be written."""
    from skipvid.cli.jobs import expand_each
    from skipvid.video.sinks.events import SUFFIXES
    from skipvid.video.sinks.targets import check_path, has_placeholder, plan_outputs

    events = settings.follow.events
    if events is None:
        return
    if not settings.follow.count:
        raise UsageError("--events is given, and nothing is counted", "add --count")
    if not events.lower().endswith(SUFFIXES):
        raise UsageError(f"--events {events} has another suffix than {' and '.join(SUFFIXES)}", "events are written as one of these")
    sources = expand_each(settings.live.sources)[0]
    overwrite = settings.write.overwrite or settings.dry_run or settings.ray is not None
    outputs = plan_outputs(settings.output, sources, overwrite=True) if settings.output else []
    taken = {os.path.realpath(target) for plan in outputs for target in plan.targets}
    files = _event_files(events, sources, overwrite).values() if has_placeholder(events) else [events]
    if doubled := next((file for file in files if os.path.realpath(file) in taken or file == settings.csv), None):
        raise UsageError(f"{doubled} is named twice", "give --events another file")
    for file in files:
        check_path(file, sources, overwrite)


def _event_files(pattern: str, sources: Sequence[str], overwrite: bool) -> dict[str, str]:
    """The file of each source, by source. Raises UsageError where two sources would have one, OutputError where one cannot be written."""
    from skipvid.video.sinks.targets import plan_outputs

    return {plan.source: plan.targets[0] for plan in plan_outputs([pattern], sources, overwrite=overwrite)}


@contextmanager
def _events(settings: DetectSettings) -> Iterator[MakeSinks]:
    """What opens the events' file of each source: one that all share, or one each where the name has {stem} or {n}."""
    from skipvid.cli.jobs import expand_each
    from skipvid.cli.shared_file import SharedFile
    from skipvid.video.sinks.events import EventSink
    from skipvid.video.sinks.targets import has_placeholder

    events = settings.follow.events
    if settings.ray is not None:
        from skipvid.cli.ray_events import events_of_all, events_of_each

        settings.area.areas(), settings.follow.counts()  # a worker would tell what is wrong with them file by file
        _check_events(settings)
        sources = [] if events is None else expand_each(settings.live.sources)[0]
        if events is not None and not has_placeholder(events):
            with events_of_all(events, sources, settings.write.overwrite) as pieces:
                yield pieces
        else:
            yield events_of_each({} if events is None else _event_files(events, sources, overwrite=True))
    elif events is None:
        yield lambda job, header: ()
    elif has_placeholder(events):
        files = _event_files(events, expand_each(settings.live.sources)[0], overwrite=True)
        yield lambda job, header: (EventSink(Path(files[job.spec])),)
    else:
        with ExitStack() as stack:
            shared = SharedFile(events, stack, lambda path, header: EventSink(path))
            yield lambda job, header: (shared.next_run(header),)
            shared.finish()
