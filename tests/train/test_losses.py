"""The detector's loss, against values worked out by hand and against what it must not depend on."""

import math

import numpy as np
import pytest
import torch

from skipvid.models.anchors import ANCHORS_PER_CELL, make_anchors
from skipvid.models.box_offsets import encode_boxes
from skipvid.train.losses import LossConfig, detection_loss, flatten_levels, giou, quality_focal
from skipvid.train.samples import CLASS_COUNT, Targets

SIZE = (64, 64)
ANCHORS = make_anchors(SIZE, 3.0)


def outputs(logit=-4.0):
    classes = [torch.full((1, ANCHORS_PER_CELL * CLASS_COUNT, h, w), logit, requires_grad=True) for h, w in ANCHORS.sizes]
    boxes = [torch.zeros(1, ANCHORS_PER_CELL * 4, h, w, requires_grad=True) for h, w in ANCHORS.sizes]
    return classes, boxes


def known(*unknown):
    mask = torch.ones(1, CLASS_COUNT, dtype=torch.bool)
    mask[0, list(unknown)] = False
    return mask


@pytest.mark.parametrize(
    ("probability", "quality", "expected"),
    [
        pytest.param(0.5, 0.0, 0.25 * math.log(2), id="unsure background"),
        pytest.param(0.5, 1.0, 0.25 * math.log(2), id="unsure object"),
        pytest.param(0.9, 1.0, 0.01 * -math.log(0.9), id="sure object"),
        pytest.param(0.8, 0.8, 0.0, id="score equals quality"),
    ],
)
def test_quality_focal_loss(probability, quality, expected):
    loss = quality_focal(torch.tensor(math.log(probability / (1 - probability))), torch.tensor(quality), 2.0)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param((0.0, 0, 10, 10), 1.0, id="equal"),
        pytest.param((0.0, 0, 10, 5), 0.5, id="half, hull is the union"),
        pytest.param((10.0, 0, 20, 10), 0.0, id="side by side: nothing shared, hull is the union"),
        pytest.param((20.0, 0, 30, 10), -1 / 3, id="apart: hull 300, union 200"),
    ],
)
def test_generalised_iou(other, expected):
    assert giou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([other])).item() == pytest.approx(expected)


def test_flattened_levels_are_in_the_order_of_the_anchors():
    # Each output channel holds the x of its cell's centre: after flattening it must be that of the anchor.
    levels = []
    for h, w in ANCHORS.sizes:
        x = (torch.arange(w) + 0.5) * SIZE[1] / w
        levels.append(x.expand(1, ANCHORS_PER_CELL * 4, h, w))
    flat = flatten_levels(levels)
    centres = torch.from_numpy(ANCHORS.boxes[:, 0] + ANCHORS.boxes[:, 2]) / 2
    assert torch.allclose(flat[0, :, 0], centres) and torch.allclose(flat[0, :, 3], centres)


def test_a_perfect_answer_costs_less_than_any_other():
    target = Targets.of([(8, 8, 40, 40)], [2])
    classes, boxes = outputs()
    start = detection_loss(classes, boxes, ANCHORS, [target], known())
    start.total.backward()
    with torch.no_grad():  # every anchor places the box exactly, and those near it say "car"
        box = torch.tensor(target.boxes).expand(len(ANCHORS.boxes), 4)
        first, anchors = 0, torch.from_numpy(ANCHORS.boxes)
        for level, (h, w) in zip(boxes, ANCHORS.sizes, strict=True):
            count = h * w * ANCHORS_PER_CELL
            offsets = encode_boxes(box[first : first + count], anchors[first : first + count])
            level.copy_(offsets.view(1, h, w, ANCHORS_PER_CELL * 4).permute(0, 3, 1, 2))
            first += count
    placed = detection_loss(classes, boxes, ANCHORS, [target], known())
    assert placed.box.item() == pytest.approx(0.0, abs=1e-5)
    assert start.box.item() > 0.05
    assert start.positives > 0


def test_gradients_raise_the_objects_score_and_lower_the_others():
    classes, boxes = outputs()
    loss = detection_loss(classes, boxes, ANCHORS, [Targets.of([(8, 8, 40, 40)], [2])], known())
    loss.total.backward()
    gradient = flatten_levels([level.grad for level in classes])[0]
    assert (gradient[:, 2] < 0).sum() == loss.positives
    assert (gradient[:, [0, 1, 3, 4, 5]] > 0).all()


@pytest.mark.parametrize("unknown", [0, 2, 5])
def test_a_class_that_is_not_labelled_gets_no_gradient(unknown):
    classes, boxes = outputs(logit=1.0)
    detection_loss(classes, boxes, ANCHORS, [Targets.of([(8, 8, 40, 40)], [1])], known(unknown)).total.backward()
    gradient = flatten_levels([level.grad for level in classes])[0]
    assert (gradient[:, unknown] == 0).all()
    assert (gradient[:, [c for c in range(CLASS_COUNT) if c != unknown]] != 0).all()


def test_an_ignored_box_silences_its_class_inside_and_nothing_else():
    classes, boxes = outputs(logit=1.0)
    target = Targets(np.array([[0, 0, 64, 32]], np.float32), np.array([0]), np.array([True]))
    detection_loss(classes, boxes, ANCHORS, [target], known()).total.backward()
    gradient = flatten_levels([level.grad for level in classes])[0]
    x1, y1, x2, y2 = torch.from_numpy(ANCHORS.boxes).unbind(1)
    inside = (x1 >= 0) & (x2 <= 64) & (y1 >= 0) & (y2 <= 32)
    outside = y1 >= 32
    assert inside.any() and outside.any()
    assert (gradient[inside, 0] == 0).all()
    assert (gradient[outside, 0] > 0).all()
    assert (gradient[:, 1:] > 0).all()


def test_an_object_inside_an_ignored_box_is_still_learned():
    classes, boxes = outputs()
    target = Targets(np.array([[0, 0, 64, 64], [8, 8, 40, 40]], np.float32), np.array([0, 0]), np.array([True, False]))
    loss = detection_loss(classes, boxes, ANCHORS, [target], known())
    loss.total.backward()
    gradient = flatten_levels([level.grad for level in classes])[0]
    assert (gradient[:, 0] < 0).sum() == loss.positives > 0


def test_an_empty_picture_trains_the_scores_alone():
    classes, boxes = outputs(logit=0.0)
    loss = detection_loss(classes, boxes, ANCHORS, [Targets.empty()], known(), LossConfig(gamma=2.0))
    loss.total.backward()
    assert loss.box.item() == 0.0 and loss.positives == 0
    # Every one of the K·C scores is 0.5 and should be 0: a quarter of log 2 each, divided by 1.
    count = len(ANCHORS.boxes) * CLASS_COUNT
    assert loss.score.item() == pytest.approx(count * 0.25 * math.log(2), rel=1e-4)
