"""Assignment of anchors to objects, against cases worked out by hand."""

import pytest
import torch

from skipvid.train.assign import AssignConfig, assign, in_ignored, pairwise_iou

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [40.0, 40, 50, 50], [0.0, 0, 40, 40]])


def test_iou_of_boxes_that_share_half_is_a_third():
    iou = pairwise_iou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10], [20.0, 20, 30, 30], [0.0, 0, 10, 10]]))
    assert iou[0].tolist() == pytest.approx([1 / 3, 0.0, 1.0])


def test_an_untrained_network_assigns_by_the_overlap_of_its_anchors():
    scores = torch.full((4, 2), 0.01)
    found = assign(scores, ANCHORS, ANCHORS, torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([1]), AssignConfig(top=2))
    assert found.anchors.tolist() == [0, 1]
    assert found.objects.tolist() == [0, 0]
    # The best anchor fits exactly: quality 1. The other's IoU is 80 / 120, to the sixth power relative to the best.
    assert found.quality.tolist() == pytest.approx([1.0, (2 / 3) ** 6], rel=1e-4)


def test_a_higher_score_outweighs_a_little_overlap():
    scores = torch.tensor([[0.01], [0.99], [0.01], [0.01]])
    predicted = ANCHORS.clone()
    predicted[0] = torch.tensor([0.0, 0, 10, 9])  # IoU 0.9
    predicted[1] = torch.tensor([0.0, 0, 10, 8.5])  # IoU 0.85
    found = assign(scores, predicted, ANCHORS, torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]), AssignConfig(top=1))
    assert found.anchors.tolist() == [1]
    assert found.quality.tolist() == pytest.approx([0.85])


def test_an_anchor_wanted_by_two_objects_goes_to_the_one_it_overlaps_more():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10]])
    found = assign(torch.full((4, 1), 0.5), ANCHORS, ANCHORS, boxes, torch.tensor([0, 0]), AssignConfig(top=4))
    owners = dict(zip(found.anchors.tolist(), found.objects.tolist(), strict=True))
    assert owners[0] == 0 and owners[1] == 1
    assert len(owners) == len(found.anchors)


def test_an_anchor_whose_centre_is_outside_does_not_serve_however_it_overlaps():
    boxes = torch.tensor(
        [[0.0, 0, 18, 40]]
    )  # the large anchor's centre (20, 20) is to the right of it, and more than reach from its middle
    found = assign(torch.full((4, 1), 0.5), ANCHORS, ANCHORS, boxes, torch.tensor([0]))
    assert 3 not in found.anchors.tolist()


def test_a_tiny_object_between_anchor_centres_still_gets_an_anchor():
    boxes = torch.tensor([[7.0, 6, 9, 8]])  # holds no anchor's centre; (5, 5) is within reach of its middle (8, 7)
    found = assign(torch.full((4, 1), 0.5), ANCHORS, ANCHORS, boxes, torch.tensor([0]))
    assert 0 in found.anchors.tolist()


def test_no_object_takes_no_anchor():
    found = assign(torch.full((4, 1), 0.5), ANCHORS, ANCHORS, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert len(found.anchors) == 0 and len(found.quality) == 0


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        pytest.param((0.0, 0, 100, 100), True, id="anchor lies in a large region"),
        pytest.param((0.0, 0, 5, 10), True, id="half of the anchor lies in it"),
        pytest.param((0.0, 0, 4.5, 10), True, id="IoU 0.45"),
        pytest.param((0.0, 0, 3, 10), False, id="IoU 0.3"),
        pytest.param((20.0, 20, 30, 30), False, id="elsewhere"),
    ],
)
def test_anchors_in_ignored_regions_are_found(region, expected):
    assert in_ignored(ANCHORS[:1], torch.tensor([region]))[0, 0].item() is expected
