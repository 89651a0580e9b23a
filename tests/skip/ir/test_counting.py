"""MACs against hand counts and torch's own counter; names and stages of the layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from exported import graph_of
from function_network import Net
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skipvid.skip.conversion import describe
from skipvid.skip.cost_model import executed_macs
from skipvid.skip.gates.base import GatedGraph
from skipvid.skip.gates.norm import place_norm_gates
from skipvid.skip.ir.stages import MOST_STAGES, assign_stages
from skipvid.skip.plan import Plan, make_plan
from skipvid.skip.reference.executor import ReferenceProgram


def plan_of(net: nn.Module, *shapes: tuple[int, ...]) -> Plan:
    graph = graph_of(net, *shapes)
    return make_plan(GatedGraph(graph, place_norm_gates(graph, 0.1)))


HAND_COUNTS: dict[str, tuple[nn.Module, tuple[int, ...], int, str]] = {
    # network, input shape, MACs counted by hand, kind of the layer
    "3x3": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 10 * 12 * 8 * 3 * 9, "conv"),
    "stride 2, odd size": (nn.Conv2d(3, 8, 3, 2, 1), (1, 3, 11, 13), 6 * 7 * 8 * 3 * 9, "conv"),
    "1x1": (nn.Conv2d(16, 4, 1), (1, 16, 5, 5), 25 * 16 * 4, "conv"),
    "depthwise": (nn.Conv2d(16, 16, 5, padding=2, groups=16), (1, 16, 6, 6), 36 * 16 * 25, "depthwise"),
    "depthwise with two outputs a channel": (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 5, 5), 9 * 8 * 9, "conv"),
    "groups": (nn.Conv2d(8, 12, 3, groups=4), (1, 8, 5, 5), 9 * 12 * 2 * 9, "conv"),
    "dilation": (nn.Conv2d(2, 2, (1, 3), dilation=2), (1, 2, 4, 6), 4 * 2 * 2 * 2 * 3, "conv"),
    "transposed": (nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, 2), (1, 6, 5, 4), 5 * 4 * 6 * 2 * 9, "conv_transpose"),
    "linear": (nn.Linear(7, 3), (1, 7), 21, "linear"),
    "tokens": (nn.Linear(7, 3), (1, 5, 7), 5 * 21, "linear"),
    "one channel": (nn.Conv2d(1, 1, 3), (1, 1, 3, 3), 9, "conv"),
}


@pytest.mark.parametrize("name", HAND_COUNTS)
def test_dense_macs_are_those_counted_by_hand_and_by_torch(name: str) -> None:
    net, shape, macs, kind = HAND_COUNTS[name]
    plan = plan_of(net, shape)
    assert [(layer.dense_macs, layer.kind) for layer in plan.layers] == [(macs, kind)]
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(shape))
    assert counter.get_total_flops() == 2 * macs


def test_attention_counts_both_of_its_products() -> None:
    def attend(m: Any, x: Tensor) -> Tensor:
        q, k = x.flatten(2).view(1, 2, 4, -1).transpose(2, 3), m.keys(x).flatten(2).view(1, 2, 4, -1).transpose(2, 3)
        return nn.functional.scaled_dot_product_attention(q, k, k)

    plan = plan_of(Net(attend, keys=nn.Conv2d(8, 8, 2, 2)), (1, 8, 6, 4))
    assert [layer.dense_macs for layer in plan.layers] == [6 * 8 * 8 * 4, 24 * 6 * (4 + 4) * 2]


def test_matrix_products_between_maps_are_counted() -> None:
    def attend(m: Any, x: Tensor) -> Tensor:
        tokens = x.flatten(2)
        return (tokens.transpose(1, 2) @ tokens).softmax(-1)

    plan = plan_of(Net(attend), (1, 6, 4, 5))
    assert plan.dense_macs == 20 * 20 * 6
    report = describe(plan, ReferenceProgram(plan))
    assert len(report.dense) == 4 and "dense: " in str(report) and report.share("dense") == 1


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 1000))
def test_executed_macs_are_proportional_and_exact_at_both_ends(active: int, outputs: int, per_pixel: int) -> None:
    active = min(active, outputs)
    assert executed_macs(per_pixel * outputs, active, outputs) == per_pixel * active
    assert abs(executed_macs(per_pixel, active, outputs) - per_pixel * active / outputs) <= 0.5
    assert executed_macs(per_pixel, outputs, outputs) == per_pixel


def test_layers_are_named_after_their_parameters_and_told_apart() -> None:
    def forward(m: Any, x: Tensor) -> list[Tensor]:
        levels = [x, x[:, :, ::2, ::2], x[:, :, 1::2, ::2]]
        return [m.head(m.body[0](level)) for level in levels] + [torch.nn.functional.conv2d(x, m.weight * 2)]

    net = Net(
        forward, body=nn.ModuleList([nn.Conv2d(2, 2, 1)]), head=nn.Conv2d(2, 2, 3, padding=1), weight=nn.Parameter(torch.rand(2, 2, 1, 1))
    )
    names = [layer.name for layer in plan_of(net, (1, 2, 8, 8)).layers]
    assert len(set(names)) == len(names) == 7
    assert names[:6] == ["body.0@8x8", "head@8x8", "body.0@4x4", "head@4x4", "body.0@4x4#2", "head@4x4#2"]


def test_gate_work_is_reported_with_the_layer_that_computes_the_map() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    plan = plan_of(net, (1, 2, 8, 8))
    assert plan.other_gates == tuple(node.name for node in plan.graph.inputs)
    owners = [[plan.graph.by_name[gate].op for gate in layer.gates] for layer in plan.layers]
    assert owners == [["max_pool"], ["conv"], []]
    assert {*plan.other_gates, *(gate for layer in plan.layers for gate in layer.gates)} == set(plan.gates)


names = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "conv", "0", "1", "2"]), min_size=1, max_size=5).map(".".join), max_size=60, unique=True
)


@given(names, st.integers(0, 5))
def test_stages_are_few_and_each_a_prefix_of_its_layers(layers: list[str], seed: int) -> None:
    macs = {f"{name}@{seed}x{seed}" if position % 3 == seed else name: position * 7 % 11 for position, name in enumerate(layers)}
    stages = assign_stages(macs)
    assert list(sorted(stages)) == sorted(macs)
    assert len(set(stages.values())) <= MOST_STAGES
    for name, stage in stages.items():
        assert stage == "network" or f"{name.split('@')[0]}.".startswith(f"{stage}.")


def test_stages_split_the_expensive_parts_of_a_detector() -> None:
    macs = {f"backbone.blocks.{i}.{j}.conv": 100 for i in range(7) for j in range(3)}
    macs |= {f"fpn.cell.{i}.conv": 20 for i in range(3)} | {"class_net.head@8x8": 50, "class_net.head@4x4": 12, "box_net.head": 30}
    stages = assign_stages(macs)
    assert stages["backbone.blocks.3.1.conv"] == "backbone.blocks.3"
    assert stages["class_net.head@4x4"] == stages["class_net.head@8x8"]
    order = [stage.split(".")[2] for stage in dict.fromkeys(stages.values()) if stage.startswith("backbone")]
    assert order == sorted(order)  # the network's


def test_stages_of_no_layers_and_of_one() -> None:
    assert assign_stages({}) == {}
    assert assign_stages({"conv": 1}) == {"conv": "conv"}
