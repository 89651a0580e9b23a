"""`skipvid detect`: find people and vehicles in videos, computing only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.cli.analysis import analyse
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.command import command
from skipvid.cli.settings.follow import AreaSettings, FollowSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.tasks.engine import Engine
    from skipvid.video.sinks.base import Sink


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
    return analyse("detect", settings, _load, _event_sinks)


def _load(settings: DetectSettings, talk: Talk) -> Engine:
    from skipvid.cli.networks import load_detect_engine, network_preset
    from skipvid.presets.preset import DEFAULT_DETECT

    _check_events(settings)
    areas, counts = settings.area.areas(), settings.follow.counts()
    engine = load_detect_engine(settings.network, network_preset(settings.network, DEFAULT_DETECT, "detect"), talk)
    engine.use_motion(settings.motion.motion)
    engine.use_denoising(settings.motion.denoise)
    engine.follow, engine.areas, engine.count = settings.follow.options(settings.output), areas, counts
    return engine


def _check_events(settings: DetectSettings) -> None:
    """Raises UsageError or OutputError where the events could not be written."""
    from skipvid.video.sinks.events import SUFFIXES
    from skipvid.video.sinks.targets import check_path
    from skipvid.video.sources.specs import expand_specs

    events = settings.follow.events
    if events is None:
        return
    if settings.ray is not None:
        raise UsageError("--events and --ray contradict each other", "leave one of them out")
    if not settings.follow.count:
        raise UsageError("--events is given, and nothing is counted", "add --count")
    if not events.lower().endswith(SUFFIXES):
        raise UsageError(f"--events {events} has another suffix than {' and '.join(SUFFIXES)}", "events are written as one of these")
    sources = expand_specs(settings.live.sources)
    if len(sources) > 1:
        raise UsageError(f"--events names one file, and there are {len(sources)} sources", "analyse them one by one")
    if events in settings.output:
        raise UsageError(f"{events} is named twice", "give --events another file")
    check_path(events, sources, settings.write.overwrite or settings.dry_run)


def _event_sinks(settings: DetectSettings) -> Iterator[Sink]:
    from skipvid.video.sinks.events import EventSink

    if settings.follow.events is not None:
        yield EventSink(Path(settings.follow.events))
