"""Where gates go: in front of every weighted layer, once, behind nothing that only moves values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.skip.gates.norm import NormGate, place_norm_gates

SHAPE = (1, 4, 8, 6)


def conv(inputs: int = 4, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, 4, 3, padding=1, **options)


def squeeze(m: Any, x: Tensor) -> Tensor:
    y = m.first(x)
    return y * m.point(y.mean((2, 3), keepdim=True)).sigmoid()


def moved(m: Any, x: Tensor) -> Tensor:
    y, z = m.first(x), m.second(x)
    joined = torch.cat([y, functional.interpolate(z[:, :, ::1][:, 1:3], scale_factor=1.0)], 1)
    return m.wide(functional.pad(joined, (1, 1), value=1.0))


def read_by_many(m: Any, x: Tensor) -> Tensor:
    y = m.first(x)
    return m.second(y) + m.third(y) + m.third(y)


CASES: dict[str, tuple[Callable[[Any, Tensor], Any], list[str]]] = {
    # the operations whose results are gated, in order
    "input of the first convolution": (lambda m, x: m.first(x), ["input"]),
    "nothing behind the last convolution": (lambda m, x: m.second(m.first(x)), ["input", "first"]),
    "the result of the activation, not of the convolution": (lambda m, x: m.second(m.first(x).relu()), ["input", "first"]),
    "a sum, not its terms": (lambda m, x: m.second(m.first(x) + x), ["input", "add"]),
    "terms that are read by convolutions too": (lambda m, x: m.second(m.second(x) + x), ["input", "add"]),
    "through concat, slice, pad and nearest resize": (moved, ["input", "first", "second"]),
    "the concatenated input once": (lambda m, x: m.wide(torch.cat([x, x[:, :2]], 1)), ["input"]),
    "a map that many read, once": (read_by_many, ["input", "first"]),
    "not through bilinear resize": (
        lambda m, x: m.second(functional.interpolate(m.first(x), scale_factor=2, mode="bilinear")),
        ["input", "resize"],
    ),
    "not through pools": (lambda m, x: m.second(functional.max_pool2d(m.first(x), 2)), ["input", "max_pool"]),
    "squeeze and excite: the map, its mean and the vector that scales it": (squeeze, ["input", "first", "global_mean", "point"]),
    "a linear layer": (lambda m, x: m.linear(functional.adaptive_avg_pool2d(m.first(x), 1).flatten(1)), ["input", "first", "global_mean"]),
    "through a flip": (lambda m, x: m.second(m.first(x).flip(3)), ["input", "first"]),
    "a dense operation": (lambda m, x: m.second(m.first(x).cumsum(3)), ["input", "aten"]),
    "a network without weights": (lambda m, x: functional.max_pool2d(x, 2) + 1, []),
    "no part of a map that is broadcast": (lambda m, x: m.first(x) + x[0], ["input"]),
}


@pytest.mark.parametrize("name", CASES)
def test_gates_are_placed_on(name: str) -> None:
    function, expected = CASES[name]
    members = {"first": conv(), "second": conv(), "third": conv(), "wide": conv(6), "point": nn.Conv2d(4, 4, 1), "linear": nn.Linear(4, 2)}
    graph = graph_of(Net(function, **members), SHAPE)
    gates = place_norm_gates(graph, 0.1)
    assert [graph.by_name[gate].layer or graph.by_name[gate].op for gate in gates] == expected


def test_thresholds_scales_and_blocks_reach_their_maps() -> None:
    graph = graph_of(Net(squeeze, first=conv(), point=nn.Conv2d(4, 4, 1)), SHAPE)
    first = next(node.name for node in graph if node.layer == "first")
    gates = place_norm_gates(graph, 0.1, 8, {first: 0.5}, {first: 2.0})
    assert gates[first] == NormGate(first, 0.5, 2.0, 8)
    for name, gate in gates.items():
        size = graph.by_name[name].size
        assert gate.block == (1 if size == (1, 1) else 8)  # a vector has no blocks
        assert name == first or (gate.threshold, gate.scale) == (0.1, None)


@pytest.mark.parametrize("given", [{"thresholds": {"conv2d_99": 0.1}}, {"scales": {"conv2d": 0.1}}])
def test_values_for_maps_that_are_not_gated_are_refused(given: dict[str, dict[str, float]]) -> None:
    graph = graph_of(Net(lambda m, x: m.first(x), first=conv()), SHAPE)
    with pytest.raises(UsageError, match="which is no gated map"):
        place_norm_gates(graph, 0.1, **given)
