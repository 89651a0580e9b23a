"""What an adaptive layer remembers of its streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skipvid.nn.window import as_row

TOLERANCE = 0.05
"""Mean change of a pixel, over the mean magnitude of the input, from which it counts as active."""


@dataclass(frozen=True, slots=True, eq=False)
class AdaptiveMemory:
    """What an adaptive layer remembers of N streams.

    reference: (N, C, H, W), the input that was computed last, or, where the policy does not look, an input of the same kind.
    output: (N, C', h, w), the last map. ratio: (N,) int64, number of the ratio at which it was computed last. age: (N,) int64, frames
    since then. stayed: (N,) int64, frames computed at that ratio in a row. fresh: as in Memory.
    """

    reference: Tensor
    output: Tensor
    ratio: Tensor
    age: Tensor
    stayed: Tensor
    fresh: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> AdaptiveMemory:
        fresh = None if self.fresh is None else function(self.fresh)
        reference, output, ratio, age, stayed = (
            function(each) for each in (self.reference, self.output, self.ratio, self.age, self.stayed)
        )
        return AdaptiveMemory(reference, output, ratio, age, stayed, fresh)

    def fits(self, x: Tensor) -> bool:
        old = self.reference
        return x.shape == old.shape and x.dtype == old.dtype and x.device == old.device

    def active(self, x: Tensor) -> Tensor:
        """Share of the pixels that changed since the reference: (N, C, H, W) -> (N,). All of a stream that is fresh."""
        change = (x.detach() - self.reference.detach()).abs().mean(1)
        limit = TOLERANCE * x.detach().abs().mean((1, 2, 3))
        active = (change > limit.view(-1, 1, 1)).to(x.dtype).mean((1, 2))
        return active if self.fresh is None else active.masked_fill(self.fresh, 1)

    @classmethod
    def first(cls, x: Tensor, output: Tensor, choice: Tensor) -> AdaptiveMemory:
        """After the first frame."""
        return cls(x, output, choice, torch.zeros_like(choice), torch.ones_like(choice))

    def after(self, x: Tensor, output: Tensor, choice: Tensor, reused: Tensor, *, compares: bool) -> AdaptiveMemory:
        """After another frame. choice: (N,) int64. reused: (N,) bool, where that is no ratio. compares: the reference will be looked at."""
        stayed = torch.where(choice == self.ratio, self.stayed + 1, 1)
        if self.fresh is not None:
            stayed = stayed.masked_fill(self.fresh, 1)
        return AdaptiveMemory(
            torch.where(as_row(reused), self.reference, x) if compares else x,
            output,
            torch.where(reused, self.ratio, choice),
            torch.where(reused, self.age + 1, 0),
            torch.where(reused, self.stayed, stayed),
        )
