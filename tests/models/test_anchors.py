"""Anchors, box arithmetic and suppression, against hand-computed numbers and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.models import box_offsets
from skipvid.models.anchors import ANCHORS_PER_CELL, Anchors, decode_boxes, decode_detections, make_anchors
from skipvid.models.detections import class_wise_nms

Maps = NDArray[np.float32]


@pytest.mark.parametrize(("size", "count"), [((512, 512), 49104), ((256, 384), 18414), ((320, 320), 19206), ((288, 512), 27684)])
def test_there_are_nine_anchors_in_every_cell_of_every_level(size: tuple[int, int], count: int) -> None:
    anchors = make_anchors(size)
    assert anchors.boxes.shape == (count, 4)
    assert anchors.boxes.dtype == np.float32
    assert sum(rows * columns for rows, columns in anchors.sizes) * 9 == count


@pytest.mark.parametrize(
    ("index", "centre", "sides"),
    [
        (0, (4, 4), (32, 32)),  # first cell of level 3, ratio 1, octave 0
        (1, (4, 4), (44.8, 22.4)),  # wide
        (2, (4, 4), (22.4, 44.8)),  # tall
        (3, (4, 4), (32 * 2 ** (1 / 3),) * 2),  # next octave
        (9, (12, 4), (32, 32)),  # next column
        (9 * 48, (4, 12), (32, 32)),  # next row of a map 48 wide
        (9 * 32 * 48, (8, 8), (64, 64)),  # first cell of level 4
        (-1, (320, 192), (512 * 2 ** (2 / 3) * 0.7, 512 * 2 ** (2 / 3) * 1.4)),  # last cell of level 7
    ],
)
def test_anchors_lie_where_the_paper_puts_them(index: int, centre: tuple[float, float], sides: tuple[float, float]) -> None:
    x1, y1, x2, y2 = make_anchors((256, 384), anchor_scale=4.0).boxes[index].tolist()
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx(centre, abs=1e-3)
    assert (x2 - x1, y2 - y1) == pytest.approx(sides, abs=1e-3)


def test_cells_share_the_image_where_a_level_does_not_divide_it() -> None:
    # 320 pixels are two and a half strides of level 7: three cells of 106.7 pixels, as effdet lays them.
    last = make_anchors((320, 320), anchor_scale=3.0).boxes[-9 * 9 :: 9]
    centres = (last[:, :2] + last[:, 2:]) / 2
    assert centres[:3, 0].tolist() == pytest.approx([320 / 6, 160, 320 * 5 / 6])
    assert (last[:, 2] - last[:, 0]).tolist() == pytest.approx([320.0] * 9)


def test_height_and_width_of_cells_are_their_own() -> None:
    # 288 × 512 has 3 × 4 cells on level 7, each 96 pixels high and 128 wide; anchors scale with them.
    second_row = make_anchors((288, 512), anchor_scale=2.0).boxes[-9 * 8]
    assert second_row.tolist() == pytest.approx([64 - 128, 144 - 96, 64 + 128, 144 + 96])


def test_offsets_move_centres_by_anchor_sides_and_scale_sides_exponentially() -> None:
    offsets, anchor = [0.5, -0.25, math.log(2.0), math.log(0.5)], [10.0, 20.0, 50.0, 40.0]
    # The anchor: centre (30, 30), 40 wide, 20 high. The box: centre (20, 40), 20 wide, 40 high.
    for box in (
        decode_boxes(np.array(offsets, np.float32), np.array(anchor, np.float32)),
        box_offsets.decode_boxes(torch.tensor(offsets), torch.tensor(anchor)),
    ):
        assert box.tolist() == pytest.approx([10.0, 20.0, 30.0, 60.0])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_encoding_is_the_inverse_of_decoding(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    corners = torch.rand(50, 2, generator=generator, dtype=torch.float64) * 500
    anchors = torch.cat([corners, corners + 1 + torch.rand(50, 2, generator=generator, dtype=torch.float64) * 200], 1)
    decoded = box_offsets.decode_boxes(offsets, anchors)
    torch.testing.assert_close(box_offsets.encode_boxes(decoded, anchors), offsets)
    np.testing.assert_allclose(decode_boxes(offsets.numpy(), anchors.numpy()), decoded.numpy(), rtol=1e-12, atol=1e-9)


def brute_force_nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64], threshold: float) -> list[int]:
    """One box after the other, each compared with every kept one."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        for k in kept:
            width = min(boxes[i][2], boxes[k][2]) - max(boxes[i][0], boxes[k][0])
            height = min(boxes[i][3], boxes[k][3]) - max(boxes[i][1], boxes[k][1])
            common = max(width, 0.0) * max(height, 0.0)
            areas = [(boxes[j][2] - boxes[j][0]) * (boxes[j][3] - boxes[j][1]) for j in (i, k)]
            if classes[i] == classes[k] and common > threshold * (sum(areas) - common):
                break
        else:
            kept.append(i)
    return kept


_coordinates = st.integers(0, 12)
_boxes = st.lists(
    st.tuples(_coordinates, _coordinates, st.integers(0, 8), st.integers(0, 8), st.integers(0, 5), st.integers(0, 2)), max_size=100
)


@settings(deadline=None)
@given(_boxes, st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0]), st.integers(1, 50))
def test_suppression_agrees_with_brute_force(rows: list[tuple[int, ...]], threshold: float, limit: int) -> None:
    # Small integers give many ties, exact overlaps, touching boxes and boxes without area; up to four blocks of them.
    table = np.array(rows, np.float64).reshape(-1, 6)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    scores, classes = table[:, 4] / 5, table[:, 5].astype(np.int64)
    kept = class_wise_nms(boxes.astype(np.float32), scores.astype(np.float32), classes, threshold, limit)
    assert kept.tolist() == brute_force_nms(boxes, scores, classes, threshold)[:limit]


def outputs(anchors: Anchors, num_classes: int) -> tuple[list[Maps], list[Maps]]:
    """Maps of a network that sees nothing anywhere and moves no anchor."""
    classes = [np.full((1, ANCHORS_PER_CELL * num_classes, *size), -20.0, np.float32) for size in anchors.sizes]
    boxes = [np.zeros((1, ANCHORS_PER_CELL * 4, *size), np.float32) for size in anchors.sizes]
    return classes, boxes


@pytest.mark.parametrize("size", [(128, 256), (288, 512)])
@pytest.mark.parametrize(("level", "row", "column", "anchor", "category"), [(0, 3, 5, 0, 2), (1, 1, 7, 8, 0), (4, 0, 1, 4, 1)])
def test_one_lit_output_gives_its_anchor_moved_by_its_offsets(
    size: tuple[int, int], level: int, row: int, column: int, anchor: int, category: int
) -> None:
    anchors = make_anchors(size, 1.0)
    classes, boxes = outputs(anchors, 3)
    classes[level][0, anchor * 3 + category, row, column] = 1.5
    boxes[level][0, anchor * 4 : anchor * 4 + 4, row, column] = [0.1, -0.2, 0.3, -0.4]
    (found,) = decode_detections(classes, boxes, anchors)
    before = sum(rows * columns for rows, columns in anchors.sizes[:level]) * 9
    index = before + (row * anchors.sizes[level][1] + column) * 9 + anchor
    expected = decode_boxes(np.array([0.1, -0.2, 0.3, -0.4], np.float32), anchors.boxes[index])
    expected = np.clip(expected, 0, [size[1], size[0]] * 2)
    assert found.classes.tolist() == [category]
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-1.5))])
    np.testing.assert_allclose(found.boxes, expected[None], rtol=1e-5)


def test_decoding_equals_scoring_every_anchor_one_by_one() -> None:
    anchors = make_anchors((64, 96), 2.0)
    generator = torch.Generator().manual_seed(3)
    classes = [torch.randn(2, ANCHORS_PER_CELL * 4, *size, generator=generator) * 2 - 3 for size in anchors.sizes]
    boxes = [torch.randn(2, ANCHORS_PER_CELL * 4, *size, generator=generator) * 0.3 for size in anchors.sizes]
    results = decode_detections([m.numpy() for m in classes], [m.numpy() for m in boxes], anchors, score_threshold=0.3)
    flat_logits = torch.cat([m.permute(0, 2, 3, 1).reshape(2, -1, 4) for m in classes], 1)
    offsets = torch.cat([m.permute(0, 2, 3, 1).reshape(2, -1, 4) for m in boxes], 1)
    flat_boxes = box_offsets.decode_boxes(offsets, torch.from_numpy(anchors.boxes))
    flat_boxes = torch.minimum(flat_boxes.clamp(min=0), torch.tensor([96.0, 64.0, 96.0, 64.0]))
    for image, found in enumerate(results):
        table = flat_logits[image].sigmoid().numpy()
        pairs = [(a, c) for a in range(len(table)) for c in range(4) if table[a, c] > 0.3]
        scores = np.array([table[a, c] for a, c in pairs])
        every = flat_boxes[image].numpy().astype(np.float64)[[a for a, _ in pairs]]
        keep = brute_force_nms(every, scores, np.array([c for _, c in pairs]), 0.5)[:100]
        assert len(keep) > 20
        np.testing.assert_allclose(found.scores, scores[keep], rtol=1e-5)
        np.testing.assert_allclose(found.boxes, every[keep], atol=1e-3)
        assert found.classes.tolist() == [pairs[index][1] for index in keep]


def test_nothing_above_the_threshold_gives_empty_arrays() -> None:
    anchors = make_anchors((128, 128))
    (found,) = decode_detections(*outputs(anchors, 6), anchors)
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,) and found.classes.shape == (0,)


def test_only_the_best_candidates_and_detections_are_kept() -> None:
    anchors = make_anchors((128, 128), 0.1)  # anchors too small to overlap
    classes, boxes = outputs(anchors, 1)
    classes[0] += np.linspace(10, 30, classes[0].size, dtype=np.float32).reshape(classes[0].shape)
    (few,) = decode_detections(classes, boxes, anchors, max_candidates=7)
    (many,) = decode_detections(classes, boxes, anchors)
    assert len(few.scores) <= 7
    assert len(many.scores) == 100
    assert (np.diff(many.scores) <= 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_numbers_never_become_boxes(bad: float) -> None:
    anchors = make_anchors((128, 128))
    classes, boxes = outputs(anchors, 2)
    classes[0][0, 0, 0, 0], boxes[0][0, :4, 0, 0] = 5.0, bad
    classes[1][0, 0, 1, 1] = bad
    for found in decode_detections(classes, boxes, anchors):
        assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()


@pytest.mark.parametrize(("threshold", "count"), [(-1.0, 100), (0.0, 100), (1.0, 0)])
def test_extreme_score_thresholds_take_all_or_nothing(threshold: float, count: int) -> None:
    anchors = make_anchors((128, 128), 0.1)
    (found,) = decode_detections(*outputs(anchors, 1), anchors, score_threshold=threshold)
    assert len(found.scores) == count


def test_box_whose_sides_changed_places_drives_no_other_out() -> None:
    boxes = np.array([[50, 10, 40, 30], [10, 10, 30, 30], [11, 10, 30, 30]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert class_wise_nms(boxes, scores, np.zeros(3, np.int64), 0.5).tolist() == [0, 1]
