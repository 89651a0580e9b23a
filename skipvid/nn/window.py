"""Geometry: which inputs each output of a layer reads, and what follows from it (sums, maxima and footprints over these windows)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """The window of inputs behind each output of a layer: that of a convolution over the input, after `spread` and padding.

    kernel, stride, dilation: (vertical, horizontal). pads: top, bottom, left, right, in pixels; a negative one cuts. mode: as in
    torch.nn.functional.pad. spread: (vertical, horizontal) distance to which the inputs are pulled apart, zeros between them: the
    stride of a transposed convolution, which is a plain convolution over such a map.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    mode: str = "constant"
    spread: Pair = (1, 1)

    @property
    def taps(self) -> float:
        """Input pixels that an output reads; for a transposed convolution the mean over its outputs."""
        return self.kernel[0] * self.kernel[1] / (self.spread[0] * self.spread[1])

    def prepare(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W), spread and padded: a convolution over it without padding has the layer's geometry."""
        if self.spread != (1, 1):
            n, channels, height, width = x.shape
            apart = x.new_zeros(n, channels, (height - 1) * self.spread[0] + 1, (width - 1) * self.spread[1] + 1)
            apart[..., :: self.spread[0], :: self.spread[1]] = x
            x = apart
        top, bottom, left, right = self.pads
        return functional.pad(x, (left, right, top, bottom), self.mode) if any(self.pads) else x

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A convolution with this window. x: (N, C, H, W); weight: (O, C, k_h, k_w)."""
        return functional.conv2d(self.prepare(x), weight, bias, self.stride, 0, self.dilation)

    def sum(self, x: Tensor) -> Tensor:
        """x: (N, 1, H, W) -> (N, 1, h, w), its sum over each window."""
        return x if self == POINT else self._gather(x).sum(1, keepdim=True)

    def max(self, x: Tensor) -> Tensor:
        """x: (N, 1, H, W), not negative -> (N, 1, h, w), its maximum over each window; ties share the gradient."""
        return x if self == POINT else self._gather(x).amax(1, keepdim=True)

    def footprint(self, mask: Tensor) -> Tensor:
        """mask: (N, 1, H, W) bool -> (N, 1, h, w) bool: the outputs that read a True input."""
        return self.max(mask.float()) > 0

    def positions(self, inputs: tuple[int, int], outputs: tuple[int, int]) -> int:
        """Pixels at which the whole kernel is multiplied once: outputs, or for a transposed convolution inputs. Both (H, W)."""
        height, width = inputs if self.spread != (1, 1) else outputs
        return height * width

    def _gather(self, x: Tensor) -> Tensor:
        # Copies, not a convolution with ones: fast convolution algorithms would round zeros and the smallest changes away.
        padded = self.prepare(x)
        height, width = (
            (extent - dilation * (kernel - 1) - 1) // stride + 1
            for extent, kernel, stride, dilation in zip(padded.shape[2:], self.kernel, self.stride, self.dilation, strict=True)
        )
        columns = functional.unfold(padded, self.kernel, self.dilation, 0, self.stride)
        return columns.view(len(x), -1, height, width)


POINT = Window()
"""The window of a layer that looks at single pixels."""


def round_up_to_blocks(mask: Tensor, block: int) -> Tensor:
    """mask: (N, 1, H, W) bool, rounded up to whole blocks of block x block pixels, counted from the top left; the last ones may be cut."""
    if block == 1:
        return mask
    return spread_blocks(pool_blocks(mask.float(), block) > 0, block, (mask.shape[2], mask.shape[3]))


def pool_blocks(x: Tensor, block: int) -> Tensor:
    """x: (N, 1, H, W) -> its maximum in each block, (N, 1, ceil(H / block), ceil(W / block)) (paper, section 3.3)."""
    return x if block == 1 else functional.max_pool2d(x, block, block, ceil_mode=True)


def spread_blocks(x: Tensor, block: int, size: Pair) -> Tensor:
    """The value of its block for each pixel of a map of `size` (H, W)."""
    return x if block == 1 else x.repeat_interleave(block, -2).repeat_interleave(block, -1)[..., : size[0], : size[1]]


def transposed_window(kernel: Pair, stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair) -> Window:
    """The window of a transposed convolution: a plain one over the spread map, with the kernel's other end as padding."""
    pads = []
    for k, p, extra, d in zip(kernel, padding, output_padding, dilation, strict=True):
        reach = d * (k - 1) - p
        pads += [reach, reach + extra]
    return Window(kernel, (1, 1), dilation, (pads[0], pads[1], pads[2], pads[3]), "constant", stride)


def same_pads(kernel: Pair, dilation: Pair) -> tuple[int, int, int, int]:
    """Padding (top, bottom, left, right) that keeps the size, the odd pixel at the end, as torch's padding="same"."""
    pads = []
    for k, d in zip(kernel, dilation, strict=True):
        total = d * (k - 1)
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


def as_row(values: Tensor) -> Tensor:
    """values: (N,) -> (N, 1, 1, 1), to be broadcast over maps."""
    return values.view(-1, 1, 1, 1)


def straight_through(hard: Tensor, soft: Tensor | None, then: Tensor, otherwise: Tensor) -> Tensor:
    """`then` where the bool mask `hard` is True, else `otherwise`; the gradient treats the mask as if it were `soft`.

    The value is exactly one or the other. soft None: the mask has no gradient.
    """
    chosen = torch.where(hard, then, otherwise)
    return chosen if soft is None else chosen + (soft - soft.detach()) * (then - otherwise)
