import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipvid.core.class_maps import ClassMap
from skipvid.core.results import Detections
from skipvid.report import Agreement, MapAgreement, agreement, map_agreement
from skipvid.report.agreement import box_iou


def found(rows: list[tuple[float, float, float, float, float, int]]) -> Detections:
    """Detections from (x1, y1, x2, y2, score, category), put into the order of their scores."""
    rows = sorted(rows, key=lambda row: -row[4])
    table = np.array(rows, np.float32).reshape(len(rows), 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), ("x",) * len(rows))


def by_hand(reference: Detections, other: Detections, iou: float) -> tuple[int, int, int]:
    """The greedy rule once more, box by box in plain Python."""
    free = set(range(len(reference)))
    pairs = 0
    for k in range(len(other)):
        best, best_overlap = None, iou
        for m in sorted(free):
            if other.category_ids[k] != reference.category_ids[m]:
                continue
            a, b = [float(v) for v in other.boxes[k]], [float(v) for v in reference.boxes[m]]
            across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            common = max(0.0, across) * max(0.0, down)
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
            overlap = common / both if both else 0.0
            if overlap > best_overlap or (overlap == best_overlap and best is None):
                best, best_overlap = m, overlap
        if best is not None:
            free.discard(best)
            pairs += 1
    return pairs, len(other) - pairs, len(reference) - pairs


# whole numbers on a coarse grid, so that ties and exact thresholds do occur
boxes = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6), st.integers(1, 2))
sets = st.lists(boxes, max_size=9)


def from_grid(rows: list[tuple[int, int, int, int, int]]) -> Detections:
    return found([(x, y, x + w, y + h, 0.9 - 0.05 * i, c) for i, (x, y, w, h, c) in enumerate(rows)])


@settings(max_examples=200, deadline=None)
@given(sets, sets, st.sampled_from([0.3, 0.5, 0.75]))
def test_matching_equals_the_rule_done_by_hand(first: list, second: list, iou: float) -> None:
    reference, other = from_grid(first), from_grid(second)
    same = agreement(reference, other, iou)
    assert (same.tp, same.fp, same.fn) == by_hand(reference, other, iou)


@settings(max_examples=50, deadline=None)
@given(sets)
def test_a_set_agrees_with_itself(rows: list) -> None:
    # of two equal boxes either may take the other's partner: all are matched all the same
    same = agreement(from_grid(rows), from_grid(rows))
    assert (same.tp, same.fp, same.fn) == (len(rows), 0, 0) and same.f1 == 1.0


def test_the_better_score_takes_the_box_that_both_want() -> None:
    reference = found([(0, 0, 10, 10, 0.8, 1)])
    other = found([(0, 0, 10, 10, 0.6, 1), (0, 0, 10, 9, 0.9, 1)])
    same = agreement(reference, other)
    assert (same.tp, same.fp, same.fn) == (1, 1, 0)
    assert same.mean_score_gap == pytest.approx(0.1)


def test_objects_of_different_classes_never_match() -> None:
    same = agreement(found([(0, 0, 10, 10, 0.8, 1)]), found([(0, 0, 10, 10, 0.8, 3)]))
    assert (same.tp, same.fp, same.fn) == (0, 1, 1) and same.f1 == 0.0


@pytest.mark.parametrize(("shift", "matches"), [(3.33, True), (3.34, False)])
def test_the_iou_limit_is_inclusive_at_one_half(shift: float, matches: bool) -> None:
    # two 10 x 10 boxes moved by d overlap by (10 - d) / (10 + d), which is one half at d = 10/3
    same = agreement(found([(0, 0, 10, 10, 0.8, 1)]), found([(shift, 0, 10 + shift, 10, 0.8, 1)]))
    assert (same.tp == 1) is matches


@pytest.mark.parametrize(
    ("same", "precision", "recall", "f1"),
    [
        (Agreement(), 1.0, 1.0, 1.0),
        (Agreement(fp=3), 0.0, 1.0, 0.0),
        (Agreement(fn=2), 1.0, 0.0, 0.0),
        (Agreement(tp=6, fp=2, fn=4), 0.75, 0.6, 2 / (1 / 0.75 + 1 / 0.6)),
    ],
)
def test_precision_recall_and_f1(same: Agreement, precision: float, recall: float, f1: float) -> None:
    assert (same.precision, same.recall, same.f1) == (pytest.approx(precision), pytest.approx(recall), pytest.approx(f1))


def test_agreements_of_frames_add_up() -> None:
    assert Agreement(1, 2, 3, 0.5) + Agreement(10, 20, 30, 0.25) == Agreement(11, 22, 33, 0.75)


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[5, 5, 5, 9], [3, 3, 1, 1]], np.float32)
    assert (box_iou(flat, flat) == 0).all()


def class_map(cells: list[list[int]]) -> ClassMap:
    grid = np.array(cells, np.uint16)
    return ClassMap(grid, np.arange(len(grid)), np.arange(len(grid[0])), ("background", "road", "person", "tram"))


def test_class_maps_are_compared_class_by_class() -> None:
    dense, gated = class_map([[0, 0, 1], [0, 1, 1]]), class_map([[0, 1, 1], [0, 1, 2]])
    found = map_agreement(dense, gated)
    assert found.pixels == pytest.approx(4 / 6)
    assert found.mean_iou == pytest.approx((2 / 3 + 2 / 4 + 0 / 1) / 3)  # there is no tram
    both = MapAgreement() + found + map_agreement(dense, dense)
    assert both.pixels == pytest.approx(10 / 12)
    assert both.mean_iou == pytest.approx((5 / 6 + 5 / 7 + 0 / 1) / 3)
    assert (MapAgreement().pixels, MapAgreement().mean_iou) == (1, 1)
