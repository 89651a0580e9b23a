"""Sums stored with the products that they add up: at keyframes and in dense frames, with the bits of two steps one after the other."""

from __future__ import annotations

import native_plans as plans
import pytest
from native_plans import HALF_SETS, conv, image, node

from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Activation, Node

CLAMPS = {"none": None, "relu": Activation("relu"), "relu6": Activation("hardtanh", (0.0, 6.0)), "silu": Activation("silu")}


def network(kind: str, channels: int, clamp: str) -> tuple[list[Node], list[str]]:
    """A residual block, and what keeps a sum from being stored with a product, or its summand from not being stored at all."""
    total = node("y", "add", "b", "a", activation=CLAMPS[clamp])
    nodes = [image(3, 9, 21), conv("a", "x", 3, channels, 3), conv("b", "a", channels, channels, 3, 1), total]
    end = conv("z", "y", channels, 8, 3, 2)
    if kind == "read twice":
        return [*nodes, conv("c", "b", channels, channels), node("d", "add", "c", "y"), conv("z", "d", channels, 8)], ["z"]
    if kind == "both products":
        nodes[2] = conv("b", "x", 3, channels, 3, 1)
    if kind == "an output":
        return [*nodes, end], ["z", "b"]
    if kind == "the sum is an output":
        return nodes, ["y"]
    if kind == "with itself":
        nodes[3] = node("y", "add", "b", "b", activation=CLAMPS[clamp])
    if kind == "later":
        nodes = [*nodes[:3], conv("late", "x", 3, channels, 3, 3), node("y", "add", "b", "late", activation=CLAMPS[clamp])]
    return [*nodes, end], ["z"]


KINDS = ["block", "read twice", "both products", "an output", "the sum is an output", "with itself", "later"]


@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("channels", "clamp"), [(32, "relu"), (24, "none"), (64, "relu6"), (40, "silu")])
def test_a_sum_has_the_bits_of_two_steps(instruction_set: str, kind: str, channels: int, clamp: str) -> None:
    nodes, outputs = network(kind, channels, clamp)
    gates = [NormGate(name, 0.0) for name in ("x", "a", "b", "y") if name not in outputs]
    plan = plans.plan_of(nodes, gates, outputs=outputs, precision="bf16")
    stream = [[frame] for frame in plans.frames((1, 3, 9, 21), 5, 0, 0.4)]
    plans.assert_same_bits_as_dense(plan, stream, 2, instruction_set)


@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("gated", [("b", "y"), ("y",), ("b",)])
def test_the_unit_of_a_sum_is_measured(instruction_set: str, gated: tuple[str, ...]) -> None:
    """Of both maps, whose rows are stored at the same time; of the sum alone, as they are."""
    nodes, outputs = network("block", 32, "relu")
    plan = plans.plan_of(nodes, [NormGate(name, 0.3) for name in ("x", *gated)], outputs=outputs, precision="bf16")
    program, reference = plans.native(plan, 2, instruction_set), plans.ReferenceProgram(plan)
    state, expected = program.new_state(), reference.new_state()
    frame = plans.frames((1, 3, 9, 21), 1, 0)
    program.run(state, frame, True)
    reference.run(expected, frame, True)
    for name in gated:
        unit = state.core.limit(program._lowered.maps[name]) / (0.3 * 32)
        assert unit == pytest.approx(expected.scales[name], rel=1e-3), name


@pytest.mark.parametrize("instruction_set", HALF_SETS)
def test_what_only_a_sum_reads_needs_no_memory(instruction_set: str) -> None:
    def memory(kind: str) -> int:
        nodes, outputs = network(kind, 64, "relu")
        return (
            plans.native(plans.plan_of(nodes, outputs=outputs, precision="bf16"), 1, instruction_set).new_state(dense=True).memory_bytes()
        )

    assert memory("block") < memory("read twice") - 9 * 21 * 64
