"""What a frame cost, counted for each layer, frame and batch element, and what a loss needs to make it less (paper, section 3.2).

Counted are the multiply-accumulates (MACs) of the layers of this package and of their learned gates. Not counted: the layers that were left
as they are, and work that is no multiplication by a weight (reported as element-wise operations where a norm gate does it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skipvid.core.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """The cost of the last forward of a layer, or of several of them added up with `+`.

    dense_macs, outputs: MACs and output pixels of one frame of one batch element, computed densely.
    active, macs, gate_macs, gate_ops: (N,) int64 after a frame, (N, T) after a clip: output pixels computed, MACs executed for them, MACs
    and element-wise operations of the gate. A keyframe is computed everywhere and costs no gate.
    expected_macs: same shape, floating point: MACs that the gate's probabilities lead one to expect, differentiable where they are.
    For a gate on inputs, an output counts as often as its window's most probable input opens.
    keyframe: same shape, bool.
    """

    dense_macs: int
    outputs: int
    active: Tensor
    macs: Tensor
    gate_macs: Tensor
    gate_ops: Tensor
    expected_macs: Tensor
    keyframe: Tensor

    @property
    def skip_ratio(self) -> Tensor:
        """Fraction of output pixels not computed, (N,) or (N, T) float32."""
        return 1 - self.active.float() / self.outputs

    @property
    def saving(self) -> Tensor:
        """Fraction of MACs not spent, learned gates included, (N,) or (N, T) float32; negative where they cost more than they save."""
        return 1 - (self.macs + self.gate_macs).double().div(self.dense_macs).float()

    def __add__(self, other: Cost) -> Cost:
        if self.macs.shape != other.macs.shape:
            raise UsageError(
                f"costs of {tuple(self.macs.shape)} and {tuple(other.macs.shape)} frames cannot be added",
                "(batch,) after a frame and (batch, frames) after a clip must be the same in all layers; run the model once more",
            )
        return Cost(
            self.dense_macs + other.dense_macs,
            self.outputs + other.outputs,
            self.active + other.active,
            self.macs + other.macs,
            self.gate_macs + other.gate_macs,
            self.gate_ops + other.gate_ops,
            self.expected_macs + other.expected_macs,
            self.keyframe | other.keyframe,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ModelCost:
    """The cost of a model's last forward. layers: by module path. total: their sum."""

    layers: Mapping[str, Cost]
    total: Cost


def stack_costs(costs: Sequence[Cost]) -> Cost:
    """The costs (N,) of the frames of a clip as one of (N, T)."""

    def over_time(name: str) -> Tensor:
        return torch.stack([getattr(cost, name) for cost in costs], 1)

    return Cost(
        costs[0].dense_macs,
        costs[0].outputs,
        over_time("active"),
        over_time("macs"),
        over_time("gate_macs"),
        over_time("gate_ops"),
        over_time("expected_macs"),
        over_time("keyframe"),
    )
