"""Settings that the commands of `skipvid train`, and `distill`, share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from skipvid.cli.settings.fields import argument, flag, required, setting
from skipvid.cli.settings.types import Names, Sides
from skipvid.core.errors import UsageError

NAME_HELP = "Name of the preset."
THREADS_HELP = "Threads for the network.  [all cores]"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSettings:
    """A mix of sources, and where what is learned from it goes."""

    mix: Path = argument("MIX.yaml")
    output: Path = required("-o", "--output", metavar="FOLDER", help="Checkpoints, weights and preset go here.")
    root: Path = setting("--root", default=Path(), metavar="FOLDER", help="Of the paths in the mix.")
    labels: Path | None = setting("--labels", default=None, metavar="FOLDER", help="Where teachers' labels are kept.  [OUTPUT/labels]")
    without: tuple[str, ...] = setting(
        "--without",
        default=(),
        type=Names(),
        metavar="NAME,...",
        help="Leave these sources out: to measure on a clip, never train on it.",
    )
    start: Path | None = setting("--start", default=None, metavar="FILE", help="Weights to begin with.  [random ones]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How long to train, and how fast."""

    steps: int = setting(
        "--steps", default=2000, type=click.IntRange(min=1), show_default=True, metavar="N", help="Optimiser steps in all."
    )
    batch: int = setting("--batch", default=16, type=click.IntRange(min=1), show_default=True, metavar="N", help="Pictures a step.")
    rate: float = setting(
        "--rate", default=2e-3, type=click.FloatRange(min=0, min_open=True), show_default=True, help="Highest learning rate."
    )
    evaluate_every: int = setting(
        "--evaluate-every", default=250, type=click.IntRange(min=1), show_default=True, metavar="N", help="Steps between measurements."
    )
    patience: int = setting(
        "--patience",
        default=0,
        type=click.IntRange(min=0),
        metavar="N",
        help="Stop after N measurements without a new best; 0 = never.",
    )
    seed: int = setting("--seed", default=0, show_default=True, help="Of what is drawn, and how it is varied.")
    threads: int | None = setting("--threads", default=None, type=click.IntRange(min=1), metavar="N", help=THREADS_HELP)
    resume: bool = flag("--resume", help="Go on with the run in the output folder.")
    quiet: bool = flag("-q", "--quiet", help="Only errors.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtSettings:
    """A preset whose network learns on clips."""

    preset: str = setting(
        "--preset",
        default="efficientdet-nano",
        show_default=True,
        metavar="NAME|FILE",
        help="Network to begin with, for detection or for poses.",
    )
    weights: str | None = setting("--weights", default=None, metavar="FILE", help="Load this file instead of the preset's weights.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceSettings:
    """What of clips is learned from."""

    crop: int = setting(
        "--crop", default=256, type=click.IntRange(min=64), show_default=True, metavar="PX", help="Side of a training clip's window."
    )
    most_frames: int = setting(
        "--most-frames", default=1200, type=click.IntRange(min=1), show_default=True, metavar="N", help="Frames to keep of all clips."
    )
    held_out: float = setting(
        "--held-out", default=0.2, type=click.FloatRange(0, 0.9), show_default=True, help="Last part of each clip, to measure on."
    )

    def __post_init__(self) -> None:
        if self.crop % 32:
            raise UsageError(f"--crop {self.crop} must be a multiple of 32", "for example 256")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    """How to train a detector."""

    crop: tuple[int, ...] = setting(
        "--crop",
        default=(320,),
        type=Sides(),
        show_default=True,
        metavar="PX,...",
        help="Sides of training pictures, one after the other.",
    )
    size: int = setting(
        "--size", default=512, type=click.IntRange(min=64), show_default=True, metavar="PX", help="Longer side of the input in use."
    )
    slow: float = setting(
        "--slow", default=0.35, type=click.FloatRange(min=0), show_default=True, help="Factor on the backbone's learning rate."
    )
    freeze: int = setting(
        "--freeze", default=3, type=click.IntRange(min=0), show_default=True, metavar="N", help="Leave the first N stages as they are."
    )
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
