"""Adaptive layers on the native executor: it does what the reference does, whatever is chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adaptive_networks import SHAPE, converted, drawn, moving, restless, two_layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from promises import relative_error
from torch import Tensor, nn

from skipvid.nn import AdaptiveConv2d
from skipvid.skip.account import frame_cost
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu.backend import NativeBackend
from skipvid.skip.cpu.compiled import as_floats, shaped
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.reference.choices import is_off
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.reference.operations import evaluate


@pytest.mark.parametrize("gate", ["norm", "norm-smooth", "norm-output"])
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=drawn(), threshold=st.sampled_from([0.0, 0.0713, 0.4127]), block=st.sampled_from([1, 4]), seed=st.integers(0, 99))
def test_native_streams_are_those_of_the_reference(
    gate: str, case: tuple[nn.Module, tuple[int, int, int, int]], threshold: float, block: int, seed: int
) -> None:
    net, shape = case
    settings = {"threshold": threshold, "gate": gate, "block": block}
    plan = converted(net, shape, **settings).planned((shape,)).plan
    reference, one, two = ReferenceProgram(plan), NativeBackend(1).compile(plan), NativeBackend(2).compile(plan)
    programs = (reference, one, two)
    states = [program.new_state() for program in programs]
    for number, frame in enumerate(moving(shape, 24, seed)):
        given = ((4 * frame).round(),)
        wanted, *found = (program.run(state, given, number % 16 == 0) for program, state in zip(programs, states, strict=True))  # type: ignore[arg-type]
        for run in found:
            assert run.choices == wanted.choices, f"frame {number}"
            assert all(torch.equal(a, b) for a, b in zip(run.outputs, wanted.outputs, strict=True)), f"frame {number}"  # type: ignore[arg-type]
            assert list(run.active) == list(wanted.active) and dict(run.gate_pixels) == dict(wanted.gate_pixels), f"frame {number}"
            for layer, mask, expected in zip(plan.layers, run.computed, wanted.computed, strict=True):
                assert (mask == expected).all(), f"frame {number}, {layer.name}"
            np.testing.assert_array_equal(frame_cost(plan.costs, run).counts, frame_cost(plan.costs, wanted).counts, f"frame {number}")


@torch.no_grad()
@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 5, 10])
def test_every_map_that_is_on_is_within_its_bound(precision: str, threshold: float, seed: int) -> None:

    model = converted(two_layers(seed), backend="cpu", precision=precision, threshold=threshold, threads=2)
    program = model.program((SHAPE,))
    assert isinstance(program, NativeProgram)
    state, plan, maps = program.new_state(), program.plan, program._lowered.maps
    exactness = 2e-5 if precision == "f32" else 2.0**-6
    for number, frame in enumerate(moving(SHAPE, 30, seed)):
        choices = program.run(state, (frame,), number == 0).choices.values()
        values: dict[str, Tensor] = {}
        for node in plan.graph:
            if node.name in maps:
                values[node.name] = torch.from_numpy(shaped(as_floats(state.core.rows(maps[node.name])), node.shape)).clone()
            else:
                values[node.name] = evaluate(node, values)
            reused = node.op == "select" and int(values[node.inputs[0]]) == 3
            if node.op in {"choice", "input"} or reused or is_off(node, values) or (3 in choices and node.guard is not None):
                continue
            exact = evaluate(node, values)
            distance = (exact - values[node.name]).abs().mean(1)
            bound = state.core.limit(maps[node.name]) / node.channels if node.name in plan.gates else 0.0
            slack = exactness * float(exact.abs().max())
            assert float(distance.max()) <= bound + slack, f"frame {number}: {node.op} {node.name}"


class Mixed(nn.Module):
    """An adaptive layer between what only PyTorch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), AdaptiveConv2d(6, 12, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.last(self.first(x).roll(1, 3))
        return y, y.roll(1, 2).cumsum(3)


def test_it_runs_between_nodes_of_pytorch() -> None:
    torch.manual_seed(0)
    net = restless(Mixed(), 3)
    reference = converted(net)
    assert reference.planned((SHAPE,)).costs.alternatives
    one, two = reference.session(), reference.regated(SkipConfig(threshold=0.0, backend="cpu", dense_above=1.0)).session()
    seen = set()
    for number, frame in enumerate(moving(SHAPE, 60, 3)):
        for a, b in zip(one(frame), two(frame), strict=True):
            assert relative_error(b, a) <= 1e-4, f"frame {number}"
        assert one.choices == two.choices
        seen.update(one.choices.values())
    assert len(seen) > 1
