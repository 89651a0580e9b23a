"""An adaptive convolution as one operation of torch's, so that torch.export records the layer and not the choice that it once made.

skipvid.skip.importers.adaptive turns it into nodes. Run as it is, it computes what the layer computes in the first frame of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LIBRARY: Any = torch.library.Library("skipvid", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "adaptive(Tensor x, Tensor seen, Tensor weight, Tensor? bias, Tensor[] cheap, Tensor[] policy, Tensor[] reuse, int[] stride,"
    " int[] pads, int[] dilation, int groups, int[] widths, float hysteresis, int least_stay, int longest_reuse) -> Tensor"
)
"""seen: what the policy looks at, x before padding. cheap: weight and bias of each set of cheap operations, (C − c, 1, k, k) and (C − c,).
policy: weight and bias of its two linear layers. reuse: scale and shift, (C,), or nothing. pads: top, bottom, left, right; of zeros.
widths: by ratio, the channels that are convolved. The rest: as in AdaptiveConv2d."""

adaptive_operation: Callable[..., Tensor] = torch.ops.skipvid.adaptive.default


def is_exporting() -> bool:
    """Whether torch.export records what is called."""
    known = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch before 2.7 has no such function
    return bool(known())


def zero_pads(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """By how much a convolution pads its input: top, bottom, left, right."""
    if not isinstance(conv.padding, str):
        return conv.padding[0], conv.padding[0], conv.padding[1], conv.padding[1]
    if conv.padding == "valid":
        return 0, 0, 0, 0
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    return top, bottom, left, right


def policy_logits(features: Tensor, active: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Those of a LearnedPolicy. features: (N, C). active: (N,). weights: as in the operation."""
    inner, inner_bias, outer, outer_bias = weights
    return functional.linear(functional.linear(torch.cat([features, active.unsqueeze(1)], 1), inner, inner_bias).relu(), outer, outer_bias)


def _first_frame(
    x: Tensor,
    seen: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    cheap: Sequence[Tensor],
    policy: Sequence[Tensor],
    reuse: Sequence[Tensor],
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    widths: Sequence[int],
    hysteresis: float,
    least_stay: int,
    longest_reuse: int,
) -> Tensor:
    means = seen.mean((2, 3))
    features = means / means.abs().mean(1, keepdim=True).clamp(min=1e-12)
    logits = policy_logits(features, features.new_ones(len(features)), policy)[:, : len(widths)]
    top, bottom, left, right = pads
    padded = functional.pad(x, (left, right, top, bottom))
    results = []
    for element, number in enumerate(logits.argmax(1).tolist()):
        width = widths[number]
        some = groups * width // weight.shape[0] if groups > 1 else 1
        own = padded[element : element + 1, : some * weight.shape[1]]
        computed = functional.conv2d(own, weight[:width], None if bias is None else bias[:width], stride, 0, dilation, some)
        rest = weight.shape[0] - width
        if rest:
            kernels, shifts = _cheap_of(cheap, widths, number, weight.shape[0])
            partners = torch.cat([computed] * -(-rest // width), 1)[:, :rest]
            rebuilt = functional.conv2d(partners, kernels, shifts, padding=kernels.shape[2] // 2, groups=rest)
            computed = torch.cat([computed, rebuilt], 1)
        results.append(computed)
    return torch.cat(results)


def _cheap_of(cheap: Sequence[Tensor], widths: Sequence[int], number: int, channels: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a ratio's cheap operations; one that computes all channels has none."""
    at = 2 * sum(width < channels for width in widths[:number])
    return cheap[at], cheap[at + 1]


def _shape(
    x: Tensor,
    seen: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    cheap: Sequence[Tensor],
    policy: Sequence[Tensor],
    reuse: Sequence[Tensor],
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    *others: Any,
) -> Tensor:
    top, bottom, left, right = pads
    padded = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(padded, weight, bias, (stride[0], stride[1]), 0, (dilation[0], dilation[1]), groups)


_LIBRARY.impl("adaptive", _first_frame, "CompositeExplicitAutograd")
torch.library.register_fake("skipvid::adaptive", _shape, lib=_LIBRARY)
