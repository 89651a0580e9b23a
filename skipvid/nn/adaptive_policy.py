"""What decides, for each frame, how much of an adaptive layer is computed: the policies of AdaptiveConv2d."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.nn.gumbel import gumbel


class Policy(nn.Module):
    """Base of the policies. looks: whether it reads the frame; where it does not, the layer measures nothing for it.

    temperature: of the backward pass through a decision that was drawn at random, in training.
    """

    looks: ClassVar[bool] = True
    temperature: float = 1.0

    def bind(self, channels: int, ratios: int, reuse: bool) -> None:
        """Take a layer. channels: of its input. ratios: how many it has, the full one first. reuse: whether it may reuse its last map."""

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        """Logits (N, K) of the choices: one for each ratio, then, where the layer may, reuse.

        features: (N, C), mean of each channel of the input over the mean magnitude of these means. active: (N,), share of the input's
        pixels that changed since the layer was computed last, 1 at the start of a stream. Policies that do not look get their shapes only.
        """
        raise NotImplementedError

    def noise(self, logits: Tensor) -> Tensor:
        """What is added to logits, in training, so that the largest sum is a draw by their probabilities."""
        return gumbel(logits)

    @property
    def macs(self) -> int:
        """Of one decision."""
        return 0


class LearnedPolicy(Policy):
    """Two linear layers on the pooled input and the active share: the head that VA-RED² learns together with the network.

    The paper's "soft modulation gate" (section 3) pools the layer's input, too, and draws one number for the channels and one for the
    stride in time by the Gumbel-softmax trick; here one draw takes the channels or the reuse. The active share is ours: a pooled map
    hardly tells a still scene from a moving one.

    hidden: width between the two. start: probability of the full ratio before training; the others share the rest.
    The parameters are made when a layer takes the policy. Raises UsageError for settings out of range and where a second layer differs.
    """

    def __init__(self, hidden: int = 16, temperature: float = 2 / 3, start: float = 0.7) -> None:
        super().__init__()
        if hidden < 1:
            raise UsageError(f"hidden is {hidden!r}", "it must be a number of features, e.g. 16")
        if not (math.isfinite(temperature) and temperature > 0):
            raise UsageError(f"temperature is {temperature!r}", "it must be more than 0, e.g. 0.66")
        if not 0 < start < 1:
            raise UsageError(f"start is {start!r}", "it must be a probability between 0 and 1, e.g. 0.7")
        self.hidden, self.temperature, self.start = hidden, temperature, start
        self.inner: nn.Linear | None = None
        self.outer: nn.Linear | None = None

    def bind(self, channels: int, ratios: int, reuse: bool) -> None:
        choices = ratios + reuse
        if self.inner is None or self.outer is None:
            self.inner, self.outer = nn.Linear(channels + 1, self.hidden), nn.Linear(self.hidden, choices)
            # No preference among inputs yet, and the same for every layer.
            nn.init.zeros_(self.outer.weight)
            nn.init.zeros_(self.outer.bias)
            if choices > 1:
                nn.init.constant_(self.outer.bias[:1], math.log(self.start / (1 - self.start) * (choices - 1)))
        elif (self.inner.in_features, self.outer.out_features) != (channels + 1, choices):
            raise UsageError(
                f"a LearnedPolicy for {self.inner.in_features - 1} channels and {self.outer.out_features} choices is given to a layer of "
                f"{channels} and {choices}",
                "give each layer a policy of its own",
            )

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        if self.inner is None or self.outer is None:
            raise UsageError("this LearnedPolicy has no weights yet", "give it to a layer, e.g. AdaptiveConv2d(16, 32, 3)")
        logits: Tensor = self.outer(self.inner(torch.cat([features, active.unsqueeze(1)], 1)).relu())
        return logits

    @property
    def macs(self) -> int:
        return sum(0 if each is None else each.weight.numel() for each in (self.inner, self.outer))

    def extra_repr(self) -> str:
        return f"temperature={self.temperature:.3g}"


class FixedPolicy(Policy):
    """Always the same choice, and never a look at the frame. choice: number of the ratio, the full one being 0."""

    looks: ClassVar[bool] = False

    def __init__(self, choice: int = 0) -> None:
        super().__init__()
        self.choice, self._choices = choice, 0

    def bind(self, channels: int, ratios: int, reuse: bool) -> None:
        if not 0 <= self.choice < ratios:
            raise UsageError(f"choice is {self.choice!r}", f"it must be the number of one of {ratios} ratios, from 0")
        self._choices = ratios + reuse

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        logits = features.new_full((len(features), self._choices), -math.inf)
        logits[:, self.choice] = 0
        return logits

    def extra_repr(self) -> str:
        return f"choice={self.choice}"


class RandomPolicy(Policy):
    """Choices at random whatever the frame shows: the control that a learned policy has to beat at the same cost.

    shares: how often each choice is taken, one for each ratio and, where the layer may, reuse; need not add up to 1. Draws from torch's
    generator, in eval mode, too. Raises UsageError where they do not fit the layer.
    """

    looks: ClassVar[bool] = False

    def __init__(self, shares: Sequence[float]) -> None:
        super().__init__()
        if not shares or min(shares) < 0 or not 0 < math.fsum(shares) < math.inf:
            raise UsageError(f"shares is {shares!r}", "give a number from 0 on for each choice, not all of them 0")
        self.shares = tuple(shares)

    def bind(self, channels: int, ratios: int, reuse: bool) -> None:
        if len(self.shares) != ratios + reuse:
            raise UsageError(f"a RandomPolicy has {len(self.shares)} shares", f"this layer has {ratios + reuse} choices")

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        logits = features.new_tensor(self.shares).log().expand(len(features), -1)
        return logits if self.training else logits + gumbel(logits)

    def extra_repr(self) -> str:
        return "shares=" + "/".join(f"{share:.3g}" for share in self.shares)
