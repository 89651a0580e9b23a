"""The evaluator, against cases worked out by hand."""

import math

import numpy as np
import pytest

from skipvid.train.evaluate import Truth, area_under_envelope, average_precision, merge_classes
from skipvid.train.teachers import Found


def found(*rows):
    """rows: (x1, y1, x2, y2, score)"""
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Found(array[:, :4], array[:, 4], np.zeros(len(array), np.int64))


def truth(*boxes, ignore=None):
    return Truth(np.array(boxes, np.float32).reshape(-1, 4), np.array(ignore if ignore is not None else [False] * len(boxes), np.bool_))


A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (80, 80, 90, 90)


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        pytest.param([(*A, 0.9), (*B, 0.8)], 1.0, id="both found"),
        pytest.param([(*A, 0.9)], 0.5, id="one of two"),
        pytest.param([(*FAR, 0.9), (*A, 0.8), (*B, 0.7)], 2 / 3, id="a false one first: precision 2/3 at both recalls"),
        pytest.param([(*A, 0.9), (*FAR, 0.8), (*B, 0.7)], 0.5 + 0.5 * 2 / 3, id="a false one between"),
        pytest.param([(*A, 0.9), (*A, 0.8), (*B, 0.7)], 0.5 + 0.5 * 2 / 3, id="a second box on the same object is false"),
        pytest.param([(*A, 0.9), (*B, 0.8), (*FAR, 0.7)], 1.0, id="a false one last costs nothing"),
        pytest.param([], 0.0, id="nothing found"),
        pytest.param([(0, 0, 10, 5.1, 0.9)], 0.5, id="IoU just above a half is a hit"),
        pytest.param([(0, 0, 10, 4.9, 0.9)], 0.0, id="IoU just below a half is not"),
    ],
)
def test_average_precision_of_two_objects(detections, expected):
    assert average_precision([found(*detections)], [truth(A, B)]) == pytest.approx(expected)


def test_detections_of_all_pictures_are_ranked_together():
    # Picture 2's false detection outranks picture 1's hit: precision 1/2 at recall 1/2, and the second object is never found.
    assert average_precision([found((*A, 0.5)), found((*FAR, 0.9))], [truth(A), truth(B)]) == pytest.approx(0.25)


def test_a_detection_takes_the_object_it_overlaps_most():
    overlapping = [(0, 0, 10, 10), (0, 2, 10, 12)]
    result = average_precision([found((0, 2, 10, 12, 0.9), (0, 0, 10, 10, 0.8))], [truth(*overlapping)])
    assert result == pytest.approx(1.0)


def test_ignored_objects_are_neither_hits_nor_misses():
    detections = found((*B, 0.9), (*A, 0.8), (21, 1, 25, 5, 0.7))
    assert average_precision([detections], [truth(A, B, ignore=[False, True])]) == pytest.approx(1.0)


def test_a_detection_prefers_a_counted_object_to_an_ignored_one():
    overlapping = truth((0, 0, 10, 10), (0, 0, 10, 9), ignore=[True, False])
    assert average_precision([found((0, 0, 10, 10, 0.9))], [overlapping]) == pytest.approx(1.0)


def test_average_precision_without_truth_is_not_a_number():
    assert math.isnan(average_precision([found((*A, 0.9))], [truth()]))


def test_pictures_and_truths_must_be_as_many():
    with pytest.raises(ValueError, match="1 pictures"):
        average_precision([found()], [])


def test_area_uses_the_envelope_of_precision():
    # miss, hit, hit: precision 0, 1/2, 2/3; the envelope lifts recall 1/2 to 2/3 as well.
    assert area_under_envelope(np.array([False, True, True]), 2) == pytest.approx(2 / 3)


def test_merged_classes_count_an_object_once():
    both = Found(np.array([A, A, FAR, B], np.float32), np.array([0.5, 0.9, 0.7, 0.8], np.float32), np.array([2, 5, 0, 4]))
    merged = merge_classes(both, (2, 4, 5))
    assert merged.boxes.tolist() == [list(A), list(B)]
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])
