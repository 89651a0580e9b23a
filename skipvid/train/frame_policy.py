"""One choice for all adaptive layers of a network in each frame, drawn and learned as in VA-RED²: what the engine can then run."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.core.errors import UsageError
from skipvid.core.ratios import STEP, RatioPolicy, feature_count, frame_features
from skipvid.nn import Policy
from skipvid.nn.gumbel import gumbel

FRAME_POLICY = "frame_policy"
"""Name of the module of a student that chooses for all of its layers."""

GAIN = 10.0
"""What the outer layer's weights are multiplied with: a step of Adam, which is as long for all weights, moves logits so much further. In a
few hundred steps at the rate of cheap operations they would hardly leave the place where they begin."""


class FramePolicy(nn.Module):
    """From the features of a frame (skipvid.core.ratios.frame_features) to the logits of the ratios; its followers choose by them.

    channels: of the network's input. choices: how many ratios. start: probability of ratio 1 before training; the others share the rest.
    """

    def __init__(self, channels: int = 3, choices: int = 3, hidden: int = 16, start: float = 0.7) -> None:
        super().__init__()
        self.choices = choices
        self.inner, self.outer = nn.Linear(feature_count(channels), hidden), nn.Linear(hidden, choices)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)
        nn.init.constant_(self.outer.bias[:1], math.log(start / (1 - start) * max(choices - 1, 1)) / GAIN)
        self.logits: tuple[Tensor, ...] = ()
        self.noises: tuple[Tensor, ...] = ()

    def look(self, clips: Tensor) -> None:
        """Decide about the clips that the network runs next: (N, T, C, H, W)."""
        samples = clips[..., ::STEP, ::STEP].detach().float().numpy(force=True)
        features = [[frame_features(frame, clip[t - 1] if t else None) for t, frame in enumerate(clip)] for clip in samples]
        logits = GAIN * self.outer(self.inner(torch.from_numpy(np.array(features)).to(self.outer.weight)).relu())
        self.logits = logits.unbind(1)
        self.noises = tuple(gumbel(each) for each in self.logits)

    def weights(self) -> RatioPolicy:
        """As the engine takes it."""
        inner, inner_bias, outer, outer_bias = (each.detach().float().numpy(force=True).copy() for each in self.parameters())
        return RatioPolicy(inner, inner_bias, np.float32(GAIN) * outer, np.float32(GAIN) * outer_bias)


class Follower(Policy):
    """Chooses in each layer what the network's FramePolicy has drawn for the frame, so that all layers have one ratio.

    In clips only: a layer is given the frames of a clip one after the other, in every call anew. Raises UsageError where the network has
    not been looked at for.
    """

    looks: ClassVar[bool] = False

    def __init__(self, leader: FramePolicy) -> None:
        super().__init__()
        self._leader = (leader,)  # in a tuple: it is the network's, and not a part of each layer
        self._turn = -1

    def bind(self, channels: int, ratios: int, reuse: bool) -> None:
        if reuse or ratios != self._leader[0].choices:
            raise UsageError(f"a policy for {self._leader[0].choices} ratios is given to a layer of {ratios}", "give both the same ratios")

    def forward(self, features: Tensor, active: Tensor) -> Tensor:
        logits = self._leader[0].logits
        if not logits:
            raise UsageError("the policy of this network has seen no frame yet", "call its look() with the clips first")
        self._turn = (self._turn + 1) % len(logits)
        return logits[self._turn]

    def noise(self, logits: Tensor) -> Tensor:
        return self._leader[0].noises[self._turn]
