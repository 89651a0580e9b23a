"""COCO JSON: boxes and keypoints of pictures in a folder, or of the frames of a video."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from skipvid.core.errors import SourceError
from skipvid.core.labels import COCO_LABELS
from skipvid.evaluate.truth import FrameTruth, LabelledClip

FRAME_NAME = re.compile(r"#(\d+)$")
"""How a frame of a video is named in `file_name`: clip.mp4#17, 0-based."""


def read_coco(annotations: Path, source: str) -> LabelledClip:
    """A COCO detection or keypoint file for the clip or the folder of pictures `source`.

    Categories are matched to COCO's numbers by name, case ignored; those that COCO does not have keep their own number. A frame of a
    video is found by the image's "frame", by the number behind # in its "file_name", or else by its "id" (0-based); a picture by its
    "file_name". Boxes with `iscrowd`, and those whose "visibility" is below a quarter, are regions that do not count.
    Raises SourceError for a file that is none.
    """
    try:
        data: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8"))
        categories = {int(entry["id"]): entry for entry in data["categories"]}
        by_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        numbers = {number: _coco_number(number, str(entry["name"])) for number, entry in categories.items()}
        joints = next((tuple(entry["keypoints"]) for entry in categories.values() if entry.get("keypoints")), ())
        truths = [(image, _frame(by_image[image["id"]], numbers, len(joints))) for image in data["images"]]
        if Path(source).is_dir():
            named = {str(image["file_name"]): truth for image, truth in truths}
            return LabelledClip(Path(source).name, source, by_file=named, keypoint_names=joints)
        numbered = {_frame_number(image): truth for image, truth in truths}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SourceError(f"{annotations}: not a COCO file ({reason})", "it needs images, annotations and categories") from error
    return LabelledClip(Path(source).stem, source, numbered, keypoint_names=joints)


LEAST_VISIBLE = 0.25
"""Share of an object that must be seen for it to count as missed, where a file tells."""


def _frame(annotations: list[dict[str, Any]], numbers: dict[int, int], joints: int) -> FrameTruth:
    kept = [annotation for annotation in annotations if annotation["bbox"][2] > 0 and annotation["bbox"][3] > 0]
    boxes = np.array([annotation["bbox"] for annotation in kept], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    crowd = [bool(annotation.get("iscrowd", 0)) or annotation.get("visibility", 1.0) < LEAST_VISIBLE for annotation in kept]
    keypoints = None
    if joints:
        points = [annotation.get("keypoints") or [0] * 3 * joints for annotation in kept]
        keypoints = np.array(points, np.float32).reshape(len(kept), joints, 3)
    areas = np.array([annotation.get("area") or annotation["bbox"][2] * annotation["bbox"][3] for annotation in kept], np.float32)
    ids = np.array([numbers[annotation["category_id"]] for annotation in kept], np.int64)
    return FrameTruth(boxes, ids, np.array(crowd, np.bool_), keypoints, areas)


def _coco_number(number: int, name: str) -> int:
    known = {label.lower(): own for own, label in COCO_LABELS.categories.items()}
    return known.get(name.lower(), number)


def _frame_number(image: dict[str, Any]) -> int:
    if "frame" in image:
        return int(image["frame"])
    match = FRAME_NAME.search(str(image.get("file_name", "")))
    return int(match[1]) if match else int(image["id"])
