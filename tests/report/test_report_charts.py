"""The charts' lines and bars are as long as the numbers that they stand for."""

import re

import pytest

from skipvid.core.costs import LayerCost
from skipvid.report.charts import layer_chart, saving_chart
from skipvid.report.summary import CurvePoint


def points_of(svg: str, kind: str) -> list[tuple[float, float]]:
    (points,) = re.findall(rf'<{kind} class="\w+" points="([^"]+)"', svg)
    return [(float(x), float(y)) for x, y in (point.split(",") for point in points.split())]


def test_a_line_of_savings_stays_in_the_picture_where_gates_cost_more_than_they_save() -> None:
    svg = saving_chart([CurvePoint(frame, 1, saving, 0) for frame, saving in enumerate((1.0, 0.0, -0.5, 0.5))])
    heights = [y for _, y in points_of(svg, "polyline")]
    top, bottom = min(heights), max(heights)
    assert heights.index(top) == 0 and heights.index(bottom) == 2 and bottom <= 192
    assert [(bottom - y) / (bottom - top) for y in heights] == pytest.approx([1.0, 1 / 3, 0.0, 2 / 3], abs=0.01)


def test_a_layers_bar_of_spent_work_holds_its_learned_gate() -> None:
    layers = [LayerCost("plain", "s", "conv", 1000, 400, 10, 4), LayerCost("gated", "s", "conv", 1000, 400, 10, 4, gate_macs=200)]
    bars = re.findall(r'<rect class="(\w+)"[^>]* height="([\d.]+)"', layer_chart(layers, 1))
    full = float(bars[0][1])
    assert [(kind, float(height) / full) for kind, height in bars] == [
        ("dense", 1.0),
        ("spent", pytest.approx(0.4, abs=0.001)),
        ("dense", 1.0),
        ("spent", pytest.approx(0.6, abs=0.001)),
    ]
