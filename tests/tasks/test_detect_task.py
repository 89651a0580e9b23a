"""Reading a detector's maps: which levels are read again, and which outputs are no object."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skipvid.models.detections import DetectionHead, RawDetections
from skipvid.presets.preset import load_preset
from skipvid.tasks.detect import DetectTask

FRAME = (100, 160)


class Head(DetectionHead[float]):
    """Two levels of two maps each, class scores and boxes; each map holds one number."""

    levels = ((0, 2), (1, 3))
    iou_threshold = 0.5

    def __init__(self, size: tuple[int, int]) -> None:
        self.image_size = size
        self.read: list[int] = []

    def find(self, level: int, maps: Sequence[Tensor], score_threshold: float) -> float:
        self.read.append(level)
        return sum(float(value) for value in maps)

    def join(self, found: Sequence[float]) -> RawDetections:
        self.found = list(found)
        boxes = np.array([[10, 10, 20, 20], [40, 10, 60, 20], [70, 10, 80, 20], [10, 9000, 20, 9010]], np.float32)
        return RawDetections(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 11, 89, 0]))  # 12 is no category of COCO's


@pytest.fixture
def heads() -> list[Head]:
    return []


@pytest.fixture
def task(heads: list[Head]) -> DetectTask:
    def make(size: tuple[int, int]) -> Head:
        heads.append(Head(size))
        return heads[-1]

    spec: Any = SimpleNamespace(head=make, fill=None)
    return DetectTask(load_preset("tf_efficientdet_d0"), spec, 0.3)


def maps(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([value]) for value in values)


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ((False, False, False, False), []),
        ((True, False, False, False), [0]),
        ((False, False, True, False), [0]),
        ((False, False, False, True), [1]),
        ((False, True, True, False), [0, 1]),
        (None, [0, 1]),
    ],
)
def test_a_level_is_read_again_where_any_of_its_maps_changed(
    task: DetectTask, heads: list[Head], changed: tuple[bool, ...] | None, read: list[int]
) -> None:
    task.decode(maps(1, 2, 30, 40), FRAME, (False,) * 4)
    (head,) = heads
    assert head.read == [0, 1] and head.found == [31, 42]  # the first time all levels are
    head.read.clear()
    task.decode(maps(5, 6, 70, 80), FRAME, changed)
    assert head.read == read and head.found == [75 if 0 in read else 31, 86 if 1 in read else 42]


def test_another_size_of_frames_is_read_anew(task: DetectTask, heads: list[Head]) -> None:
    task.decode(maps(1, 2, 3, 4), FRAME)
    task.decode(maps(1, 2, 3, 4), (160, 100), (False,) * 4)
    assert [head.read for head in heads] == [[0, 1], [0, 1]]


def test_outputs_without_a_category_and_boxes_in_the_filling_are_no_objects(task: DetectTask) -> None:
    found = task.decode(maps(1, 2, 3, 4), FRAME)
    assert found.category_ids.tolist() == [1, 90] and found.labels == ("person", "toothbrush")
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
