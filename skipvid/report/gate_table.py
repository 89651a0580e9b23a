"""The table of which gates let what through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipvid.report.units import percent

if TYPE_CHECKING:
    from skipvid.video.draw.gate_maps import GateShare


NAME = 40
"""Characters of a layer's name, from its end, where layers differ."""


def render_gates(shares: Sequence[GateShare], *, console: Console) -> None:
    """Print, for each layer, the share of its outputs that were computed inside and outside of the boxes of what was found."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title="Outputs computed, by layer; keyframes left out",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("Layer", no_wrap=True)
    for heading in ("Inside boxes", "Elsewhere", "Ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for share in shares:
        table.add_row(Text(share.layer[-NAME:]), _share(share.foreground), _share(share.background), _ratio(share))
    console.print(table)
    console.print()


def _share(value: float) -> str:
    return "-" if math.isnan(value) else percent(value)


def _ratio(share: GateShare) -> str:
    ratio = share.foreground / share.background if share.background else math.nan
    return "-" if math.isnan(ratio) else f"{ratio:.1f}x"
