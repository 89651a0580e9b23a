"""Labelled pictures and clips on disk -> samples and truths: COCO JSON, YOLO text, MOT text, plain video."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.train.evaluate import Truth
from skipvid.train.samples import CATEGORIES, CATEGORY_IDS, Sample, Targets

LEAST_VISIBLE = 0.25
"""Fraction of an object that must be seen for it to be a label, where a file tells."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, BGR. Raises SourceError."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path}: not a readable picture", "check the path and the file")
    return np.asarray(image, np.uint8)


def read_frames(path: Path, stride: int = 1, *, start: int = 0) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Every `stride`-th frame of a video file or of a folder of pictures: (0-based index, (H, W, 3) uint8 BGR). Raises SourceError."""
    if path.is_dir():
        for index, file in enumerate(sorted(path.iterdir())):
            if index >= start and (index - start) % stride == 0:
                yield index, read_image(file)
        return
    capture = cv2.VideoCapture(str(path))
    try:
        index = -1
        while capture.grab():
            index += 1
            if index < start or (index - start) % stride:
                continue
            ok, image = capture.retrieve()
            if ok:
                yield index, np.asarray(image, np.uint8)
        if index < 0:
            raise SourceError(f"{path}: no frame can be decoded", "check that it is a video")
    finally:
        capture.release()


def _known(categories: Sequence[int]) -> NDArray[np.bool_]:
    return np.array([category in categories for category in CATEGORY_IDS], np.bool_)


def read_coco(annotations: Path, folder: Path, source: str, known: Sequence[int] | None = None) -> Iterator[Sample]:
    """A COCO detection file. Its categories are matched to ours by name; crowd boxes become ignored ones.

    folder: of the pictures; or a video, whose 0-based frame numbers are then the ids of the images (the renderer of samples writes such
    files, with a "visibility": objects that are seen to less than a quarter become ignored ones).
    known: COCO's numbers of the classes that are labelled throughout; default: those that the file lists. Raises SourceError.
    """
    try:
        data: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8-sig"))
        names = {entry["id"]: str(entry["name"]).lower() for entry in data["categories"]}
        images = data["images"]
        by_image: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{annotations}: not a COCO detection file: {error}", "it needs images, annotations and categories") from error
    ours = {name: CATEGORY_IDS.index(number) for number, name in CATEGORIES.items()}
    listed = [CATEGORY_IDS[ours[name]] for name in names.values() if name in ours]
    mask = _known(listed if known is None else known)
    for entry, image in pictures(folder, images):
        boxes, classes, ignore = [], [], []
        for annotation in by_image[entry["id"]]:
            name = names.get(annotation["category_id"], "")
            if name not in ours:
                continue
            x, y, w, h = annotation["bbox"]
            if w < 1 or h < 1:
                continue
            boxes.append((x, y, x + w, y + h))
            classes.append(ours[name])
            ignore.append(bool(annotation.get("iscrowd", 0)) or annotation.get("visibility", 1.0) < LEAST_VISIBLE)
        yield Sample(image, Targets.of(boxes, classes, ignore), source, mask)


def pictures(folder: Path, images: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8]]]:
    """The entries of a COCO file with their pictures, from a folder or from a video."""
    if folder.is_dir():
        for entry in images:
            yield entry, read_image(folder / entry["file_name"])
        return
    by_frame = {entry["id"]: entry for entry in images}
    for index, image in read_frames(folder):
        if index in by_frame:
            yield by_frame[index], image


def read_yolo(folder: Path, class_ids: Mapping[int, int], source: str) -> Iterator[Sample]:
    """Pictures with a YOLO text file of the same stem beside them or in ../labels (class, centre x, y, width, height as fractions).

    class_ids: class number in the files -> COCO's number; other classes are dropped.
    """
    mask = _known(list(class_ids.values()))
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        labels = path.with_suffix(".txt")
        if not labels.is_file():
            labels = path.parent.parent / "labels" / labels.name
        image = read_image(path)
        height, width = image.shape[:2]
        boxes, classes = [], []
        for line in labels.read_text(encoding="utf-8-sig").splitlines() if labels.is_file() else ():
            number, x, y, w, h = (float(word) for word in line.split()[:5])
            if int(number) in class_ids:
                boxes.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
                classes.append(CATEGORY_IDS.index(class_ids[int(number)]))
        yield Sample(image, Targets.of(boxes, classes), source, mask)


def read_mot(path: Path, *, minimum_fill: float = 0.0) -> dict[int, Truth]:
    """A MOT ground-truth file: frame number (as in the file, mostly 1-based) -> boxes.

    minimum_fill: rows whose 8th column (here: how much of the box the object fills) is less become ignored boxes. Raises SourceError.
    """
    rows: defaultdict[int, list[tuple[float, float, float, float, bool]]] = defaultdict(list)
    try:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            words = line.split(",")
            x, y, w, h = (float(word) for word in words[2:6])
            unsure = minimum_fill > 0 and float(words[7]) < minimum_fill
            rows[int(float(words[0]))].append((x, y, x + w, y + h, unsure))
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise SourceError(f"{path}: not a MOT ground-truth file: {error}", "its lines are frame, id, x, y, w, h, ...") from error
    truths = {}
    for frame, entries in rows.items():
        array = np.asarray([entry[:4] for entry in entries], np.float32)
        truths[frame] = Truth(array, np.asarray([entry[4] for entry in entries], np.bool_))
    return truths


NO_TRUTH = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.bool_))
"""The truth of a frame in which nothing is to be found."""
