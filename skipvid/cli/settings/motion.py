"""What is done where the camera moves."""

from __future__ import annotations

from dataclasses import dataclass

import click

from skipvid.cli.settings.fields import setting
from skipvid.core.motions import MOTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettings:
    """Settings of moving cameras. None is what the preset says."""

    motion: str | None = setting(
        "--motion",
        default=None,
        type=click.Choice(MOTIONS),
        help="Where the camera shakes, give the network pictures in which the scene stands still: always (canvas), while that saves "
        "work (auto), or never (none); shift: as canvas, and what is known moves with a pan.  [preset]",
    )
