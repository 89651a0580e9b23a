"""`skipvid detect`: find people and vehicles in videos, computing only what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipvid.cli.analysis import analyse
from skipvid.cli.settings.analysis import AnalysisSettings
from skipvid.cli.settings.command import command

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.tasks.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings(AnalysisSettings):
    """Settings of `detect`."""


@command(DetectSettings)
def detect(settings: DetectSettings) -> int:
    """Detect objects in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input.
    """
    return analyse("detect", settings, _load)


def _load(settings: DetectSettings, talk: Talk) -> Engine:
    from skipvid.cli.networks import load_detect_engine, network_preset
    from skipvid.presets.preset import DEFAULT_DETECT

    return load_detect_engine(settings.network, network_preset(settings.network, DEFAULT_DETECT, "detect"), talk)
