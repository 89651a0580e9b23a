"""Mix files: what they may say, and what becomes of it."""

import json

import cv2
import numpy as np
import pytest

from skipvid.core.errors import UsageError
from skipvid.train.exams import open_exams
from skipvid.train.mix import gather, load_mix, split_off


def write(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path):
    for part in ("a", "b"):
        folder = tmp_path / "pictures" / part
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "x.png"), np.full((40, 60, 3), 90, np.uint8))
        data = {
            "images": [{"id": 1, "file_name": "x.png"}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 10, 20]}],
        }
        (tmp_path / "pictures" / f"{part}.json").write_text(json.dumps(data))
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(4):
        cv2.imwrite(str(frames / f"{i}.png"), np.full((40, 60, 3), 90, np.uint8))
    (tmp_path / "gt.txt").write_text("11,1,0,0,10,20,1\n13,1,5,5,10,20,1\n")
    return tmp_path


SOURCES = """
sources:
  - {name: one, kind: coco, path: pictures/a, annotations: pictures/a.json, share: 3}
  - {name: both, kind: coco, path: 'pictures/[ab]', annotations: pictures/*.json, share: 1}
held_out: [one]
"""


def test_a_mix_is_read_labelled_and_split(tmp_path, root):
    mix = load_mix(write(tmp_path / "mix.yaml", SOURCES), root)
    lines = []
    samples = gather(mix, tmp_path / "labels", lines.append)
    learned, held = split_off(samples, mix.held_out)
    assert [sample.source for sample in learned] == ["both", "both"]
    assert [sample.source for sample in held] == ["one"]
    assert held[0].targets.boxes.tolist() == [[5, 5, 15, 25]]
    assert held[0].known.tolist() == [True] + [False] * 5
    assert mix.shares == {"both": 1}
    assert lines == ["labelling one", "labelling both"]


def test_labelled_sources_are_not_read_again(tmp_path, root):
    mix = load_mix(write(tmp_path / "mix.yaml", SOURCES), root)
    gather(mix, tmp_path / "labels", lambda line: None)
    lines = []
    gather(load_mix(tmp_path / "mix.yaml", tmp_path / "elsewhere"), tmp_path / "labels", lines.append)
    assert lines == []


def test_a_part_of_a_source_can_be_taken(tmp_path, root):
    text = "sources: [{name: s, kind: coco, path: 'pictures/[ab]', annotations: pictures/*.json, share: 1, part: [1, 2]}]"
    assert len(gather(load_mix(write(tmp_path / "mix.yaml", text), root), tmp_path / "labels", lambda line: None)) == 1


def test_an_exam_of_a_coco_file_has_the_boxes_of_its_classes(tmp_path, root):
    boxes = [(1, [4, 6, 20, 30]), (3, [50, 50, 10, 10]), (1, [30, 6, 20, 30])]
    content = {
        "images": [{"id": n, "file_name": path.name} for n, path in enumerate(sorted((root / "frames").iterdir()))],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [{"id": n, "image_id": 0, "category_id": category, "bbox": box} for n, (category, box) in enumerate(boxes)],
    }
    (root / "frames.json").write_text(json.dumps(content))
    text = "sources: []\nexams: [{name: e, path: frames, truth: frames.json, categories: [1], stride: 2}]"
    (exam,) = open_exams(load_mix(write(tmp_path / "mix.yaml", text), root))
    assert [truth.boxes.tolist() for truth in exam.truths] == [[[4, 6, 24, 36], [30, 6, 50, 36]], []]
    assert exam.classes == (0,)


def test_an_exam_matches_frames_with_the_numbers_of_its_truth(tmp_path, root):
    text = "sources: []\nexams: [{name: e, path: frames, truth: gt.txt, categories: [3, 8], first: 10}]"
    (exam,) = open_exams(load_mix(write(tmp_path / "mix.yaml", text), root))
    assert [len(truth.boxes) for truth in exam.truths] == [0, 1, 0, 1]
    assert exam.classes == (2, 5)
    text = text.replace("first: 10", "first: 10, labelled_only: true")
    (exam,) = open_exams(load_mix(write(tmp_path / "mix.yaml", text), root))
    assert [truth.boxes[0].tolist() for truth in exam.truths] == [[0, 0, 10, 20], [5, 5, 15, 25]]


def test_sources_can_be_left_out_by_name(tmp_path, root):
    mix = load_mix(write(tmp_path / "mix.yaml", SOURCES), root)
    assert [source.name for source in mix.without(["one"]).sources] == ["both"]
    with pytest.raises(UsageError, match="no source 'two'"):
        mix.without(["two"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[", "cannot be read", id="no YAML"),
        pytest.param("a: 1", "no list 'sources'", id="no sources"),
        pytest.param("sources: []\nteacher: []", "unknown key 'teacher'", id="unknown top key"),
        pytest.param("sources: [{name: a, kind: coco, path: x}]", "sources 1: 'share' is missing", id="missing key"),
        pytest.param("sources: [{name: a, kind: coco, path: x, share: 1, colour: red}]", "unknown key 'colour'", id="unknown key"),
        pytest.param("sources: [{name: a, kind: voc, path: x, share: 1}]", "unknown kind 'voc'", id="unknown kind"),
        pytest.param("sources: []\nteachers: [{file: a.onnx, layout: detr}]", "unknown layout 'detr'", id="unknown layout"),
        pytest.param("sources: [3]", "must be a list of 'key: value'", id="no mapping"),
    ],
)
def test_what_is_wrong_with_a_mix_is_said(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_mix(write(tmp_path / "mix.yaml", text), tmp_path)
    assert "mix.yaml" in str(caught.value)


def test_a_missing_mix_is_named(tmp_path):
    with pytest.raises(UsageError, match="none.yaml"):
        load_mix(tmp_path / "none.yaml", tmp_path)


def test_a_path_that_names_nothing_is_an_error(tmp_path, root):
    text = "sources: [{name: s, kind: coco, path: nowhere, annotations: nowhere.json, share: 1}]"
    with pytest.raises(UsageError, match="nowhere"):
        gather(load_mix(write(tmp_path / "mix.yaml", text), root), tmp_path / "labels", lambda line: None)


def test_a_clip_without_a_teacher_is_an_error(tmp_path, root):
    text = "sources: [{name: s, kind: clip, path: frames, share: 1}]"
    with pytest.raises(UsageError, match="no teacher"):
        gather(load_mix(write(tmp_path / "mix.yaml", text), root), tmp_path / "labels", lambda line: None)
