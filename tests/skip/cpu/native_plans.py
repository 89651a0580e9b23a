"""Small plans written down node by node, and the comparison of the native program with the reference on a stream of frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_structure

from skipvid.skip.cpu._native import Element, instruction_sets
from skipvid.skip.cpu.backend import NativeBackend
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.base import GatedGraph, MapGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.output_norm import OutputNormGate
from skipvid.skip.ir.graph import Activation, Graph, Node
from skipvid.skip.ir.precision import round_weights
from skipvid.skip.plan import Plan, make_plan
from skipvid.skip.reference.executor import ReferenceProgram

HALF_SETS = instruction_sets(Element.BF16)
KERNELS = [*(("f32", name) for name in instruction_sets()), *(("bf16", name) for name in HALF_SETS)]
"""(precision, instruction set) of all kernels that this processor runs."""


def node(
    name: str, op: str, *inputs: str, consts: dict[str, Tensor] | None = None, activation: Activation | None = None, **attrs: object
) -> Node:
    return Node(name, op, inputs, (), attrs, consts or {}, activation)


def image(channels: int, height: int, width: int, name: str = "x") -> Node:
    return Node(name, "input", (), (1, channels, height, width))


def conv(name: str, source: str, inputs: int, outputs: int, kernel: int = 1, seed: int = 0, groups: int = 1) -> Node:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs // groups, kernel, kernel, generator=generator) / (inputs // groups * kernel * kernel) ** 0.5
    pads = (kernel // 2,) * 4
    return node(name, "conv", source, consts={"weight": weight}, stride=(1, 1), pads=pads, dilation=(1, 1), groups=groups)


def with_shapes(nodes: Sequence[Node]) -> list[Node]:
    """The nodes with the shapes of their values filled in, by running them on zeros."""
    from skipvid.skip.reference.operations import evaluate

    values: dict[str, Tensor] = {}
    shaped = []
    for node in nodes:
        values[node.name] = torch.zeros(node.shape) if node.op == "input" else evaluate(node, values)
        shaped.append(dataclasses.replace(node, shape=tuple(values[node.name].shape)))
    return shaped


def plan_of(
    nodes: Sequence[Node],
    gates: Sequence[MapGate] = (),
    outputs: Sequence[str] | None = None,
    output_gates: Mapping[str, Mapping[str, Any]] | None = None,
    precision: str = "f32",
) -> Plan:
    """A plan of these nodes; by default the last one is the only output. output_gates: settings of output-norm gates by layer."""
    leaves = tuple(outputs or (nodes[-1].name,))
    graph = Graph(tuple(with_shapes(nodes)), leaves, tree_structure([0] * len(leaves)))
    if precision == "bf16":
        graph = round_weights(graph)
    by_name = graph.by_name
    on_outputs = {
        name: OutputNormGate(by_name[name], by_name[by_name[name].inputs[0]].channels, **settings)
        for name, settings in (output_gates or {}).items()
    }
    return make_plan(GatedGraph(graph, {gate.map: gate for gate in gates}, on_outputs), precision)


def native(plan: Plan, threads: int = 1, instruction_set: str = "") -> NativeProgram:
    return NativeBackend(threads, instruction_set).compile(plan)


def frames(shape: tuple[int, ...], count: int, seed: int, share: float = 0.1) -> list[Tensor]:
    """A random map, then copies of it in each of which about this share of the pixels jumps; the third is the second unchanged."""
    generator = torch.Generator().manual_seed(seed)
    result = [torch.randn(shape, generator=generator)]
    for index in range(1, count):
        mask = torch.rand((1, 1, *shape[2:]), generator=generator) < (0 if index == 2 else share)
        result.append(torch.where(mask, torch.randn(shape, generator=generator), result[-1]))
    return result


def assert_close(actual: Tensor, expected: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Within tolerance * (mean |expected| + |expected|), NaN equal to NaN; names the first value that is not."""
    assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)} instead of {tuple(expected.shape)}"
    finite = expected[expected.isfinite()]
    level = float(finite.double().abs().mean()) if finite.numel() else 0.0
    wrong = ~torch.isclose(actual, expected, rtol=tolerance, atol=tolerance * level + 1e-30, equal_nan=True)
    if wrong.any():
        index = tuple(wrong.nonzero()[0].tolist())
        raise AssertionError(
            f"{what}: {int(wrong.sum())} values differ, the first at {index}: {actual[index]} instead of {expected[index]}"
        )


def assert_agrees(
    plan: Plan, stream: Sequence[Sequence[Tensor]], threads: int = 1, instruction_set: str = "", tolerance: float = 1e-5
) -> None:
    """Outputs, masks and counts of every frame are the reference's."""
    program, reference = native(plan, threads, instruction_set), ReferenceProgram(plan)
    state, expected_state = program.new_state(), reference.new_state()
    for number, inputs in enumerate(stream):
        step = program.run(state, inputs, number == 0)
        expected = reference.run(expected_state, inputs, number == 0)
        for name, mask, wanted in zip(plan.layers, step.computed, expected.computed, strict=True):
            assert (mask == wanted).all(), f"frame {number}: {name.node} computes {mask.sum()} pixels, the reference {wanted.sum()}"
        for output, (actual, wanted_value) in enumerate(zip(step.outputs, expected.outputs, strict=True)):
            assert_close(actual, wanted_value, f"frame {number}, output {output}", tolerance)
        assert list(step.active) == list(expected.active)
        assert dict(step.gate_pixels) == dict(expected.gate_pixels)
        assert dict(step.measured_pixels) == dict(expected.measured_pixels)
        assert {name: count for name, count in step.candidates.items() if count} == {
            name: n for name, n in expected.candidates.items() if n
        }


def assert_same_bits_as_dense(plan: Plan, stream: Sequence[Sequence[Tensor]], threads: int = 1, instruction_set: str = "") -> None:
    """With thresholds of 0 every frame has the bits of a dense run."""
    program = native(plan, threads, instruction_set)
    state = program.new_state()
    for number, inputs in enumerate(stream):
        step = program.run(state, inputs, number == 0)
        for actual, wanted in zip(step.outputs, program.run_dense(inputs), strict=True):
            assert torch.equal(actual, wanted), f"frame {number}: {int((actual != wanted).sum())} values differ from the dense run's"


def check(nodes: list[Node], gates: list[NormGate], precision: str, instruction_set: str, share: float = 0.1) -> None:
    """Gated frames agree with the reference (f32), and at threshold 0 have the bits of the dense run; share: of what changes in a frame."""
    plan = plan_of(nodes, gates, precision=precision)
    streams = [frames(item.shape, 5, index, share) for index, item in enumerate(plan.graph.inputs)]
    stream = [list(frame) for frame in zip(*streams, strict=True)]
    if precision == "f32":
        assert_agrees(plan, stream, 2, instruction_set)
    zero = plan_of(nodes, [NormGate(gate.map, 0.0, None, gate.block) for gate in gates], precision=precision)
    for threads in (1, 2):
        assert_same_bits_as_dense(zero, stream, threads, instruction_set)
