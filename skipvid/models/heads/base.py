"""What a kind of head says of itself, and how it is told whether a network file has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.detections import RawDetections

Size = tuple[int, int]
Floats = NDArray[np.float32]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a family's networks take, unless said otherwise.

    mean, std: of values in 0..1. fill: the byte beside the picture; None = the mean colour.
    """

    channels: str = "rgb"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    fill: int | None = 114


IMAGENET = Pixels("rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), None)
BYTE = 1 / 255


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A head that fits a network. classes: how many it tells apart, or joints. outputs: what the network shall return for it, by name.

    make: for detection from the input's (height, width), for poses from the names of the joints, for class maps from the number of names.
    """

    classes: int
    outputs: tuple[str, ...]
    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class HeadKind:
    """One kind of head. returns: what its networks return, in words. fit: None where a network returns something else.
    whole: a pose network that finds all people in the picture itself."""

    name: str
    task: str
    returns: str
    fit: Callable[[NetworkFacts], Fit | None]
    pixels: Pixels = field(default_factory=Pixels)
    whole: bool = False


def raw(boxes: Floats, scores: Floats, classes: NDArray[Any]) -> RawDetections:
    """Arrays (K, 4), (K,), (K,) as what a level found."""
    return RawDetections(np.asarray(boxes, np.float32), np.asarray(scores, np.float32), np.asarray(classes, np.int64))


def from_centres(boxes: Floats) -> Floats:
    """(K, 4) centre, width and height -> xyxy."""
    half = boxes[:, 2:] / 2
    with np.errstate(invalid="ignore"):  # what is no box is left out by the suppression
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], 1)


def expected(logits: Floats) -> Floats:
    """(4, bins, K) logits of the distances 0, 1, 2, … -> (K, 4) mean distances."""
    places = np.arange(logits.shape[1], dtype=np.float32)[:, None]
    with np.errstate(invalid="ignore"):
        odds = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        distances: Floats = ((odds * places).sum(1) / odds.sum(1)).T
    return distances
