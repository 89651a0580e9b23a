"""The sequences that benchmarks/motion.py makes of fixed ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from skipvid.train.evaluate import Truth

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import motion  # noqa: E402


@pytest.mark.parametrize("course", motion.COURSES, ids=lambda course: course.name)
def test_what_is_seen_lies_where_the_truth_says(course: motion.Course) -> None:
    """A bright square in the frame is found in the window at the middle of the box that the truth gives it."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[100:120, 150:170] = 255
    truth = Truth(np.array([[150, 100, 170, 120]], np.float32), np.zeros(1, np.bool_))
    for shown, matrix in motion.seen_through(course, [image] * 12):
        (box,) = motion.truth_through(truth, matrix, shown.shape[:2], 1).boxes
        rows, columns = (shown[..., 0].astype(np.float64).sum(axis) for axis in (1, 0))
        x = (columns * (np.arange(len(columns)) + 0.5)).sum() / columns.sum()
        y = (rows * (np.arange(len(rows)) + 0.5)).sum() / rows.sum()
        assert np.abs([x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2]).max() < 0.1


def test_truth_is_cut_and_ignored_where_most_of_it_is_outside() -> None:
    truth = Truth(np.array([[-18, 10, 2, 30], [10, 10, 30, 30], [400, 0, 420, 20]], np.float32), np.array([False, False, False]))
    found = motion.truth_through(truth, np.array([[1.0, 0, 0], [0, 1, 0]]), (100, 200), 3)
    assert found.boxes.tolist() == [[0, 10, 2, 30], [10, 10, 30, 30]]
    assert found.crowd.tolist() == [True, False] and found.category_ids.tolist() == [3, 3]


def test_pans_go_to_and_fro_at_their_speed() -> None:
    places = [motion.pan(0.015, 0.1)(number)[0] for number in range(60)]
    assert max(np.abs(places)) <= 0.1 and np.ptp(places) > 0.19
    assert np.abs(np.diff(places)).max() <= 0.0151
