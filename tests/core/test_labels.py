"""Category numbers and names."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.core.labels import COCO_CATEGORIES, COCO_KEYPOINTS, COCO_LABELS, label_set, skeleton


def test_coco_has_eighty_categories_between_1_and_90() -> None:
    assert len(COCO_CATEGORIES) == len(set(COCO_CATEGORIES.values())) == 80
    assert set(range(1, 91)) - set(COCO_CATEGORIES) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert [COCO_CATEGORIES[n] for n in (1, 3, 8, 44, 62, 67, 72, 90)] == [
        "person",
        "car",
        "truck",
        "bottle",
        "chair",
        "dining table",
        "tv",
        "toothbrush",
    ]


def test_output_i_of_a_coco_head_is_category_i_plus_one_and_unused_numbers_are_zero() -> None:
    assert COCO_LABELS.num_outputs == 90
    assert COCO_LABELS.category_ids(np.array([0, 2, 11, 89])).tolist() == [1, 3, 0, 90]
    assert COCO_LABELS.names(np.array([1, 90])) == ("person", "toothbrush")


def test_a_selection_keeps_cocos_numbers_and_numbers_other_names_from_91() -> None:
    labels = label_set(["truck", "forklift", "person", "pallet"])
    assert labels.outputs == (8, 91, 1, 92)
    assert labels.categories == {8: "truck", 91: "forklift", 1: "person", 92: "pallet"}
    assert labels.names(labels.category_ids(np.array([3, 0]))) == ("pallet", "truck")
    assert labels.category_ids(np.zeros(0, np.int64)).shape == (0,)


@pytest.mark.parametrize("names", [[], ["car", "car"]])
def test_labels_must_be_different_names(names: list[str]) -> None:
    with pytest.raises(ValueError, match="different names"):
        label_set(names)


def test_the_skeleton_joins_cocos_joints_by_their_numbers_from_one() -> None:
    pairs = skeleton(COCO_KEYPOINTS)
    assert len(pairs) == len(set(pairs)) == 19
    assert {number for pair in pairs for number in pair} == set(range(1, 18))
    assert (16, 14) in pairs and (4, 6) in pairs


def test_the_skeleton_of_other_joints_joins_those_that_coco_knows() -> None:
    assert skeleton(("right_wrist", "tail", "right_elbow")) == ((3, 1),)
    assert skeleton(("tail",)) == ()
