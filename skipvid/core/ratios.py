"""Networks that exist at several widths, and what chooses one of them for a frame (VA-RED²).

Pan et al., "VA-RED²: Video Adaptive Redundancy Reduction" (ICLR 2021). The paper's policy decides block by block; here one decision is made
for the whole network, so that a frame runs an ordinary network and nothing has to be undone in the middle of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

STEP = 8
"""Rows and columns of the input from one that the policy looks at to the next."""

TOLERANCE = 0.05
"""Mean change of a sample over the channels, over the mean magnitude of the samples, from which it counts as active."""


def feature_count(channels: int) -> int:
    """Of an input of so many channels."""
    return 3 * channels + 1


def frame_features(samples: NDArray[np.float32], last: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """What a policy sees of a frame, (3 C + 1,): of each channel the mean, the standard deviation and the mean step from a sample to its
    neighbours; and the share of samples that are active, 1 where there is no frame before.

    samples: (C, h, w), every STEP-th value of the network's input. last: those of the frame before.
    """
    steps = [np.abs(np.diff(samples, axis=axis)).mean((1, 2)) if samples.shape[axis] > 1 else np.zeros(len(samples)) for axis in (1, 2)]
    active = 1.0
    if last is not None:
        change = np.abs(samples - last).mean(0)
        active = float((change > TOLERANCE * np.abs(samples).mean()).mean())
    return np.concatenate([samples.mean((1, 2)), samples.std((1, 2)), (steps[0] + steps[1]) / 2, [active]]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class RatioPolicy:
    """Two linear layers with a ReLU between them, from the features of a frame to a logit for each ratio.

    inner: (H, F), inner_bias: (H,), outer: (K, H), outer_bias: (K,), all float32. Raises UsageError where these do not fit together.
    """

    inner: NDArray[np.float32]
    inner_bias: NDArray[np.float32]
    outer: NDArray[np.float32]
    outer_bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        hidden, ratios = len(self.inner_bias), len(self.outer_bias)
        fits = self.inner.ndim == 2 and self.inner.shape[0] == hidden and self.outer.shape == (ratios, hidden)
        if not fits or not all(np.isfinite(each).all() for each in (self.inner, self.inner_bias, self.outer, self.outer_bias)):
            raise UsageError("a policy's weights do not fit together, or are no numbers", "train it again: skipvid train adaptive")

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(F,) -> (K,)."""
        hidden = np.maximum(self.inner @ features + self.inner_bias, 0)
        result: NDArray[np.float32] = self.outer @ hidden + self.outer_bias
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Narrower:
    """The same network with fewer channels, and the policy that chooses among all widths. A network that has it holds it as `narrower`.

    ratios: shares of the channels of its adaptive layers, falling, all below 1. nets: in that order. renamed: for each of them, layers that
    do the work of one layer of the full network: from their paths to its own. policy: its logits begin with that of the full network.
    Raises UsageError where these do not fit together.
    """

    ratios: tuple[float, ...]
    nets: tuple[nn.Module, ...]
    renamed: tuple[dict[str, str], ...]
    policy: RatioPolicy

    def __post_init__(self) -> None:
        falling = all(0 < low < high for high, low in zip((1.0, *self.ratios), self.ratios, strict=False))
        counts = {len(self.ratios), len(self.nets), len(self.renamed), len(self.policy.outer_bias) - 1}
        if not self.ratios or not falling or len(counts) > 1 or not all(map(math.isfinite, self.ratios)):
            raise UsageError(f"a network is given at the ratios {self.ratios}", "train it again: skipvid train adaptive")


NARROWER = "narrower"
"""Name of the attribute of a network that holds its narrower forms."""
