"""Paper mode (`reference="previous"`), for comparison: changes from frame to frame are added to outputs, as published (paper, section 3.1).

z_t = z_{t−1} + g(x_t − x_{t−1}) ⊙ (w ∗ (x_t − x_{t−1})), then the activation; the bias is in z_1. What is skipped is forgotten, so outputs
drift without a bound. All of it is in this file: other files know a kind of gate that runs on the back end reference alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skipvid.core.errors import UsageError
from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings, GateState, OutputGate
from skipvid.skip.gates.norm import finite
from skipvid.skip.gates.output_norm import OutputNormGate, place_output_norm_gates
from skipvid.skip.ir.graph import Graph
from skipvid.skip.reference.operations import activate, evaluate

FORMS = {"norm": "input", "norm-output": "output"}
"""By the gate's name, the norm that is compared: that of the change (equation 6), or that times the weights' (equation 7)."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviousFrameGate(OutputNormGate):
    """compares: "input" or "output", see FORMS; scales are mean magnitudes of the layer's input or output accordingly."""

    compares: str = "output"

    @property
    def form(self) -> str:
        return self.compares

    def unit(self, value: Tensor, source: Tensor) -> float:
        if self.compares == "input" and self.scale is None:
            return finite(float(source.abs().mean()))
        return OutputNormGate.unit(self, value, source)

    def start(self, value: Tensor, source: Tensor) -> GateState:
        plain = replace(self.layer, activation=None)
        return GateState(self.unit(value, source), {"sum": evaluate(plain, {self.layer.inputs[0]: source})})

    def opened(self, state: GateState, change: Tensor) -> Tensor:
        return self.exceeded(self.norm.amount(change), state.scale)

    def outputs(self, state: GateState, opened: Tensor, source: Tensor, change: Tensor) -> Tensor:
        layer = self.layer
        plain = replace(layer, activation=None, consts={"weight": layer.consts["weight"]})
        added = evaluate(plain, {layer.inputs[0]: change})
        state.maps["sum"] = torch.where(opened, state.maps["sum"] + added, state.maps["sum"])
        return state.maps["sum"] if layer.activation is None else activate(layer.activation, state.maps["sum"])

    def bound(self, scale: float) -> float:
        return OutputGate.bound(self, scale)


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    placed = place_output_norm_gates(graph, settings.threshold, settings.p, settings.block, settings.thresholds, settings.scales)
    form = FORMS[settings.gate]
    gates = {
        name: PreviousFrameGate(gate.layer, gate.in_channels, gate.threshold, gate.p, gate.scale, gate.block, form)
        for name, gate in placed.items()
    }
    return GatedGraph(graph, {}, gates)


def _check(settings: GateSettings) -> None:
    if settings.gate not in FORMS:
        raise UsageError(
            f"the gate {settings.gate} knows no reference 'previous'", "use --reference accumulated, or --gate norm or norm-output"
        )


KIND = GateKind(_attach, _check, dense_runs=False)  # a keyframe would mend the drift that it is there to show
