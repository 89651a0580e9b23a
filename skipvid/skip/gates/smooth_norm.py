"""The smoothed norm gate: a norm gate that decides by the mean change of a pixel's neighbourhood, so that noise is averaged away.

A pixel opens when the mean over the 3 x 3 pixels around it of the mean magnitude of their change exceeds the threshold, or its own exceeds
three times that. It stands where norm gates stand, and nothing is lost either: what stays closed stays in the residual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings
from skipvid.skip.gates.norm import NormGate, place_norm_gates
from skipvid.skip.ir.graph import Graph

if TYPE_CHECKING:  # imported where it is used: a session asks for the kind of its gates, and may run without PyTorch
    from torch import Tensor

ALONE = 3.0
"""How many times the threshold a pixel's own change must exceed to open it whatever lies around."""


@dataclass(frozen=True, slots=True)
class SmoothNormGate(NormGate):
    """threshold: τ ≥ 0, of the mean over the neighbourhood; see NormGate for the other fields. It stands on maps of more than one pixel.

    Of the 3 x 3 pixels, those that lie in the map count: six at an edge, four in a corner. The residual of a pixel that is not computed in
    this frame counts as it was left. A pixel without a change of its own has nothing to publish and stays closed. A change that is no
    finite number opens its own pixel, and counts as none at its neighbours.
    """

    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        import torch

        own = (new - published).abs().sum(1, keepdim=True)
        limit = torch.tensor(self.threshold * scale * new.shape[1], dtype=own.dtype)
        total, count = _window_sums(torch.where(own.isfinite(), own, 0.0)), _window_sums(torch.ones_like(own))
        return ~(own <= ALONE * limit) | ((total > limit * count) & (own > 0))

    def bound(self, scale: float) -> float:
        """Three times the threshold: a pixel alone never keeps more.

        The mean over a pixel's neighbourhood was at most τ · s when the pixel was computed last; it may have grown since, where only its
        neighbours were computed.
        """
        return ALONE * self.threshold * scale

    def operations(self, channels: int) -> int:
        """Those of a norm gate, eight additions, and two more comparisons."""
        return 3 * channels + 11


def _window_sums(values: Tensor) -> Tensor:
    """The sum over the 3 x 3 pixels around each that lie in the map, (1, 1, H, W): columns first, as the native kernels add them."""
    from torch.nn.functional import pad

    rows = pad(values, (1, 1, 1, 1))
    height, width = values.shape[2:]
    columns = rows[:, :, :height] + rows[:, :, 1 : height + 1] + rows[:, :, 2:]
    return columns[..., :width] + columns[..., 1 : width + 1] + columns[..., 2:]


def place_smooth_norm_gates(
    graph: Graph,
    threshold: float,
    block: int = 1,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, NormGate]:
    """As `place_norm_gates`; vectors, which have no neighbours, get norm gates."""
    by_name = graph.by_name
    gates = place_norm_gates(graph, threshold, block, thresholds, scales)
    return {name: _smoothed(gate) if by_name[name].is_map and by_name[name].size != (1, 1) else gate for name, gate in gates.items()}


def _smoothed(gate: NormGate) -> SmoothNormGate:
    return SmoothNormGate(gate.map, gate.threshold, gate.scale, gate.block)


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    gates = place_smooth_norm_gates(graph, settings.threshold, settings.block, settings.thresholds, settings.scales)
    return GatedGraph(graph, gates)


KIND = GateKind(_attach, native=True)
