"""How an adaptive layer chooses in a stream: the definition that every back end follows (VA-RED², see skipvid.nn.adaptive).

The policy looks at the mean of each channel of the layer's published input, over the mean magnitude of these means, and at the active
share: of the input's pixels, those published since the layer was computed last. Numbers from 0 on are ratios, the one behind them is reuse.

* At a keyframe the choice depends on the frame alone: active share 1, no reuse, and nothing in favour of what was chosen before.
* Between keyframes another ratio than the one computed last must lead by `hysteresis` and may follow after `least_stay` decisions for this
  one; reuse must beat all ratios, and is possible `longest_reuse` times in a row.
* Where nothing has changed since the layer was computed, nothing is decided.
* A map that is computed under one choice only (a guarded node) remembers what it would have had to compute in other frames, and makes up
  for it when its choice is taken: then the layer's output is again what its ratio makes of the published input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.skip.ir.graph import Node

TINY = 1e-12
"""Mean magnitude below which an input counts as zero."""


@dataclass(slots=True)
class Choice:
    """What is remembered of one adaptive layer's choices.

    number: of this frame. ratio: number of the ratio computed last. stayed: decisions for it in a row, reuse left out. age: frames reused
    in a row. news: (1, 1, H, W) bool, inputs published since the layer was computed.
    """

    number: int
    ratio: int
    stayed: int
    age: int
    news: Tensor

    @classmethod
    def first(cls, node: Node, values: Mapping[str, Tensor]) -> Choice:
        """At a keyframe. values: of the maps that the node reads."""
        number = first_choice(node, values[node.inputs[0]])
        return cls(number, number, 1, 0, torch.zeros(1, 1, *values[node.inputs[1]].shape[2:], dtype=torch.bool))

    def decide(self, node: Node, mean: Tensor, changed: Tensor) -> bool:
        """The choice of the next frame; returns whether the policy was run. changed: (1, 1, H, W) bool, inputs published in it."""
        self.news = self.news | changed
        if not bool(self.news.any()):
            return False
        ratios, attrs = node.attrs["ratios"], node.attrs
        logits = logits_of(node, mean, int(self.news.count_nonzero()) / self.news.numel())
        reused = attrs["reuse"] and self.age < attrs["longest_reuse"] and logits[ratios] > logits[:ratios].max()
        if reused:
            self.number, self.age = ratios, self.age + 1
            return True
        kept = logits[:ratios].copy()
        kept[self.ratio] += attrs["hysteresis"]
        chosen = self.ratio if self.stayed < attrs["least_stay"] and np.isfinite(logits[self.ratio]) else int(kept.argmax())
        self.stayed = self.stayed + 1 if chosen == self.ratio else 1
        self.number = self.ratio = chosen
        self.age = 0
        self.news = torch.zeros_like(self.news)
        return True


def logits_of(node: Node, mean: Tensor, active: float) -> NDArray[np.float64]:
    """The policy's logits, in float64. mean: (1, C, 1, 1). A logit that is no number counts as the lowest there is."""
    means = mean.flatten().double()
    features = torch.cat([means / max(float(means.abs().mean()), TINY), means.new_tensor([active])])
    inner, inner_bias, outer, outer_bias = (node.consts[key].double() for key in ("inner", "inner_bias", "outer", "outer_bias"))
    logits: NDArray[np.float64] = (outer @ (inner @ features + inner_bias).clamp(min=0) + outer_bias).numpy()
    return np.where(np.isnan(logits), -np.inf, logits)


def first_choice(node: Node, mean: Tensor) -> int:
    """Of a frame without a past."""
    return int(logits_of(node, mean, 1.0)[: node.attrs["ratios"]].argmax())


def is_reused(choice: Node, number: int) -> bool:
    """Whether a number stands for reuse."""
    return bool(number == choice.attrs["ratios"])


def is_off(node: Node, values: Mapping[str, Tensor]) -> bool:
    """Whether a node waits for another choice than this frame's. values: of the choices."""
    return node.guard is not None and int(values[node.guard[0]]) != node.guard[1]


def selected(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    """The parts of a ratio, one behind the other."""
    return torch.cat([inputs[place] for place in node.attrs["parts"][int(inputs[0])]], 1)


def again(node: Node, last: Tensor) -> Tensor:
    """The last value of a selection, reused."""
    scale, shift = (node.consts[key].view(1, -1, 1, 1) for key in ("scale", "shift"))
    return last * scale + shift
