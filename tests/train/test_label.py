"""From a teacher's opinion to labels."""

import numpy as np

from skipvid.train.label import Trust, complete, doubt
from skipvid.train.samples import CLASS_COUNT, Sample, Targets
from skipvid.train.teachers import Found

ALL = np.ones(CLASS_COUNT, np.bool_)


class Says:
    def __init__(self, boxes, scores, classes, known=ALL):
        self.found = Found(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes))
        self.known = known

    def detect(self, image):
        return self.found


def sample(boxes, classes, known):
    image = np.zeros((100, 100, 3), np.uint8)
    return Sample(image, Targets.of(boxes, classes), "here", np.isin(np.arange(CLASS_COUNT), known))


def test_sure_boxes_are_labels_unsure_ones_are_ignored_and_the_rest_is_background():
    found = Found(np.array([[0, 0, 20, 20]] * 3, np.float32), np.array([0.5, 0.2, 0.05], np.float32), np.array([0, 0, 0]))
    targets = Trust(sure=0.35, unsure=0.12).targets(found)
    assert targets.ignore.tolist() == [False, True]


def test_a_sure_but_tiny_box_is_ignored():
    found = Found(np.array([[0, 0, 3, 20]], np.float32), np.array([0.9], np.float32), np.array([0]))
    assert Trust(smallest=5).targets(found).ignore.tolist() == [True]


def test_classes_without_labels_take_the_teachers_boxes():
    teacher = Says([[50, 50, 80, 80]], [0.9], [2])
    done = complete(sample([(0, 0, 20, 40)], [0], known=[0]), teacher)
    assert done.targets.classes.tolist() == [0, 2]
    assert done.targets.ignore.tolist() == [False, False]
    assert done.known.all()


def test_what_the_labels_missed_is_ignored_not_added():
    teacher = Says([[50, 50, 80, 80], [1, 0, 21, 40]], [0.9, 0.9], [0, 0])
    done = complete(sample([(0, 0, 20, 40)], [0], known=[0]), teacher)
    assert done.targets.boxes.tolist() == [[0, 0, 20, 40], [50, 50, 80, 80]]
    assert done.targets.ignore.tolist() == [False, True]


def test_a_class_that_neither_knows_stays_unknown():
    done = complete(sample([], [], known=[2]), Says(np.zeros((0, 4)), [], np.zeros(0, np.int64), np.isin(np.arange(CLASS_COUNT), [0])))
    assert done.known.tolist() == [True, False, True, False, False, False]


def test_a_walker_that_is_a_car_is_dropped():
    targets = Targets.of([(0, 0, 30, 30), (1, 1, 30, 30), (60, 0, 70, 30)], [2, 0, 0])
    assert doubt(targets).boxes.tolist() == [[0, 0, 30, 30], [60, 0, 70, 30]]


def test_a_person_on_a_motorcycle_stays():
    targets = Targets.of([(0, 20, 30, 50), (5, 0, 25, 40)], [3, 0])
    assert len(doubt(targets)) == 2


def test_a_person_that_holds_two_others_is_a_crowd_and_ignored():
    targets = Targets.of([(0, 0, 100, 50), (10, 5, 20, 45), (40, 5, 50, 45), (95, 0, 130, 50)], [0, 0, 0, 0])
    assert doubt(targets).ignore.tolist() == [True, False, False, False]


def test_a_person_in_front_of_another_is_no_crowd():
    targets = Targets.of([(0, 0, 40, 80), (10, 5, 20, 45)], [0, 0])
    assert doubt(targets).ignore.tolist() == [False, False]
