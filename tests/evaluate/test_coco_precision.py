"""Average precision as COCO's own code computes it, on random detections; PCK on cases that can be counted by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.results import Detections
from skipvid.evaluate.matching import LEVELS, match_boxes, match_keypoints
from skipvid.evaluate.precision import average_precision, pck_hits
from skipvid.evaluate.truth import FrameTruth

JOINTS = len(COCO_KEYPOINTS)


def random_frame(generator: np.random.Generator, keypoints: bool) -> tuple[Detections, FrameTruth]:
    """Truth, and detections that are about right, doubled, of another category, or nowhere; equal scores among them."""
    count = int(generator.integers(0, 6))
    corners = generator.uniform(0, 200, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(10, 90, (count, 2))], axis=1).astype(np.float32)
    categories = generator.integers(1, 2 if keypoints else 3, count)
    crowd = generator.random(count) < 0.2
    points = None
    if keypoints:
        points = np.concatenate(
            [generator.uniform(0, 1, (count, JOINTS, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2]) + boxes[:, None, :2],
             generator.integers(0, 3, (count, JOINTS, 1))], axis=2,
        ).astype(np.float32)  # fmt: skip
        points[generator.random(count) < 0.2, :, 2] = 0
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * np.float32(0.6)
    truth = FrameTruth(boxes, categories, crowd, points, areas)
    rows = generator.integers(0, max(count, 1), int(generator.integers(0, 9))) if count else np.zeros(0, np.int64)
    found = boxes[rows] + generator.normal(0, 6, (len(rows), 4)).astype(np.float32)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    scores = (generator.integers(1, 8, len(rows)) / 8).astype(np.float32)
    own = np.where(generator.random(len(rows)) < 0.1, 2 if not keypoints else 1, categories[rows] if count else 1)
    poses = None
    if keypoints:
        assert points is not None
        poses = points[rows].copy()
        poses[..., :2] += generator.normal(0, 4, poses[..., :2].shape)
    return Detections(found, scores, own.astype(np.int64), ("x",) * len(rows), keypoints=poses), truth


def by_pycocotools(frames: list[tuple[Detections, FrameTruth]], kind: str) -> Any:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    images, annotations, results = [], [], []
    for number, (found, truth) in enumerate(frames, 1):
        images.append({"id": number, "width": 400, "height": 400})
        for row, box in enumerate(truth.boxes.astype(float)):
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": int(truth.category_ids[row])}
            entry |= {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "iscrowd": int(truth.crowd[row])}
            entry["area"] = float(truth.object_areas[row])
            if truth.keypoints is not None:
                entry |= {"keypoints": truth.keypoints[row].astype(float).ravel().tolist()}
                entry["num_keypoints"] = int((truth.keypoints[row, :, 2] > 0).sum())
            annotations.append(entry)
        for row, box in enumerate(found.boxes.astype(float)):
            entry = {"image_id": number, "category_id": int(found.category_ids[row]), "score": float(found.scores[row])}
            entry["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            if found.keypoints is not None:
                entry["keypoints"] = found.keypoints[row].astype(float).ravel().tolist()
            results.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        truth_side = coco.COCO()
        truth_side.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
        truth_side.createIndex()
        evaluation = cocoeval.COCOeval(truth_side, truth_side.loadRes(results), kind)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, 0]  # levels x recalls x categories


@pytest.mark.parametrize("seed", range(6))
def test_boxes_have_the_average_precision_of_cocos_own_code(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames = [random_frame(generator, keypoints=False) for _ in range(40)]
    expected = by_pycocotools(frames, "bbox")
    for place, category in enumerate((1, 2)):
        ours = average_precision([match_boxes(found, truth, category) for found, truth in frames])
        assert ours == pytest.approx(expected[..., place].mean(axis=1), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_keypoints_have_the_average_precision_of_cocos_own_code(seed: int) -> None:
    generator = np.random.default_rng(100 + seed)
    frames = [random_frame(generator, keypoints=True) for _ in range(40)]
    expected = by_pycocotools(frames, "keypoints")
    columns = (list(range(JOINTS)), list(range(JOINTS)))
    ours = average_precision([match_keypoints(found, truth, columns) for found, truth in frames if found.keypoints is not None])
    assert ours == pytest.approx(expected[..., 0].mean(axis=1), abs=1e-9)


def test_a_detection_in_a_region_of_every_category_is_neither_right_nor_wrong() -> None:
    truth = FrameTruth.of([(0, 0, 10, 10, 3, False), (100, 0, 200, 100, 0, True)])
    found = Detections(
        np.array([[0, 0, 10, 10], [110, 10, 150, 50], [300, 0, 310, 10]], np.float32),
        np.array([0.5, 0.9, 0.4], np.float32),
        np.array([3, 3, 3]),
        ("car",) * 3,
    )
    matches = match_boxes(found, truth, 3)
    assert matches.total == 1 and matches.dropped[:, 0].all() and matches.hits[:, 1].all() and not matches.dropped[:, 2].any()
    assert average_precision([matches]) == pytest.approx(np.ones(len(LEVELS)))


def test_without_a_true_object_there_is_no_precision() -> None:
    assert np.isnan(average_precision([match_boxes(Detections.empty(), FrameTruth.of([]), 1)])).all()


def pose(points: list[tuple[float, float]], box: list[float]) -> Detections:
    keypoints = np.zeros((1, len(points), 3), np.float32)
    keypoints[0, :, :2] = points
    return Detections(np.array([box], np.float32), np.ones(1, np.float32), np.ones(1, np.int64), ("person",), keypoints=keypoints)


def test_pck_counts_joints_within_a_fifth_of_the_longer_side_of_the_labelled_joints() -> None:
    true = np.array([[[0, 0, 2], [50, 100, 2], [20, 40, 2], [10, 10, 0]]], np.float32)
    truth = FrameTruth(np.array([[0, 0, 50, 100]], np.float32), np.ones(1, np.int64), np.zeros(1, np.bool_), true)
    columns = ([0, 1, 2, 3], [0, 1, 2, 3])
    found = pose([(0, 20), (50, 79.9), (20, 40), (500, 500)], [0, 0, 50, 100])
    hits = pck_hits(found, truth, columns)
    assert hits[0, :3].tolist() == [1, 0, 1] and np.isnan(hits[0, 3])
    assert pck_hits(pose([(0, 0)] * 4, [300, 300, 350, 400]), truth, columns)[0, :3].tolist() == [0, 0, 0], "another person's box"
    assert pck_hits(Detections.empty(), truth, columns)[0, :3].tolist() == [0, 0, 0]
