"""The output-norm gate: an output is computed when the change in its window could move it by more than the threshold (paper, equation 7).

What is skipped adds up in the change accumulator, one channel over the layer's outputs, until it opens the gate; outputs are absolute. So
nothing drifts, and the sum bounds how far off an output is. Norm gates of a lower threshold stand in front, on the maps that layers read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings, GateState, OutputGate
from skipvid.skip.gates.norm import finite, place_norm_gates
from skipvid.skip.gates.placement import block_on, check_names
from skipvid.skip.ir.graph import Graph, Node

if TYPE_CHECKING:  # imported where it is used: a session asks for the kind of its gates, and may run without PyTorch
    from torch import Tensor

    from skipvid.nn.norms import ChangeNorm
    from skipvid.nn.window import Window

INPUT_SHARE = 0.1
"""Of the threshold of output gates: that of the norm gates before them, where no other is given."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputNormGate(OutputGate):
    """threshold: in units of the layer's scale. Norms are taken as means, so that one number suits layers of any size.

    p: 1, 2 or inf. scale: the mean |output| from a calibration, or None: measured at each keyframe. layer, in_channels, block: as in
    OutputGate.
    """

    layer: Node
    in_channels: int
    threshold: float
    p: float = 1.0
    scale: float | None = None
    block: int = 1

    @property
    def form(self) -> str:
        """See ChangeNorm."""
        return "output"

    @property
    def norm(self) -> ChangeNorm:
        from skipvid.nn.norms import ChangeNorm

        # All norms vanish together, but squares of tiny numbers vanish first; with threshold 0 any change has to open.
        p = self.p if self.threshold > 0 else 1.0
        return ChangeNorm(self.form, p, window_of(self.layer), self.in_channels, self.layer.channels)

    def unit(self, value: Tensor, source: Tensor) -> float:
        """The scale: the mean |result|, that of a layer without an activation less its bias: as far as it depends on the input."""
        return finite(self.scale) if self.scale is not None else self.measured(value)

    @property
    def measures(self) -> bool:
        return self.scale is None and self.threshold > 0

    def measured(self, value: Tensor) -> float:
        bias = self.layer.consts.get("bias")
        if self.layer.activation is None and bias is not None:
            value = value - bias.view(1, -1, 1, 1)
        return finite(float(value.abs().mean()))

    def limit(self, scale: float) -> float:
        """What the accumulated amount must exceed."""
        return float(self.norm.relative_limit(self.threshold, scale, self.layer.consts["weight"]))

    def start(self, value: Tensor, source: Tensor) -> GateState:
        return GateState(self.unit(value, source), {"accumulator": value.new_zeros((1, 1, *self.layer.size))})

    def opened(self, state: GateState, change: Tensor) -> Tensor:
        amount = self.norm.amount(change) + state.maps["accumulator"]
        opened = self.exceeded(amount, state.scale)
        state.maps["accumulator"] = amount.masked_fill(opened, 0)
        return opened

    def exceeded(self, amount: Tensor, scale: float) -> Tensor:
        """Where an amount opens the gate, blocks included. A NaN opens."""
        from skipvid.nn.window import round_up_to_blocks

        return round_up_to_blocks(~(amount <= self.limit(scale)), self.block)

    def bound(self, scale: float) -> float:
        """By Hölder's inequality, from the largest amount that does not open."""
        limit = self.limit(scale)
        return limit * self._gain() if math.isfinite(limit) else 0.0

    def _gain(self) -> float:
        """sup of mean over outputs of |w ∗ r| for a window of changes r of p-norm 1."""
        layer, weight = self.layer, self.layer.consts["weight"].double().abs()
        if layer.op == "conv_transpose":  # (I, O/g, kh, kw) -> (O/g, I, kh, kw): group by group the same sums
            groups, outputs = layer.attrs["groups"], weight.shape[1]
            weight = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2).reshape(groups * outputs, -1, *weight.shape[2:])
        if self.norm.p == 1:
            per_group = weight.view(layer.attrs["groups"], -1, *weight.shape[1:]).sum(1)
            return float(per_group.max()) / layer.channels
        if self.norm.p == 2:
            return float(weight.flatten(1).norm(dim=1).mean())
        return float(weight.flatten(1).sum(1).mean())

    def change_operations(self) -> int:
        """Subtract, absolute value, add for each channel; one more for the norm."""
        return 3 * self.in_channels + 1

    def operations(self) -> int:
        """Add up the window and the accumulator, compare."""
        return math.prod(self.layer.consts["weight"].shape[2:]) + 1


def window_of(layer: Node) -> Window:
    """The inputs behind each output of a layer."""
    from skipvid.nn.window import Window, transposed_window

    kernel, attrs = layer.consts["weight"].shape[2:], layer.attrs
    size = (kernel[0], kernel[1])
    if layer.op == "conv":
        return Window(size, attrs["stride"], attrs["dilation"], attrs["pads"])
    return transposed_window(size, attrs["stride"], attrs["padding"], attrs["output_padding"], attrs["dilation"])


def gated_layers(graph: Graph) -> list[Node]:
    """Layers of which single outputs can be skipped: a linear layer has a single output pixel, and its input's gate serves; an adaptive
    layer skips as a whole."""
    return [node for node in graph if node.op in {"conv", "conv_transpose"} and node.is_map and node.guard is None]


def place_output_norm_gates(
    graph: Graph,
    threshold: float,
    p: float = 1.0,
    block: int = 1,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, OutputNormGate]:
    """Output-norm gates by the name of their layer. thresholds, scales: for single layers.

    Raises UsageError where these name no gated layer: they belong to another network.
    """
    by_name, layers = graph.by_name, gated_layers(graph)
    thresholds, scales = thresholds or {}, scales or {}
    check_names({*thresholds, *scales}, {layer.name for layer in layers}, "gated layer")
    return {
        layer.name: OutputNormGate(
            layer,
            by_name[layer.inputs[0]].channels,
            thresholds.get(layer.name, threshold),
            p,
            scales.get(layer.name),
            block_on(layer, block),
        )
        for layer in layers
    }


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    before = INPUT_SHARE * settings.threshold if settings.input_threshold is None else settings.input_threshold
    output_gates = place_output_norm_gates(graph, settings.threshold, settings.p, settings.block, settings.thresholds, settings.scales)
    return GatedGraph(graph, place_norm_gates(graph, before, settings.block), output_gates)


KIND = GateKind(_attach, typical_threshold=0.13, native=True)
