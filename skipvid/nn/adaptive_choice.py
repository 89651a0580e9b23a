"""How an adaptive layer takes one of its choices: ratios do not flap, and a map is not reused for ever."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.nn.adaptive_memory import AdaptiveMemory


@dataclass(frozen=True, slots=True)
class ChoiceRules:
    """See AdaptiveConv2d. Raises UsageError for numbers out of range."""

    hysteresis: float
    least_stay: int
    longest_reuse: int

    def __post_init__(self) -> None:
        if not 0 <= self.hysteresis < math.inf:
            raise UsageError(f"hysteresis is {self.hysteresis!r}", "it must be a number of logits from 0 on, e.g. 1")
        for name, frames in (("longest_reuse", self.longest_reuse), ("least_stay", self.least_stay)):
            if frames < 1:
                raise UsageError(f"{name} is {frames!r}", "it must be a number of frames, 1 or more")

    def possible(self, logits: Tensor, memory: AdaptiveMemory | None) -> Tensor:
        """Logits (N, K) of which the last is reuse: −inf where there is nothing to reuse, or where it was reused for long enough."""
        impossible = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        if memory is not None:
            impossible = memory.age >= self.longest_reuse
            impossible = impossible if memory.fresh is None else impossible | memory.fresh
        return torch.cat([logits[:, :-1], logits[:, -1:].masked_fill(impossible.view(-1, 1), -math.inf)], 1)

    def taken(self, logits: Tensor, ratios: int, memory: AdaptiveMemory | None) -> Tensor:
        """The most probable choice of logits (N, K), the first `ratios` of them ratios, with a liking for the last one's: (N,) int64."""
        widths = logits[:, :ratios]
        if memory is not None:
            last = functional.one_hot(memory.ratio, ratios).to(widths.dtype)
            possible = widths.gather(1, memory.ratio.view(-1, 1)) > -math.inf
            staying = (memory.stayed < self.least_stay).view(-1, 1) & possible & (last == 0)
            kept = (last * self.hysteresis).masked_fill(staying, -math.inf)
            widths = widths + (kept if memory.fresh is None else kept.masked_fill(memory.fresh.view(-1, 1), 0))
        choice = widths.argmax(1)
        if logits.shape[1] > ratios:
            choice = torch.where(logits[:, ratios] > logits[:, :ratios].amax(1), ratios, choice)
        return choice
