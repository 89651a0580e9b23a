"""Class maps: a score of each class for each pixel, the number of its class, or the chance that it belongs to the one class there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.core.network_outputs import NetworkFacts, NetworkOutput, Shape
from skipvid.models.heads.base import IMAGENET, Fit, HeadKind
from skipvid.models.spec import SegmentHead

STRIDES = (1, 2, 4, 8, 16, 32)
"""Pixels of the picture per cell of a class map."""
TWO = 2
"""Classes of a network with one chance a pixel: what it looks for, and the background, which is 0."""


class LargestScore(SegmentHead):
    """Reads (1, C, h, w): of equal scores the first one wins."""

    def numbers(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
        # Kernels leave a pixel's channels side by side: in that order the largest is found three times as fast.
        numbers: NDArray[np.uint16] = np.ascontiguousarray(maps[0][0].transpose(1, 2, 0)).argmax(2).astype(np.uint16)
        return numbers


class Numbered(SegmentHead):
    """Reads the numbers of the classes, (1, h, w) or (1, 1, h, w); one that there is no class for becomes 0."""

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def numbers(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
        values = maps[0].reshape(maps[0].shape[-2:])
        known = (values > -0.5) & (values < self._classes - 0.5)
        return np.where(known, np.rint(np.where(known, values, 0)), 0).astype(np.uint16)


class Above(SegmentHead):
    """Reads one value a pixel, (1, h, w) or (1, 1, h, w): 1 where it is above a limit, else 0."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def numbers(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
        return (maps[0].reshape(maps[0].shape[-2:]) > self._limit).astype(np.uint16)


def _covers(shape: Shape, facts: NetworkFacts) -> bool:
    return any(shape[-2:] == tuple(math.ceil(side / stride) for side in facts.image_size) for stride in STRIDES)


def _only(facts: NetworkFacts) -> NetworkOutput | None:
    """The output that is a class map; one beside it that helps in training is left out."""
    outputs = [each for each in facts.outputs if "aux" not in each.name.lower()] if len(facts.outputs) > 1 else list(facts.outputs)
    if len(outputs) != 1 or len(outputs[0].shape) not in (3, 4) or outputs[0].shape[0] != 1:
        return None
    return outputs[0] if _covers(outputs[0].shape, facts) else None


def _scored(facts: NetworkFacts) -> Fit | None:
    output = _only(facts)
    if output is None or output.values == "numbers" or len(output.shape) != 4 or output.shape[1] < TWO:
        return None
    return Fit(output.shape[1], (output.name,), lambda classes: LargestScore()) if facts.may_have(output.shape[1]) else None


def _numbered(facts: NetworkFacts) -> Fit | None:
    output = _only(facts)
    if output is None or output.values not in ("", "numbers") or not _flat(output):
        return None
    if output.channels is None:
        classes = facts.classes or 0  # its shape does not tell
        return Fit(classes, (output.name,), Numbered)
    # The largest channel is found here, so that the network ends at a map whose pixels are computed one by one.
    name, shape = output.channels
    return Fit(shape[1], (name,), lambda classes: LargestScore()) if facts.may_have(shape[1]) else None


def _one_class(values: str, limit: float) -> Callable[[NetworkFacts], Fit | None]:
    def fit(facts: NetworkFacts) -> Fit | None:
        output = _only(facts)
        if output is None or output.values not in ("", values) or not _flat(output) or not facts.may_have(TWO):
            return None
        return Fit(TWO, (output.name,), lambda classes: Above(limit))

    return fit


def _flat(output: NetworkOutput) -> bool:
    return len(output.shape) == 3 or output.shape[1] == 1


KINDS = (
    HeadKind("segment", "segment", "scores (1, classes, h, w), of pixels or of cells of 2 to 32", _scored, IMAGENET),
    HeadKind("segment-numbers", "segment", "the number of each pixel's class, (1, h, w) or (1, 1, h, w)", _numbered, IMAGENET),
    HeadKind("segment-chance", "segment", "the chance of one class from 0 to 1, (1, 1, h, w)", _one_class("chances", 0.5), IMAGENET),
    HeadKind("segment-logit", "segment", "the logit of one class, (1, 1, h, w)", _one_class("scores", 0.0), IMAGENET),
)
