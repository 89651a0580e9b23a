"""The headlines of a report: each figure is that of the run."""

from __future__ import annotations

import numpy as np
import pytest
from report_data import header, result

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import Detections, FrameResult, RunSummary
from skipvid.report import Agreement, Comparison, SummaryBuilder
from skipvid.report.facts import headlines, run_line, times_of_phases


def run_of(frames: int = 8, keyframes: int = 2, gate_macs: int = 50, **ms: float) -> RunSummary:
    """Frames of a network of 1000 MACs that spend 200 and those of a learned gate."""
    cost = FrameCost.of([LayerCost("conv", "stem", "conv", 1000, 200, 100, 20, gate_macs)])
    builder = SummaryBuilder(header())
    for index in range(frames):
        builder.add(result(index, cost, keyframe=index < keyframes, **(ms or {"model": 10.0})))
    return builder.build(2.0)


def test_headlines_are_means_of_a_frame_with_ratios_the_right_way_up() -> None:
    lines = {name: (figure, text) for name, figure, text in headlines(run_of(), Comparison(40.0, Agreement(9, 1, 1, 0.9), 0.5))}
    assert lines["MACs saved"] == ("75.0%", "4.00x fewer: 250 of 1.00 k per frame")
    assert lines["Network"] == ("4.00x", "as fast as dense: 10.0 ms against 40.0 ms per frame")
    assert lines["Pipeline"] == ("4.0 fps", "8 frames in 2.0 s")
    assert lines["Agreement"][0] == "0.900" and "differ by 0.100" in lines["Agreement"][1]
    assert lines["Bound"][0] == "50.0%"
    assert lines["Keyframes"] == ("2", "of 8 frames (25.0%), computed in full and included")


@pytest.mark.parametrize("gate_macs", [800, 900])
def test_nothing_is_fewer_where_gates_cost_what_they_save(gate_macs: int) -> None:
    (_, figure, text), *_ = headlines(run_of(gate_macs=gate_macs), None)
    assert figure == ("0.0%" if gate_macs == 800 else "-10.0%") and "fewer" not in text


def test_without_a_dense_time_the_network_has_its_own() -> None:
    assert ("Network", "10.0 ms", "per frame (median)") in headlines(run_of(), None)


def test_phases_stand_in_the_order_of_the_pipeline() -> None:
    phases = [phase for phase, _ in times_of_phases(run_of(write=1.0, other=2.0, model=3.0, decode=4.0))]
    assert phases == ["decode", "model", "write", "other"]


def test_the_gate_is_named_with_its_threshold_and_its_blocks() -> None:
    assert "norm gate, threshold 0.03, blocks of 8" in run_line(SummaryBuilder(header(block=8)).build(1.0))
    assert "blocks" not in run_line(SummaryBuilder(header(block=1)).build(1.0))


def test_the_objects_of_all_frames_are_counted() -> None:
    builder = SummaryBuilder(header())
    for index, number in enumerate((2, 0, 3)):
        boxes = np.tile(np.array([[0, 0, 2, 2]], np.float32), (number, 1))
        found = Detections(boxes, np.full(number, 0.5, np.float32), np.ones(number, np.int64), ("person",) * number)
        one = result(index)
        builder.add(FrameResult(one.frame, found, False, one.ms))
    assert builder.build(1.0).detections == 5
