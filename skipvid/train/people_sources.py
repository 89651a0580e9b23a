"""The persons of a mix: from COCO keypoint files, and from pictures whose boxes are known and whose joints a teacher finds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError, UsageError
from skipvid.train.mix import Mix, SourceEntry, gather, matching_paths
from skipvid.train.people import JOINTS, PRESENT, UNKNOWN, Person, cut_out, load_people, save_people
from skipvid.train.pose_teacher import PoseTeacher
from skipvid.train.readers import LEAST_VISIBLE, pictures
from skipvid.train.samples import Sample

FILLED = 0.53
"""What part of a standing person's box the person fills: the area of persons without a mask."""


def read_people(annotations: Path, folder: Path, source: str) -> Iterator[Person]:
    """The persons of a COCO keypoint file, each with its whole picture. Raises SourceError.

    folder: of the pictures; or a video, whose 0-based frame numbers are the ids of the images. A joint without a label is UNKNOWN. Crowds
    and persons of whom less than a quarter is seen are left out.
    """
    try:
        data: dict[str, Any] = json.loads(annotations.read_text(encoding="utf-8"))
        person = {entry["id"] for entry in data["categories"] if str(entry["name"]).lower() == "person"}
        by_image: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            if annotation["category_id"] in person:
                by_image[annotation["image_id"]].append(annotation)
        images = [entry for entry in data["images"] if entry["id"] in by_image]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{annotations}: not a COCO keypoint file: {error}", "it needs images, annotations and categories") from error
    for entry, image in pictures(folder, images):
        for annotation in by_image[entry["id"]]:
            x, y, w, h = (float(value) for value in annotation["bbox"])
            if annotation.get("iscrowd", 0) or annotation.get("visibility", 1.0) < LEAST_VISIBLE or min(w, h) < 2:
                continue
            points = np.asarray(annotation.get("keypoints") or [0] * 3 * JOINTS, np.float32).reshape(-1, 3)
            if len(points) != JOINTS:
                raise SourceError(f"{annotations}: a person has {len(points)} keypoints, not COCO's {JOINTS}", "use COCO's keypoints")
            states = np.where(points[:, 2] > 0, PRESENT, UNKNOWN).astype(np.int8)
            box = np.array([x, y, x + w, y + h], np.float32)
            yield Person(image, box, points[:, :2].copy(), states, float(annotation.get("area") or FILLED * w * h), source)


def people_of(sample: Sample, least_height: float) -> Iterator[Person]:
    """The persons of a detection sample, of whose joints nothing is known. Ignored and lower boxes are left out."""
    targets = sample.targets
    for box in targets.boxes[(targets.classes == 0) & ~targets.ignore]:
        w, h = (float(value) for value in box[2:] - box[:2])
        if h >= least_height:
            nothing: NDArray[np.int8] = np.full(JOINTS, UNKNOWN, np.int8)
            yield Person(sample.image, box, np.zeros((JOINTS, 2), np.float32), nothing, FILLED * w * h, sample.source)


def gather_people(
    mix: Mix, labels: Path, teacher: PoseTeacher | None, report: Callable[[str], None], *, least_height: float = 56.0
) -> list[Person]:
    """All persons of a mix, held-out sources too. Each source is read and labelled once and kept in `labels` as NAME.people.npz.

    Sources of kind coco bring keypoints; what is missing of them, and all of those of other kinds, the teacher finds, in persons of at
    least least_height pixels. Of held-out sources only what is labelled is kept: what is measured must not be an opinion.
    Raises UsageError where a source needs a teacher and there is none.
    """
    labels.mkdir(parents=True, exist_ok=True)
    people: list[Person] = []
    for source in mix.sources:
        pack = labels / f"{source.name}.people.npz"
        if not pack.exists():
            if teacher is None and source.kind != "coco":
                raise UsageError(f"source {source.name} has no keypoints and the mix no pose teacher", "name one under 'pose_teacher'")
            report(f"reading the persons of {source.name}")
            if source.name in mix.held_out:
                found = labelled_people(mix, source)
            else:
                found = _completed(_raw(mix, source, labels, report, least_height), teacher, least_height)
            save_people(pack, list(found))
        people += load_people(pack)
    return people


def labelled_people(mix: Mix, source: SourceEntry) -> Iterator[Person]:
    """The persons of a source of kind coco who have keypoints of their own, cut out."""
    if source.kind != "coco":
        raise UsageError(f"source {source.name} has no keypoints to measure on", "hold out a source of kind coco")
    return (cut_out(person) for person in _coco(mix, source) if (person.states == PRESENT).any())


def _coco(mix: Mix, source: SourceEntry) -> Iterator[Person]:
    first, behind = source.part
    files = zip(matching_paths(mix.root, source.path), matching_paths(mix.root, source.annotations), strict=True)
    shown, last = -1, None
    for folder, labels in files:
        for person in read_people(labels, folder, source.name):
            shown, last = shown + (person.image is not last), person.image
            if first <= shown < behind:
                yield person


def _raw(mix: Mix, source: SourceEntry, labels: Path, report: Callable[[str], None], least_height: float) -> Iterator[Person]:
    if source.kind == "coco":
        yield from _coco(mix, source)
        return
    for sample in gather(replace(mix, sources=(source,)), labels, report):
        yield from people_of(sample, least_height)


def _completed(people: Iterator[Person], teacher: PoseTeacher | None, least_height: float) -> Iterator[Person]:
    for person in people:
        labelled = bool((person.states == PRESENT).any())
        # A far-away person without labels is as hard for the teacher as for anybody.
        if not labelled and person.box[3] - person.box[1] < least_height:
            continue
        small = cut_out(person)
        if teacher is not None:
            done = teacher.complete(small)
            if done is not None:
                yield done
        elif labelled:
            yield small
