"""`skipvid segment`: find the class of each pixel of videos, computing only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skipvid.cli.analysis import analyse
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import setting
from skipvid.cli.settings.groups import NetworkSettings
from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.run_jobs import MakeSinks
    from skipvid.cli.talk import Talk
    from skipvid.tasks.engine import Engine

SUFFIXES = (".mp4", ".mkv", ".webm", ".jsonl", ".json")
"""Of outputs that hold class maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentNetworkSettings(NetworkSettings):
    """What network to run: a file, or a preset that was added."""

    preset: str | None = setting(
        "--preset", default=None, metavar="NAME|FILE", help="Network to use, one that was added (skipvid presets add); or --model."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings(AnalysisSettings):
    """Settings of `segment`."""

    network: SegmentNetworkSettings = field(default_factory=SegmentNetworkSettings)
    masks: str | None = setting(
        "--masks", default=None, metavar="FOLDER", help="Write a PNG for each frame, too: each pixel is the number of its class."
    )


@command(SegmentSettings)
def segment(settings: SegmentSettings) -> int:
    """Tell the class of each pixel of videos, or before a camera, and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input. The network comes as a
    file: --model net.onnx. Videos show the classes in colours; .jsonl and .json hold each class of a frame as a mask in COCO's run lengths.
    """
    return analyse("segment", settings, _load, _masks)


def _load(settings: SegmentSettings, talk: Talk) -> Engine:
    from skipvid.cli.networks import load_segment_engine, network_preset

    _check(settings)
    engine = load_segment_engine(settings.network, network_preset(settings.network, "", "segment"), talk)
    settings.motion.set_on(engine)
    return engine


def _check(settings: SegmentSettings) -> None:
    """Raises UsageError or OutputError where settings cannot be meant, or masks not be written."""
    from skipvid.video.sinks.masks import check_folder
    from skipvid.video.sinks.targets import STDOUT, suffix_of
    from skipvid.video.sources.specs import expand_specs

    if settings.network.preset is None and settings.network.source.model is None:
        raise UsageError("there is no network: none for class maps comes with skipvid", "give --model net.onnx, or --preset NAME")
    if settings.network.conf is not None:
        raise UsageError("--conf is for detections", "leave it out")
    for target in settings.output:
        if target != STDOUT and Path(target).suffix and suffix_of(target) not in SUFFIXES:
            raise UsageError(f"{target}: class maps are written as {', '.join(SUFFIXES)}", "choose another suffix; --masks writes PNGs")
    if settings.masks is None:
        return
    if settings.ray is not None:
        raise UsageError("--masks and --ray contradict each other", "leave one of them out")
    sources = expand_specs(settings.live.sources)
    if len(sources) > 1:
        raise UsageError(f"--masks names one folder, and there are {len(sources)} sources", "analyse them one by one")
    check_folder(Path(settings.masks), settings.write.overwrite or settings.dry_run)


@contextmanager
def _masks(settings: SegmentSettings) -> Iterator[MakeSinks]:
    """What opens the folder of masks, where one is wanted."""
    from skipvid.video.sinks.masks import MaskSink

    folder = settings.masks
    yield lambda job, header: () if folder is None else (MaskSink(Path(folder), settings.write.overwrite),)
