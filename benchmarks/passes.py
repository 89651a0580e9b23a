"""Passes over a sequence with true boxes: what a gated detector finds and what it computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sequences import Sequence, as_found

from skipvid.core.results import Detections, Frame
from skipvid.report import Agreement, agreement
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.evaluate import Truth, average_precision


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Of one row on one sequence. fewer: MACs, times as many dense."""

    detections: list[Detections]
    ap50: float
    fewer: float


def measure(engine: DetectEngine, images: list[NDArray[np.uint8]], truths: list[Truth], sequence: Sequence) -> Measured:
    """One pass over a sequence."""
    stream = engine.stream() if engine.model.config.gate != "none" else engine.dense_stream()
    detections = []
    macs = dense_macs = 0
    for index, image in enumerate(images):
        result = stream.process(Frame(image, index, index / 25, sequence.name))
        detections.append(result.detections)
        if result.cost is not None:
            macs, dense_macs = macs + result.cost.macs, dense_macs + result.cost.dense_macs
    found = [as_found(each, sequence) for each in detections]
    return Measured(detections, 100 * average_precision(found, truths), dense_macs / macs if macs else 1.0)


def agreement_of(one: Measured, other: Measured, sequence: Sequence, threshold: float) -> float:
    """F1 of the detections of the sequence's categories that would be shown."""
    pairs = (
        (_above(a, sequence, threshold), _above(b, sequence, threshold)) for a, b in zip(one.detections, other.detections, strict=True)
    )
    return sum((agreement(a, b) for a, b in pairs), Agreement()).f1


def _above(detections: Detections, sequence: Sequence, threshold: float) -> Detections:
    chosen = (detections.scores >= threshold) & np.isin(detections.category_ids, sequence.categories)
    labels = tuple(label for label, keep in zip(detections.labels, chosen, strict=True) if keep)
    return Detections(detections.boxes[chosen], detections.scores[chosen], detections.category_ids[chosen], labels)
