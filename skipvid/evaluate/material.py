"""Clips cut into blocks of time, and what a way of running found and spent on each of their frames, kept on disk while others are run."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.files import output_errors, write_bytes
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.jhmdb import coco_columns
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.run import Pass, add_labelled
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.report.agreement import box_iou
from skipvid.report.units import plural
from skipvid.tasks.engine import Stream

FOLDS = 4
"""Blocks that each clip is cut into; each is left out of calibration once."""

SAME = 0.5
"""IoU from which two detections of a class are the same object."""

GRADED = 0.05
"""How far above the score from which detections are shown others are tried, where agreement is graded."""

Opener = Callable[[LabelledClip], AbstractContextManager[Iterable[Frame]]]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The frames that thresholds are found and measured on, clip after clip.

    folds: (frames,) the block that each belongs to, 0 to FOLDS - 1. clip_of: (frames,) number of the clip. truths: None = no label.
    labels: what is compared with the truth; None: there is none, and the dense network stands in for it.
    """

    clips: Sequence[LabelledClip]
    opened: Opener
    folds: NDArray[np.int64]
    clip_of: NDArray[np.int64]
    truths: Sequence[FrameTruth | None]
    labels: Labels | None

    @classmethod
    def read(cls, clips: Sequence[LabelledClip], opened: Opener, labels: Labels | None) -> Material:
        """Look at all frames once. Raises SourceError where a clip is too short to be cut."""
        folds, clip_of, truths = [], [], list[FrameTruth | None]()
        for number, clip in enumerate(clips):
            with opened(clip) as frames:
                own = [clip.of(frame) for frame in frames]
            if len(own) < 2 * FOLDS:
                need = f"calibration by a goal cuts a clip into {FOLDS} blocks of time, of 2 frames or more; take a longer clip"
                raise SourceError(f"{clip.name} has {plural(len(own), 'frame')}", need)
            folds += [index * FOLDS // len(own) for index in range(len(own))]
            clip_of += [number] * len(own)
            truths += own
        return cls(clips, opened, np.array(folds), np.array(clip_of), truths, labels)

    def __len__(self) -> int:
        return len(self.folds)

    def frames(self) -> Iterator[tuple[int, LabelledClip, Frame]]:
        """All frames again: number over all clips, clip, frame."""
        number = 0
        for clip in self.clips:
            with self.opened(clip) as frames:
                for frame in frames:
                    yield number, clip, frame
                    number += 1

    def measured(self, seen: Seen, dense: Seen, frames: NDArray[np.bool_], shown: float | None = None) -> Pass:
        """A pass over the chosen frames. dense: what the dense network found, which stands in for a truth that there is not.

        shown: the score from which detections are shown: agreement is graded, too (see `agreed`).
        """
        outcome = Pass("")
        for number in np.flatnonzero(frames).tolist():
            clip, truth, found = self.clips[self.clip_of[number]], self.truths[number], seen.detections[number]
            outcome.macs += int(seen.macs[number])
            outcome.dense_macs += int(seen.dense_macs[number])
            outcome.model_ms.append(float(seen.ms[number]))
            if self.labels is None:
                outcome.groups.append(clip.name)
                outcome.agreed.append(agreed(dense.detections[number], found))
                if shown is not None:
                    outcome.graded.append(agreed(dense.detections[number], found, shown))
            elif truth is not None:
                columns = coco_columns(clip.keypoint_names, self.labels.keypoints) if self.labels.keypoints else ([], [])
                add_labelled(outcome, found, truth, clip.group or clip.name, self.labels, columns)
        return outcome

    def objects(self, dense: Seen) -> int:
        """How many objects there were to be found: true ones, or those of the dense network."""
        if self.labels is None:
            return sum(len(each) for each in dense.detections)
        true = [self.labels.true(truth) for truth in self.truths if truth is not None]
        return sum(int((np.isin(truth.category_ids, self.labels.categories) & ~truth.crowd).sum()) for truth in true)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one way of running found and spent, frame by frame. macs, dense_macs: (frames,) int64. ms: (frames,) float64, of the network."""

    detections: Sequence[Detections]
    macs: NDArray[np.int64]
    dense_macs: NDArray[np.int64]
    ms: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        material: Material,
        start: Callable[[], Stream],
        dense_macs: int = 0,
        change: Callable[[Frame], Frame] = lambda f: f,
        progress: Callable[[FrameResult], None] = lambda result: None,
    ) -> Seen:
        """Run over all frames, each clip a stream of its own. dense_macs: of a frame whose result names no cost, if its network ran.

        change: spoils a frame. progress: called with each result.
        """
        found, macs, dense, ms = [], list[int](), list[int](), list[float]()
        last: LabelledClip | None = None
        for _, clip, frame in material.frames():
            if clip is not last:
                stream, last = start(), clip
            result = stream.process(change(frame))
            cost = result.cost
            found.append(result.detections)
            macs.append(cost.macs if cost is not None else dense_macs if result.ms["model"] else 0)
            dense.append(cost.dense_macs if cost is not None else dense_macs)
            ms.append(result.ms["model"])
            progress(result)
        return cls(found, np.array(macs), np.array(dense), np.array(ms))

    def save(self, path: Path) -> None:
        """Keep it. Raises OutputError."""
        counts = [len(each) for each in self.detections]
        poses = [each.keypoints for each in self.detections if each.keypoints is not None]
        arrays: dict[str, NDArray[Any]] = {
            "counts": np.array(counts),
            "boxes": np.concatenate([each.boxes for each in self.detections]),
            "scores": np.concatenate([each.scores for each in self.detections]),
            "ids": np.concatenate([each.category_ids for each in self.detections]),
            "macs": self.macs,
            "dense_macs": self.dense_macs,
            "ms": self.ms,
            **({"keypoints": np.concatenate(poses)} if len(poses) == len(counts) else {}),
        }
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())

    @classmethod
    def load(cls, path: Path, frames: int) -> Seen | None:
        """What was kept, or None where there is none that is whole and of so many frames."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            counts = arrays["counts"]
            per_frame = [arrays[name] for name in ("counts", "macs", "dense_macs", "ms")]
            if any(each.shape != (frames,) or each.dtype.kind not in "if" for each in per_frame) or counts.sum() != len(arrays["boxes"]):
                return None
            ends = np.cumsum(counts)
            detections = []
            for end, count in zip(ends, counts, strict=True):
                rows = slice(end - count, end)
                poses = arrays["keypoints"][rows] if "keypoints" in arrays else None
                names = ("",) * int(count)
                detections.append(Detections(arrays["boxes"][rows], arrays["scores"][rows], arrays["ids"][rows], names, keypoints=poses))
            return cls(detections, arrays["macs"], arrays["dense_macs"], arrays["ms"])
        except (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError, BadZipFile, zlib.error):
            return None


def agreed(dense: Detections, found: Detections, shown: float | None = None) -> tuple[float, float]:
    """(weight of what agrees, weight of all) of one frame: F1 at IoU 0.5 with every object weighted by its score.

    A pair of poses agrees the less the farther apart their keypoints are: its weight counts as 1 − mean distance over the longer side of
    the dense network's box, at least 0.
    shown: the score from which detections are shown: the mean over all such scores up to GRADED higher, so that an object that is on the
    verge of being shown does not count all or nothing.
    """
    whole = float((dense.scores * _share(dense.scores, shown)).sum() + (found.scores * _share(found.scores, shown)).sum())
    overlaps = box_iou(found.boxes, dense.boxes)
    overlaps[found.category_ids[:, None] != dense.category_ids[None]] = -1
    same = 0.0
    for row in np.argsort(-found.scores, kind="stable") if len(dense) else ():
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= SAME:
            overlaps[:, best] = -1
            pair = np.array([found.scores[row], dense.scores[best]])
            same += float(pair.sum() * _share(pair, shown).min()) * _closeness(dense, best, found, int(row))
    return same, whole


def _share(scores: NDArray[np.floating[Any]], shown: float | None) -> NDArray[np.floating[Any]]:
    """Of the scores from which detections may be shown, how many show these."""
    return np.ones_like(scores) if shown is None else np.clip((scores - shown) / GRADED, 0, 1)


def _closeness(dense: Detections, one: int, found: Detections, other: int) -> float:
    if dense.keypoints is None or found.keypoints is None:
        return 1.0
    distance = float(np.linalg.norm(dense.keypoints[one, :, :2] - found.keypoints[other, :, :2], axis=1).mean())
    box = dense.boxes[one]
    side = max(float((box[2:] - box[:2]).max()), 1.0)
    return max(0.0, 1 - distance / side) if math.isfinite(distance) else 0.0
