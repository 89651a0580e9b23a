"""One pass of a network over labelled clips, and what two passes differ by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame
from skipvid.evaluate.bootstrap import Interval, blocks_of, bootstrap
from skipvid.evaluate.jhmdb import coco_columns
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.matching import NO_MATCHES, FrameMatches, match_boxes, match_keypoints
from skipvid.evaluate.precision import PrecisionTable, mean_over_categories, pck_hits
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.tasks.engine import Stream

Measure = Callable[[NDArray[np.int64]], float]
"""A measure in percent, given how often each labelled frame counts."""


@dataclass(slots=True, eq=False)
class Pass:
    """What one way of running found and cost, frame by frame; frames without truth count for cost and time alone.

    matches: by category, of each labelled frame. joints: (persons, joints) of each labelled frame, for PCK. groups: their clips.
    agreed: of each frame, where the dense network stands in for the truth: the weight of what agrees, and of all. graded: the same, graded.
    macs, dense_macs: of all frames. model_ms: of all frames.
    """

    name: str
    matches: dict[int, list[FrameMatches]] = field(default_factory=dict)
    joints: list[NDArray[np.float64]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    agreed: list[tuple[float, float]] = field(default_factory=list)
    graded: list[tuple[float, float]] = field(default_factory=list)
    macs: int = 0
    dense_macs: int = 0
    model_ms: list[float] = field(default_factory=list)

    @property
    def fewer(self) -> float:
        """How many times fewer MACs than the dense network needs; NaN where no frame had a cost."""
        return self.dense_macs / self.macs if self.macs else float("nan")

    def measures(self) -> dict[str, Measure]:
        """By name, percent: AP at IoU (or OKS) 0.5, its mean over 0.5, 0.55 … 0.95, both as means over categories; and PCK."""
        tables = [PrecisionTable(frames) for frames in self.matches.values()]

        def precision(levels: slice) -> Measure:
            return lambda times: float(100 * mean_over_categories([table.average_precision(times, levels) for table in tables]).mean())

        found: dict[str, Measure] = {"AP50": precision(slice(0, 1)), "AP": precision(slice(None))} if tables else {}
        if self.joints:
            hits = np.array([np.nansum(each) for each in self.joints])
            labelled = np.array([np.isfinite(each).sum() for each in self.joints])
            found["PCK"] = lambda times: float(100 * (hits @ times) / (labelled @ times)) if labelled @ times else float("nan")
        if self.agreed:
            found["agreement"] = _agreement(self.agreed)
        if self.graded:
            found["graded agreement"] = _agreement(self.graded)
        return found


def _agreement(weights: Sequence[tuple[float, float]]) -> Measure:
    same, whole = np.array(weights).T
    return lambda times: float(100 * (same @ times) / (whole @ times)) if whole @ times else 100.0


def main_measure(outcome: Pass) -> tuple[str, Measure]:
    """The measure that goals and verdicts are about, with its name: PCK of poses, else AP50, or agreement."""
    measures = outcome.measures()
    name = "PCK" if "PCK" in measures else next(iter(measures))
    return name, measures[name]


def joined(parts: Sequence[Pass]) -> Pass:
    """Passes over different frames as one. A category that a part does not measure has nothing in its frames."""
    whole = Pass("", {category: [] for part in parts for category in part.matches})
    for part in parts:
        for category, matches in whole.matches.items():
            matches += part.matches.get(category) or [NO_MATCHES] * len(part.groups)
        whole.joints += part.joints
        whole.groups += part.groups
        whole.agreed += part.agreed
        whole.graded += part.graded
        whole.macs += part.macs
        whole.dense_macs += part.dense_macs
        whole.model_ms += part.model_ms
    return whole


def run_clip(outcome: Pass, stream: Stream, frames: Iterable[Frame], clip: LabelledClip, labels: Labels, dense_macs: int) -> None:
    """Analyse a clip and add to the pass. dense_macs: of a frame, counted for frames whose result names no cost."""
    columns = coco_columns(clip.keypoint_names, labels.keypoints) if labels.keypoints else ([], [])
    for frame in frames:
        result = stream.process(frame)
        cost = result.cost
        outcome.macs += cost.macs if cost is not None else dense_macs if result.ms["model"] else 0
        outcome.dense_macs += cost.dense_macs if cost is not None else dense_macs
        outcome.model_ms.append(result.ms["model"])
        truth = clip.of(frame)
        if truth is None:
            continue
        add_labelled(outcome, result.detections, truth, clip.group or clip.name, labels, columns)


def add_labelled(
    outcome: Pass, detections: Detections, truth: FrameTruth, group: str, labels: Labels, columns: tuple[list[int], list[int]]
) -> None:
    """Add what was found in one labelled frame. columns: of the truth's joints and of the network's, those that both have."""
    truth, found = labels.true(truth), labels.found(detections)
    outcome.groups.append(group)
    if labels.keypoints:  # also where nobody is there, or nobody was found: each labelled frame counts for every measure
        if truth.keypoints is None:
            truth = replace(truth, keypoints=np.zeros((len(truth), max(columns[0], default=-1) + 1, 3), np.float32))
        if found.keypoints is None:
            found = replace(found, keypoints=np.zeros((len(found), len(labels.keypoints), 3), np.float32))
        outcome.matches.setdefault(labels.categories[0], []).append(match_keypoints(found, truth, columns))
        outcome.joints.append(pck_hits(found, truth, columns))
    else:
        for category in labels.categories[:1] if labels.merged else labels.categories:
            outcome.matches.setdefault(category, []).append(match_boxes(found, truth, category))


@dataclass(frozen=True, slots=True)
class Compared:
    """A pass against the dense one by one measure: the value, and how much is lost, with intervals, percent points."""

    value: Interval
    lost: Interval


def compare(own: Pass, dense: Pass, block: int, draws: int) -> dict[str, Compared]:
    """By measure. block: frames that are drawn together, 0 = a whole clip. Both sides are measured on the same draws.

    Raises ValueError where the two passes have different frames.
    """
    if own.groups != dense.groups:
        raise ValueError(f"{len(own.groups)} labelled frames against {len(dense.groups)}")
    blocks = blocks_of(own.groups, block)
    others = dense.measures()
    return {name: _compare(mine, others[name], blocks, draws) for name, mine in own.measures().items()}


def _compare(mine: Measure, theirs: Measure, blocks: Sequence[NDArray[np.int64]], draws: int) -> Compared:
    return Compared(bootstrap(mine, blocks, draws), bootstrap(lambda times: theirs(times) - mine(times), blocks, draws))
