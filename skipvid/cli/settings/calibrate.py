"""Settings of `skipvid calibrate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import click

from skipvid.cli.settings.fields import flag, required, setting
from skipvid.cli.settings.groups import PeopleNetworkSettings, ReadSettings, SourceSettings, TalkSettings
from skipvid.cli.settings.motion import MotionSettings
from skipvid.cli.settings.types import Milliseconds, Points, Saving, Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """Settings of `calibrate`."""

    source: SourceSettings
    output: str = required("-o", "--output", metavar="FILE.yaml", help="The preset to write.")
    max_drop: float | None = setting(
        "--max-drop", default=None, type=Points(), metavar="POINTS", help="Goal: lose at most so many points on frames left out."
    )
    saving: float | None = setting(
        "--saving", default=None, type=Saving(), metavar="TIMES", help="Goal: so many times fewer MACs, or (0.75) this fraction saved."
    )
    budget: float | None = setting(
        "--budget", default=None, type=Milliseconds(), metavar="MS", help="Goal: at most so many milliseconds a frame for the network."
    )
    truth: tuple[str, ...] = setting(
        "--truth",
        default=(),
        metavar="FILE",
        help="Of a goal: where the objects are, COCO JSON or MOT text; one for each SOURCE, in order.  [agreement with the dense network]",
    )
    classes: tuple[str, ...] = setting(
        "--class", default=(), metavar="NAME", help="Class of the truth to measure; repeatable.  [those that the truth has]"
    )
    layout: Literal["coco", "mot"] | None = setting("--layout", default=None, help="How the truth is written.  [by its name: .json, .txt]")
    first_frame: int = setting(
        "--first-frame", default=1, type=click.IntRange(min=0), metavar="N", help="Number of the first frame in a MOT file.  [default: 1]"
    )
    html: str | None = setting(
        "--html", default=None, metavar="FILE", help="Of a goal: the page with the frontier.  [beside the preset, .html]"
    )
    floor: float = setting(
        "--floor",
        default=0.0,
        type=Threshold(),
        metavar="T",
        help="No map gets a lower threshold; about 0.05 keeps a noisy camera from opening everything.  [default: 0]",
    )
    inputs: int = setting(
        "--inputs",
        default=200,
        type=click.IntRange(min=2),
        metavar="N",
        help="Without a goal: frames (or persons in frames) to use.  [default: 200]",
    )
    network: PeopleNetworkSettings = field(default_factory=PeopleNetworkSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    overwrite: bool = flag("--overwrite", help="Replace an existing preset, and its page.")
    talk: TalkSettings = field(default_factory=TalkSettings)
