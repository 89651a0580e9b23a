"""Scaled maps that the convolution behind them makes as it reads: with the bits of two steps, and without the memory of one."""

from __future__ import annotations

from dataclasses import replace

import native_plans as plans
import numpy as np
import pytest
import torch
from native_plans import HALF_SETS, conv, image, node

from skipvid.skip.backend import Output
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Activation, Node

SIZE = (9, 21)


def network(kind: str, channels: int, outputs: int = 24) -> tuple[list[Node], list[str]]:
    """Squeeze and excitation before a convolution of single pixels, and what keeps the scaled map in memory."""
    scaled = node("y", "mul", "s", "a") if kind == "scales first" else node("y", "mul", "a", "s")
    squeeze = [node("m", "global_mean", "a"), replace(conv("s", "m", channels, channels, 1, 1), activation=Activation("sigmoid"))]
    nodes = [image(3, *SIZE), conv("a", "x", 3, channels, 3), *squeeze, scaled]
    project, end = conv("z", "y", channels, outputs, 1, 2), conv("e", "z", outputs, 8, 3, 3)
    if kind == "a residual":
        nodes = [image(3, *SIZE), conv("b", "x", 3, outputs, 1, 5), conv("a", "b", outputs, channels, 3), *squeeze, scaled]
        return [*nodes, project, node("r", "add", "b", "z"), replace(end, inputs=("r",))], ["e"]
    if kind == "in groups":
        project = conv("z", "y", channels, outputs, 1, 2, groups=4)
    if kind == "an output":
        return [*nodes, project, end], ["e", "y"]
    if kind == "read twice":
        return [*nodes, project, end, conv("w", "y", channels, 8, 1, 4)], ["e", "w"]
    if kind == "activated":
        nodes[-1] = replace(nodes[-1], activation=Activation("relu"))
    if kind == "one scale":
        nodes[-2] = replace(conv("s", "m", channels, 1, 1, 1), activation=Activation("sigmoid"))
    if kind == "sees neighbours":
        project = conv("z", "y", channels, outputs, 3, 2)
    if kind == "added":
        nodes[-1] = node("y", "add", "a", "s")
    return [*nodes, project, end], ["e"]


def same(actual: Output, expected: Output) -> bool:
    return bool(np.array_equal(np.asarray(actual), np.asarray(expected)))


TAKEN = ["plain", "scales first", "a residual", "in groups"]
STORED = ["an output", "read twice", "activated", "one scale", "sees neighbours", "added"]


def program_of(nodes: list[Node], outputs: list[str], instruction_set: str, threshold: float, threads: int = 2) -> NativeProgram:
    gates = [NormGate(name, threshold) for name in ("x", "a", "m", "s", "z")]
    return plans.native(plans.plan_of(nodes, gates, outputs=outputs, precision="bf16"), threads, instruction_set)


@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize(("channels", "outputs"), [(32, 24), (24, 40), (64, 8), (20, 12)])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_a_convolution_that_scales_what_it_reads_has_the_bits_of_two_steps(
    instruction_set: str, kind: str, channels: int, outputs: int, threshold: float
) -> None:
    nodes, names = network(kind, channels, outputs)
    taken, stored = (program_of(nodes, each, instruction_set, threshold) for each in (names, [*names, "y"]))
    own, other = taken.new_state(), stored.new_state()
    active = []
    for number, frame in enumerate(plans.frames((1, 3, *SIZE), 6, 0, 0.05)):
        actual, expected = taken.run(own, [frame], number == 0), stored.run(other, [frame], number == 0)
        assert same(actual.outputs[0], expected.outputs[0]), f"frame {number}"
        assert list(actual.active) == list(expected.active)
        assert all((a == b).all() for a, b in zip(actual.computed, expected.computed, strict=True))
        assert same(taken.run_dense([frame])[0], stored.run_dense([frame])[0])
        active.append(list(actual.active))
    assert threshold == 0 or any(0 < counts[2] < SIZE[0] * SIZE[1] for counts in active)  # neither nothing nor everything alone


@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("kind", [*TAKEN, *STORED])
def test_with_thresholds_of_zero_it_has_the_bits_of_the_dense_run(instruction_set: str, kind: str) -> None:
    nodes, names = network(kind, 32)
    gates = [NormGate(name, 0.0) for name in ("x", "a", "m", "s", "z")]
    stream = [[frame] for frame in plans.frames((1, 3, *SIZE), 5, 3, 0.1)]
    for threads in (1, 2):
        plan = plans.plan_of(nodes, gates, outputs=names, precision="bf16")
        plans.assert_same_bits_as_dense(plan, stream, threads, instruction_set)


@pytest.mark.parametrize("kind", [*TAKEN, *STORED])
def test_it_needs_no_memory_in_half_precision(kind: str) -> None:
    """And its rows cannot be read; in float32 nothing changes."""
    nodes, names = network(kind, 64)
    for precision in ("bf16", "f32"):
        program = plans.native(plans.plan_of(nodes, outputs=names, precision=precision))
        state, is_stored = program.new_state(), kind in STORED or precision == "f32"
        program.run(state, [plans.frames((1, 3, *SIZE), 1, 0)[0]], True)
        number = program._lowered.maps["y"]
        if is_stored:
            assert state.core.rows(number).shape[:2] == SIZE
        else:
            with pytest.raises(ValueError, match="not stored"):
                state.core.rows(number)
    apart = plans.native(plans.plan_of(nodes, outputs=[*names, "y"], precision="bf16"))
    saved = (
        apart.new_state().memory_bytes() - plans.native(plans.plan_of(nodes, outputs=names, precision="bf16")).new_state().memory_bytes()
    )
    rows = SIZE[0] * SIZE[1] * 64 * 2
    assert (saved >= rows) == (kind in TAKEN)


@pytest.mark.parametrize("instruction_set", HALF_SETS)
def test_a_scene_that_moves_takes_it_along(instruction_set: str) -> None:
    nodes, names = network("plain", 32)
    program = program_of(nodes, names, instruction_set, 0.0)
    state = program.new_state()
    (first,) = plans.frames((1, 3, *SIZE), 1, 1)
    program.run(state, [first], True)
    for shift in ((1, 0), (-2, 3)):
        moved = torch.roll(first, (-shift[0], -shift[1]), (2, 3))
        step = program.run_shifted(state, [moved], shift)
        assert same(step.outputs[0], program.run_dense([moved])[0])
        first = moved
