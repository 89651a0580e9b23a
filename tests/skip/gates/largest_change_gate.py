"""A kind of gate that the package has not, to be registered by its name: it opens where any channel changed by more than a threshold."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings, MapGate
from skipvid.skip.gates.placement import gated_maps
from skipvid.skip.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class LargestChangeGate(MapGate):
    map: str
    threshold: float
    block: int = 1

    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        distance = (new - published).abs()
        largest = distance.amax(1, keepdim=True) if distance.dim() == 4 else distance.max().view(1, 1, 1, 1)
        return ~(largest <= self.threshold)

    def bound(self, scale: float) -> float:
        return self.threshold

    def operations(self, channels: int) -> int:
        return 3 * channels


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    return GatedGraph(graph, {name: LargestChangeGate(name, settings.threshold, settings.block) for name in gated_maps(graph)})


KIND = GateKind(_attach)
