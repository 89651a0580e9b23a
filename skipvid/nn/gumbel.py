"""The Gumbel gate: a small convolution that learns, together with the network, which changes matter (paper, section 3.2, equation 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.gates import Decision, Gate, Site
from skipvid.nn.window import POINT, Pair, Window, pool_blocks, same_pads, spread_blocks


class GumbelGate(Gate):
    """A learned convolution on the residual, C_in -> 1, whose result is the logit of being open (paper, section 3.2, equation 8).

    In training each position opens at random with probability sigmoid(logit): logit plus the difference of two Gumbel samples is compared
    with 0, and the backward pass sees sigmoid((logit + difference) / temperature) instead (straight-through). In eval mode it opens where
    the logit is >= 0, which is where that probability is at least one half. A NaN opens. With block > 1 there is one logit for each block,
    the largest of its pixels (paper, section 3.3), and so one sample.

    kernel: None for that of the layer. With the layer's reference "previous" it has the layer's stride, padding and dilation, too, and
    decides for each output, as in the paper; with "accumulated" it decides for each input pixel and the layer computes the footprint of
    that. 1 for a kernel of 1x1 on input pixels (with "accumulated" only): the form that skipvid.convert runs. It need not remember what was
    computed but not published, and costs 1 / (k_h · k_w) as much.

    temperature: of the backward pass; may be lowered while training. open_rate: probability of opening where nothing changed, before
    training. on_magnitude: the convolution sees |residual| instead of the residual (not in the paper: a single convolution of a signed
    residual cannot tell "large" from "positive").
    The gate gets its parameters, `weight` (1, C_in, k_h, k_w) and `bias` (1,), when a layer takes it; layers that take the same gate share
    it. Raises UsageError for settings out of range, and where layers that share a gate differ in channels or geometry.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        block: int = 1,
        temperature: float = 2 / 3,
        open_rate: float = 0.9,
        on_magnitude: bool = False,
        kernel: int | None = None,
    ) -> None:
        super().__init__(block)
        if kernel not in (None, 1):
            raise UsageError(f"kernel is {kernel!r}", "it must be None for the layer's, or 1")
        if not (math.isfinite(temperature) and temperature > 0):
            raise UsageError(f"temperature is {temperature!r}", "it must be more than 0, e.g. 0.66")
        if not 0 < open_rate < 1:
            raise UsageError(f"open_rate is {open_rate!r}", "it must be a probability between 0 and 1, e.g. 0.9")
        self.temperature, self.open_rate, self.on_magnitude, self.kernel = temperature, open_rate, on_magnitude, kernel
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        self._window: Window | None = None

    def bind(self, site: Site) -> None:
        if self.kernel == 1 and not site.on_inputs:
            raise UsageError("a GumbelGate with kernel 1 is given to a layer with reference 'previous'", "it needs 'accumulated'")
        window = self._window_at(site)
        if self.weight is None:
            self._window = window
            self.weight = nn.Parameter(torch.empty(1, site.in_channels, *window.kernel))
            self.bias = nn.Parameter(torch.empty(1))
            self.reset_parameters()
        elif self._window != window or self.weight.shape[1] != site.in_channels:
            raise UsageError(
                f"a GumbelGate {tuple(self.weight.shape)} is given to a layer of {site.in_channels} channels and kernel {window.kernel}",
                "layers that share a gate need the same channels, kernel and geometry; give each layer a gate of its own",
            )

    def reset_parameters(self) -> None:
        """Small random weights, as in torch's convolutions, and the bias that gives `open_rate`."""
        if self.weight is not None and self.bias is not None:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
            nn.init.constant_(self.bias, math.log(self.open_rate / (1 - self.open_rate)))

    def logits(self, residual: Tensor, site: Site) -> Tensor:
        """residual: (N, C, H, W) -> (N, 1, h, w), one logit for each position, before blocks."""
        if self.weight is None:
            raise UsageError("this GumbelGate has no weights yet", "give it to a layer, e.g. SkipConv2d(16, 32, 3, gate=GumbelGate())")
        seen = residual.abs() if self.on_magnitude else residual
        return self._window_at(site).convolve(seen, self.weight, self.bias)

    def forward(self, residual: Tensor, site: Site, scale: Tensor | None, weight: Tensor, accumulator: Tensor | None = None) -> Decision:
        pixels = self.logits(residual, site)
        size, logits = (pixels.shape[2], pixels.shape[3]), pool_blocks(pixels, self.block)
        if not self.training:
            return Decision(spread_blocks(~(logits < 0), self.block, size))
        noisy = logits + gumbel(logits) - gumbel(logits)
        maps = (~(noisy < 0), (noisy / self.temperature).sigmoid(), logits.sigmoid())
        return Decision(*(spread_blocks(each, self.block, size) for each in maps))

    def macs(self, site: Site, inputs: Pair, outputs: Pair) -> int:
        kernel = 1 if self.kernel == 1 else site.layer.kernel[0] * site.layer.kernel[1]
        pixels = inputs[0] * inputs[1] if site.on_inputs else site.layer.positions(inputs, outputs)
        return pixels * site.in_channels * kernel

    def _window_at(self, site: Site) -> Window:
        if not site.on_inputs:
            return site.layer
        if self.kernel == 1:
            return POINT
        kernel, dilation = site.layer.kernel, site.layer.dilation
        return Window(kernel, (1, 1), dilation, same_pads(kernel, dilation))

    def extra_repr(self) -> str:
        parts = [
            f"temperature={self.temperature:.3g}",
            "on_magnitude" if self.on_magnitude else "",
            "kernel=1" if self.kernel == 1 else "",
            super().extra_repr(),
        ]
        return ", ".join(part for part in parts if part)


def gumbel(like: Tensor) -> Tensor:
    """Samples of the standard Gumbel distribution, of the shape and type of `like`."""
    return -torch.empty_like(like).exponential_().log()
