"""Results, headers and summaries as a run would make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import Detections, Frame, FrameResult, RunHeader, RunSummary, SourceInfo
from skipvid.video.sinks.base import Sink
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions


def header(source: SourceInfo | None = None, keypoints: tuple[str, ...] = ()) -> RunHeader:
    return RunHeader(
        command="detect",
        source=source or SourceInfo("clip.mp4", 1280, 720, fps=29.97),
        preset="effdet-d0",
        gate="norm",
        threshold=0.03,
        block=1,
        backend="cpu",
        weights_sha256="ab" * 32,
        version="0.1.0",
        categories={1: "person", 3: "car"},
        keypoints=keypoints,
    )


def summary(of: RunHeader | None = None, **changes: object) -> RunSummary:
    plain = RunSummary(of or header(), frames=3, keyframes=1, detections=2, wall_seconds=0.5, median_ms={"model": 20.0}, cost=cost())
    return replace(plain, **changes)  # type: ignore[arg-type]


def cost(macs: int = 250) -> FrameCost:
    return FrameCost.of(
        (
            LayerCost("stem.conv", "stem", "conv", 400, macs, 100, 25, gate_ops=30),
            LayerCost("head.cls", "head", "depthwise", 600, macs, 100, 50, gate_macs=20),
        ),
        other_gate_ops=7,
    )


def result(index: int = 0, detections: Detections | None = None, image: NDArray[np.uint8] | None = None, **changes: object) -> FrameResult:
    picture = np.zeros((720, 1280, 3), np.uint8) if image is None else image
    frame = Frame(picture, index, index / 29.97, "clip.mp4")
    plain = FrameResult(frame, detections or Detections.empty(), index == 0, {"decode": 1.234, "model": 20.5}, cost())
    return replace(plain, **changes)  # type: ignore[arg-type]


def two_objects(*, ids: bool = False, joints: int = 0) -> Detections:
    points = np.arange(2 * joints * 3, dtype=np.float32).reshape(2, joints, 3) / 7
    return Detections(
        boxes=np.array([[10.123, 20.456, 110.5, 220.25], [0, 0, 33.333, 44.444]], np.float32),
        scores=np.array([0.91234, 0.5], np.float32),
        category_ids=np.array([1, 3]),
        labels=("person", "car"),
        ids=np.array([7, 8]) if ids else None,
        keypoints=points if joints else None,
    )


def run(path: Path, sink_of: object, options: ReadOptions | None = None, **changes: object) -> Sink:
    """Feed all frames of a clip through a sink made by sink_of(header), and finish it."""
    with open_source(str(path), options) as source:
        of = header(source.info)
        sink: Sink = sink_of(of)  # type: ignore[operator]
        with sink:
            frames = 0
            for frame in source:
                sink.write(FrameResult(frame, Detections.empty(), frames == 0, {}))
                frames += 1
            sink.finish(
                summary(
                    of,
                    **{
                        "frames": frames,
                        "problems": (source.problem,) if source.problem else (),
                        "complete": source.problem is None,
                        **changes,
                    },
                )
            )
    return sink
