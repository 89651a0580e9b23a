"""The plan: an optimised graph with its gates and the list of what is counted. Immutable, shared by all sessions and back ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_unflatten

from skipvid.skip.cost_model import Alternative, CostModel, GateUnit, Layer, with_choices
from skipvid.skip.gates.base import GatedGraph, MapGate, OutputGate
from skipvid.skip.ir.cost import macs_by_node
from skipvid.skip.ir.graph import Graph, Node
from skipvid.skip.ir.precision import rounded, stored_maps
from skipvid.skip.ir.stages import assign_stages

if TYPE_CHECKING:
    from skipvid.skip.gates.units import Measured


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
    def costs(self) -> CostModel:
        """What is counted, free of the graph."""
        return _cost_model(self)

    @property
    def dense_macs(self) -> int:
        return self.costs.dense_macs

    @cached_property
    def measured_units(self) -> tuple[Measured, ...]:
        """Gates whose units keyframes measure, in the order of the graph."""
        attached = [(node.name, gates.get(node.name)) for node in self.graph for gates in (self.gates, self.output_gates)]
        return tuple((name, gate) for name, gate in attached if gate is not None and gate.measures)

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """By adaptive layer, as it is named in reports, the node that chooses for it."""
        guards = {node.name: node.guard for node in self.graph}
        return {layer.name: guard[0] for layer in self.layers if (guard := guards[layer.node]) is not None and guard[1] == 0}

    @property
    def reusing(self) -> Mapping[str, Node]:
        """Selections that compute something where they are reused, by the name under which that is counted."""
        return {f"{node.name}_reused": node for node in self.graph if node.op == "select" and node.consts}

    @property
    def measured_maps(self) -> tuple[str, ...]:
        """Maps whose change output gates read, in the order of the graph."""
        read = {node.inputs[0] for node in self.graph if node.name in self.output_gates}
        return tuple(node.name for node in self.graph if node.name in read)

    def restore(self, outputs: Sequence[Tensor | NDArray[np.float32]]) -> Any:
        """Output maps in the structure that the network returns, constants put back in their places."""
        queue = iter([output if isinstance(output, Tensor) else torch.from_numpy(output) for output in outputs])
        return self._unflatten([next(queue) if isinstance(leaf, str) else leaf for leaf in self.graph.outputs])

    @cached_property
    def _unflatten(self) -> Callable[[list[Any]], Any]:
        """tree_unflatten of the graph's leaves, which takes much longer: it is called for every frame."""
        spec = self.graph.out_spec
        nested = _unflattening(tree_unflatten([_Place(number) for number in range(len(self.graph.outputs))], spec))
        return nested or partial(tree_unflatten, treespec=spec)


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a leaf among all."""

    number: int


def _unflattening(structure: Any) -> Callable[[list[Any]], Any] | None:
    """What puts leaves in the places of a structure; None where that is more than lists, tuples and dictionaries."""
    if type(structure) is _Place:
        return itemgetter(structure.number)
    if type(structure) not in (list, tuple, dict):
        return None
    below = [_unflattening(part) for part in (structure.values() if type(structure) is dict else structure)]
    parts = [part for part in below if part is not None]
    if len(parts) < len(below):
        return None
    if type(structure) is dict:
        named = tuple(zip(structure, parts, strict=True))
        return lambda leaves: {name: part(leaves) for name, part in named}
    if type(structure) is tuple:
        return lambda leaves: tuple([part(leaves) for part in parts])
    return lambda leaves: [part(leaves) for part in parts]


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
            node.size,
            tuple(name for name, owner in owners.items() if owner == node.name),
        )
        for node in counted
    )
    others = tuple(name for name, owner in owners.items() if owner is None)
    return Plan(graph, gates, layers, others, gated.output_gates, precision)


def _cost_model(plan: Plan) -> CostModel:
    layers, by_name = plan.layers, plan.graph.by_name
    rows = {gate: row for row, layer in enumerate(layers) for gate in layer.gates}
    gates = [
        GateUnit(name, rows.get(name, len(layers)), gate.macs(by_name[name].channels), gate.operations(by_name[name].channels))
        for name, gate in plan.gates.items()
    ]
    measured: dict[str, GateUnit] = {}
    candidates = []
    for row, layer in enumerate(layers):
        output_gate = plan.output_gates.get(layer.node)
        if output_gate is not None:
            source = output_gate.layer.inputs[0]
            # A map's change is measured once, for all layers that read it: in the first one's row.
            measured.setdefault(source, GateUnit(source, row, 0, output_gate.change_operations()))
            candidates.append(GateUnit(layer.node, row, 0, output_gate.operations()))
    own = CostModel(layers, tuple(gates), tuple(measured.values()), tuple(candidates))
    return with_choices(own, _alternatives(plan), _choice_units(plan)) if plan.choices else own


def _alternatives(plan: Plan) -> list[Alternative]:
    by_name, layers = plan.graph.by_name, {choice: layer for layer, choice in plan.choices.items()}
    found = []
    for row, layer in enumerate(plan.layers):
        node = by_name[layer.node]
        if node.guard is not None:
            found.append(Alternative(row, layers[node.guard[0]], node.guard[1], by_name[node.inputs[0]].guard is None))
    return found


def _choice_units(plan: Plan) -> list[GateUnit]:
    """What a decision costs, and a pixel of a map that is reused."""
    by_name = plan.graph.by_name
    rows = {choice: [layer.name for layer in plan.layers].index(name) for name, choice in plan.choices.items()}
    units = []
    for choice, row in rows.items():
        node = by_name[choice]
        source = by_name[node.inputs[1]]
        policy = node.consts["inner"].numel() + node.consts["outer"].numel()
        units.append(GateUnit(choice, row, policy, source.channels * source.size[0] * source.size[1]))
    return [*units, *(GateUnit(name, rows[node.inputs[0]], node.channels, 0) for name, node in plan.reusing.items())]


def _kind(node: Node) -> str:
    if node.op == "aten":
        return str(node.attrs["target"]).removeprefix("aten.").split(".")[0]
    if node.op == "conv" and node.attrs["groups"] == node.channels > 1:
        return "depthwise"
    return str(node.attrs.get("kind", node.op))


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
