"""COCO JSON: boxes and keypoints of pictures in a folder, or of the frames of a video."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skipvid.core.errors import SourceError
from skipvid.core.labels import COCO_LABELS
from skipvid.evaluate.truth import FrameTruth, LabelledClip

FRAME_NAME = re.compile(r"#(\d+)$")
"""How a frame of a video is named in `file_name`: clip.mp4#17, 0-based."""


ALIASES = {
    **dict.fromkeys(("pedestrian", "people", "human"), "person"),
    **{"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant"},
    **{"diningtable": "dining table", "tvmonitor": "tv"},
}
"""What other datasets call COCO's classes."""

UNKNOWN = 1_000_000
"""Added to the file's own number of a class that is not among the known ones, so that it is taken for none of them."""


def read_coco(annotations: Path, source: str, known: Mapping[int, str] = COCO_LABELS.categories) -> LabelledClip:
    """A COCO detection or keypoint file for the clip or the folder of pictures `source`.

    known: names of the classes that a network finds, by its number; default COCO's. Categories get these numbers by name, case ignored;
    others none of them (see UNKNOWN). A frame of a video is found by the image's "frame", by the number behind # in its "file_name", or
    else by its "id" (0-based); a picture by its "file_name". Boxes with `iscrowd`, and those whose "visibility" is below a quarter, are
    regions that do not count.
    Raises SourceError for a file that is none.
    """
    try:
        data: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8-sig"))
        categories = {int(entry["id"]): entry for entry in data["categories"]}
        own = {name.lower(): number for number, name in known.items()}
        by_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        numbers = {number: _number(number, str(entry["name"]), own) for number, entry in categories.items()}
        joints = next((tuple(entry["keypoints"]) for entry in categories.values() if entry.get("keypoints")), ())
        truths = [(image, replace(_frame(by_image[image["id"]], numbers, len(joints)), size=_size(image))) for image in data["images"]]
        if Path(source).is_dir():
            named = {str(image["file_name"]).replace("\\", "/"): truth for image, truth in truths}
            return LabelledClip(Path(source).name, source, by_file=named, keypoint_names=joints)
        numbered = {_frame_number(image): truth for image, truth in truths}
    except OSError as error:
        raise SourceError(f"{annotations}: cannot be read: {error.strerror}") from error
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{annotations}: not a COCO file ({_reason(error)})", "it needs images, annotations and categories") from error
    return LabelledClip(Path(source).stem, source, numbered, keypoint_names=joints)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) in pixels, where the file tells; some tools write 0 for a size that they do not know."""
    width, height = int(image.get("width") or 0), int(image.get("height") or 0)
    return (width, height) if width > 0 and height > 0 else None


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, json.JSONDecodeError):
        return "it is empty" if not error.doc.strip() else f"no JSON: {error}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return f"{type(error).__name__}: {error}"


LEAST_VISIBLE = 0.25
"""Share of an object that must be seen for it to count as missed, where a file tells."""


def _frame(annotations: list[dict[str, Any]], numbers: dict[int, int], joints: int) -> FrameTruth:
    for annotation in annotations:
        box = annotation["bbox"]
        if len(box) != 4 or not all(math.isfinite(value) for value in box):
            raise ValueError(f"annotation {annotation.get('id')} has the bbox {box}")
    kept = [annotation for annotation in annotations if annotation["bbox"][2] > 0 and annotation["bbox"][3] > 0]
    boxes = np.array([annotation["bbox"] for annotation in kept], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    crowd = [bool(annotation.get("iscrowd")) or _visibility(annotation) < LEAST_VISIBLE for annotation in kept]
    keypoints = None
    if joints:
        points = [annotation.get("keypoints") or [0] * 3 * joints for annotation in kept]
        keypoints = np.array(points, np.float32).reshape(len(kept), joints, 3)
    areas = np.array([annotation.get("area") or annotation["bbox"][2] * annotation["bbox"][3] for annotation in kept], np.float32)
    ids = np.array([numbers[annotation["category_id"]] for annotation in kept], np.int64)
    return FrameTruth(boxes, ids, np.array(crowd, np.bool_), keypoints, areas)


def _visibility(annotation: dict[str, Any]) -> float:
    seen = annotation.get("visibility")
    return 1.0 if seen is None else float(seen)


def _number(number: int, name: str, known: Mapping[str, int]) -> int:
    name = name.lower()
    return known.get(name, known.get(ALIASES.get(name, ""), UNKNOWN + number))


def _frame_number(image: dict[str, Any]) -> int:
    if "frame" in image:
        return int(image["frame"])
    match = FRAME_NAME.search(str(image.get("file_name", "")))
    return int(match[1]) if match else int(image["id"])
