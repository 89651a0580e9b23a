"""Heads by name, and the one that a network file has. A new kind is a file of its own, and a line here."""

from __future__ import annotations

import difflib

from skipvid.core.errors import PresetError, UsageError
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.network_outputs import NetworkFacts
from skipvid.models.heads import detr, efficientdet, nanodet, poses, segmentation, ssd, yolo_pose, yolov5, yolov8, yolox
from skipvid.models.heads.base import Fit, HeadKind

HEADS: dict[str, HeadKind] = {
    kind.name: kind
    for kind in (
        yolox.YOLOX,
        yolox.DECODED,
        *nanodet.KINDS,
        yolov8.KIND,
        *yolov5.KINDS,
        *detr.KINDS,
        *efficientdet.KINDS,
        *poses.KINDS,
        *yolo_pose.KINDS,
        ssd.KIND,
        *segmentation.KINDS,
    )
}
COUNTED = {"detect": "classes", "pose": "joints", "segment": "classes"}
"""What a network of each task tells apart."""


def find_head(name: str) -> HeadKind:
    """The kind of that name. Raises PresetError, which tells the known ones."""
    if name not in HEADS:
        close = difflib.get_close_matches(name, HEADS, n=1)
        raise PresetError(f"unknown head '{name}'", f"did you mean {close[0]}?" if close else f"known: {', '.join(HEADS)}")
    return HEADS[name]


def recognise(facts: NetworkFacts, file: str, task: str | None, name: str | None = None) -> tuple[HeadKind, Fit]:
    """The head of a network file, by its outputs. task: the only one that will do. name: the one that is said. file: for messages.

    Raises UsageError where none fits, or several do, or the one that is said does not; PresetError for a name that is unknown.
    """
    shapes = ", ".join(f"{output.name} {'x'.join(map(str, output.shape))}" for output in facts.outputs)
    counted = f" with {facts.classes} labels" if facts.classes is not None else ""
    if name is not None:
        kind = find_head(name)
        fit = kind.fit(facts)
        if task not in (None, kind.task):
            raise UsageError(f"{file}: the head {name} is for the task '{kind.task}', not '{task}'", f"known: {_names(task)}")
        if fit is None:
            raise UsageError(f"{file}: the head {name} does not fit its outputs {shapes}{counted}", f"it reads {kind.returns}")
        return kind, fit
    fitting = [(kind, fit) for kind in HEADS.values() if task in (None, kind.task) and (fit := kind.fit(facts)) is not None]
    if all(output.values == "numbers" for output in facts.outputs):
        fitting = [(kind, fit) for kind, fit in fitting if kind.task == "segment"]  # no boxes and no heat maps are whole numbers
    joints = [(kind, fit) for kind, fit in fitting if kind.task == "pose" and fit.classes == len(COCO_KEYPOINTS)]
    if joints and facts.classes is None:
        # Heat maps of people's 17 joints have the shape of a class map, too.
        fitting = [(kind, fit) for kind, fit in fitting if kind.task != "segment"]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        wanted = f" for '{task}'" if task is not None else ""
        raise UsageError(
            f"{file}: no head{wanted} is known that reads its outputs {shapes}{counted}",
            f"known: {_names(task)}; export the network without decoding and NMS of its own",
        )
    candidates = " or ".join(f"{kind.name} ({fit.classes} {COUNTED[kind.task]})" for kind, fit in fitting)
    raise UsageError(f"{file}: its outputs {shapes} may be those of {candidates}", "say which: --head NAME, or how many: --labels FILE")


def _names(task: str | None) -> str:
    return ", ".join(kind.name for kind in HEADS.values() if task in (None, kind.task))
