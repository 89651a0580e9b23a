"""Gates: the rule that decides, from a residual, which positions are computed; and the norm gate of the paper (section 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.norms import ChangeNorm
from skipvid.nn.window import POINT, Window, as_row, round_up_to_blocks

BLOCKS = (1, 2, 4, 8, 16)
REFERENCES = ("accumulated", "previous")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a gate stands.

    on_inputs: the gate decides for each input pixel, not for each output. window: from the residual to the gate's decisions.
    layer: the window from the layer's inputs to its outputs. in_channels, out_channels: of the layer.
    """

    on_inputs: bool
    layer: Window
    in_channels: int
    out_channels: int

    @property
    def window(self) -> Window:
        return POINT if self.on_inputs else self.layer


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a gate decided for one frame; all maps are (N, 1, h, w), over inputs or outputs as the site says.

    mask: bool, True = compute. soft: stands in for the mask in the backward pass, or None where the mask has no gradient.
    probability: of being open, differentiable, or None where the gate is certain. accumulator: see NormGate.
    """

    mask: Tensor
    soft: Tensor | None = None
    probability: Tensor | None = None
    accumulator: Tensor | None = None


class Gate(nn.Module):
    """Base of the gates. A gate holds its settings and its weights, never the state of a stream; one gate may serve several layers.

    block: decisions are rounded up to blocks of block x block positions (paper, section 3.3), one of 1, 2, 4, 8, 16, counted from the top
    left; the map's size need not divide by it. Raises UsageError for any other number.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise UsageError(f"block is {block!r}", f"it must be one of {', '.join(map(str, BLOCKS))}")
        self.block = block

    def on_inputs(self, reference: str) -> bool:
        """Whether this gate decides for each input (and is followed by the footprint), or for each output, as in the paper."""
        return reference == "accumulated"

    def bind(self, site: Site) -> None:
        """Called once by each layer that takes this gate. Raises UsageError where the gate does not fit."""

    def measure_scale(self, x: Tensor, output: Tensor) -> Tensor | None:
        """The unit of the threshold for each batch element, (N,), from a keyframe's input and its output without bias."""
        return None

    def forward(self, residual: Tensor, site: Site, scale: Tensor | None, weight: Tensor, accumulator: Tensor | None = None) -> Decision:
        """residual: (N, C, H, W). scale: as measured. weight: the layer's. accumulator: as left by the frame before, or None."""
        raise NotImplementedError

    def macs(self, site: Site, inputs: tuple[int, int], outputs: tuple[int, int]) -> int:
        """Multiply-accumulates of the gate's own weights for one frame. inputs, outputs: sizes (H, W) of the layer's maps."""
        return 0

    def operations(self, site: Site, inputs: tuple[int, int], outputs: tuple[int, int]) -> int:
        """Element-wise operations for one frame: work that is no multiplication by a weight, reported beside the MACs."""
        return 0

    def extra_repr(self) -> str:
        return "" if self.block == 1 else f"block={self.block}"


class NormGate(Gate):
    """Opens where the residual is large; nothing to learn (paper, section 3.2, equations 6 and 7).

    form: "input" compares the norm of the residual (eq. 6), "output" a bound of the change it makes in the output, the norm of the
    residual times that of the weights (eq. 7). With the layer's reference "accumulated" the input form looks at single input pixels, as
    skipvid's other back ends do; everywhere else the norm is taken over the window of each output, as in the paper. With "accumulated" the
    output form adds up the norms of the residuals in its accumulator until they exceed the threshold: no change that was skipped is lost.

    p: 1, 2 or inf, for both norms.
    threshold: with relative=False the paper's epsilon, for plain norms (sums over channels and window; over all four axes of the weights).
    With relative=True one number suits layers of any size: norms are means (of magnitudes, root mean squares, maxima), and the input form
    counts in units of the mean |input| of the stream's keyframe. The output form takes the mean of the residual times that of the weights
    times the number of products in an output, the size of its change where nothing cancels, in units of the keyframe's mean |output|
    without bias. As much does cancel, its threshold is larger for the same error: on PP-TinyPose 5 times with p = 1, 15 times with p = 2.
    scale: that mean from a calibration, in place of measuring it at each keyframe.
    The comparison is strict: at 0 anything opens that changed at all. A NaN opens. Raises UsageError for settings out of range.
    """

    def __init__(
        self,
        threshold: float = 0.03,
        form: str = "input",
        p: float = 1,
        relative: bool = True,
        block: int = 1,
        scale: float | None = None,
    ) -> None:
        super().__init__(block)
        if not (math.isfinite(threshold) and threshold >= 0):
            raise UsageError(f"threshold is {threshold!r}", "it must be a number of 0 or more, e.g. 0.03")
        if form not in ("input", "output"):
            raise UsageError(f"form is {form!r}", "it must be 'input' or 'output'")
        if p not in (1, 2, math.inf):
            raise UsageError(f"p is {p!r}", "it must be 1, 2 or math.inf")
        if scale is not None and not (math.isfinite(scale) and scale >= 0):
            raise UsageError(f"scale is {scale!r}", "it must be the mean magnitude of the map, or None to measure it")
        self.threshold, self.form, self.p, self.relative, self.scale = float(threshold), form, float(p), relative, scale

    def on_inputs(self, reference: str) -> bool:
        return reference == "accumulated" and self.form == "input"

    @torch.no_grad()
    def measure_scale(self, x: Tensor, output: Tensor) -> Tensor | None:
        if not self.relative:
            return None
        judged = x if self.form == "input" else output
        if self.scale is not None:
            return judged.new_full(judged.shape[:1], self.scale)
        mean = judged.abs().mean((1, 2, 3))
        # An infinite scale would never open again; 0 passes every change on.
        return torch.where(mean.isfinite(), mean, torch.zeros_like(mean))

    @torch.no_grad()
    def forward(self, residual: Tensor, site: Site, scale: Tensor | None, weight: Tensor, accumulator: Tensor | None = None) -> Decision:
        norm = ChangeNorm(self.form, self.p, site.window, site.in_channels, site.out_channels)
        exact = norm.limit(self.threshold, weight) if scale is None else norm.relative_limit(self.threshold, scale.double(), weight)
        limit = as_row(exact.reshape(-1)).to(residual.dtype)
        amount = norm.amount(residual)
        if self.p == 2:
            # All norms vanish together, but the squares of tiny numbers vanish first; at 0 any change has to open.
            amount = torch.where(limit == 0, replace(norm, p=1).amount(residual), amount)
        if accumulator is not None:
            amount = amount + accumulator
        mask = round_up_to_blocks(~(amount <= limit), self.block)
        return Decision(mask, accumulator=None if accumulator is None else amount.masked_fill(mask, 0))

    def operations(self, site: Site, inputs: tuple[int, int], outputs: tuple[int, int]) -> int:
        pixels = inputs[0] * inputs[1] * (3 * site.in_channels + 1)  # subtract, magnitude, add; compare
        taps = site.layer.kernel[0] * site.layer.kernel[1]
        return pixels if site.on_inputs else pixels + outputs[0] * outputs[1] * (taps + 1)

    def extra_repr(self) -> str:
        kind = "relative" if self.relative else "absolute"
        parts = [f"{self.threshold:g} {kind}", f"form={self.form!r}", f"p={self.p:g}", super().extra_repr()]
        return ", ".join(part for part in parts if part)
