"""Input-adaptive convolutions: a policy decides from each frame how many channels are computed, and whether any (VA-RED²).

Pan, Panda, Fosco, Lin, Andonian, Meng, Saenko, Oliva, Feris: VA-RED²: Video Adaptive Redundancy Reduction, ICLR 2021 (arXiv 2102.07887);
"VA-RED²" in these files. Gates (skipvid.nn.gates) save where little of the picture changes; this saves where much of it does, because
channels repeat each other there, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.nn.adaptive_choice import ChoiceRules
from skipvid.nn.adaptive_export import adaptive_operation, is_exporting, zero_pads
from skipvid.nn.adaptive_memory import AdaptiveMemory
from skipvid.nn.adaptive_policy import FixedPolicy, LearnedPolicy, Policy
from skipvid.nn.cost import Cost
from skipvid.nn.layers import check_kind, mixed
from skipvid.nn.streams import OnMaps, Step
from skipvid.nn.window import as_row

RATIOS = (1.0, 0.5, 0.25)
"""Shares of the output channels that can be computed; VA-RED²'s powers of one half."""


class AdaptiveConv2d(OnMaps, nn.Conv2d):
    """A drop-in for torch.nn.Conv2d of which a policy computes a part in each frame (VA-RED², section 3, "dynamic convolution").

    With C output channels and ratio r, the first c = ceil(r · C) are the convolution's; channel c + j is rebuilt from channel j mod c, its
    partner, by a depthwise convolution ("cheap operation" φ). Reuse computes nothing: y_t = a ⊙ y_{t−1} + b with a, b for each channel.
    The convolution's weights are shared by all ratios (VA-RED², "shared-weight"); each ratio below 1 has cheap operations of its own. The
    paper strides in time within a clip and rebuilds frames between; here a stream has no future, so the last map stands for them.

    All arguments of Conv2d, and these. ratios: shares of the output channels, 1 first, then falling; with groups, c is rounded up to whole
    groups. cheap_kernel: 1 or 3, side of the depthwise kernels. reuse: whether the last map may be reused. policy: what decides (default
    LearnedPolicy(), see skipvid.nn.adaptive_policy). hysteresis, least_stay: in eval mode, by how many logits another ratio must beat the
    one computed last, and how many frames are computed at a ratio before another one may follow, so that ratios do not flap; reuse and the
    return from it have none. longest_reuse: frames in a row. calls: as in StreamLayer.

    x: one frame, (N, C_in, H, W) or (C_in, H, W), of N streams whose state the layer keeps; or a clip, (N, T, C_in, H, W). Returns the same
    with the layer's channels and size. In training a choice is drawn for each frame and batch element (Gumbel straight-through: forward the
    choice, backward the softmax of logits and noise over the policy's temperature); in eval mode it is the most probable one, and only what
    was chosen is computed. At ratio 1 the output has the bits of Conv2d.

    `choices` tells what was taken: for each call (N,) int64, (N, T) after a clip, number of the ratio, len(ratios) for reuse.
    `cost`: `active` counts output pixels by the share of channels convolved; `macs` has the cheap operations and a MAC for each reused
    value; `gate_macs` and `gate_ops` are the policy's; no frame is a `keyframe`. Raises UsageError for settings out of range and for inputs
    of another kind.
    """

    policy: Policy
    cheap: nn.ModuleList

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        ratios: Sequence[float] = RATIOS,
        cheap_kernel: int = 3,
        reuse: bool = True,
        policy: Policy | None = None,
        hysteresis: float = 1.0,
        least_stay: int = 1,
        longest_reuse: int = 8,
        calls: int = 1,
    ) -> None:
        nn.Conv2d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._install(ratios, cheap_kernel, reuse, policy, hysteresis, least_stay, longest_reuse, calls)

    @classmethod
    def from_conv(
        cls,
        conv: nn.Conv2d,
        *,
        ratios: Sequence[float] = RATIOS,
        cheap_kernel: int = 3,
        reuse: bool = True,
        policy: Policy | None = None,
        hysteresis: float = 1.0,
        least_stay: int = 1,
        longest_reuse: int = 8,
        calls: int = 1,
    ) -> Self:
        """An adaptive convolution with the parameters (the same objects), mode and hooks of `conv`, which is not changed.

        Subclasses of Conv2d keep their own forward, as with SkipConv2d.from_conv. Raises UsageError for anything but a convolution in two
        dimensions that is not converted yet.
        """
        check_kind(conv, nn.Conv2d, cls)
        new = mixed(type(conv), cls)._adopted(conv)
        new._install(ratios, cheap_kernel, reuse, policy, hysteresis, least_stay, longest_reuse, calls)
        return new

    def _install(
        self,
        ratios: Sequence[float],
        cheap_kernel: int,
        reuse: bool,
        policy: Policy | None,
        hysteresis: float,
        least_stay: int,
        longest: int,
        calls: int,
    ) -> None:
        if not ratios or ratios[0] != 1 or any(not 0 < low < high for high, low in zip(ratios, ratios[1:], strict=False)):
            raise UsageError(f"ratios is {tuple(ratios)}", "give shares of the channels, 1 first and then falling, e.g. (1, 0.5, 0.25)")
        if cheap_kernel not in (1, 3):
            raise UsageError(f"cheap_kernel is {cheap_kernel!r}", "it must be 1 or 3")
        rules = ChoiceRules(hysteresis, least_stay, longest)
        policy = LearnedPolicy() if policy is None else policy
        if not isinstance(policy, Policy):
            raise UsageError(f"policy is {type(policy).__name__}", "it must be a skipvid.nn.LearnedPolicy or a Policy of your own")
        self._begin(calls)
        self.ratios, self.reuse, self.cheap_kernel, self.rules = tuple(ratios), reuse, cheap_kernel, rules
        unit = 1 if self.groups == 1 else self.out_channels // self.groups
        self.widths = tuple(math.ceil(self.out_channels * ratio / unit) * unit for ratio in self.ratios)
        cheap = nn.ModuleList(_cheap(self.out_channels - width, cheap_kernel) for width in self.widths[1:])
        self.cheap = cheap.to(device=self.weight.device, dtype=self.weight.dtype)
        if reuse:
            self.reuse_scale = nn.Parameter(self.weight.new_ones(self.out_channels))
            self.reuse_shift = nn.Parameter(self.weight.new_zeros(self.out_channels))
        self.set_policy(policy)

    def set_policy(self, policy: Policy) -> None:
        """Let another policy decide. Raises UsageError where it does not fit."""
        policy.bind(self.in_channels, len(self.ratios), self.reuse)
        self.policy = policy.to(device=self.weight.device, dtype=self.weight.dtype).train(self.training)

    @property
    def choices(self) -> tuple[Tensor | None, ...]:
        """What the last forward chose, see the class; None before it."""
        return self._records

    @property
    def least_share(self) -> float:
        """MACs of the smallest ratio, cheap operations included, for each MAC of the layer: at 1 or more it cannot pay.

        Of reuse, where there is no other ratio than 1.
        """
        macs = self._macs(1)
        return macs[max(1, len(self.ratios) - 1)] / macs[0] if len(macs) > 1 else 1.0

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Where the forward of Conv2d, and of subclasses that first pad or change the weight, ends.
        if not self.training and input.dim() == 4 and self._clip_length is None and is_exporting():
            return self._traced(input, weight, bias)
        return self._frame_or_clip(input, weight, bias)

    def _traced(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What torch.export is to record: the layer as one operation, or, where its ratio is fixed, the narrower layers that it is."""
        if isinstance(self.policy, FixedPolicy):
            return self._narrow(x, self.policy.choice, weight, bias)
        assert isinstance(self.policy, LearnedPolicy)  # convert() refuses others
        seen, pads = x, zero_pads(self)
        if self.padding_mode != "zeros":
            x, pads = functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode), (0, 0, 0, 0)
        cheap = [value for each in self.cheap for value in each.parameters()]
        reuse = [self.reuse_scale, self.reuse_shift] if self.reuse else []
        return adaptive_operation(
            x,
            seen,
            weight,
            bias,
            cheap,
            list(self.policy.parameters()),
            reuse,
            list(self.stride),
            list(pads),
            list(self.dilation),
            self.groups,
            list(self.widths),
            self.rules.hysteresis,
            self.rules.least_stay,
            self.rules.longest_reuse,
        )

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return cast(Tensor, nn.Conv2d._conv_forward(self, x, weight, bias))

    def _shown(self, record: Tensor, like: Tensor) -> Tensor:
        return record

    def _next(self, x: Tensor, memory: AdaptiveMemory | None, weight: Tensor, bias: Tensor | None) -> Step:
        logits, active_ops = self._logits(x, memory)
        choice, soft = self._choose(logits, memory)
        compute = self._mix if self.training else self._pick
        output = compute(x, memory, choice, soft, weight, bias)
        reused = choice == len(self.ratios)
        if memory is None:
            following = AdaptiveMemory.first(x, output, choice)
        else:
            following = memory.after(x, output, choice, reused, compares=self.policy.looks and self.reuse)
        return Step(output, following, self._count(output, choice, logits, active_ops), choice)

    def _logits(self, x: Tensor, memory: AdaptiveMemory | None) -> tuple[Tensor, int]:
        """Of the choices, (N, K), −inf where one is not possible; and the element-wise operations that finding them took."""
        active, operations = x.new_ones(len(x)), 0
        features = x.new_zeros(len(x), self.in_channels)
        if self.policy.looks:
            means = x.mean((2, 3))
            features = means / means.abs().mean(1, keepdim=True).clamp(min=1e-12)
            operations = x[0].numel()
            if memory is not None:
                active = memory.active(x)
                operations += 3 * x[0].numel()
        logits: Tensor = self.policy(features, active)
        return self.rules.possible(logits, memory) if self.reuse else logits, operations

    def _choose(self, logits: Tensor, memory: AdaptiveMemory | None) -> tuple[Tensor, Tensor]:
        """Choices (N,), and what the backward pass sees instead, (N, K)."""
        if self.training:
            noisy = logits + self.policy.noise(logits)
            return noisy.detach().argmax(1), (noisy / self.policy.temperature).softmax(1)
        choice = self.rules.taken(logits, len(self.ratios), memory)
        return choice, functional.one_hot(choice, logits.shape[1]).to(logits.dtype)

    def _mix(self, x: Tensor, memory: AdaptiveMemory | None, choice: Tensor, soft: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """In training: all maps that could have been chosen, so that the policy learns from those that were not."""
        whole = self._dense(x, weight, bias)
        maps = [whole, *(self._rebuilt(whole[:, :width], number) for number, width in enumerate(self.widths[1:]))]
        if self.reuse:
            maps.append(whole if memory is None else self._reused(memory.output))
        output = maps[0]
        for number, other in enumerate(maps[1:], 1):
            output = torch.where(as_row(choice == number), other, output)
        if not soft.requires_grad:
            return output
        steer = soft - soft.detach()  # 0, with the gradient of soft
        for number, each in enumerate(maps):
            output = output + as_row(steer[:, number]) * each.detach()
        return output

    def _pick(self, x: Tensor, memory: AdaptiveMemory | None, choice: Tensor, soft: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """In eval mode: what was chosen, and nothing else."""
        parts: list[tuple[Tensor, Tensor]] = []
        for number in sorted(set(choice.tolist())):
            rows = (choice == number).nonzero().flatten()
            whole = len(rows) == len(choice)
            if number == len(self.ratios):
                assert memory is not None
                part = self._reused(memory.output if whole else memory.output[rows])
            else:
                part = self._narrow(x if whole else x[rows], number, weight, bias)
            if whole:
                return part
            parts.append((rows, part))
        rows = torch.cat([rows for rows, _ in parts])
        return torch.cat([part for _, part in parts])[rows.argsort()]

    def _narrow(self, x: Tensor, number: int, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer at one of its ratios."""
        if number == 0:
            return self._dense(x, weight, bias)
        width = self.widths[number]
        groups = 1 if self.groups == 1 else width * self.groups // self.out_channels
        x, padding = x[:, : groups * weight.shape[1]], self.padding
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode), (0, 0)
        computed = functional.conv2d(x, weight[:width], None if bias is None else bias[:width], self.stride, padding, self.dilation, groups)
        return self._rebuilt(computed, number - 1)

    def _rebuilt(self, computed: Tensor, number: int) -> Tensor:
        """The computed channels, and those that a set of cheap operations makes of them."""
        count = self.out_channels - computed.shape[1]
        return torch.cat([computed, self.cheap[number](partners(computed, count))], 1) if count else computed

    def _reused(self, last: Tensor) -> Tensor:
        return last * self.reuse_scale.view(1, -1, 1, 1) + self.reuse_shift.view(1, -1, 1, 1)

    def _macs(self, pixels: int) -> list[int]:
        """MACs of each choice for so many output pixels: convolution and cheap operations, or a product for each reused value."""
        per_channel = self.weight.numel() // self.out_channels
        found = [self.out_channels * per_channel * pixels]
        for width in self.widths[1:]:
            found.append((width * per_channel + (self.out_channels - width) * self.cheap_kernel**2) * pixels)
        return [*found, self.out_channels * pixels] if self.reuse else found

    def _count(self, output: Tensor, choice: Tensor, logits: Tensor, operations: int) -> Cost:
        pixels = output.shape[2] * output.shape[3]
        macs = torch.tensor(self._macs(pixels), device=output.device)
        active = torch.tensor(
            [width * pixels // self.out_channels for width in self.widths] + [0] * self.reuse, dtype=torch.int64, device=output.device
        )
        if self.training:
            chances = logits.softmax(1).to(torch.promote_types(logits.dtype, torch.float32))
            expected = (chances * macs).sum(1)
        else:
            expected = macs[choice].to(torch.promote_types(output.dtype, torch.float32))
        every = torch.ones_like(choice)
        return Cost(
            self.weight.numel() * pixels,
            pixels,
            active[choice],
            macs[choice],
            every * self.policy.macs,
            every * operations,
            expected,
            torch.zeros_like(choice, dtype=torch.bool),
        )

    def extra_repr(self) -> str:
        convolution: str = nn.Conv2d.extra_repr(self)  # type: ignore[no-untyped-call]
        return f"{convolution}, ratios={self.ratios}, reuse={self.reuse}, hysteresis={self.rules.hysteresis:.3g}"


def partners(computed: Tensor, count: int) -> Tensor:
    """For each of `count` channels to rebuild, its computed partner: channel j's is j mod c. computed: (N, c, h, w) -> (N, count, h, w)."""
    times = -(-count // computed.shape[1])
    return torch.cat([computed] * times, 1)[:, :count] if times > 1 else computed[:, :count]


def _cheap(channels: int, kernel: int) -> nn.Module:
    """Depthwise operations that begin as copies of the partners."""
    if channels == 0:
        return nn.Identity()
    layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
    with torch.no_grad():
        nn.init.dirac_(layer.weight, groups=channels)
        layer.bias.zero_()  # type: ignore[union-attr]
    return layer
