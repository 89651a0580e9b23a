"""Lines and zones at which something is counted, with their totals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skipvid.core.results import Count
from skipvid.video.draw.canvas import Canvas, Rect, grid_lines
from skipvid.video.draw.text import DARK, LIGHT, Scale, put_plate


def draw_counts(image: Canvas, counts: Sequence[Count]) -> list[Rect]:
    """Draw each line or zone with a plate of its totals at its first point, in place. Returns where the plates are."""
    scale = Scale.of(image)
    plates = []
    for count in counts:
        closed = len(count.points) > 2
        ends = np.stack([count.points, np.roll(count.points, -1, 0)], 1)[: None if closed else 1]
        grid_lines(image, ends.astype(np.int32), DARK, scale.line + 2)
        grid_lines(image, ends.astype(np.int32), LIGHT, scale.line)
        text = ", ".join(f"{number} {kind}" for kind, number in count.totals.items())
        inside = "" if count.inside is None else f", {count.inside} inside"
        left, top = (int(value) for value in count.points[0])
        plates.append(put_plate(image, f"{count.name}: {text}{inside}", left, top, scale.text, scale.pad, DARK, 0.72))
    return plates
