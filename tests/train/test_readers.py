"""Labelled files on disk."""

import json

import av
import cv2
import numpy as np
import pytest

from skipvid.core.errors import SourceError
from skipvid.train.readers import read_coco, read_frames, read_mot, read_yolo


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), np.zeros((50, 100, 3), np.uint8))
    return path


def test_coco_boxes_become_corners_and_categories_match_by_name(tmp_path, picture):
    data = {
        "images": [{"id": 7, "file_name": picture.name}],
        "categories": [{"id": 1, "name": "bus"}, {"id": 2, "name": "Person"}, {"id": 3, "name": "kite"}],
        "annotations": [
            {"image_id": 7, "category_id": 2, "bbox": [10, 5, 20, 30]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 50, 40], "iscrowd": 1},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 5]},
            {"image_id": 7, "category_id": 2, "bbox": [10, 5, 0, 30]},
        ],
    }
    (tmp_path / "labels.json").write_text(json.dumps(data))
    (sample,) = read_coco(tmp_path / "labels.json", tmp_path, "set")
    assert sample.targets.boxes.tolist() == [[10, 5, 30, 35], [0, 0, 50, 40]]
    assert sample.targets.classes.tolist() == [0, 4]
    assert sample.targets.ignore.tolist() == [False, True]
    assert sample.known.tolist() == [True, False, False, False, True, False]
    (narrow,) = read_coco(tmp_path / "labels.json", tmp_path, "set", known=[1])
    assert narrow.known.tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_a_file_that_is_no_coco_file_is_named(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(SourceError, match="labels.json"):
        list(read_coco(tmp_path / "labels.json", tmp_path, "set"))


def test_yolo_fractions_become_pixels(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((50, 100, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("2 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.1 0.1\n")
    (sample,) = read_yolo(tmp_path / "images", {2: 3}, "set")
    assert sample.targets.boxes[0].tolist() == pytest.approx([40, 15, 60, 35])
    assert sample.targets.classes.tolist() == [2]
    assert sample.known.tolist() == [False, False, True, False, False, False]


def test_mot_rows_are_grouped_by_frame_and_thin_ones_ignored(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,4,10,20,30,40,1,0.9\n3,-1,0,0,5,5,1,0.4\n1,5,1,2,3,4,1,0.5\n")
    truths = read_mot(path, minimum_fill=0.6)
    assert sorted(truths) == [1, 3]
    assert truths[1].boxes.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert truths[1].ignore.tolist() == [False, True]
    assert not read_mot(path)[3].ignore.any()


def test_a_byte_order_mark_changes_nothing(tmp_path, picture):
    mark = b"\xef\xbb\xbf"
    data = {
        "images": [{"id": 7, "file_name": picture.name}],
        "categories": [{"id": 2, "name": "person"}],
        "annotations": [{"image_id": 7, "category_id": 2, "bbox": [10, 5, 20, 30]}],
    }
    (tmp_path / "labels.json").write_bytes(mark + json.dumps(data).encode())
    (sample,) = read_coco(tmp_path / "labels.json", tmp_path, "set")
    assert len(sample.targets.boxes) == 1
    (tmp_path / "gt.txt").write_bytes(mark + b"1,1,10,20,30,40,1,1,1\r\n")
    assert list(read_mot(tmp_path / "gt.txt")) == [1]
    picture.with_suffix(".txt").write_bytes(mark + b"2 0.5 0.5 0.2 0.4\r\n")
    (sample,) = read_yolo(tmp_path, {2: 3}, "set")
    assert len(sample.targets.boxes) == 1


def test_a_broken_mot_file_is_named(tmp_path):
    (tmp_path / "gt.txt").write_text("1,2,three\n")
    with pytest.raises(SourceError, match="gt.txt"):
        read_mot(tmp_path / "gt.txt")


def test_frames_of_a_folder_come_in_order_with_their_index(tmp_path):
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), np.full((8, 8, 3), i * 30, np.uint8))
    frames = list(read_frames(tmp_path, 3))
    assert [index for index, _ in frames] == [0, 3, 6]
    assert [int(image[0, 0, 0]) for _, image in frames] == [0, 90, 180]


def test_a_file_that_is_no_video_is_named(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="clip.mp4"):
        list(read_frames(tmp_path / "clip.mp4"))


def test_a_coco_file_can_label_the_frames_of_a_video(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shade in (20, 120, 220):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="bgr24")))
        container.mux(stream.encode())
    data = {
        "images": [{"id": 2, "file_name": "clip#2"}, {"id": 0, "file_name": "clip#0"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 2, "category_id": 1, "bbox": [1, 2, 10, 20], "visibility": 0.9},
            {"image_id": 2, "category_id": 1, "bbox": [30, 2, 10, 20], "visibility": 0.2},
        ],
    }
    (tmp_path / "clip.coco.json").write_text(json.dumps(data))
    first, last = read_coco(tmp_path / "clip.coco.json", path, "rendered")
    assert len(first.targets) == 0 and abs(int(first.image.mean()) - 20) < 8
    assert last.targets.ignore.tolist() == [False, True] and abs(int(last.image.mean()) - 220) < 8
