"""A run that never happened, to look at the report with: `python -m skipvid.report [report.html]`."""

from __future__ import annotations

import numpy as np

from skipvid import __version__
from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import Detections, Frame, FrameResult, RunHeader, SourceInfo
from skipvid.report.agreement import Agreement
from skipvid.report.summary import Comparison, SummaryBuilder, ThresholdRow

# (stage, number of blocks, channels in, channels out, height, width), roughly a small EfficientDet at 640 x 384
_STAGES = (
    ("stem", 1, 3, 32, 192, 320),
    ("blocks.0", 1, 32, 16, 192, 320),
    ("blocks.1", 2, 16, 24, 96, 160),
    ("blocks.2", 2, 24, 40, 48, 80),
    ("blocks.3", 3, 40, 80, 24, 40),
    ("blocks.4", 3, 80, 112, 24, 40),
    ("blocks.5", 4, 112, 192, 12, 20),
    ("blocks.6", 1, 192, 320, 12, 20),
    ("fpn", 12, 64, 64, 24, 40),
    ("class_net", 4, 64, 64, 48, 80),
    ("box_net", 4, 64, 64, 48, 80),
)
_HEADER = RunHeader(
    command="report",
    source=SourceInfo("demonstration (made-up numbers)", 1280, 720, fps=25.0),
    preset="demonstration",
    gate="norm",
    threshold=0.03,
    block=1,
    backend="cpu",
    weights_sha256="",
    version=__version__,
)


def demonstration(frames: int = 300) -> tuple[SummaryBuilder, Comparison, list[ThresholdRow]]:
    """Made-up results of a street scene in which somebody passes twice."""
    rng = np.random.default_rng(0)
    builder = SummaryBuilder(_HEADER)
    picture = np.zeros((2, 2, 3), np.uint8)
    for index in range(frames):
        keyframe = index in (0, 190)
        phase = index / frames
        motion = 0.04 + 0.28 * np.exp(-(((phase - 0.3) / 0.09) ** 2)) + 0.4 * np.exp(-(((phase - 0.75) / 0.06) ** 2))
        cost = _frame_cost(1.0 if keyframe else float(np.clip(motion + rng.normal(0, 0.012), 0.01, 1.0)))
        spent = cost.macs / cost.dense_macs
        ms = {"decode": 2.1, "preprocess": 1.2, "model": 4.0 + 41.0 * spent, "postprocess": 1.8}
        noisy = {stage: value * float(rng.uniform(0.95, 1.1)) for stage, value in ms.items()}
        result = FrameResult(Frame(picture, index, index / 25.0, "demonstration"), Detections.empty(), keyframe, noisy, cost)
        builder.add(result, {"draw": 4.6, "write": 6.0})
    rows = [
        ThresholdRow(0.0, 0.211, 0.183, 39.7, 41.2, 1.0),
        ThresholdRow(0.02, 0.624, 0.66, 21.9, 41.2, 0.974),
        ThresholdRow(0.05, 0.792, 0.83, 13.6, 41.2, 0.941),
    ]
    return builder, Comparison(41.2, Agreement(1290, 31, 44, 12.4), 0.998), rows


def _frame_cost(active: float) -> FrameCost:
    layers: list[LayerCost] = []
    for depth, (stage, blocks, channels_in, channels_out, height, width) in enumerate(_STAGES):
        # a change of the input spreads with the size of the receptive field
        share = min(1.0, active * (1.0 + 0.18 * depth))
        for block in range(blocks):
            pixels = height * width
            computed = round(share * pixels)
            for kind, weights in (("depthwise", 9 * channels_in), ("conv", channels_in * channels_out * (9 if stage == "stem" else 1))):
                name = f"{stage}.{block}.{'conv_dw' if kind == 'depthwise' else 'conv_pw'}"
                gate_ops = 2 * pixels * channels_in if kind == "conv" else 0
                layers.append(LayerCost(name, stage, kind, pixels * weights, computed * weights, pixels, computed, 0, gate_ops))
    return FrameCost.of(layers, other_gate_ops=2 * 3 * 640 * 384)
