"""Gates that half precision leaves out: which ones, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from exported import graph_of
from torch import Tensor, nn
from torch.nn.functional import silu

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.base import GatedGraph
from skipvid.skip.gates.norm import place_norm_gates
from skipvid.skip.gates.passing import without_passing
from skipvid.skip.gates.smooth_norm import place_smooth_norm_gates

SHAPE = (1, 4, 6, 8)
PLACES = {"norm": place_norm_gates, "norm-smooth": place_smooth_norm_gates}


class Net(nn.Module):
    """first (3 × 3, 4 channels), second, third (3 × 3)."""

    def __init__(self, second: nn.Module, between: Callable[[Tensor], Tensor] = silu) -> None:
        super().__init__()
        self.first, self.second, self.between = nn.Conv2d(4, 4, 3, padding=1), second, between
        channels = second.out_channels if isinstance(second, nn.Conv2d) else 4
        self.third = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.third(self.between(self.second(silu(self.first(x)))))
        return result


def plain(x: Tensor) -> Tensor:
    return x


CASES = {
    "widens": (Net(nn.Conv2d(4, 8, 1), plain), True),
    "keeps the width, with an activation": (Net(nn.Conv2d(4, 4, 1)), True),
    "keeps the width, without one": (Net(nn.Conv2d(4, 4, 1), plain), False),
    "projects": (Net(nn.Conv2d(4, 3, 1)), False),
    "sees neighbours": (Net(nn.Conv2d(4, 8, 3, padding=1)), False),
    "leaves pixels out": (Net(nn.Conv2d(4, 8, 1, stride=2)), False),
    "in groups": (Net(nn.Conv2d(4, 8, 1, groups=2)), False),
}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", CASES)
def test_a_gate_is_left_out_behind_a_layer_that(name: str, kind: str) -> None:
    net, left_out = CASES[name]
    graph = graph_of(net.eval(), SHAPE)
    second = next(node.name for node in graph if node.layer == "second")
    gates = PLACES[kind](graph, 0.1)
    kept = without_passing(GatedGraph(graph, gates)).gates
    assert set(gates) - set(kept) == ({second} if left_out else set())
    assert all(kept[gate] is gates[gate] for gate in kept)


def test_a_gate_that_stands_behind_a_finer_one_or_another_kind_or_opens_in_blocks_stays() -> None:
    graph = graph_of(CASES["widens"][0].eval(), SHAPE)
    first, second = (next(node.name for node in graph if node.layer == name) for name in ("first", "second"))
    for gates in (
        place_norm_gates(graph, 0.1, thresholds={first: 0.05}),
        place_norm_gates(graph, 0.1, block=2),
        {second: place_norm_gates(graph, 0.1)[second]},
        {first: place_norm_gates(graph, 0.1)[first], second: place_smooth_norm_gates(graph, 0.1)[second]},
        {first: place_smooth_norm_gates(graph, 0.1)[first], second: place_norm_gates(graph, 0.1)[second]},
    ):
        assert without_passing(GatedGraph(graph, gates)).gates == gates


class Scaled(nn.Module):
    """A map, scaled by what its mean says, that `last` reads."""

    def __init__(self, last: nn.Module, between: Callable[[Tensor], Tensor] = plain, scales: int = 8, again: bool = False) -> None:
        super().__init__()
        self.first, self.squeeze, self.last = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, scales, 1), last
        self.between, self.again = between, again

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        wide = silu(self.first(x))
        scaled = self.between(wide * torch.sigmoid(self.squeeze(wide.mean((2, 3), keepdim=True))))
        return (self.last(scaled), scaled) if self.again else (self.last(scaled),)


SCALED = {
    "read by single pixels": (Scaled(nn.Conv2d(8, 3, 1)), True),
    "read by windows": (Scaled(nn.Conv2d(8, 3, 3, padding=1)), False),
    "read by some pixels": (Scaled(nn.Conv2d(8, 3, 1, stride=2)), False),
    "read in groups": (Scaled(nn.Conv2d(8, 4, 1, groups=2)), False),
    "activated": (Scaled(nn.Conv2d(8, 3, 1), torch.relu), False),
    "of one scale": (Scaled(nn.Conv2d(8, 3, 1), scales=1), False),
    "an output": (Scaled(nn.Conv2d(8, 3, 1), again=True), False),
}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", SCALED)
def test_a_gate_is_left_out_on_a_scaled_map_that_is(name: str, kind: str) -> None:
    net, left_out = SCALED[name]
    graph = graph_of(net.eval(), SHAPE)
    gates = PLACES[kind](graph, 0.1)
    scaled = {node.name for node in graph if node.op == "mul"}
    kept = without_passing(GatedGraph(graph, gates)).gates
    assert len(scaled) == 1 and (left_out or scaled <= set(kept) or not scaled <= set(gates))
    assert set(gates) - set(kept) == (scaled if left_out else set())


def test_a_gate_on_a_scaled_map_behind_a_finer_one_stays() -> None:
    graph = graph_of(SCALED["read by single pixels"][0].eval(), SHAPE)
    first = next(node.name for node in graph if node.layer == "first")
    gates = place_norm_gates(graph, 0.1, thresholds={first: 0.05})
    assert without_passing(GatedGraph(graph, gates)).gates == gates


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("kind", PLACES)
def test_half_precision_alone_leaves_them_out_and_at_threshold_zero_has_the_bits_of_a_dense_run(
    backend: str, precision: str, kind: str
) -> None:
    torch.manual_seed(1)
    net = CASES["widens"][0].eval()
    model, _ = convert(net, torch.zeros(SHAPE), SkipConfig(threshold=0, gate=kind, precision=precision, backend=backend, dense_above=1))
    session, frame = model.session(), torch.randn(SHAPE)
    plan = model.planned((SHAPE,)).plan
    assert ("second" in {plan.graph.by_name[name].layer for name in plan.gates}) == (precision == "f32")
    for _ in range(4):
        assert torch.equal(session(frame), model.dense(frame))
        frame = frame.clone()
        frame[:, :, 2:4, 3:5] += torch.randn(1, 4, 2, 2)
