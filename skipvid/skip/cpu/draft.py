"""A native program in the making: its maps, and the steps that the nodes of a plan become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from skipvid.core.errors import BackendError
from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import LARGEST_EXTENT, Element, Norm, StepKind
from skipvid.skip.cpu.description import Description, append, extend
from skipvid.skip.cpu.layout import make_layout
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.smooth_norm import SmoothNormGate
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan

ELEMENTS = {"f32": Element.F32, "bf16": Element.BF16}
Read = tuple[str, flat.FootprintRow]
"""A map by name, and how its changes spread."""


class Draft:
    """maps: number of each node's map. changes: by map, and how its change is measured, the step that does.

    output_gates: step of a layer with an output gate. choices: step of each choice, by node.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.by_name = plan.graph.by_name
        self.layout = make_layout(plan)
        self.description = Description(element=ELEMENTS[plan.precision])
        self.maps: dict[str, int] = {}
        self.changes: dict[tuple[str, Norm], int] = {}
        self.output_gates: dict[str, int] = {}
        self.choices: dict[str, int] = {}
        self._footprints: dict[flat.FootprintRow, int] = {}

    def allocate(self, node: Node) -> int:
        """The number of a node's map, made when it is first needed: a part may come before the map that it lives in."""
        if node.name in self.maps:
            return self.maps[node.name]
        height, width = node.size
        if max(height, width) > LARGEST_EXTENT:
            raise BackendError(
                f"the map {node.name} has {height} x {width} pixels, and the back end cpu counts to {LARGEST_EXTENT}",
                "choose a smaller input, or --backend reference",
            )
        part = self.layout.parts.get(node.name)
        inside, offset = (flat.NOWHERE, 0) if part is None else (self.allocate(self.by_name[part.of]), part.offset)
        number = append(self.description.maps, flat.MapRow(height, width, node.channels, inside, offset))
        self.maps[node.name] = number
        if node.name not in self.layout.fallback:
            self._gate(node, number)
        return number

    def step(
        self, kind: StepKind, node: Node, reads: Sequence[Read], details: int = flat.NOWHERE, activation: tables.Code = tables.NONE
    ) -> int:
        """Add a step that computes a node's map from others. details: row of what its kind needs to know. Returns its number."""
        rows = [flat.ReadRow(self.maps[name], self.footprint(row)) for name, row in reads]
        first = extend(self.description.reads, rows)
        row = flat.StepRow(kind, self.maps[node.name], first, len(rows), details, *activation)
        if node.guard is not None and kind != StepKind.VIEW:  # a view follows what it is one of
            row = replace(row, guard=self.choices[node.guard[0]], guard_number=node.guard[1])
        return append(self.description.steps, row)

    def footprint(self, row: flat.FootprintRow) -> int:
        """The number of a footprint; equal ones have the same."""
        if row not in self._footprints:
            self._footprints[row] = append(self.description.footprints, row)
        return self._footprints[row]

    def same(self, node: Node) -> list[Read]:
        """A pixel of each input for a pixel of the map."""
        return [(name, flat.SAME) for name in node.inputs]

    def _gate(self, node: Node, number: int) -> None:
        gate, description = self.plan.gates.get(node.name), self.description
        if gate is None:
            if node.op == "input":
                # Without a gate its readers still see only what differs: a gate of threshold 0.
                description.gates.append(flat.GateRow(number, 1))
        elif isinstance(gate, LearnedGate):
            weights = description.numbers.add(tables.array(gate.weight))
            row = append(description.learned_gates, flat.LearnedGateRow(weights, gate.bias, gate.magnitude))
            description.gates.append(flat.GateRow(number, gate.block, row))
        elif isinstance(gate, NormGate):
            smoothed = isinstance(gate, SmoothNormGate)
            description.gates.append(flat.GateRow(number, gate.block, flat.NOWHERE, gate.threshold, *gate_scale(gate.scale), smoothed))
        else:
            raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")


def gate_scale(scale: float | None) -> tuple[bool, float]:
    """Whether a gate's scale is measured, and the one that is stored: 0, which lets every change through, where that is no number."""
    return (True, 0.0) if scale is None else (False, scale if math.isfinite(scale) else 0.0)
