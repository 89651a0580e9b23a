from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_making import header, result, summary, two_objects

from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.results import Detections, FrameResult
from skipvid.video.sinks.coco import CocoSink


def document(path: Path, *results: FrameResult, keypoints: tuple[str, ...] = ()) -> dict[str, Any]:
    with CocoSink(path, header(keypoints=keypoints)) as sink:
        for each in results:
            sink.write(each)
        sink.finish(summary())
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_document_is_a_coco_data_set_with_scores(tmp_path: Path) -> None:
    coco = document(tmp_path / "a.coco.json", result(0, two_objects()), result(1), result(4, two_objects(ids=True)))
    assert set(coco) == {"info", "images", "annotations", "categories"}
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in coco["images"]] == [
        (1, "clip.mp4#0", 1280, 720),
        (2, "clip.mp4#1", 1280, 720),
        (5, "clip.mp4#4", 1280, 720),
    ]
    assert [a["id"] for a in coco["annotations"]] == [1, 2, 3, 4]
    assert {a["image_id"] for a in coco["annotations"]} <= {i["id"] for i in coco["images"]}
    assert {a["category_id"] for a in coco["annotations"]} <= {c["id"] for c in coco["categories"]}
    first = coco["annotations"][0]
    assert first["bbox"] == pytest.approx([10.12, 20.46, 100.38, 199.79])
    assert first["area"] == pytest.approx(100.38 * 199.79, rel=1e-3)
    assert (first["score"], first["iscrowd"]) == (0.9123, 0)
    assert coco["annotations"][2]["track_id"] == 7 and "track_id" not in first
    assert [(c["id"], c["name"]) for c in coco["categories"]] == [(1, "person"), (3, "car")]
    assert coco["info"]["preset"] == "effdet-d0"


def test_annotations_are_a_results_list(tmp_path: Path) -> None:
    """What pycocotools' loadRes asks of results: image_id, category_id, bbox and score in every entry."""
    coco = document(tmp_path / "a.coco.json", result(0, two_objects()))
    assert all({"image_id", "category_id", "bbox", "score"} <= set(a) for a in coco["annotations"])


def test_keypoints_are_flat_triples_with_visibility(tmp_path: Path) -> None:
    coco = document(tmp_path / "a.coco.json", result(0, two_objects(joints=3)), keypoints=COCO_KEYPOINTS[:3])
    first = coco["annotations"][0]
    assert first["keypoints"] == pytest.approx([0.0, 0.14, 2, 0.43, 0.57, 2, 0.86, 1.0, 2])
    assert first["num_keypoints"] == 3 and len(first["keypoint_scores"]) == 3


@pytest.mark.parametrize("results", [[result(0)], [result(0, two_objects(joints=17))]], ids=["nobody found", "two found"])
def test_categories_of_poses_name_the_joints_and_join_them_as_coco_does(tmp_path: Path, results: list[FrameResult]) -> None:
    person = document(tmp_path / "a.coco.json", *results, keypoints=COCO_KEYPOINTS)["categories"][0]
    assert (person["name"], len(person["keypoints"])) == ("person", 17)
    assert person["keypoints"][0] == "nose" and person["keypoints"][16] == "right_ankle"
    # As in person_keypoints_val2017.json, in that order.
    assert person["skeleton"][:5] == [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13]] and len(person["skeleton"]) == 19


def test_categories_without_joints_have_no_skeleton(tmp_path: Path) -> None:
    categories = document(tmp_path / "a.coco.json", result(0, two_objects()))["categories"]
    assert all(set(category) == {"id", "name", "supercategory"} for category in categories)


def test_joint_without_a_score_is_not_visible(tmp_path: Path) -> None:
    found = two_objects(joints=2)
    assert found.keypoints is not None
    points = found.keypoints.copy()
    points[0, 0, 2] = 0
    first = document(tmp_path / "a.coco.json", result(0, replace(found, keypoints=points)))["annotations"][0]
    assert first["keypoints"][2] == 0 and first["keypoints"][5] == 2 and first["num_keypoints"] == 1


def test_category_that_the_header_does_not_name_is_added(tmp_path: Path) -> None:
    found = Detections(np.array([[0, 0, 5, 5]], np.float32), np.array([0.5], np.float32), np.array([44]), ("bottle",))
    coco = document(tmp_path / "a.coco.json", result(0, found))
    assert {"id": 44, "name": "bottle", "supercategory": ""} in coco["categories"]


def test_box_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    broken = Detections(np.array([[0, 0, np.nan, 5]], np.float32), np.array([0.5], np.float32), np.array([1]), ("person",))
    assert document(tmp_path / "a.coco.json", result(0, broken))["annotations"] == []


def test_run_without_frames_is_a_valid_document(tmp_path: Path) -> None:
    coco = document(tmp_path / "a.coco.json")
    assert coco["images"] == coco["annotations"] == []
