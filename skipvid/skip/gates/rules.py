"""What the gates decide: the definition that every back end agrees with. Plain PyTorch, on the maps of one stream."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skipvid.nn.window import Window, transposed_window
from skipvid.skip.gates.placement import Gate, OutputGate
from skipvid.skip.ir.footprint import to_blocks
from skipvid.skip.ir.graph import Node


def measure_scale(gate: Gate, value: Tensor) -> float:
    """s_X, the unit of the threshold: the calibrated scale of the map, or its mean |activation| now.

    0 where that is no finite number: such a gate passes every change on, where an infinite scale would never open.
    """
    return _finite(gate.scale if gate.scale is not None else float(value.abs().mean()))


def open_gate(gate: Gate, new: Tensor, published: Tensor, scale: float) -> Tensor:
    """Pixels that the gate opens, before they are rounded up to blocks, as (1, 1, H, W) bool.

    The norm gate: those whose mean |new − published| over channels exceeds threshold * scale; compared as a sum, so that with threshold 0
    any change opens, however small. The learned gate: those whose logit is 0 or more. A NaN opens.
    """
    if gate.question is not None:
        return ~(logits(gate, new - published) < 0)
    distance = (new - published).abs()
    total = distance.sum(1, keepdim=True) if distance.dim() == 4 else distance.sum().view(1, 1, 1, 1)
    channels = distance.shape[1] if distance.dim() == 4 else distance.numel()
    return ~(total <= gate.threshold * scale * channels)


def logits(gate: Gate, residual: Tensor) -> Tensor:
    """Of a learned gate (paper, equation 8). residual: (1, C, H, W) -> (1, 1, H, W); a value that is no map counts as one pixel."""
    question = gate.question
    assert question is not None
    seen = residual.abs() if question.magnitude else residual
    maps = seen if seen.dim() == 4 else seen.reshape(1, -1, 1, 1)
    return (maps * question.weight.view(1, -1, 1, 1)).sum(1, keepdim=True) + question.bias


@dataclass(frozen=True, slots=True, eq=False)
class OutputRule:
    """An output gate at its layer. window: the inputs behind each output. in_channels: of the map that the layer reads."""

    gate: OutputGate
    node: Node
    window: Window
    in_channels: int

    @property
    def p(self) -> float:
        """All norms vanish together, but squares of tiny numbers vanish first; with threshold 0 any change has to open."""
        return self.gate.p if self.gate.threshold > 0 else 1.0

    @property
    def products(self) -> float:
        """Products of a weight and an input in one number of the output."""
        weight = self.node.consts["weight"]
        return weight.numel() / self.node.channels * self.window.taps / math.prod(self.window.kernel)

    def scale(self, value: Tensor, source: Tensor) -> float:
        """The unit of the threshold, from a keyframe's result of the layer and its input.

        Form "output": the mean |result|, that of a layer without an activation less its bias: as far as it depends on the input.
        """
        if self.gate.scale is not None:
            return _finite(self.gate.scale)
        if self.gate.form == "input":
            return _finite(float(source.abs().mean()))
        bias = self.node.consts.get("bias")
        if self.node.activation is None and bias is not None:
            value = value - bias.view(1, -1, 1, 1)
        return _finite(float(value.abs().mean()))

    def limit(self, scale: float) -> float:
        """What `amount` must exceed. Means are turned into sums on this side: no change is divided away."""
        p, weight = self.p, self.node.consts["weight"]
        factor: float = (self.in_channels * self.window.taps) ** (1 / p)
        if self.gate.form == "output":
            norm = float(torch.linalg.vector_norm(weight.double(), p))
            if norm == 0:
                return math.inf
            factor *= float(weight.numel() ** (1 / p)) / self.products / norm
        return self.gate.threshold * scale * factor

    def amount(self, change: Tensor) -> Tensor:
        """The p-norm of the change over channels and window. change: (1, C, H, W) -> (1, 1, h, w)."""
        magnitude = change.abs()
        if self.p == math.inf:
            return self.window.max(magnitude.amax(1, keepdim=True))
        if self.p == 1:
            return self.window.sum(magnitude.sum(1, keepdim=True))
        return self.window.sum(magnitude.square().sum(1, keepdim=True)).sqrt()

    def opened(self, amount: Tensor, scale: float) -> Tensor:
        """Outputs to compute, (1, 1, h, w) bool. A NaN opens."""
        return to_blocks(~(amount <= self.limit(scale)), self.gate.block)

    def largest_error(self, scale: float) -> float:
        """How far the layer's output (before its activation) can be from that of its input, as a mean over channels at any pixel.

        By Hölder's inequality, from the largest amount that does not open. Paper mode has no such bound.
        """
        if self.gate.previous or self.gate.form != "output":
            return math.inf
        limit = self.limit(scale)
        return limit * self._gain() if math.isfinite(limit) else 0.0

    def _gain(self) -> float:
        """sup of mean over outputs of |w ∗ r| for a window of changes r of p-norm 1."""
        weight = self.node.consts["weight"].double().abs()
        if self.node.op == "conv_transpose":  # (I, O/g, kh, kw) -> (O/g, I, kh, kw): group by group the same sums
            groups, outputs = self.node.attrs["groups"], weight.shape[1]
            weight = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2).reshape(groups * outputs, -1, *weight.shape[2:])
        channels = self.node.channels
        if self.p == 1:
            per_group = weight.view(self.node.attrs["groups"], -1, *weight.shape[1:]).sum(1)
            return float(per_group.max()) / channels
        if self.p == 2:
            return float(weight.flatten(1).norm(dim=1).mean())
        return float(weight.flatten(1).sum(1).mean())


def output_rule(gate: OutputGate, node: Node, source: Node) -> OutputRule:
    """The rule of a gate at `node`, which reads `source`."""
    kernel = node.consts["weight"].shape[2:]
    size, attrs = (kernel[0], kernel[1]), node.attrs
    if node.op == "conv":
        window = Window(size, attrs["stride"], attrs["dilation"], attrs["pads"])
    else:
        window = transposed_window(size, attrs["stride"], attrs["padding"], attrs["output_padding"], attrs["dilation"])
    return OutputRule(gate, node, window, source.channels)


def _finite(scale: float) -> float:
    return scale if math.isfinite(scale) else 0.0
