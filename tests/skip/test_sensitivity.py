"""Thresholds of single maps: from known Jacobians, and that the plans take them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.sensitivity import BLEND, MOST, Sensitivity

FRAME = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def pointwise(inputs: int, outputs: int, weight: float) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


class TwoWays(nn.Module):
    """The sum of a loud branch and a quiet one, alike otherwise."""

    def __init__(self, loud: float, quiet: float) -> None:
        super().__init__()
        self.first, self.second = pointwise(1, 2, 0.5), pointwise(1, 2, 0.5)
        self.loud, self.quiet = pointwise(2, 1, loud), pointwise(2, 1, quiet)

    def forward(self, x: Tensor) -> Tensor:
        return self.loud(self.first(x).relu()) + self.quiet(self.second(x).sigmoid())


def model(net: nn.Module) -> SkipModel:
    return SkipModel(net.eval().requires_grad_(False), SkipConfig(0.05, backend="reference"))


def measured(net: nn.Module, frames: int = 1) -> tuple[SkipModel, Sensitivity]:
    converted = model(net)
    sensitivity = Sensitivity(converted)
    for shift in range(frames):
        sensitivity.add(FRAME + 0.1 * shift)
    return converted, sensitivity


def by_layer(converted: SkipModel, thresholds: dict[str, float]) -> dict[str, float]:
    """Thresholds by the layer that computes the map; the input's is "x"."""
    graph = converted.program((tuple(FRAME.shape),)).plan.graph
    return {graph.by_name[name].layer or "x": value for name, value in thresholds.items()}


def test_where_two_maps_do_the_same_damage_the_one_that_feeds_more_macs_gets_the_higher_threshold() -> None:
    # y = B(A(x)): a change of x or of A(x) by the same share of its size changes y alike; B has four times the MACs of A.
    converted, sensitivity = measured(nn.Sequential(pointwise(1, 1, 3.0), pointwise(1, 4, 0.7)))
    found = by_layer(converted, sensitivity.thresholds(0.1))
    assert found["0"] / found["x"] == pytest.approx(4 ** (BLEND / 2), rel=1e-4)


def test_a_map_on_which_the_output_hardly_depends_gets_the_higher_threshold() -> None:
    converted, sensitivity = measured(TwoWays(loud=1.0, quiet=0.01))
    found = by_layer(converted, sensitivity.thresholds(0.1))
    assert found["second"] > 3 * found["first"]


def test_the_level_is_the_mean_threshold_of_all_macs_and_nothing_exceeds_the_most() -> None:
    converted, sensitivity = measured(TwoWays(loud=1.0, quiet=0.5))
    found = by_layer(converted, sensitivity.thresholds(0.1))
    # x feeds both branches' first layers: as many MACs as both last layers together.
    mean = (2 * math.log(found["x"]) + math.log(found["first"]) + math.log(found["second"])) / 4
    assert math.exp(mean) == pytest.approx(0.1, rel=1e-6)
    assert set(sensitivity.thresholds(1000.0).values()) == {MOST}


def test_the_same_frames_give_the_same_thresholds() -> None:
    assert measured(TwoWays(1.0, 0.2), 3)[1].thresholds(0.05) == measured(TwoWays(1.0, 0.2), 3)[1].thresholds(0.05)


def test_what_was_kept_gives_the_same_thresholds() -> None:
    converted, sensitivity = measured(TwoWays(1.0, 0.2), 2)
    again = Sensitivity(converted).restored(json.loads(json.dumps(sensitivity.record())))
    assert again.thresholds(0.05) == sensitivity.thresholds(0.05)
    with pytest.raises((KeyError, TypeError, ValueError)):
        again.restored({"damage": {"x": 1.0}})


def test_a_map_that_does_not_reach_the_output_has_no_threshold_of_its_own() -> None:
    converted, sensitivity = measured(TwoWays(loud=1.0, quiet=0.0))
    assert "second" not in by_layer(converted, sensitivity.thresholds(0.1))


def test_a_session_runs_with_the_thresholds_and_holds_back_as_much_as_they_allow() -> None:
    converted, sensitivity = measured(TwoWays(1.0, 0.2))
    thresholds = sensitivity.thresholds(0.2)
    gated = converted.regated(replace(converted.config, thresholds=thresholds))
    plan = gated.program((tuple(FRAME.shape),)).plan
    assert {name: gate.threshold for name, gate in plan.gates.items()} == thresholds
    session = gated.session()
    session(FRAME)
    x = next(gate.threshold for name, gate in plan.gates.items() if plan.graph.by_name[name].op == "input")
    scale = float(FRAME.mean())
    session(FRAME + 0.9 * x * scale)
    assert session.cost.macs == 0
    session(FRAME + 1.1 * x * scale)
    assert session.cost.macs > 0
