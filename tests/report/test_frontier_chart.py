"""The chart of a calibration: whatever there is to draw, it stays inside, and labels keep apart."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from skipvid.report.frontier_chart import ChartPoint, frontier_chart

WIDTH, HEIGHT = 960, 300
SEVEN = [ChartPoint(1.5 + number, 0.3 * number**2, 0.3 * number**2 - 1, 0.3 * number**2 + 2, 0.8 * number**2) for number in range(7)]
UNKNOWN = ChartPoint(2.0, 0.4, -math.inf, math.inf, 0.7)
NO_NUMBER = ChartPoint(2.0, math.nan, math.nan, math.nan, math.nan)


def texts(chart: str) -> list[tuple[float, float, str]]:
    return [(float(x), float(y), text) for x, y, text in re.findall(r'<text x="([-\d.]+)" y="([-\d.]+)"[^>]*>([^<]*)</text>', chart)]


@pytest.mark.parametrize(
    ("points", "limit"),
    [
        (SEVEN, 0.5),
        (SEVEN, None),
        ([UNKNOWN], 0.5),
        ([UNKNOWN, UNKNOWN], None),
        ([UNKNOWN] * 7, 0.4),
        ([ChartPoint(12.0, 0.0, -math.inf, math.inf, 0.0)] * 7, 30.0),
        ([ChartPoint(0.9, -3.0, -8.0, 1.0, 3.0), *SEVEN], 100.0),
        ([*SEVEN, ChartPoint(150.0, 60.0, 40.0, 80.0, 90.0)], 0.1),
    ],
)
def test_all_of_it_lies_inside_and_no_labels_meet(points: list[ChartPoint], limit: float | None) -> None:
    chart = frontier_chart(points, 0, limit, "AP50")
    assert "nan" not in chart and "inf" not in chart
    assert chart.count('class="level"') == len(points) and chart.count('class="spent"') == 1 and chart.count('class="most"') == len(points)
    for x, y in re.findall(r'c?x="([-\d.]+)" c?y="([-\d.]+)"', chart):
        assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT
    for one, other in itertools.combinations(texts(chart), 2):
        assert abs(one[1] - other[1]) >= 12 or abs(one[0] - other[0]) >= 40, (one, other)
    assert ("goal" in chart) == (limit is not None)
    assert {"points of AP50 lost", "times fewer MACs", "0"} <= {text for _, _, text in texts(chart)}


def test_half_a_point_is_seen_beside_fifty() -> None:
    chart = frontier_chart([UNKNOWN, ChartPoint(4.0, 50.0, 40.0, 60.0, 70.0)], 0, 0.5, "AP50")
    at = {text: y for _, y, text in texts(chart)}
    assert at["goal 0.5"] - at["0"] > 14


def test_what_is_no_number_is_left_out() -> None:
    chart = frontier_chart([UNKNOWN, NO_NUMBER], 1, None, "AP50")
    assert chart.count("<circle") == 1 and "nan" not in chart


def test_ranges_are_drawn_where_they_are_known() -> None:
    assert frontier_chart(SEVEN, 2, None, "AP50").count('class="range"') == 7
    assert 'class="range"' not in frontier_chart([UNKNOWN], 0, None, "AP50")
