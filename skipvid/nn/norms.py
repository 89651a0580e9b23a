"""The norm of a change over a layer's windows, and what it must exceed to open a gate (paper, section 3.2, equations 6 and 7).

This is the only definition of that formula in Python. `NormGate` of this package and the output-norm gate of skipvid.skip.gates both
need it, and imports run downwards, from skip to nn: so it stands here, beside the windows that it is made of. The native kernels are
compared with it in tests/skip/cpu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skipvid.nn.window import Window


@dataclass(frozen=True, slots=True)
class ChangeNorm:
    """The measure that a norm gate compares with its threshold, for a layer of given geometry.

    form "input" (equation 6): the norm of the change in an output's window. form "output" (equation 7): that norm times the weights'
    norm, a bound of the change that it makes in the output. p: 1, 2 or inf, for both norms.
    window: the inputs behind each decision. in_channels, out_channels: of the layer.
    """

    form: str
    p: float
    window: Window
    in_channels: int
    out_channels: int

    def amount(self, change: Tensor) -> Tensor:
        """The p-norm of the change over channels and window. change: (N, C, H, W) -> (N, 1, h, w)."""
        magnitude = change.abs()
        if self.p == math.inf:
            return self.window.max(magnitude.amax(1, keepdim=True))
        if self.p == 1:
            return self.window.sum(magnitude.sum(1, keepdim=True))
        return self.window.sum(magnitude.square().sum(1, keepdim=True)).sqrt()

    def limit(self, threshold: float, weight: Tensor) -> Tensor:
        """What `amount` must exceed for a threshold on plain norms: of the change, or of the change times that of the weights.

        weight: of the layer. Returns a float64 scalar; inf where the weights are all 0, which no change can come through.
        """
        norm = self._weight_norm(weight)
        return torch.where(norm == 0, math.inf, threshold / norm)

    def relative_limit(self, threshold: float, scale: float | Tensor, weight: Tensor) -> Tensor:
        """What `amount` must exceed for a threshold on means, in units of `scale`, so that one number suits layers of any size.

        Means are turned into sums on this side of the comparison: no change is divided away. scale: a number, or (N,) float64.
        Returns float64 of scale's shape; inf where the weights are all 0.
        """
        norm = self._weight_norm(weight)
        factor = (self.in_channels * self.window.taps) ** (1 / self.p) * torch.ones_like(norm)
        if self.form == "output":
            products = weight.numel() / self.out_channels * self.window.taps / math.prod(self.window.kernel)
            factor = factor * (weight.numel() ** (1 / self.p) / products / norm)
        return torch.where(norm == 0, math.inf, threshold * scale * factor)

    def _weight_norm(self, weight: Tensor) -> Tensor:
        """As equation 7 has it; 1 in the input form, which does not look at the weights."""
        if self.form == "input":
            return weight.new_ones((), dtype=torch.float64)
        norm: Tensor = torch.linalg.vector_norm(weight.detach().double(), self.p)
        return norm
