"""Passes over a sequence with true boxes: what a gated detector finds, what it computes, and how long the network takes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sequences import Sequence, as_found

from skipvid.engine import DetectEngine
from skipvid.report import Agreement, agreement
from skipvid.results import Detections, Frame
from skipvid.train.evaluate import Truth, average_precision

TIMED = 240
"""Frames of a sequence that times are measured on."""
DENSE_EVERY = 8
"""The dense network is timed after every so many of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Of one row on one sequence. fewer: MACs, times as many dense. speed: times as fast as dense."""

    detections: list[Detections]
    ap50: float
    fewer: float
    milliseconds: float
    speed: float


def measure(engine: DetectEngine, images: list[NDArray[np.uint8]], truths: list[Truth], sequence: Sequence) -> Measured:
    """One pass over a sequence for what is found and counted, and one over its beginning for times."""
    stream = engine.stream() if engine.model.config.gate != "none" else engine.dense_stream()
    detections = []
    macs = dense_macs = 0
    for index, image in enumerate(images):
        result = stream.process(Frame(image, index, index / 25, sequence.name))
        detections.append(result.detections)
        if result.cost is not None:
            macs, dense_macs = macs + result.cost.macs, dense_macs + result.cost.dense_macs
    found = [as_found(each, sequence) for each in detections]
    milliseconds, dense_milliseconds = time_network(engine, images[:TIMED])
    ap50, fewer = 100 * average_precision(found, truths), dense_macs / macs if macs else 1.0
    return Measured(detections, ap50, fewer, milliseconds, dense_milliseconds / milliseconds)


def time_network(engine: DetectEngine, images: list[NDArray[np.uint8]]) -> tuple[float, float]:
    """Median milliseconds of the network as the engine gates it, and without gates, which runs after every DENSE_EVERY-th frame.

    Between frames the input is prepared and nothing else is done: sorting out boxes of low scores takes longer than the network, and would
    leave it cold caches and a second core that has gone to sleep.
    """
    task, session = engine.task(), engine.model.session()
    times, dense_times = [], []
    for index, image in enumerate(images):
        prepared = task.prepare(image)
        begin = time.perf_counter()
        session(prepared)
        times.append(time.perf_counter() - begin)
        if index % DENSE_EVERY == DENSE_EVERY - 1:
            begin = time.perf_counter()
            engine.model.dense(prepared)
            dense_times.append(time.perf_counter() - begin)
    dense = 1000 * statistics.median(dense_times)
    return dense if engine.model.config.gate == "none" else 1000 * statistics.median(times), dense


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
