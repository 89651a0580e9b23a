"""The plan: an optimised graph with its gates and the list of what is counted. Immutable, shared by all sessions and back ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_unflatten

from skipvid.core.costs import CostTable
from skipvid.skip.gates.base import GatedGraph, MapGate, OutputGate
from skipvid.skip.gates.units import Measured
from skipvid.skip.ir.cost import executed_macs, macs_by_node
from skipvid.skip.ir.graph import Graph, Node
from skipvid.skip.ir.precision import rounded, stored_maps
from skipvid.skip.ir.stages import assign_stages


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the cost report. node: the node of the graph. name: unique, from the parameter path. outputs: output pixels.

    gates: maps whose gate work is reported in this row, because this layer's result is what they compare; a learned gate's is reported
    in the row of the layer that it serves.
    """

    node: str
    name: str
    stage: str
    kind: str
    dense_macs: int
    outputs: int
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GateUnits:
    """What one pixel costs in each of some gates.

    names: of their maps or layers. rows: of their layers in the cost table, its length where a gate belongs to none. macs, operations: for
    one pixel. All arrays are (gates,) int64.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    macs: NDArray[np.int64]
    operations: NDArray[np.int64]

    @classmethod
    def of(cls, entries: Sequence[tuple[str, int, int, int]]) -> GateUnits:
        """From (name, row, macs, operations) of each gate."""
        numbers = np.array([entry[1:] for entry in entries], np.int64).reshape(-1, 3)
        return cls(tuple(entry[0] for entry in entries), numbers[:, 0], numbers[:, 1], numbers[:, 2])


@dataclass(frozen=True, slots=True, eq=False)
class UnitCosts:
    """Everything about costs that does not change from frame to frame.

    dense_macs, outputs: (layers,) int64; outputs is 1 or more. gates: of map gates. measured, candidates: of output gates, for a pixel of a
    map whose change they read, and for an output that they decide about.
    """

    table: CostTable
    dense_macs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    gates: GateUnits
    measured: GateUnits
    candidates: GateUnits


@dataclass(frozen=True, eq=False)  # no slots: what is derived is kept
class Plan:
    """What a back end compiles. gates: by map. output_gates: by the layer that they decide about.

    other_gates: gates in front of the first layer (on the network's input). precision: "f32", or "bf16": see skipvid.skip.ir.precision; the
    weights of the graph are rounded already.
    """

    graph: Graph
    gates: Mapping[str, MapGate]
    layers: tuple[Layer, ...]
    other_gates: tuple[str, ...]
    output_gates: Mapping[str, OutputGate] = field(default_factory=dict)
    precision: str = "f32"

    @cached_property
    def rounded(self) -> frozenset[str]:
        """Names of the values that are rounded before they are stored."""
        return stored_maps(self.graph, self.gates.keys()) if self.precision == "bf16" else frozenset()

    def stored(self, node: Node, value: Tensor) -> Tensor:
        """A value as its readers, gates among them, see it."""
        return rounded(value) if node.name in self.rounded else value

    @cached_property
    def dense_macs(self) -> int:
        return sum(layer.dense_macs for layer in self.layers)

    def executed_macs(self, active: Sequence[int]) -> int:
        """MACs of a frame that computes `active` outputs of each layer; fast enough for every frame."""
        units = self.unit_costs
        return int(executed_macs(units.dense_macs, np.asarray(active, np.int64), units.outputs).sum())

    @cached_property
    def unit_costs(self) -> UnitCosts:
        """What the account of a frame multiplies its counts with."""
        return _unit_costs(self)

    @cached_property
    def layers_by_size(self) -> Mapping[tuple[int, int], tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """By (H, W) of their results the numbers of the layers with a spatial extent, and their shares of the MACs of all of those."""
        by_name = self.graph.by_name
        numbers: dict[tuple[int, int], list[int]] = {}
        for number, layer in enumerate(self.layers):
            if layer.outputs > 1:
                numbers.setdefault(by_name[layer.node].size, []).append(number)
        macs = np.array([layer.dense_macs for layer in self.layers], np.float64)
        total = max(sum(macs[own].sum() for own in numbers.values()), 1.0)
        return {size: (np.array(own, np.int32), (macs[own] / total).astype(np.float32)) for size, own in numbers.items()}

    @cached_property
    def measured_units(self) -> tuple[Measured, ...]:
        """Gates whose units keyframes measure, in the order of the graph."""
        attached = [(node.name, gates.get(node.name)) for node in self.graph for gates in (self.gates, self.output_gates)]
        return tuple((name, gate) for name, gate in attached if gate is not None and gate.measures)

    @property
    def measured_maps(self) -> tuple[str, ...]:
        """Maps whose change output gates read, in the order of the graph."""
        read = {node.inputs[0] for node in self.graph if node.name in self.output_gates}
        return tuple(node.name for node in self.graph if node.name in read)

    def restore(self, outputs: Sequence[Tensor]) -> Any:
        """Output maps in the structure that the network returns, constants put back in their places."""
        queue = iter(outputs)
        leaves = [next(queue) if isinstance(leaf, str) else leaf for leaf in self.graph.outputs]
        return tree_unflatten(leaves, self.graph.out_spec)


def make_plan(gated: GatedGraph, precision: str = "f32") -> Plan:
    """Name and count the layers of a graph, and assign each of its gates to the layer in whose row its cost is reported.

    precision: as in Plan.
    """
    graph, gates = gated.graph, gated.gates
    by_name = graph.by_name
    macs = macs_by_node(graph)
    counted = [node for node in graph.nodes if macs[node.name] > 0]
    names = _layer_names(counted)
    stages = assign_stages({names[node.name]: macs[node.name] for node in counted})
    readers = graph.consumers()
    owners = {
        name: _reading(readers[name], names) if gate.at_reader else _computing(by_name[name], by_name, names)
        for name, gate in gates.items()
    }
    layers = tuple(
        Layer(
            node.name,
            names[node.name],
            stages[names[node.name]],
            _kind(node),
            macs[node.name],
            node.size[0] * node.size[1],
            tuple(name for name, owner in owners.items() if owner == node.name),
        )
        for node in counted
    )
    others = tuple(name for name, owner in owners.items() if owner is None)
    return Plan(graph, gates, layers, others, gated.output_gates, precision)


def _unit_costs(plan: Plan) -> UnitCosts:
    layers, by_name = plan.layers, plan.graph.by_name
    table = CostTable.of([layer.name for layer in layers], [layer.stage for layer in layers], [layer.kind for layer in layers])
    rows = {gate: row for row, layer in enumerate(layers) for gate in layer.gates}
    gates = [
        (name, rows.get(name, len(layers)), gate.macs(by_name[name].channels), gate.operations(by_name[name].channels))
        for name, gate in plan.gates.items()
    ]
    measured: dict[str, tuple[str, int, int, int]] = {}
    candidates = []
    for row, layer in enumerate(layers):
        output_gate = plan.output_gates.get(layer.node)
        if output_gate is not None:
            source = output_gate.layer.inputs[0]
            # A map's change is measured once, for all layers that read it: in the first one's row.
            measured.setdefault(source, (source, row, 0, output_gate.change_operations()))
            candidates.append((layer.node, row, 0, output_gate.operations()))
    numbers = np.array([(layer.dense_macs, layer.outputs) for layer in layers], np.int64).reshape(-1, 2)
    return UnitCosts(
        table,
        numbers[:, 0].copy(),
        numbers[:, 1].clip(1),  # a layer without outputs has no MACs
        GateUnits.of(gates),
        GateUnits.of(list(measured.values())),
        GateUnits.of(candidates),
    )


def _kind(node: Node) -> str:
    if node.op == "aten":
        return str(node.attrs["target"]).removeprefix("aten.").split(".")[0]
    if node.op == "conv" and node.attrs["groups"] == node.channels > 1:
        return "depthwise"
    return node.op


def _layer_names(nodes: list[Node]) -> dict[str, str]:
    """Unique names. A layer applied to several maps (a detector's heads) is told apart by the size of its result, else by a number."""
    uses = Counter(node.layer for node in nodes)
    names: dict[str, str] = {}
    used: set[str] = set()
    for node in nodes:
        name = node.layer or node.name
        if uses[node.layer] > 1 and node.layer:
            name = f"{name}@{node.size[0]}x{node.size[1]}"
        unique, number = name, 2
        while unique in used:
            unique, number = f"{name}#{number}", number + 1
        used.add(unique)
        names[node.name] = unique
    return names


def _computing(node: Node, by_name: Mapping[str, Node], layers: Mapping[str, str]) -> str | None:
    """The nearest counted layer upstream, along first inputs; None where the network's input comes first."""
    while node.name not in layers:
        if not node.inputs:
            return None
        node = by_name[node.inputs[0]]
    return node.name


def _reading(readers: Sequence[Node], layers: Mapping[str, str]) -> str | None:
    """The counted layer that reads a map."""
    return next((node.name for node in readers if node.name in layers), None)
