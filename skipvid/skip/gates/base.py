"""What every gate has, wherever it stands: what it decides, how far off it lets values be, and what it costs.

A map gate stands on a map and publishes it: readers see a pixel's new value only where the gate opened. An output gate stands on a layer
and decides which of its outputs are computed. The plan, the reference back end and the account of costs know these two interfaces alone.
The lowering to native code knows the kinds that it has kernels for.

A kind of gate is one module with a `GateKind`, named in skipvid.core.gate_kinds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from skipvid.skip.ir.graph import Graph, Node


class MapGate(ABC):
    """A gate on one map, on the accumulated reference. block: its mask is rounded up to blocks of block x block pixels (1 = single pixels).

    at_reader: its cost belongs to the layer that reads the map, not to the one that computes it.
    """

    map: str
    block: int
    at_reader: ClassVar[bool] = False

    def unit(self, value: Tensor) -> float:
        """The scale that the threshold counts in, from the map's value at a keyframe."""
        return 1.0

    @property
    def measures(self) -> bool:
        """Whether `unit` depends on the map, so that keyframes have to measure it."""
        return False

    def measured(self, value: Tensor) -> float:
        """The unit that a map of these values would have, (1, C, H, W) or a part of its rows."""
        return self.unit(value)

    @abstractmethod
    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        """Pixels that the gate opens, before they are rounded up to blocks, (1, 1, H, W) bool. A NaN opens.

        new, published: (1, C, H, W), or a value that is no map, which counts as one pixel. scale: as `unit` gave it.
        """

    def limit(self, scale: float) -> float:
        """What the mean |new − published| over channels must exceed to open the gate; inf where another rule decides."""
        return math.inf

    def bound(self, scale: float) -> float:
        """The largest mean |new − published| over channels that may stay unpublished at any pixel; inf where there is no bound.

        scale: the unit in force, that of the last keyframe.
        """
        return math.inf

    def macs(self, channels: int) -> int:
        """Multiply-accumulates of the gate's own weights for one pixel."""
        return 0

    @abstractmethod
    def operations(self, channels: int) -> int:
        """Element-wise operations for one pixel."""


@dataclass(slots=True)
class GateState:
    """What an output gate remembers between frames. scale: unit of its threshold. maps: tensors over the layer's outputs, by name."""

    scale: float
    maps: dict[str, Tensor] = field(default_factory=dict)


class OutputGate(ABC):
    """A gate on one layer. layer: its node. in_channels: of the map that it reads. block: as in MapGate."""

    layer: Node
    in_channels: int
    block: int

    @property
    def measures(self) -> bool:
        """Whether the scale depends on the layer's result, so that keyframes have to measure it."""
        return False

    def measured(self, value: Tensor) -> float:
        """The scale that a layer with this result would have, (1, C', h, w) or a part of its rows."""
        return 1.0

    @abstractmethod
    def start(self, value: Tensor, source: Tensor) -> GateState:
        """What to remember of a keyframe. value: the layer's result, (1, C', h, w). source: its input, (1, C, H, W)."""

    def limit(self, scale: float) -> float:
        """What the amount of change must exceed to open the gate; inf where another rule decides."""
        return math.inf

    @abstractmethod
    def opened(self, state: GateState, change: Tensor) -> Tensor:
        """Outputs to compute, blocks included, (1, 1, h, w) bool; updates `state`. change: of the layer's input since the frame before."""

    def outputs(self, state: GateState, opened: Tensor, source: Tensor, change: Tensor) -> Tensor:
        """The layer's result; only what is opened will be taken over."""
        from skipvid.skip.reference.operations import evaluate

        return evaluate(self.layer, {self.layer.inputs[0]: source})

    def bound(self, scale: float) -> float:
        """How far the layer's output, before its activation, can be from that of its input, as a mean over channels at any pixel."""
        return math.inf

    @abstractmethod
    def change_operations(self) -> int:
        """Element-wise operations that measure the change of one pixel of the input; done once for all gates that read it."""

    @abstractmethod
    def operations(self) -> int:
        """Element-wise operations for one candidate."""


@dataclass(frozen=True, slots=True, eq=False)
class GatedGraph:
    """A graph with gates attached. gates: by map. output_gates: by layer."""

    graph: Graph
    gates: Mapping[str, MapGate] = field(default_factory=dict)
    output_gates: Mapping[str, OutputGate] = field(default_factory=dict)


class GateSettings(Protocol):
    """What a kind of gate is told; skipvid.skip.config.SkipConfig says what each field means."""

    @property
    def gate(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    @property
    def block(self) -> int: ...
    @property
    def p(self) -> float: ...
    @property
    def thresholds(self) -> Mapping[str, float]: ...
    @property
    def scales(self) -> Mapping[str, float]: ...
    @property
    def input_threshold(self) -> float | None: ...
    @property
    def learned_gates(self) -> Mapping[str, Any]: ...


def _anything_goes(settings: GateSettings) -> None:
    """No setting is refused."""


@dataclass(frozen=True, slots=True)
class GateKind:
    """A kind of gate.

    attach: a pass that puts gates of this kind into a graph; raises UsageError or WeightsError where settings belong to another network.
    check: raises UsageError for settings that this kind cannot have. typical_threshold: thresholds of the kinds that err about as much.
    native: whether the back end cpu has kernels for it; otherwise it runs on the reference.
    dense_runs: whether a session may put in keyframes where nearly everything moves (`SkipConfig.dense_above`).
    """

    attach: Callable[[Graph, GateSettings], GatedGraph]
    check: Callable[[GateSettings], None] = _anything_goes
    typical_threshold: float = 0.03
    native: bool = False
    dense_runs: bool = True
