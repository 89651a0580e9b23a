"""The promises of DESIGN §2 on the native executor's own memory, for every sample network."""

from __future__ import annotations

import pytest
import torch
from native_plans import assert_agrees, assert_close
from sample_frames import frames
from sample_networks import NETWORKS, converted
from torch import Tensor

from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu._native import instruction_sets
from skipvid.skip.cpu.backend import NativeBackend
from skipvid.skip.cpu.compiled import as_floats, shaped
from skipvid.skip.cpu.program import NativeProgram, NativeState
from skipvid.skip.ir.graph import Node
from skipvid.skip.reference.operations import evaluate


def published_values(program: NativeProgram, state: NativeState) -> dict[str, Tensor]:
    """Every map as its readers see it; what is absorbed into another operation has no memory and is computed from what it reads."""
    values: dict[str, Tensor] = {}
    for node in program.plan.graph:
        if node.name in program._lowered.maps:
            values[node.name] = torch.from_numpy(shaped(as_floats(state.core.rows(program._lowered.maps[node.name])), node.shape)).clone()
        elif node.name in state.fallback.values:
            values[node.name] = state.fallback.values[node.name]
        else:
            values[node.name] = evaluate(node, values)
    return values


def allowed(program: NativeProgram, state: NativeState, node: Node) -> float:
    """τ · s of a gated map."""
    if node.name in state.fallback.scales:
        return program.plan.gates[node.name].threshold * state.fallback.scales[node.name]
    return state.core.limit(program._lowered.maps[node.name]) / node.channels


@torch.no_grad()
@pytest.mark.parametrize(("threshold", "block"), [(0.1, 1), (0.5, 4)])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "types"])  # a boolean output has no distance
def test_bound_and_invariant_hold_on_every_map(name: str, threshold: float, block: int) -> None:
    shape = NETWORKS[name][1]
    program = converted(name)[1].regated(SkipConfig(threshold=threshold, block=block, backend="cpu", threads=1)).program((shape,))
    assert isinstance(program, NativeProgram)
    state = program.new_state()
    for number, frame in enumerate(frames(shape, 16)):
        program.run(state, (frame,), number == 0)
        values = published_values(program, state)
        for node in program.plan.graph:
            exact = frame if node.op == "input" else evaluate(node, values)
            if node.name not in program.plan.gates:
                assert_close(values[node.name], exact, f"frame {number}: {node.op} {node.name}", 2e-5)
                continue
            distance = (exact - values[node.name]).abs()
            worst = float((distance.mean(1) if node.is_map else distance.mean()).max())
            slack = 1e-5 * float(exact.abs().max())
            assert worst <= allowed(program, state, node) + slack, f"frame {number}: {node.op} {node.name}"


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "types"])
def test_number_of_threads_and_choice_of_pixels_change_no_bit(name: str, instruction_set: str) -> None:
    shape = NETWORKS[name][1]
    plan = converted(name)[1].regated(SkipConfig(threshold=0.1, backend="cpu")).program((shape,)).plan
    exact = converted(name)[1].regated(SkipConfig(threshold=0.0, backend="cpu")).program((shape,)).plan
    gated = [NativeBackend(threads, instruction_set).compile(plan) for threads in (1, 2, 4)]
    all_or_few = [NativeBackend(threads, instruction_set).compile(exact) for threads in (1, 2, 4)]
    states = [program.new_state() for program in (*gated, *all_or_few)]
    for number, frame in enumerate(frames(shape, 8, seed=3)):
        steps = [program.run(state, (frame,), number == 0) for program, state in zip((*gated, *all_or_few), states, strict=True)]
        dense = all_or_few[number % 3].run_dense((frame,))
        for other in steps[1:3]:
            assert list(other.active) == list(steps[0].active)
            assert all(torch.equal(a, b) for a, b in zip(other.outputs, steps[0].outputs, strict=True)), f"frame {number}, gated"
        for other in steps[3:]:
            assert all(torch.equal(a, b) for a, b in zip(other.outputs, dense, strict=True)), f"frame {number}, against dense"


@torch.no_grad()
@pytest.mark.parametrize("gate", ["norm", "norm-smooth", "norm-output"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_keyframe_before_a_keyframe_may_leave_out_what_gates_need(name: str, gate: str) -> None:
    shape = NETWORKS[name][1]
    config = SkipConfig(threshold=0.1, gate=gate, backend="cpu", threads=2)
    program = converted(name)[1].regated(config).program((shape,))
    one, other = program.new_state(), program.new_state()
    for number, frame in enumerate(frames(shape, 12)):
        keyframe = number in (0, 4, 5, 6)
        plain = program.run(one, (frame,), keyframe)
        spared = program.run(other, (frame,), keyframe, gated_next=number not in (4, 5))
        assert list(plain.active) == list(spared.active) and plain.changed == spared.changed, f"frame {number}"
        for expected, actual in zip(plain.outputs, spared.outputs, strict=True):
            assert torch.equal(expected, actual), f"frame {number}"


@torch.no_grad()
@pytest.mark.parametrize("gate", ["norm", "norm-smooth", "norm-output"])
@pytest.mark.parametrize("name", NETWORKS)
def test_frames_that_repeat_one_another_are_done_with_at_once(name: str, gate: str) -> None:
    shape = NETWORKS[name][1]
    program = converted(name)[1].regated(SkipConfig(threshold=0.1, gate=gate, backend="cpu")).program((shape,))
    stream = list(frames(shape, 4, seed=7))
    repeated = [(stream[index],) for index in (0, 0, 0, 1, 1, 1, 2, 0, 0, 3)]
    assert_agrees(program.plan, repeated, threads=2, tolerance=1e-3)  # "types" has outputs of half precision
