import statistics
from functools import reduce
from operator import add

import numpy as np
import pytest
from report_data import cost, header, result

from skipvid.core.costs import FrameCost
from skipvid.report import Agreement, Comparison, SummaryBuilder, ThresholdRow
from skipvid.report.summary import Median, stage_costs, total_cost


@pytest.mark.parametrize("learned", [False, True])
def test_the_summary_is_the_sum_of_its_frames(learned: bool) -> None:
    costs = [cost(seed, learned=learned) for seed in range(13)]
    builder = SummaryBuilder(header())
    for index, frame_cost in enumerate(costs):
        builder.add(result(index, frame_cost, keyframe=index in (0, 7)))
    summary = builder.build(2.6, dropped=4, problems=["read 13 of about 20 frames"], interrupted=True)
    assert summary.cost == reduce(add, costs)
    assert (summary.frames, summary.keyframes, summary.dropped, summary.interrupted) == (13, 2, 4, True)
    assert summary.fps == pytest.approx(5.0)
    assert summary.problems == ("read 13 of about 20 frames",)


def test_sums_beyond_32_bits_stay_exact() -> None:
    one = cost(1)
    big = FrameCost.of(tuple(type(x)(x.name, x.stage, x.kind, 10**11 + 1, 10**11 - 1, x.outputs, x.active) for x in one.layers))
    builder = SummaryBuilder(header())
    for index in range(50):
        builder.add(result(index, big))
    summed = builder.build(1.0).cost
    assert summed is not None
    assert summed.layers[0].dense_macs == 50 * (10**11 + 1) and summed.layers[0].macs == 50 * (10**11 - 1)


def test_medians_are_those_of_each_phase_and_of_what_comes_after_the_engine() -> None:
    rng = np.random.default_rng(2)
    model, write = rng.exponential(20, 101), rng.exponential(5, 101)
    builder = SummaryBuilder(header())
    for index in range(101):
        builder.add(result(index, model=float(model[index])), {"write": float(write[index])})
    medians = builder.build(1.0).median_ms
    assert medians == {"model": pytest.approx(np.median(model)), "write": pytest.approx(np.median(write))}


def test_a_run_without_gates_has_no_cost_and_no_curve() -> None:
    builder = SummaryBuilder(header(gate="none"))
    builder.add(result(0))
    assert builder.build(1.0).cost is None
    assert builder.curve == ()


def test_an_empty_run_can_be_summed_up() -> None:
    summary = SummaryBuilder(header()).build(0.0)
    assert (summary.frames, summary.fps, summary.cost, dict(summary.median_ms)) == (0, 0.0, None, {})


def test_costs_of_several_networks_and_input_sizes_are_summed_by_name() -> None:
    builder = SummaryBuilder(header())
    frame_costs = [cost(1), cost(2).named("pose"), cost(3, layers=7), cost(4).named("detector") + cost(5).named("pose")]
    for index, frame_cost in enumerate(frame_costs):
        builder.add(result(index, frame_cost))
    summed = builder.build(1.0).cost
    assert summed is not None
    assert (summed.macs, summed.dense_macs) == (sum(each.macs for each in frame_costs), sum(each.dense_macs for each in frame_costs))
    assert summed.other_gate_ops == 5 * 77 and len({layer.name for layer in summed.layers}) == len(summed.layers) == 7 + 5 + 5


@pytest.mark.parametrize("capacity", [2, 7, 64])
def test_a_median_keeps_no_more_than_its_capacity(capacity: int) -> None:
    median = Median(capacity)
    for value in range(5000):
        median.add(float(value))
    assert len(median._kept) <= capacity + 1


@pytest.mark.parametrize("numbers", [1, 2, 63, 64])
def test_a_median_is_exact_up_to_its_capacity(numbers: int) -> None:
    values = np.random.default_rng(numbers).normal(size=numbers).tolist()
    median = Median(64)
    for value in values:
        median.add(value)
    assert median.value == statistics.median(values)


def test_a_median_of_many_numbers_weighs_the_whole_stream() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(10, 1, 30000), rng.normal(20, 1, 10000)])
    median = Median(1024)
    for value in values.tolist():
        median.add(value)
    assert median.value == pytest.approx(np.median(values), abs=0.15)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("frames", [1, 8, 9, 100, 1000])
def test_the_curve_is_short_and_its_stretches_add_up_to_the_run(frames: int, learned: bool) -> None:
    builder = SummaryBuilder(header(), curve_points=8)
    for index in range(frames):
        builder.add(result(index, cost(index, learned=learned), keyframe=index % 50 == 0))
    curve, summary = builder.curve, builder.build(1.0)
    assert 1 <= len(curve) <= 8
    assert sum(point.frames for point in curve) == frames
    assert sum(point.keyframes for point in curve) == summary.keyframes
    assert [point.frame for point in curve] == np.cumsum([0, *(point.frames for point in curve)])[:-1].tolist()
    mean = sum(point.saving * point.frames for point in curve) / frames
    assert summary.cost is not None and mean == pytest.approx(summary.cost.saving)


@pytest.mark.parametrize("learned", [False, True])
def test_a_short_curve_has_the_saving_of_each_frame(learned: bool) -> None:
    costs = [cost(seed, learned=learned) for seed in range(6)]
    builder = SummaryBuilder(header())
    for index, frame_cost in enumerate(costs):
        builder.add(result(index, frame_cost))
    assert [point.saving for point in builder.curve] == pytest.approx([c.saving for c in costs])


def test_stages_keep_their_order_and_add_up_to_the_total() -> None:
    frame_cost = cost(3, layers=9, learned=True)
    stages, total = stage_costs(frame_cost), total_cost(frame_cost)
    assert [stage.name for stage in stages] == ["stem", "body", "head", "other gates"]
    assert total.macs + total.gate_macs == frame_cost.macs and total.dense_macs == frame_cost.dense_macs
    assert total.gate_ops == frame_cost.gate_ops and total.skip_ratio == pytest.approx(frame_cost.skip_ratio)
    for field in ("dense_macs", "macs", "gate_macs", "gate_ops", "outputs", "active"):
        assert sum(getattr(stage, field) for stage in stages) == getattr(total, field)


def test_a_row_of_a_sweep_takes_its_numbers_from_the_run() -> None:
    builder = SummaryBuilder(header(threshold=0.05))
    builder.add(result(0, cost(0), model=12.0))
    summary = builder.build(1.0)
    row = ThresholdRow.of(summary, Comparison(30.0, Agreement(9, 1, 1)))
    assert summary.cost is not None
    assert row == ThresholdRow(0.05, summary.cost.saving, summary.cost.skip_ratio, 12.0, 30.0, 0.9)
    assert row.speedup == pytest.approx(2.5)


def test_a_run_without_gates_is_no_row_of_a_sweep() -> None:
    with pytest.raises(ValueError, match="without gates"):
        ThresholdRow.of(SummaryBuilder(header()).build(1.0), Comparison(30.0))
