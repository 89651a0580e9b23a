"""The rule of each kind of gate by itself: exactly which changes open it, in which unit, at which cost."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from exported import graph_of
from torch import Tensor, nn

from skipvid.skip.gates.base import GateState
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.output_norm import OutputNormGate
from skipvid.skip.gates.placement import block_on, gated_maps
from skipvid.skip.gates.previous import PreviousFrameGate

NAN = float("nan")


def pixels(*values: tuple[float, float]) -> Tensor:
    """A map of two channels in one row: (1, 2, 1, W)."""
    return torch.tensor(values).T.reshape(1, 2, 1, -1)


def layer_gate(kind: type[OutputNormGate] = OutputNormGate, threshold: float = 0.5, p: float = 1.0, **conv: int) -> OutputNormGate:
    """A gate on a convolution of two channels to one whose weights are all 1 and whose bias is 10."""
    net = nn.Conv2d(2, 1, **{"kernel_size": 1, **conv})
    nn.init.ones_(net.weight)
    nn.init.constant_(net.bias, 10.0)  # type: ignore[arg-type]
    node = graph_of(net, (1, 2, 1, 4)).by_name["conv2d"]
    return kind(node, 2, threshold, p)


def test_a_norm_gate_opens_strictly_above_the_threshold_in_mean_over_channels() -> None:
    gate = NormGate("map", 0.5)
    new = pixels((1.0, 1.0), (2.0, 0.0), (1.0, -1.25), (0.5, 0.5))
    assert gate.opened(new, torch.zeros_like(new), 2.0).flatten().tolist() == [False, False, True, False]


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_a_value_that_is_no_number_opens_a_norm_gate_on_either_side_of_the_change(bad: float) -> None:
    gate, still = NormGate("map", 0.5), pixels((1.0, 1.0), (1.0, 1.0))
    spoilt = pixels((bad, 1.0), (1.0, 1.0))
    assert gate.opened(spoilt, still, 2.0).flatten().tolist() == [True, False]
    assert gate.opened(still, spoilt, 2.0).flatten().tolist() == [True, False]


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_the_smallest_change_opens_a_norm_gate_of_threshold_zero_and_no_change_opens_none(threshold: float) -> None:
    gate, still = NormGate("map", threshold), pixels((1.0, 1.0), (0.0, 0.0))
    moved = still + pixels((0.0, 0.0), (1e-45, 0.0))
    assert gate.opened(moved, still, 1.0).flatten().tolist() == [False, threshold == 0]


def test_a_vector_is_judged_as_one_pixel_by_the_mean_of_all_its_values() -> None:
    gate = NormGate("vector", 0.5)
    assert not gate.opened(torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.zeros(1, 4), 1.0).any()
    opened = gate.opened(torch.tensor([[1.0, 1.0, 0.25, 0.0]]), torch.zeros(1, 4), 1.0)
    assert opened.shape == (1, 1, 1, 1) and bool(opened)


@pytest.mark.parametrize(("value", "unit"), [(2.0, 2.0), (NAN, 0.0), (math.inf, 0.0)])
def test_the_unit_of_a_norm_gate_is_the_mean_magnitude_and_zero_where_that_is_no_number(value: float, unit: float) -> None:
    assert NormGate("map", 0.5).unit(torch.tensor([[[[value, -2.0]]]])) == unit
    assert NormGate("map", 0.5, scale=3.0).unit(torch.full((1, 1, 1, 2), value)) == 3.0


@pytest.mark.parametrize("magnitude", [True, False])
def test_a_learned_gate_opens_from_a_logit_of_zero_on(magnitude: bool) -> None:
    gate = LearnedGate(torch.tensor([1.0, 2.0]), -2.0, magnitude)
    change = pixels((0.0, 1.0), (1.75, 0.0), (-2.0, 0.0), (NAN, 0.0))
    opened = gate.opened(change + 1, torch.ones_like(change), 1.0)
    assert opened.flatten().tolist() == [True, False, magnitude, True]


def test_an_output_gate_adds_up_what_it_skips_until_it_opens_and_then_begins_anew() -> None:
    gate = layer_gate()  # one output: (|a| + |b|) · 1 must exceed 0.5 · 2 · scale
    state = gate.start(torch.full((1, 1, 1, 4), 12.0), torch.ones(1, 2, 1, 4))
    assert state.scale == 2.0  # without the bias
    limit, step = gate.limit(state.scale), pixels((0.5, 0.0), (0.25, -0.25), (0.0, 0.0), (0.0, 0.0))
    frames_to_open = math.floor(limit / 0.5) + 1
    for frame in range(1, 2 * frames_to_open + 1):
        opened = gate.opened(state, step).flatten().tolist()
        assert opened == [frame % frames_to_open == 0] * 2 + [False] * 2, f"frame {frame}"


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_the_smallest_change_opens_an_output_gate_of_threshold_zero_whatever_its_norm(p: float) -> None:
    gate = layer_gate(threshold=0.0, p=p)
    state = gate.start(torch.ones(1, 1, 1, 4), torch.ones(1, 2, 1, 4))
    change = pixels((1e-30, 0.0), (0.0, 0.0), (NAN, 0.0), (math.inf, 0.0))  # its square is 0 in float32
    assert gate.opened(state, change).flatten().tolist() == [True, False, True, True]


def test_paper_mode_has_the_bias_once_and_forgets_what_it_skips() -> None:
    gate = layer_gate(PreviousFrameGate)
    source = pixels((1.0, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0))
    state: GateState = gate.start(torch.tensor([[[[12.0, 12.0, 10.0, 10.0]]]]), source)
    change = pixels((0.5, 0.0), (3.0, 1.0), (0.0, 0.0), (0.0, 0.0))
    opened = torch.tensor([False, True, True, False]).view(1, 1, 1, 4)
    result = gate.outputs(state, opened, source + change, change)
    assert result.flatten().tolist() == [12.0, 16.0, 10.0, 10.0]
    assert gate.outputs(state, ~opened, source + change, torch.zeros_like(change)).flatten().tolist() == [12.0, 16.0, 10.0, 10.0]


def test_what_a_gate_costs_for_one_pixel() -> None:
    assert (NormGate("map", 0.1).macs(8), NormGate("map", 0.1).operations(8)) == (0, 8 * 3 + 1)
    learned = LearnedGate(torch.ones(8), 0.0)
    assert (learned.macs(8), learned.operations(8)) == (8, 8 * 2 + 1)
    output = layer_gate(kernel_size=3, padding=1)
    assert (output.change_operations(), output.operations()) == (2 * 3 + 1, 9 + 1)


def test_blocks_are_for_maps_and_not_for_single_pixels() -> None:
    node = graph_of(nn.Conv2d(2, 2, 1), (1, 2, 4, 4)).by_name["conv2d"]
    assert block_on(node, 8) == 8 and block_on(replace(node, shape=(1, 2, 1, 1)), 8) == 1


def test_gates_stand_before_what_only_moves_values() -> None:
    """A concatenation of a concatenation is looked through, down to the maps that something computes."""

    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(2, 2, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            inner = torch.cat([self.first(x).relu(), x], 1)
            result: Tensor = self.last(torch.cat([inner, inner], 1))
            return result

    graph = graph_of(Nested(), (1, 2, 4, 4))
    assert {graph.by_name[name].op for name in gated_maps(graph)} == {"input", "conv"}
