"""Costs of frames, persons, input sizes and networks add up by network and layer name."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.core.costs import COUNTS, CostTable, FrameCost, LayerCost


def cost(*macs: int, dense: int = 100, other: int = 0, first: int = 0) -> FrameCost:
    """Layers layer0, layer1, ... (from `first` on), two to a stage."""
    rows = [
        LayerCost(f"layer{i}", f"stage{i // 2}", "conv", dense, value, 50, value // 2, gate_macs=i, gate_ops=3)
        for i, value in enumerate(macs, first)
    ]
    return FrameCost.of(rows, other)


def names(of: FrameCost) -> list[str]:
    return [layer.name for layer in of.layers]


def test_properties_are_sums_over_the_layers() -> None:
    own = cost(40, 60, 0, other=5)
    assert own.dense_macs == 300 and own.macs == 40 + 60 + 0 + 1 + 2 and own.gate_ops == 3 * 3 + 5
    assert own.skip_ratio == pytest.approx(1 - 50 / 150) and own.saving == pytest.approx(1 - 103 / 300)
    assert own.layers[1] == LayerCost("layer1", "stage0", "conv", 100, 60, 50, 30, 1, 3)
    assert own.layers[1].skip_ratio == pytest.approx(0.4) and own.layers[1].saving == pytest.approx(0.39)


def test_a_cost_without_layers_or_macs_has_no_ratios() -> None:
    for own in (FrameCost.of(()), FrameCost.nothing(cost(1, 2).table)):
        assert (own.macs, own.dense_macs, own.skip_ratio, own.saving) == (0, 0, 0.0, 0.0)


def test_frames_of_one_network_share_their_table() -> None:
    first = cost(10, 20)
    second = FrameCost(first.table, first.counts * 2, 1)
    both = first + second
    assert both.table is first.table and (both.macs, both.other_gate_ops) == (3 * first.macs, 1)
    assert first.layers[0].macs == 10  # a sum leaves its terms as they are


def test_persons_are_summed_and_networks_listed_one_after_the_other() -> None:
    detector, persons = cost(40, 60, other=5), [cost(10), cost(20), cost(30)]
    pose = sum(persons, start=FrameCost.nothing(persons[0].table))
    joined = detector.named("detector") + pose.named("pose")
    assert [(layer.name, layer.stage) for layer in joined.layers] == [
        ("detector.layer0", "detector.stage0"),
        ("detector.layer1", "detector.stage0"),
        ("pose.layer0", "pose.stage0"),
    ]
    assert (joined.macs, joined.dense_macs, joined.gate_ops) == (161, 500, 3 * 5 + 5)
    assert joined.layers[2].macs == 60 and joined.layers[2].dense_macs == 300


def test_networks_with_the_same_layer_names_stay_apart_where_they_are_named() -> None:
    joined = cost(1, 2).named("a") + cost(3, 4).named("b") + cost(5, 6)
    assert names(joined) == ["a.layer0", "a.layer1", "b.layer0", "b.layer1", "layer0", "layer1"]
    assert [layer.macs for layer in joined.layers] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("small_first", [True, False])
def test_input_sizes_of_one_network_share_the_layers_of_the_same_name(small_first: bool) -> None:
    small, large = cost(10, 20), cost(1, 2, 3, dense=400, first=1)  # layer1 is in both
    first, second = (small, large) if small_first else (large, small)
    both = first + second
    assert sorted(names(both)) == ["layer0", "layer1", "layer2", "layer3"] and names(both)[: len(first.layers)] == names(first)
    shared = next(layer for layer in both.layers if layer.name == "layer1")
    assert (shared.macs, shared.dense_macs, shared.outputs) == (21, 500, 100)
    assert both.macs == small.macs + large.macs and both.dense_macs == small.dense_macs + large.dense_macs


def test_a_frame_in_which_a_network_did_not_run_adds_up_with_one_in_which_it_did() -> None:
    full, half = cost(40).named("detector") + cost(10).named("pose"), cost(30).named("pose")
    assert (full + half).macs == (half + full).macs == 80
    assert names(full + half) == names(full) and names(half + full) == ["pose.layer0", "detector.layer0"]


def test_stages_are_summed_in_the_order_in_which_they_begin() -> None:
    own = cost(1, 2, 3, 4).named("b") + cost(5).named("a")
    assert [(stage.name, stage.macs, stage.outputs) for stage in own.by_stage] == [
        ("b.stage0", 3, 100),
        ("b.stage1", 7, 100),
        ("a.stage0", 5, 50),
    ]


def test_sums_beyond_32_bits_stay_exact() -> None:
    big = FrameCost.of([LayerCost("a", "a", "conv", 10**11 + 1, 10**11 - 1, 1, 1)])
    total = sum([big] * 49, start=big)
    assert (total.dense_macs, total.macs) == (50 * (10**11 + 1), 50 * (10**11 - 1))


@pytest.mark.parametrize(
    ("table", "counts"),
    [
        (CostTable.of(["a"], ["a"], ["conv"]), np.zeros((2, len(COUNTS)), np.int64)),
        (CostTable.of(["a"], ["a"], ["conv"]), np.zeros((1, len(COUNTS)), np.float64)),
    ],
)
def test_counts_that_are_not_those_of_the_table_are_refused(table: CostTable, counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="counts must be"):
        FrameCost(table, counts)


def test_tables_with_two_layers_of_one_name_or_with_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="the same name"):
        CostTable.of(["a", "a"], ["a", "a"], ["conv", "conv"])
    with pytest.raises(ValueError, match="as many as"):
        CostTable.of(["a"], [], ["conv"])
    with pytest.raises(ValueError, match="2 networks"):
        (cost(1).named("a") + cost(1).named("b")).named("c")
