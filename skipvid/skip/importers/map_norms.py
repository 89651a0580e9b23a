"""Norms by statistics of a whole map, written out: groups of channels over all pixels (GroupNorm, InstanceNorm, LayerNorm of a map).

The mean, and the mean square of what is left of it, are vectors as those of squeeze-and-excite are: gates stand on them, so that a change
that hardly moves them opens its own pixels alone. Each gated map is within its gate's bound; the deviation is that from the mean as
published, which is never less than the exact one.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Activation

SUM = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "kind": "sum"}
"""Attributes of a convolution with ones: it adds up channels, and is no layer."""


class Add(Protocol):
    """Adds a node that computes a map of this shape. Returns its name."""

    def __call__(
        self, op: str, *inputs: str, shape: tuple[int, ...], activation: Activation | None = None, groups: int = 0, **consts: Tensor
    ) -> str: ...


def group_norm(add: Add, x: str, shape: tuple[int, ...], groups: int, weight: Tensor, bias: Tensor, epsilon: float) -> str:
    """(x − mean) / sqrt(variance + epsilon) · weight + bias. weight, bias: broadcast over a map of that shape, (1, C, H, W)."""
    vector = (1, shape[1], 1, 1)

    def group_means(source: str) -> str:
        means = add("global_mean", source, shape=vector)
        if groups == shape[1]:
            return means
        # Scaled before the sum: half precision rounds weights, and leaves ones as they are.
        shares = add("affine", means, shape=vector, scale=torch.tensor(groups / shape[1]), shift=torch.zeros(()))
        ones = torch.ones(shape[1], shape[1] // groups, 1, 1, dtype=torch.float32)
        return add("conv", shares, shape=vector, groups=groups, weight=ones)

    left = add("sub", x, group_means(x), shape=shape)
    squares = group_means(add("mul", left, left, shape=shape))
    variance = add("affine", squares, shape=vector, scale=torch.ones(()), shift=torch.tensor(epsilon, dtype=torch.float32))
    scale = add("activation", variance, shape=vector, activation=Activation("rsqrt"))
    return add("affine", add("mul", left, scale, shape=shape), shape=shape, scale=weight, shift=bias)
