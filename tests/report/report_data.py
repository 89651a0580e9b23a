"""Runs and costs for the tests of the report."""

import numpy as np

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import Detections, Frame, FrameResult, RunHeader, RunSummary, SourceInfo
from skipvid.report import SummaryBuilder

PICTURE = np.zeros((4, 4, 3), np.uint8)


def header(name: str = "clip.mp4", **changes: object) -> RunHeader:
    fields: dict = {
        "command": "report",
        "source": SourceInfo(name, 640, 360, fps=25.0),
        "preset": "d0",
        "gate": "norm",
        "threshold": 0.03,
        "block": 1,
        "backend": "cpu",
        "weights_sha256": "ab12",
        "version": "9.8.7",
    }
    return RunHeader(**{**fields, **changes})


def cost(seed: int, layers: int = 5, learned: bool = False) -> FrameCost:
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(layers):
        outputs, weight = 1000 + 100 * index, 70 + index
        active = int(rng.integers(0, outputs + 1))
        gate_macs = int(rng.integers(1, 999)) if learned else 0
        name, stage = f"net.{index}.conv", ("stem", "body", "head")[index * 3 // layers]
        rows.append(LayerCost(name, stage, "conv", outputs * weight, active * weight, outputs, active, gate_macs, 2 * outputs))
    return FrameCost.of(rows, other_gate_ops=77)


def result(index: int, frame_cost: FrameCost | None = None, keyframe: bool = False, **ms: float) -> FrameResult:
    frame = Frame(PICTURE, index, index / 25, "clip.mp4")
    return FrameResult(frame, Detections.empty(), keyframe, ms or {"decode": 1.0, "model": 20.0}, frame_cost)


def summary(frames: int = 10, *, wall_seconds: float = 2.0, **changes: object) -> RunSummary:
    builder = SummaryBuilder(header(**changes))
    for index in range(frames):
        builder.add(result(index, cost(index), keyframe=index == 0))
    return builder.build(wall_seconds)
