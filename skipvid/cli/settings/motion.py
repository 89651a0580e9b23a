"""What is done where the camera moves, or is noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from skipvid.cli.settings.fields import setting
from skipvid.core.denoising import DENOISING
from skipvid.core.motions import MOTIONS

if TYPE_CHECKING:
    from skipvid.tasks.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettings:
    """Settings of cameras that move or are noisy. None is what the preset says."""

    motion: str | None = setting(
        "--motion",
        default=None,
        type=click.Choice(MOTIONS),
        help="Where the camera shakes, give the network pictures in which the scene stands still: always (canvas), while that saves "
        "work (auto), or never (none); shift: as canvas, and what is known moves with a pan. warp: in place of gates, for comparison: the "
        "first layers run at keyframes only, and their maps move with the picture; it has no bound.  [preset]",
    )
    denoise: str | None = setting(
        "--denoise",
        default=None,
        type=click.Choice(DENOISING),
        help="Where the camera is noisy, take the noise out of the network's pictures, so that it opens no gates (auto), or never (none). "
        "It does nothing at threshold 0.  [preset]",
    )

    def set_on(self, engine: Engine) -> None:
        """Say it to an engine, before its streams begin. Raises UsageError for what it does not do."""
        engine.use_motion(self.motion)
        engine.use_denoising(self.denoise)
