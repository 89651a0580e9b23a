"""What limits the command, and what the gates bring to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_data import cost, header, result

from skipvid.core.results import RunSummary
from skipvid.report import SummaryBuilder
from skipvid.report.facts import headlines
from skipvid.report.limits import fps_without_gates, limit, pipeline_text
from skipvid.report.summary import Comparison


def run(busy: dict[str, float], cpu: float = 0.0, **ms: float) -> RunSummary:
    """100 frames in 2 s, 20 ms each."""
    builder = SummaryBuilder(header())
    for number in range(100):
        builder.add(result(number, cost(number), **ms))
    return replace(builder.build(2.0), busy=busy, cpu_seconds=cpu)


@pytest.mark.parametrize(
    ("busy", "ms", "stage"),
    [
        ({"decode": 0.9, "network": 0.5, "output": 0.1}, {"write": 1.0}, "decoding"),
        ({"decode": 0.2, "network": 0.99, "output": 0.1}, {"write": 1.0}, "the network"),
        ({"decode": 0.2, "network": 0.5, "draw": 0.4, "output": 0.9}, {"draw": 2.0, "write": 9.0}, "encoding"),
        ({"decode": 0.2, "network": 0.5, "draw": 0.9, "output": 0.4}, {"draw": 9.0, "write": 2.0}, "drawing"),
        ({"decode": 0.2, "network": 0.5, "output": 0.9}, {"write": 2.0}, "writing"),
    ],
)
def test_the_stage_that_waits_least_limits_the_command(busy: dict[str, float], ms: dict[str, float], stage: str) -> None:
    summary = run(busy, **ms)
    assert limit(summary) == stage
    text = " ".join(" ".join(line) for line in headlines(summary, None))
    assert f"limited by {stage}, busy {100 * max(busy.values()):.1f}% of the time" in text


def test_without_gates_the_networks_stage_takes_longer_by_the_difference() -> None:
    # 20 ms a frame, all of them the network's; with the dense network 30 ms more.
    summary = run({"decode": 0.1, "network": 1.0, "output": 0.1}, model=15.0, dense_model=45.0)
    assert fps_without_gates(summary, None) == pytest.approx(1000 / 50)
    assert "about 20.0 fps without gates" in pipeline_text(summary, None)


def test_where_the_network_has_time_left_gates_bring_nothing() -> None:
    summary = run({"decode": 0.1, "network": 0.25, "output": 1.0}, model=5.0, dense_model=15.0, draw=5.0, write=15.0)
    assert fps_without_gates(summary, None) == pytest.approx(50.0)
    assert "about as fast without gates" in pipeline_text(summary, None)


def test_the_processor_may_set_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.report.limits.usable_cores", lambda: 2)
    # Two cores, 38 of 40 ms busy in each frame; 10 ms more make 48.
    summary = run({"decode": 0.1, "network": 0.25, "output": 0.9}, 3.8, model=5.0, dense_model=15.0)
    assert fps_without_gates(summary, None) == pytest.approx(1000 / 24)


def test_nothing_is_claimed_where_nothing_was_measured() -> None:
    assert limit(run({})) is None and pipeline_text(run({}), None) == ""
    busy = {"decode": 0.1, "network": 1.0, "output": 0.1}
    assert fps_without_gates(run(busy, model=5.0), None) is None
    # The report's own pace is that of both networks together.
    assert fps_without_gates(run(busy, model=5.0, dense_model=15.0), Comparison(15.0)) is None
