"""Heads of networks that look at one person: heat maps, and SimCC's two lines of chances (Li et al., "SimCC", ECCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.heads.base import IMAGENET, Fit, HeadKind
from skipvid.models.heatmaps import STRIDE, HeatmapHead
from skipvid.models.spec import KeypointHead

FEWEST_JOINTS = 2


class SimccHead(KeypointHead):
    """Reads chances along x (1, J, s · W) and along y (1, J, s · H). ratio: s, bins a pixel."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio

    def keypoints(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        along = [each[0] for each in maps]
        places = [line.argmax(1) / self._ratio for line in along]
        scores = np.minimum(*(line.max(1) for line in along))
        return np.column_stack([*places, np.clip(scores, 0, 1)]).astype(np.float32)


def _heat_maps(facts: NetworkFacts) -> Fit | None:
    output = facts.outputs[0]
    size = tuple(side // STRIDE for side in facts.image_size)
    if len(facts.outputs) != 1 or len(output.shape) != 4 or output.shape[2:] != size:
        return None
    if output.shape[1] < FEWEST_JOINTS or not facts.may_have(output.shape[1]):
        return None
    return Fit(output.shape[1], (output.name,), HeatmapHead)


def _simcc(facts: NetworkFacts) -> Fit | None:
    if len(facts.outputs) != 2 or any(len(output.shape) != 3 for output in facts.outputs):
        return None
    height, width = facts.image_size
    for x, y in (facts.outputs, facts.outputs[::-1]):
        ratio = x.shape[2] / width
        square = height == width and "x" not in x.name.lower()
        if x.shape[1] == y.shape[1] >= FEWEST_JOINTS and ratio >= 1 and y.shape[2] == ratio * height and not square:
            if facts.may_have(x.shape[1]):
                return Fit(x.shape[1], (x.name, y.name), lambda joints, ratio=ratio: SimccHead(ratio))  # type: ignore[misc]
    return None


KINDS = (
    HeadKind("heatmaps", "pose", "heat maps (1, joints, height / 4, width / 4)", _heat_maps, IMAGENET),
    HeadKind("simcc", "pose", "chances along x (1, joints, s · width) and along y, as RTMPose has them", _simcc, IMAGENET),
)
