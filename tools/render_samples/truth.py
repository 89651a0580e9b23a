"""Exact ground truth of a rendered frame: boxes, identities, visibility and keypoints, and the COCO and MOT files made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .skeleton import KEYPOINTS

Array = NDArray[Any]

CATEGORIES = {1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 6: "bus", 8: "truck"}
_LIMBS = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
    [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


@dataclass(frozen=True)
class Annotation:
    """One object in one frame.

    track: stable number from 1. category: COCO's number. box: (4,) float32 xyxy, pixels, of the whole object as if nothing stood before it,
    clipped to the frame. visibility: fraction of the object that can be seen; what is hidden or outside the frame counts as not seen.
    keypoints: (17, 3) float32 x, y and COCO's flag (2 visible, 1 hidden, 0 outside the frame, then x = y = 0), or None.
    """

    track: int
    category: int
    box: Array
    visibility: float
    keypoints: Array | None = None


def coco(name: str, frames: Sequence[Sequence[Annotation]], width: int, height: int, fps: float, least: float = 0.1) -> dict[str, Any]:
    """A COCO document of a clip; image ids are 0-based frame numbers. Objects seen less than `least` are left out."""
    annotations: list[dict[str, Any]] = []
    for frame, objects in enumerate(frames):
        for item in objects:
            if item.visibility < least:
                continue
            x1, y1, x2, y2 = (round(float(v), 2) for v in item.box)
            record: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": frame,
                "category_id": item.category,
                "track_id": item.track,
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "visibility": round(item.visibility, 3),
            }
            if item.keypoints is not None:
                record["keypoints"] = [round(float(v), 1) if k % 3 < 2 else int(v) for k, v in enumerate(item.keypoints.ravel())]
                record["num_keypoints"] = int((item.keypoints[:, 2] > 0).sum())
            annotations.append(record)
    categories: list[dict[str, Any]] = [{"id": number, "name": label, "supercategory": ""} for number, label in CATEGORIES.items()]
    categories[0].update(keypoints=list(KEYPOINTS), skeleton=_LIMBS)
    images = [
        {"id": k, "file_name": f"{name}#{k}", "frame": k, "time": round(k / fps, 4), "width": width, "height": height}
        for k in range(len(frames))
    ]
    return {
        "info": {"description": f"{name}: rendered by skipvid's tools/render_samples with exact ground truth", "fps": fps},
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }


def mot(frames: Sequence[Sequence[Annotation]], least: float = 0.1) -> str:
    """MOT ground-truth lines: frame (from 1), id, left, top, width, height, 1, COCO category, visibility."""
    lines = []
    for frame, objects in enumerate(frames, start=1):
        for item in objects:
            if item.visibility >= least:
                x1, y1, x2, y2 = item.box
                lines.append(f"{frame},{item.track},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,{item.category},{item.visibility:.3f}")
    return "\n".join(lines) + "\n"


def write_truth(stem: Path, name: str, frames: Sequence[Sequence[Annotation]], width: int, height: int, fps: float) -> None:
    """Write STEM.coco.json and STEM.mot.txt."""
    document = coco(name, frames, width, height, fps)
    stem.with_name(stem.name + ".coco.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    stem.with_name(stem.name + ".mot.txt").write_text(mot(frames))
