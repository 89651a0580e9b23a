"""Views, suppression and fusion; a real ONNX teacher is tested where the shared data is."""

import numpy as np
import pytest

from skipvid.core.errors import UsageError, WeightsError
from skipvid.train.samples import CLASS_COUNT
from skipvid.train.teachers import COCO80_IDS, Ensemble, Found, View, fuse, make_views, nms, open_runner


class Seer:
    """A teacher that finds the bright rectangle of a picture; blind to some classes."""

    def __init__(self, score=0.8, classes=(0,), shift=0.0):
        self.score, self.shift, self.classes = score, shift, classes
        self.known = np.isin(np.arange(CLASS_COUNT), classes)

    def detect(self, image):
        rows, columns = np.flatnonzero((image[:, :, 0] > 128).any(1)), np.flatnonzero((image[:, :, 0] > 128).any(0))
        if not len(rows):
            return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        box = (columns[0] + self.shift, rows[0], columns[-1] + 1 + self.shift, rows[-1] + 1)
        return Found(np.array([box], np.float32), np.array([self.score], np.float32), np.array([self.classes[0]]))


def picture(x1, y1, x2, y2, size=(100, 200)):
    image = np.zeros((*size, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return image


def test_coco80_ends_with_the_toothbrush_and_has_80_entries():
    assert len(COCO80_IDS) == 80 and COCO80_IDS[0] == 1 and COCO80_IDS[5] == 6 and COCO80_IDS[-1] == 90


def test_suppression_keeps_the_best_of_each_heap():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10], [2, 0, 12, 10]], np.float32)
    assert nms(boxes, 0.5).tolist() == [0, 2]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("window", [(0, 0, 200, 100), (80, 40, 200, 100)])
def test_boxes_found_in_a_view_lie_on_the_object_in_the_picture(window, mirrored):
    image = picture(120, 50, 140, 90)
    view = View(window, mirrored)
    found = Seer().detect(view.cut(image))
    assert view.back(found.boxes).tolist() == [[120, 50, 140, 90]]


def test_a_tile_does_not_vouch_for_what_its_inner_border_cuts():
    tile = View((0, 0, 120, 60), False)
    boxes = np.array([[0, 0, 20, 20], [100, 10, 119.5, 50], [30, 30, 50, 59.5], [30, 30, 50, 50]], np.float32)
    assert tile.covers(boxes, (100, 200)).tolist() == [True, False, False, True]


def test_the_views_of_a_picture_are_whole_mirrored_and_four_tiles():
    views = list(make_views(100, 200, tiles=True))
    assert [view.mirrored for view in views] == [False, True, False, False, False, False]
    assert views[-1].window == (80, 40, 200, 100)


def test_an_object_that_every_look_confirms_keeps_its_score_and_place():
    found = Ensemble([Seer(0.8), Seer(0.8)], [1.0, 1.0], tiles=True).detect(picture(10, 10, 40, 50))
    assert found.boxes[0].tolist() == pytest.approx([10, 10, 40, 50])
    assert found.scores.tolist() == pytest.approx([0.8])


def test_an_object_that_one_of_two_teachers_sees_gets_half_its_score():
    found = Ensemble([Seer(0.8), Seer(0.8, classes=(0,), shift=500)], [1.0, 1.0]).detect(picture(10, 10, 40, 50))
    assert found.scores[0] == pytest.approx(0.4)


def test_a_teacher_that_does_not_know_a_class_has_no_vote_on_it():
    ensemble = Ensemble([Seer(0.8, classes=(2,)), Seer(0.8, classes=(0,), shift=500)], [1.0, 1.0])
    found = ensemble.detect(picture(10, 10, 40, 50))
    assert found.scores[found.classes == 2].tolist() == pytest.approx([0.8])
    assert ensemble.known.tolist() == [True, False, True, False, False, False]


def test_fused_box_is_the_mean_weighted_by_score():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)
    found = Found(boxes, np.array([0.9, 0.3], np.float32), np.array([0, 0]))
    fused = fuse(found, np.ones(2, np.float32), lambda b, c: np.full(len(b), 2, np.float32), iou=0.5)
    assert fused.boxes[0].tolist() == pytest.approx([0.5, 0, 10.5, 10])
    assert fused.scores.tolist() == pytest.approx([0.6])


def test_boxes_of_different_classes_are_not_fused():
    found = Found(np.array([[0, 0, 10, 10]] * 2, np.float32), np.array([0.9, 0.8], np.float32), np.array([2, 5]))
    fused = fuse(found, np.ones(2, np.float32), lambda b, c: np.ones(len(b), np.float32), iou=0.5)
    assert fused.classes.tolist() == [2, 5]


def test_a_teacher_file_must_be_of_a_known_kind(tmp_path):
    with pytest.raises(UsageError, match="onnx or .xml"):
        open_runner(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_missing_or_damaged_teacher_file_is_named(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    with pytest.raises(WeightsError, match="no such teacher"):
        open_runner(path)
    pytest.importorskip("onnxruntime" if suffix == ".onnx" else "openvino")
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="not a readable network"):
        open_runner(path)
