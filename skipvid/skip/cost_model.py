"""What is counted of a network: its layers, and what an output of each and a pixel of each gate cost. It needs no graph, and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import ACTIVE, COUNTS, DENSE_MACS, OUTPUTS, CostTable, FrameCost


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the cost report. node: the node of the graph. name: unique, from the parameter path. size: (h, w) of the result, pixels.

    gates: maps whose gate work is reported in this row, because this layer's result is what they compare; a learned gate's is reported
    in the row of the layer that it serves.
    """

    node: str
    name: str
    stage: str
    kind: str
    dense_macs: int
    size: tuple[int, int]
    gates: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Output pixels."""
        return self.size[0] * self.size[1]


@dataclass(frozen=True, slots=True)
class GateUnit:
    """What one pixel costs in a gate. name: of its map or layer. row: of its layer in the cost table, its length where it has none."""

    name: str
    row: int
    macs: int
    operations: int


@dataclass(frozen=True, slots=True, eq=False)
class GateUnits:
    """The same of some gates. names: of their maps or layers. rows, macs, operations: (gates,) int64."""

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    macs: NDArray[np.int64]
    operations: NDArray[np.int64]

    @classmethod
    def of(cls, units: Sequence[GateUnit]) -> GateUnits:
        """As arrays."""
        numbers = np.array([(unit.row, unit.macs, unit.operations) for unit in units], np.int64).reshape(-1, 3)
        return cls(tuple(unit.name for unit in units), numbers[:, 0], numbers[:, 1], numbers[:, 2])


@dataclass(frozen=True, slots=True, eq=False)
class UnitCosts:
    """Everything about costs that does not change from frame to frame, as arrays.

    dense_macs, outputs: (layers,) int64; outputs is 1 or more. gates, measured, candidates: as in CostModel.
    """

    table: CostTable
    dense_macs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    gates: GateUnits
    measured: GateUnits
    candidates: GateUnits


@dataclass(frozen=True, slots=True, eq=False)
class ReportedAs:
    """Where the layers of a narrower network are counted in the rows of the full one, so that frames at several widths add up.

    full: of the full network. rows: (layers,) int64, for each layer the number of its row there. first: (layers,) bool, whether its pixels
    are those of the row, where several layers share one.
    """

    full: UnitCosts
    rows: NDArray[np.int64]
    first: NDArray[np.bool_]

    def cost(self, own: FrameCost) -> FrameCost:
        """In the rows of the full network, whose MACs are the dense ones."""
        counts = np.zeros((len(self.full.table), len(COUNTS)), np.int64)
        np.add.at(counts, self.rows, own.counts)
        counts[:, ACTIVE] = 0
        np.add.at(counts[:, ACTIVE], self.rows[self.first], own.counts[self.first, ACTIVE])
        counts[:, DENSE_MACS], counts[:, OUTPUTS] = self.full.dense_macs, self.full.outputs
        return FrameCost(self.full.table, counts, own.other_gate_ops)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A layer that runs in frames of one choice alone. row: its number. choice: name of the adaptive layer that it is a part of. number: of
    the choice, 0 being the full ratio. first: whether it reads what the adaptive layer reads, and not what another part has made of that.
    """

    row: int
    choice: str
    number: int
    first: bool


@dataclass(frozen=True)  # no slots: what is derived is kept
class CostModel:
    """layers: all that is counted, in order. gates: the map gates. measured, candidates: of output gates, for a pixel of a map whose change
    they read, and for an output that they decide about. reported: of a narrower network, and of one with adaptive layers; None: in rows of
    its own. alternatives: parts of adaptive layers.
    """

    layers: tuple[Layer, ...]
    gates: tuple[GateUnit, ...] = ()
    measured: tuple[GateUnit, ...] = ()
    candidates: tuple[GateUnit, ...] = ()
    reported: ReportedAs | None = None
    alternatives: tuple[Alternative, ...] = ()

    @property
    def pixel_rows(self) -> Mapping[int, str]:
        """Of each layer whose pixels are reported: its number, and the name of the row."""
        if self.reported is None:
            return {number: layer.name for number, layer in enumerate(self.layers)}
        names, rows = self.reported.full.table.names, self.reported.rows
        return {int(number): names[rows[number]] for number in np.flatnonzero(self.reported.first)}

    @cached_property
    def dense_macs(self) -> int:
        """Of adaptive layers at the full ratio."""
        return sum(layer.dense_macs for layer in self.full_layers)

    @property
    def full_layers(self) -> tuple[Layer, ...]:
        """All but those that adaptive layers run at lower ratios."""
        narrow = {part.row for part in self.alternatives if part.number > 0}
        return tuple(layer for row, layer in enumerate(self.layers) if row not in narrow)

    def macs_at(self, choices: Mapping[str, int]) -> int:
        """MACs of a frame that computes everything at these choices, by adaptive layer."""
        other = [part.row for part in self.alternatives if choices.get(part.choice, 0) != part.number]
        return sum(layer.dense_macs for layer in self.layers) - sum(self.layers[row].dense_macs for row in other)

    def executed_macs(self, active: Sequence[int] | NDArray[np.int64]) -> int:
        """MACs of a frame that computes `active` outputs of each layer; fast enough for every frame."""
        counts = np.asarray(active, np.int64)
        each, uneven = self._macs_of_outputs
        total = int(each.dot(counts))  # behind a frame 10 us with what is around it, 17 by `@`
        if len(uneven):
            units = self.units
            total += int(executed_macs(units.dense_macs[uneven], counts[uneven], units.outputs[uneven]).sum())
        return total

    @cached_property
    def _macs_of_outputs(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """MACs of one output of each layer, and the layers whose outputs differ in them, for which 0 stands there."""
        units = self.units
        each, rest = np.divmod(units.dense_macs, units.outputs)
        return np.where(rest == 0, each, 0), np.flatnonzero(rest)

    @cached_property
    def units(self) -> UnitCosts:
        """What the account of a frame multiplies its counts with."""
        layers = self.layers
        table = CostTable.of([layer.name for layer in layers], [layer.stage for layer in layers], [layer.kind for layer in layers])
        numbers = np.array([(layer.dense_macs, layer.outputs) for layer in layers], np.int64).reshape(-1, 2)
        return UnitCosts(
            table,
            numbers[:, 0].copy(),
            numbers[:, 1].clip(1),  # a layer without outputs has no MACs
            GateUnits.of(self.gates),
            GateUnits.of(self.measured),
            GateUnits.of(self.candidates),
        )

    @cached_property
    def layers_by_size(self) -> Mapping[tuple[int, int], tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """By (H, W) of their results the numbers of the layers with a spatial extent, and their shares of the MACs of all of those."""
        numbers: dict[tuple[int, int], list[int]] = {}
        for number, layer in enumerate(self.layers):
            if layer.outputs > 1:
                numbers.setdefault(layer.size, []).append(number)
        macs = np.array([layer.dense_macs for layer in self.layers], np.float64)
        full = {layer.node for layer in self.full_layers}
        total = max(sum(macs[number] for own in numbers.values() for number in own if self.layers[number].node in full), 1.0)
        return {size: (np.array(own, np.int32), (macs[own] / total).astype(np.float32)) for size, own in numbers.items()}


def with_choices(own: CostModel, alternatives: Sequence[Alternative], units: Sequence[GateUnit]) -> CostModel:
    """The costs of a network with adaptive layers, all parts of which are reported in the row of the layer at its full ratio.

    own: the same without choices. units: of the choices.
    """
    full = replace(own, alternatives=tuple(alternatives))
    rows = {layer.node: row for row, layer in enumerate(full.full_layers)}
    places = {part.choice: rows[own.layers[part.row].node] for part in alternatives if part.number == 0}
    parts = {part.row: part for part in alternatives}
    targets = [places[parts[row].choice] if row in parts else rows[layer.node] for row, layer in enumerate(own.layers)]
    first = [row not in parts or parts[row].first for row in range(len(own.layers))]
    reported = ReportedAs(CostModel(full.full_layers).units, np.array(targets, np.int64), np.array(first, np.bool_))
    return replace(full, gates=(*own.gates, *units), reported=reported)


Counts = TypeVar("Counts", int, NDArray[np.int64])


def executed_macs(total: Counts, active: Counts, outputs: Counts) -> Counts:
    """MACs when `active` of `outputs` output pixels are computed; outputs ≥ 1.

    Exact for convolutions, whose pixels all cost the same; for a transposed convolution, where they differ by their place in the stride,
    rounded from the average.
    """
    return (total * active + outputs // 2) // outputs
