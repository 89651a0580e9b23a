"""Settings that `detect` and `pose` have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import click

from skipvid.cli.settings.fields import flag, setting
from skipvid.cli.settings.groups import LiveSettings, NetworkSettings, ReadSettings, TalkSettings, WriteSettings
from skipvid.cli.settings.motion import MotionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What to read, what network to run, what to write, how to talk."""

    live: LiveSettings = field(default_factory=LiveSettings)
    output: tuple[str, ...] = setting(
        "-o",
        "--output",
        default=(),
        metavar="OUT",
        help="Output, by suffix: .mp4 .mkv .webm, .jsonl .json .csv, .coco.json, .mot.txt; - streams JSONL. May be given several times; "
        "for several sources a folder or a name with {stem}.  [default: STEM_skipvid.mp4]",
    )
    csv: str | None = setting("--csv", default=None, metavar="FILE", help="Write the cost report: per frame, layer and stage.")
    overlay: Literal["mask", "none"] = setting(
        "--overlay",
        default="mask",
        help="Tint what was computed lately: in four frames.  [default: mask]",
    )
    network: NetworkSettings = field(default_factory=NetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    jobs: int = setting(
        "--jobs",
        default=1,
        type=click.IntRange(min=1),
        metavar="N",
        help="Analyse N recordings at a time; cameras always run side by side.  [default: 1]",
    )
    ray: str | None = setting(
        "--ray",
        default=None,
        metavar="ADDRESS|local",
        help="Hand whole files to the workers of this Ray cluster (needs skipvid[ray]); outputs that exist are kept.",
    )
    layers: bool = flag("--layers", help="Show every layer in the report.")
    dry_run: bool = flag("--dry-run", help="Say what would be done and what it costs at most; write nothing.")
    talk: TalkSettings = field(default_factory=TalkSettings)
