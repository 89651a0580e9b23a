"""The report as plain data, for --json and the summary record of JSONL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skipvid.core.results import SCHEMA_VERSION, AreaCost, RunSummary
from skipvid.report.limits import fps_without_gates, limit
from skipvid.report.summary import Comparison, ThresholdRow, cost_fields, stage_costs, total_cost


def summary_document(
    summary: RunSummary,
    comparison: Comparison | None = None,
    thresholds: Sequence[ThresholdRow] = (),
    *,
    layers: bool = True,
) -> dict[str, Any]:
    """What json.dumps takes, without NaN or infinity: numbers that are not finite become null.

    Costs are sums over all frames, keyframes included; "macs" includes "gate_macs". layers: also list every layer.
    "cost" is null without gates, "areas" where no frame was run with and without areas, "dense" without a comparison; "thresholds"
    is there for a sweep only.
    """
    header, source = summary.header, summary.header.source
    document: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "version": header.version,
        "command": header.command,
        "source": {
            "name": source.name,
            "path": None if source.path is None else str(source.path),
            "width": source.width,
            "height": source.height,
            "fps": _finite(source.fps),
            "rotation": source.rotation,
            "live": source.live,
        },
        "preset": header.preset,
        "gate": header.gate,
        "threshold": _finite(header.threshold),
        "block": header.block,
        "backend": header.backend,
        "precision": header.precision,
        "weights_sha256": header.weights_sha256,
        "frames": summary.frames,
        "keyframes": summary.keyframes,
        "detections": summary.detections,
        "dropped": summary.dropped,
        "interrupted": summary.interrupted,
        "problems": list(summary.problems),
        "notes": list(summary.notes),
        "wall_seconds": _finite(summary.wall_seconds),
        "fps": _finite(summary.fps),
        "median_ms": {phase: _finite(ms) for phase, ms in summary.median_ms.items()},
        "limited_by": limit(summary),
        "busy": {stage: _finite(share) for stage, share in summary.busy.items()},
        "cpu_seconds": _finite(summary.cpu_seconds),
        "fps_without_gates": fps_without_gates(summary, comparison),
        "cost": None,
        "areas": None if summary.areas is None else _areas(summary.areas),
        "counts": {name: {kind: dict(labels) for kind, labels in kinds.items()} for name, kinds in summary.counts.items()},
        "dense": None if comparison is None else _comparison(summary, comparison),
    }
    if summary.cost is not None:
        document["cost"] = cost_fields(total_cost(summary.cost))
        document["cost"]["stages"] = [{"name": stage.name, **cost_fields(stage)} for stage in stage_costs(summary.cost)]
        if layers:
            document["cost"]["layers"] = [
                {"name": layer.name, "stage": layer.stage, "kind": layer.kind, **cost_fields(layer)} for layer in summary.cost.layers
            ]
    if thresholds:
        document["thresholds"] = [_threshold(row) for row in thresholds]
    return document


def _areas(cost: AreaCost) -> dict[str, Any]:
    """frames: that were run with and without areas. macs_without, ms_without: without."""
    return {
        "frames": cost.frames,
        "macs": cost.macs,
        "macs_without": cost.whole_macs,
        "saving": _finite(cost.saving),
        "ms": _finite(cost.ms),
        "ms_without": _finite(cost.whole_ms),
    }


def _comparison(summary: RunSummary, comparison: Comparison) -> dict[str, Any]:
    model_ms, same, maps = summary.median_ms.get("model"), comparison.agreement, comparison.maps
    return {
        "ms": _finite(comparison.dense_ms),
        "speedup": None if not model_ms else _finite(comparison.dense_ms / model_ms),
        "bound_usage": None if comparison.bound_usage is None else _finite(comparison.bound_usage),
        "agreement": None
        if same is None
        else {
            "f1": _finite(same.f1),
            "precision": _finite(same.precision),
            "recall": _finite(same.recall),
            "tp": same.tp,
            "fp": same.fp,
            "fn": same.fn,
            "mean_score_gap": _finite(same.mean_score_gap),
        },
        **({} if maps is None else {"class_maps": {"mean_iou": _finite(maps.mean_iou), "pixels": _finite(maps.pixels)}}),
    }


def _threshold(row: ThresholdRow) -> dict[str, Any]:
    return {
        "threshold": _finite(row.threshold),
        "saving": _finite(row.saving),
        "skip_ratio": _finite(row.skip_ratio),
        "ms": _finite(row.ms),
        "dense_ms": _finite(row.dense_ms),
        "speedup": _finite(row.speedup),
        "f1": None if row.f1 is None else _finite(row.f1),
        **({} if row.mean_iou is None else {"mean_iou": _finite(row.mean_iou)}),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
