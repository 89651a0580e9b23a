"""What a native program needs of its plan: what is run, and what is written to disk."""

from __future__ import annotations

from collections.abc import Iterable

from skipvid.skip.cpu import file
from skipvid.skip.cpu.lowering import Lowered
from skipvid.skip.gates.base import MapGate, OutputGate
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan


def content_of(plan: Plan, lowered: Lowered) -> file.ProgramFile:
    """What a program needs of its plan. Map 0 stands in for maps that PyTorch has."""

    def tensors(names: Iterable[str]) -> tuple[file.Tensor, ...]:
        native = [name for name in names if name not in lowered.layout.fallback]
        return tuple(file.Tensor(name, lowered.maps[name], by_name[name].shape) for name in native)

    by_name = plan.graph.by_name
    return file.ProgramFile(
        lowered.description.to_bytes(),
        tensors(node.name for node in plan.graph.inputs),
        tensors(leaf for leaf in plan.graph.outputs if isinstance(leaf, str)),
        "",
        plan.costs,
        tuple(lowered.maps.get(layer.node, 0) for layer in plan.layers),
        tuple(segment for segment in lowered.segments if isinstance(segment, int)),
        {name: lowered.maps.get(name, 0) for name in plan.gates},
        lowered.changes,
        lowered.output_gates,
        tuple(unit_of(lowered, name, gate, by_name[name]) for name, gate in plan.measured_units if name not in lowered.layout.fallback),
        {},
    )


def unit_of(lowered: Lowered, name: str, gate: MapGate | OutputGate, node: Node) -> file.MeasuredUnit:
    """The unit of a gate that measures it, as the native executor looks after it."""
    if not isinstance(gate, OutputGate):
        return file.MeasuredUnit(name, lowered.maps[name], -1, gate.limit(1.0) * node.channels, ())
    bias = node.consts.get("bias")
    offsets = () if bias is None or node.activation is not None else tuple(bias.float().tolist())
    return file.MeasuredUnit(name, lowered.maps[name], lowered.output_gates[name], gate.limit(1.0), offsets)
