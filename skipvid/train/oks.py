"""How well keypoints fit the truth: object keypoint similarity, as COCO measures it, and PCK."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.models.heatmaps import COCO_TOLERANCES, STRIDE, decode_heatmaps
from skipvid.tasks.crops import CropWindow
from skipvid.train.people import PRESENT, Person
from skipvid.train.pose_teacher import Heat, network_input

PCK = 0.2
"""Distance at which a joint counts as found, as a fraction of the longer side of the person's box."""


def oks(joints: NDArray[np.float32], person: Person) -> float:
    """The similarity in [0, 1] of joints (17, 2), in pixels of the person's picture, over the joints that are labelled; NaN without any."""
    labelled = person.states == PRESENT
    distance = ((joints - person.joints) ** 2).sum(axis=1)[labelled]
    return float(np.exp(-distance / (2 * person.area * (2 * COCO_TOLERANCES[labelled]) ** 2)).mean()) if labelled.any() else float("nan")


def near(joints: NDArray[np.float32], person: Person) -> NDArray[np.bool_]:
    """Which of the labelled joints lie within PCK of the longer side of the person's box of the truth, (labelled,) bool."""
    labelled = person.states == PRESENT
    limit = PCK * float((person.box[2:] - person.box[:2]).max())
    return np.asarray(np.hypot(*(joints - person.joints)[labelled].T) <= limit)


def grade_people(people: Sequence[Person], heat: Heat, input_size: tuple[int, int], *, batch: int = 16) -> dict[str, float]:
    """Mean OKS over persons, given their true boxes, the shares with an OKS above 0.5 and 0.75, and the share of joints that PCK counts.

    heat: a network, from (N, 3, h, w) normalised RGB to heat maps. input_size: (height, width). Without test-time mirroring.
    """
    scores, hits = [], []
    for start in range(0, len(people), batch):
        chosen = people[start : start + batch]
        windows = [CropWindow.around(person.box, input_size) for person in chosen]
        cuts = np.stack([window.cut(person.image) for window, person in zip(windows, chosen, strict=True)])
        for person, window, maps in zip(chosen, windows, heat(network_input(cuts)), strict=True):
            joints = window.to_frame(decode_heatmaps(maps, tolerances=COCO_TOLERANCES)[:, :2] * STRIDE)
            scores.append(oks(joints, person))
            hits.append(near(joints, person))
    known = np.array([score for score in scores if not np.isnan(score)])
    if not len(known):
        return {}
    shares = {f"above {level}": float((known > level).mean()) for level in (0.5, 0.75)}
    return {"OKS": float(known.mean()), **shares, f"PCK@{PCK}": float(np.concatenate(hits).mean())}
