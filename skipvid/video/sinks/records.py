"""The results as plain JSON values: the one definition of field names, units and rounding for JSONL, JSON and `--json`.

Pixels are rounded to 0.01, scores and ratios to 0.0001, times to 1 µs, milliseconds to 0.01. A number that is not finite becomes null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skipvid.core.class_maps import ClassMap
from skipvid.core.costs import FrameCost
from skipvid.core.results import SCHEMA_VERSION, Detections, FrameResult, RunHeader, RunSummary
from skipvid.video.sinks.rle import run_lengths

Record = dict[str, Any]

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def schema() -> Record:
    """The JSON Schema of the records (schema.json beside this file); its version is that of the header's field "schema"."""
    document: Record = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return document


def number(value: float, digits: int) -> float | None:
    """value rounded, or None where it is infinite or not a number. Negative zero becomes zero."""
    value = float(value)
    return round(value, digits) + 0.0 if math.isfinite(value) else None


def dumps(record: Record) -> str:
    """One line of strict JSON."""
    return _ENCODER.encode(record)


def header_record(header: RunHeader) -> Record:
    """`keypoints` (the joints' names) only where the task finds them."""
    source = header.source
    record: Record = {
        "type": "header",
        "schema": SCHEMA_VERSION,
        "version": header.version,
        "command": header.command,
        "source": source.name,
        "video": {
            "width": source.width,
            "height": source.height,
            "fps": number(source.fps, 4) or None,
            "frames": source.frames,
            "duration": None if source.duration is None else number(source.duration, 6),
            "rotation": source.rotation,
            "codec": source.codec,
            "audio": source.has_audio,
        },
        "preset": header.preset,
        "weights_sha256": header.weights_sha256,
        "gate": header.gate,
        "threshold": number(header.threshold, 6),
        "block": header.block,
        "backend": header.backend,
        "precision": header.precision,
        "categories": {str(key): name for key, name in header.categories.items()},
    }
    if header.keypoints:
        record["keypoints"] = list(header.keypoints)
    return record


def frame_record(result: FrameResult) -> Record:
    """`file` only where the frame is an image of its own: the file's name, relative to the source where that is a folder."""
    frame = result.frame
    return {
        "type": "frame",
        "source": frame.source,
        **({"file": frame.file} if frame.file else {}),
        "frame": frame.index,
        "time": number(frame.time, 6),
        "width": frame.width,
        "height": frame.height,
        "keyframe": result.keyframe,
        "detections": detection_records(result.detections),
        **({} if result.class_map is None else {"segments": segment_records(result.class_map)}),
        "cost": cost_record(result.cost),
        "ms": _milliseconds(result.ms),
    }


def detection_records(found: Detections) -> list[Record]:
    """One record per object; `keypoints` only where the task finds them, in the order of the header's names."""
    records: list[Record] = []
    # As lists at once: NumPy hands numbers over one by one at several times the cost.
    rows = zip(found.labels, found.category_ids.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    for i, (label, category, score, box) in enumerate(rows):
        record: Record = {
            "label": label,
            "category_id": category,
            "score": number(score, 4),
            "box": _numbers(box, 2),
            "id": None if found.ids is None else int(found.ids[i]),
        }
        if found.keypoints is not None:
            record["keypoints"] = [[number(x, 2), number(y, 2), number(score, 4)] for x, y, score in found.keypoints[i].tolist()]
        records.append(record)
    return records


def segment_records(found: ClassMap) -> list[Record]:
    """One record for each class that is in the frame and stands for something; together they cover no pixel twice."""
    return [
        {
            "label": found.names[number],
            "category_id": number,
            "area": mask["area"],
            "segmentation": {"size": mask["size"], "counts": mask["counts"]},
        }
        for number, mask in run_lengths(found.pixels, found.shown).items()
        if mask["area"]
    ]


def cost_record(cost: FrameCost | None) -> Record | None:
    """The sums of a frame's or a run's cost; None where the network ran without gates."""
    if cost is None:
        return None
    return {
        "macs": cost.macs,
        "dense_macs": cost.dense_macs,
        "gate_ops": cost.gate_ops,
        "saving": number(cost.saving, 4),
        "skip_ratio": number(cost.skip_ratio, 4),
    }


def summary_record(summary: RunSummary) -> Record:
    return {
        "type": "summary",
        "source": summary.header.source.name,
        "frames": summary.frames,
        "keyframes": summary.keyframes,
        "detections": summary.detections,
        "dropped": summary.dropped,
        "wall_seconds": number(summary.wall_seconds, 3),
        "fps": number(summary.fps, 2),
        "median_ms": _milliseconds(summary.median_ms),
        "cost": cost_record(summary.cost),
        "interrupted": summary.interrupted,
        "problems": list(summary.problems),
        "notes": list(summary.notes),
    }


def _numbers(values: Iterable[float], digits: int) -> list[float | None]:
    return [number(v, digits) for v in values]


def _milliseconds(times: Mapping[str, float]) -> dict[str, float | None]:
    return {phase: number(ms, 2) for phase, ms in times.items()}
