"""Which width of a network the next frame of a stream runs on, so that the choice does not flap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.core.ratios import STEP, RatioPolicy, frame_features
from skipvid.skip.picture import Input, Picture

HYSTERESIS = 1.0
"""By how many logits another ratio must beat the one in use."""

LEAST_STAY = 8
"""Frames at a ratio before another one is worth the keyframe that a change costs, and that what is found may look a little different."""

OPERATIONS = 12
"""For each sample: its mean, deviation, two steps to neighbours, and its change."""


class RatioChoice:
    """The choice of one stream, which begins at no ratio. number: of the ratio in use, 0 = the full network. operations: element-wise ones,
    and the products of the policy, that the last choice took."""

    def __init__(self, policy: RatioPolicy) -> None:
        self.number = 0
        self._policy = policy
        self._last: NDArray[np.float32] | None = None
        self._stayed = 0
        self.operations = 0

    def reset(self) -> None:
        """Begin anew: the next frame is compared with none, and has no ratio to stay at."""
        self.number, self._last, self._stayed = 0, None, 0

    def look(self, inputs: Sequence[Input]) -> bool:
        """Choose for the next frame; returns whether its ratio is another one than the last frame's.

        A frame in which no sample has changed keeps its ratio: where nothing moves, nothing is computed anew.
        """
        samples = sampled(inputs[0])
        self.operations = OPERATIONS * samples.size + self._policy.inner.size + self._policy.outer.size
        if self._last is None:
            self.number = int(self._policy.logits(frame_features(samples, None)).argmax())
            self._last, self._stayed = samples, 1
            return False
        chosen = self.number
        if self._stayed >= LEAST_STAY and not np.array_equal(samples, self._last):
            logits = self._policy.logits(frame_features(samples, self._last))
            logits[self.number] += HYSTERESIS
            chosen = int(logits.argmax())
        self._last = samples
        changed = chosen != self.number
        self.number, self._stayed = chosen, 1 if changed else self._stayed + 1
        return changed


def sampled(item: Input) -> NDArray[np.float32]:
    """Every STEP-th value of an input of (1, C, H, W), as (C, h, w) float32; of a picture as of the tensor that it stands for."""
    if not isinstance(item, Picture):
        values: NDArray[np.float32] = item[0, :, ::STEP, ::STEP].detach().float().numpy(force=True).copy()
        return values
    result = np.zeros((3, *(math.ceil(side / STEP) for side in item.size)), np.float32)
    pixels = item.pixels[::STEP, ::STEP]
    for channel, (source, table) in enumerate(zip(item.order, item.tables, strict=True)):
        result[channel, : pixels.shape[0], : pixels.shape[1]] = table[pixels[..., source]]
    return result


def ratios_note(frames: Counter[float]) -> str | None:
    """A line on the ratios that frames were computed at; None where there was only the full network. frames: by ratio."""
    total = sum(frames.values())
    if not total or set(frames) == {1.0}:
        return None
    parts = (f"{frames[ratio] / total:.0%} at {ratio:g}" for ratio in sorted(frames, reverse=True))
    return f"channels of the adaptive layers, by share of the network's runs: {', '.join(parts)}"
