"""What frames cost, by layer: a table of the layers that never changes, and for each frame an array of counts.

The table is made once for each network and input size and shared by all frames. Costs of frames, of persons, of input sizes and of networks
add up by network and layer name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

COUNTS = ("dense_macs", "macs", "outputs", "active", "gate_macs", "gate_ops")
"""The columns of FrameCost.counts, see LayerCost."""
DENSE_MACS, MACS, OUTPUTS, ACTIVE, GATE_MACS, GATE_OPS = range(len(COUNTS))


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The cost of one layer in one frame, or summed over frames.

    name: the layer's parameter name. stage: the group it is reported under. kind: conv, depthwise, conv_transpose, linear, ...
    dense_macs, macs: multiply-accumulates of the layer computed everywhere, and as executed. gate_macs: those of a learned gate.
    gate_ops: element-wise operations of its norm gate (not MACs, reported beside them). outputs, active: output pixels, and those computed.
    """

    name: str
    stage: str
    kind: str
    dense_macs: int
    macs: int
    outputs: int
    active: int
    gate_macs: int = 0
    gate_ops: int = 0

    @property
    def skip_ratio(self) -> float:
        """Fraction of output pixels not computed."""
        return 1.0 - self.active / self.outputs if self.outputs else 0.0

    @property
    def saving(self) -> float:
        """Fraction of MACs not spent, a learned gate's cost included; negative where the gate costs more than it saves."""
        return 1.0 - (self.macs + self.gate_macs) / self.dense_macs if self.dense_macs else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """The layers of one or several networks, in order. networks: the name of each layer's network, "" where it needs none.

    names: unique within a network. stages, kinds: as in LayerCost. Raises ValueError where these do not fit together.
    """

    names: tuple[str, ...]
    stages: tuple[str, ...]
    kinds: tuple[str, ...]
    networks: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.stages) == len(self.kinds) == len(self.networks):
            raise ValueError("names, stages, kinds and networks must be as many as there are layers")
        if len(set(self.keys)) != len(self.names):
            raise ValueError("two layers of a network have the same name")

    @classmethod
    def of(cls, names: Sequence[str], stages: Sequence[str], kinds: Sequence[str], network: str = "") -> CostTable:
        """The layers of one network."""
        return cls(tuple(names), tuple(stages), tuple(kinds), (network,) * len(names))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Network and name of each layer: what costs are added up by."""
        return tuple(zip(self.networks, self.names, strict=True))


@dataclass(frozen=True, eq=False)  # no slots: what is derived is kept
class FrameCost:
    """The cost of one frame, layer by layer; or of many frames or networks, added up with `+`.

    table: the layers. counts: (layers, 6) int64, the columns COUNTS; not to be written to. other_gate_ops: element-wise operations of gates
    on maps that belong to no layer of the table (the network's input).
    """

    table: CostTable
    counts: NDArray[np.int64]
    other_gate_ops: int = 0

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.table), len(COUNTS)) or self.counts.dtype != np.int64:
            raise ValueError(f"counts must be ({len(self.table)}, {len(COUNTS)}) int64, got {self.counts.shape} {self.counts.dtype}")

    @classmethod
    def of(cls, layers: Iterable[LayerCost], other_gate_ops: int = 0) -> FrameCost:
        """A cost from its layers, one by one."""
        rows = tuple(layers)
        table = CostTable.of([row.name for row in rows], [row.stage for row in rows], [row.kind for row in rows])
        counts = np.array([[getattr(row, column) for column in COUNTS] for row in rows], np.int64)
        return cls(table, counts.reshape(len(rows), len(COUNTS)), other_gate_ops)

    @classmethod
    def nothing(cls, table: CostTable) -> FrameCost:
        """The cost of a network that did not run."""
        return cls(table, np.zeros((len(table), len(COUNTS)), np.int64))

    @cached_property
    def layers(self) -> tuple[LayerCost, ...]:
        """The rows one by one; the names and stages of a named network's layers begin with its name."""
        table, counts = self.table, self.counts.tolist()
        return tuple(
            LayerCost(_joined(network, name), _joined(network, stage), kind, *row)
            for network, name, stage, kind, row in zip(table.networks, table.names, table.stages, table.kinds, counts, strict=True)
        )

    @property
    def sums(self) -> LayerCost:
        """All layers, and the gates beside them, as one row without a name."""
        return self._row("", self.counts.sum(axis=0).tolist(), self.other_gate_ops)

    @property
    def by_stage(self) -> tuple[LayerCost, ...]:
        """The layers added up by stage, in the order in which the stages begin; `name` is the stage's. Without other_gate_ops."""
        names, rows = _stages(self.table)
        counts = np.zeros((len(names), len(COUNTS)), np.int64)
        np.add.at(counts, rows, self.counts)
        return tuple(self._row(name, row) for name, row in zip(names, counts.tolist(), strict=True))

    @staticmethod
    def _row(name: str, row: Sequence[int], other_gate_ops: int = 0) -> LayerCost:
        dense_macs, macs, outputs, active, gate_macs, gate_ops = row
        return LayerCost(name, name, "", dense_macs, macs, outputs, active, gate_macs, gate_ops + other_gate_ops)

    @property
    def dense_macs(self) -> int:
        return int(self.counts[:, DENSE_MACS].sum())

    @property
    def macs(self) -> int:
        """MACs executed, those of learned gates included."""
        return int(self.counts[:, MACS].sum() + self.counts[:, GATE_MACS].sum())

    @property
    def gate_ops(self) -> int:
        return int(self.counts[:, GATE_OPS].sum()) + self.other_gate_ops

    @property
    def skip_ratio(self) -> float:
        """Fraction of layers' output pixels not computed."""
        outputs = int(self.counts[:, OUTPUTS].sum())
        return 1.0 - int(self.counts[:, ACTIVE].sum()) / outputs if outputs else 0.0

    @property
    def saving(self) -> float:
        """Fraction of MACs not spent, gate MACs included."""
        dense = self.dense_macs
        return 1.0 - self.macs / dense if dense else 0.0

    def named(self, network: str) -> FrameCost:
        """The same cost as that of a network of this name, to be told from the layers of others."""
        return FrameCost(_named(self.table, network), self.counts, self.other_gate_ops)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameCost) and (self.layers, self.other_gate_ops) == (other.layers, other.other_gate_ops)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: FrameCost) -> FrameCost:
        """Layers that both have are summed; those that one has are kept. In the order of this cost, then of the other."""
        other_gate_ops = self.other_gate_ops + other.other_gate_ops
        if self.table is other.table:
            return FrameCost(self.table, self.counts + other.counts, other_gate_ops)
        table, rows = _merged(self.table, other.table)
        counts = np.zeros((len(table), len(COUNTS)), np.int64)
        counts[: len(self.table)] = self.counts
        counts[rows] += other.counts
        return FrameCost(table, counts, other_gate_ops)


def _joined(network: str, name: str) -> str:
    return f"{network}.{name}" if network else name


# Tables are few and live as long as their networks: what follows from them is found once, not for every frame.


@lru_cache(maxsize=64)
def _named(table: CostTable, network: str) -> CostTable:
    if len(set(table.networks)) > 1:
        raise ValueError(f"the layers are those of {len(set(table.networks))} networks and cannot be named {network}")
    return CostTable.of(table.names, table.stages, table.kinds, network)


@lru_cache(maxsize=64)
def _merged(first: CostTable, second: CostTable) -> tuple[CostTable, NDArray[np.intp]]:
    """A table of all layers of both, those of the first in their places; and for each layer of the second its row there."""
    place = {key: row for row, key in enumerate(first.keys)}
    added = [row for row, key in enumerate(second.keys) if key not in place]
    place |= {second.keys[row]: len(first) + number for number, row in enumerate(added)}
    rows = np.array([place[key] for key in second.keys], np.intp)
    if not added:
        return first, rows
    columns = (
        (*own, *(other[row] for row in added))
        for own, other in (
            (first.names, second.names),
            (first.stages, second.stages),
            (first.kinds, second.kinds),
            (first.networks, second.networks),
        )
    )
    return CostTable(*columns), rows


@lru_cache(maxsize=64)
def _stages(table: CostTable) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The stages in the order in which they begin, and for each layer the number of its stage."""
    stages = [_joined(network, stage) for network, stage in zip(table.networks, table.stages, strict=True)]
    number = {stage: position for position, stage in enumerate(dict.fromkeys(stages))}
    return tuple(number), np.array([number[stage] for stage in stages], np.intp)
