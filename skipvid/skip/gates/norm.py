"""The norm gate: a pixel is published when the mean magnitude of its change exceeds the threshold (paper, section 3.2, input form).

It stands on every map that feeds a layer. Nothing is lost: what stays closed stays in the residual until it opens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings, MapGate
from skipvid.skip.gates.placement import block_on, check_names, gated_maps

if TYPE_CHECKING:
    from torch import Tensor

    from skipvid.skip.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class NormGate(MapGate):
    """threshold: τ ≥ 0, in units of the map's scale; 0 opens at any change, however small.

    scale: the map's mean |activation| from a calibration, or None: measured at each keyframe, one of which comes where the map has left it
    behind by more than a factor of two (skipvid.skip.gates.units). block: as in MapGate.
    """

    map: str
    threshold: float
    scale: float | None = None
    block: int = 1

    def unit(self, value: Tensor) -> float:
        """The scale. 0 where it is no finite number: such a gate passes every change on, where an infinite scale would never open."""
        return finite(self.scale if self.scale is not None else float(value.abs().mean()))

    @property
    def measures(self) -> bool:
        return self.scale is None and self.threshold > 0

    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        distance = (new - published).abs()
        total = distance.sum(1, keepdim=True) if distance.dim() == 4 else distance.sum().view(1, 1, 1, 1)
        channels = distance.shape[1] if distance.dim() == 4 else distance.numel()
        # Compared as a sum: dividing could make the smallest change vanish.
        return ~(total <= self.threshold * scale * channels)

    def limit(self, scale: float) -> float:
        return self.threshold * scale

    def bound(self, scale: float) -> float:
        return self.threshold * scale

    def operations(self, channels: int) -> int:
        """Subtract, absolute value, add for each channel; one comparison."""
        return 3 * channels + 1


def finite(scale: float) -> float:
    """A scale, or 0 where it is none."""
    return scale if math.isfinite(scale) else 0.0


def place_norm_gates(
    graph: Graph,
    threshold: float,
    block: int = 1,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, NormGate]:
    """Norm gates by the name of their map. thresholds, scales: per map, in place of `threshold` and of measuring.

    Raises UsageError where these name a map that is not gated: they belong to another network.
    """
    by_name, names = graph.by_name, gated_maps(graph)
    thresholds, scales = thresholds or {}, scales or {}
    check_names({*thresholds, *scales}, set(names), "gated map")
    return {name: NormGate(name, thresholds.get(name, threshold), scales.get(name), block_on(by_name[name], block)) for name in names}


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    return GatedGraph(graph, place_norm_gates(graph, settings.threshold, settings.block, settings.thresholds, settings.scales))


KIND = GateKind(_attach, native=True)
