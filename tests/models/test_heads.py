"""Heads of network files: recognised from names and shapes, read as their families define them, and asked for where two fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from skipvid.core.errors import PresetError, UsageError
from skipvid.core.network_outputs import NetworkFacts, NetworkOutput
from skipvid.models.detections import RawDetections
from skipvid.models.heads.registry import HEADS, recognise

SIZE = (96, 160)
CELLS = 12 * 20 + 6 * 10 + 3 * 5
WIDE = CELLS + 2 * 3
"""With a level of stride 64."""


def facts(*shapes: tuple[int, ...], names: Sequence[str] = (), classes: int | None = None, **metadata: str) -> NetworkFacts:
    titles = names or [f"output{number}" for number in range(len(shapes))]
    return NetworkFacts(tuple(NetworkOutput(*each) for each in zip(titles, shapes, strict=True)), SIZE, classes, metadata)


def rows_of_maps(channels: int, count: int = 3) -> NetworkOutput:
    """(1, N, channels) that is nothing but maps."""
    sides = ((12, 20), (6, 10), (3, 5), (2, 3))[:count]
    maps = tuple((f"map{number}", (1, channels, *size)) for number, size in enumerate(sides))
    return NetworkOutput("output", (1, sum(h * w for h, w in sides), channels), maps)


NANODET = [(1, n, c) for c in (80, 32) for n in (240, 60, 15)]
PICODET = [(1, n, c) for c in (7, 32) for n in (240, 60, 15, 6)]
EFFICIENTDET = [(1, 9 * c, -(-96 // 2**level), -(-160 // 2**level)) for c in (90, 4) for level in range(3, 8)]
RECOGNISED: list[tuple[str, str, NetworkFacts, int]] = [
    ("yolox", "detect", NetworkFacts((rows_of_maps(85),), SIZE), 80),
    ("yolox-decoded", "detect", facts((1, CELLS, 85)), 80),
    ("yolov8", "detect", facts((1, 84, CELLS)), 80),
    ("yolov8", "detect", facts((1, 84 + 32, CELLS), (1, 32, 24, 40)), 80),
    ("yolov5", "detect", facts((1, 3 * CELLS, 85)), 80),
    ("yolov5", "detect", facts((1, 3 * CELLS, 85), (1, 3, 12, 20, 85), (1, 3, 6, 10, 85), (1, 3, 3, 5, 85)), 80),
    ("end2end", "detect", facts((1, 300, 6), classes=80), 0 + 80),
    ("rtdetr", "detect", facts((1, 300, 84)), 80),
    ("detr", "detect", facts((1, 300, 80), (1, 300, 4)), 80),
    ("detr", "detect", facts((1, 300, 4), (1, 300, 4), names=("pred_logits", "pred_boxes")), 4),
    ("nanodet", "detect", facts(*NANODET), 80),
    ("nanodet", "detect", facts(*NANODET[3:], *NANODET[:3]), 80),
    ("nanodet-plus", "detect", facts((1, WIDE, 112)), 80),
    ("picodet", "detect", facts(*PICODET), 7),
    ("picodet-decoded", "detect", facts((1, WIDE, 4), (1, 1, WIDE)), 1),
    ("ssd", "detect", facts((1, 3000, 21), (1, 3000, 4)), 20),
    ("ssd", "detect", facts((1, 3000, 4), (1, 3000, 4), names=("scores", "boxes")), 3),
    ("yolov8-pose", "pose", facts((1, 56, CELLS)), 17),
    ("yolov8-pose", "pose", facts((1, 5 + 3 * 21, CELLS), kpt_shape="[21, 3]", task="pose"), 21),
    ("yolov8-pose", "pose", facts((1, 5 + 2 * 4, CELLS), classes=4), 4),
    ("end2end-pose", "pose", facts((1, 300, 57)), 17),
    ("heatmaps", "pose", facts((1, 17, 24, 40)), 17),
    ("simcc", "pose", facts((1, 17, 320), (1, 17, 192)), 17),
]


@pytest.mark.parametrize(("name", "task", "known", "classes"), RECOGNISED, ids=[f"{case[0]}-{i}" for i, case in enumerate(RECOGNISED)])
def test_head_is_recognised(name: str, task: str, known: NetworkFacts, classes: int) -> None:
    kind, fit = recognise(known, "net.onnx", task)
    assert (kind.name, fit.classes) == (name, classes)
    assert recognise(known, "net.onnx", task, name)[0] is kind


@pytest.mark.parametrize(
    ("known", "candidates"),
    [
        (facts((1, 300, 6)), ("end2end (0 classes)", "rtdetr (2 classes)")),
        (facts(*EFFICIENTDET), ("efficientdet (90 classes)", "efficientdet-lite (90 classes)")),
        (facts((1, 4, 300), (1, 300, 4)), ()),
    ],
)
def test_ambiguity_is_a_question_that_names_the_candidates(known: NetworkFacts, candidates: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        recognise(known, "net.onnx", "detect")
    text = str(caught.value)
    assert "\n" not in text and all(candidate in text for candidate in candidates)
    assert ("say which: --head NAME" if candidates else "no head for 'detect' is known") in text


def test_head_that_is_said_must_fit() -> None:
    with pytest.raises(UsageError, match=r"the head yolov8 does not fit its outputs output0 1x315x85; it reads \(1, 4 \+ classes, N\)"):
        recognise(facts((1, CELLS, 85)), "net.onnx", "detect", "yolov8")
    with pytest.raises(UsageError, match="the head heatmaps is for the task 'pose', not 'detect'"):
        recognise(facts((1, 17, 24, 40)), "net.onnx", "detect", "heatmaps")
    with pytest.raises(PresetError, match="unknown head 'yolov9'; did you mean yolov"):
        recognise(facts((1, 17, 24, 40)), "net.onnx", "detect", "yolov9")


def test_labels_decide_what_shapes_leave_open_and_must_fit() -> None:
    assert recognise(facts((1, 300, 6), classes=7), "net.onnx", "detect")[0].name == "end2end"
    with pytest.raises(UsageError, match="1x84x315 with 3 labels"):
        recognise(facts((1, 84, CELLS), classes=3), "net.onnx", "detect")


def test_pose_networks_of_ultralytics_are_not_taken_for_detectors() -> None:
    with pytest.raises(UsageError, match="no head for 'detect' is known"):
        recognise(facts((1, 56, CELLS), task="pose"), "net.onnx", "detect")


def read(name: str, known: NetworkFacts, maps: Sequence[torch.Tensor], threshold: float = 0.3) -> RawDetections:
    head = HEADS[name].fit(known).make(SIZE)  # type: ignore[union-attr]
    return head.choose([head.find(level, [maps[n].numpy() for n in numbers], threshold) for level, numbers in enumerate(head.levels)])  # type: ignore[no-any-return]


def check(found: RawDetections, boxes: list[list[float]], scores: list[float], classes: list[int]) -> None:
    np.testing.assert_allclose(found.boxes, np.array(boxes, np.float32).reshape(-1, 4), atol=1e-3)
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    assert found.classes.tolist() == classes


def test_yolox_adds_cells_to_its_boxes_whether_its_maps_are_read_or_its_rows() -> None:
    rows = torch.zeros(1, CELLS, 8)
    cell = 240 + 2 * 10 + 3  # row 2, column 3 of stride 16
    rows[0, cell] = torch.tensor([0.5, 0.25, np.log(2.0), np.log(3.0), 0.9, 0.1, 0.8, 0.2])
    box = [(3.5 - 1) * 16, (2.25 - 1.5) * 16, (3.5 + 1) * 16, (2.25 + 1.5) * 16]
    output = rows_of_maps(8)
    levels = zip(rows.split([240, 60, 15], 1), ((12, 20), (6, 10), (3, 5)), strict=True)
    split = [part.reshape(1, h, w, 8).permute(0, 3, 1, 2) for part, (h, w) in levels]
    check(read("yolox", NetworkFacts((output,), SIZE), split), [box], [0.72], [1])
    decoded = rows.clone()
    decoded[0, cell, :4] = torch.tensor([3.5 * 16, 2.25 * 16, 2 * 16, 3 * 16])
    check(read("yolox-decoded", facts((1, CELLS, 8)), [decoded]), [box], [0.72], [1])


def test_yolov8_takes_the_likeliest_class_of_a_row() -> None:
    output = torch.zeros(1, 6, CELLS)
    output[0, :, 7] = torch.tensor([50.0, 40.0, 20.0, 10.0, 0.4, 0.6])
    check(read("yolov8", facts((1, 6, CELLS)), [output]), [[40, 35, 60, 45]], [0.6], [1])
    masks = torch.cat([output, torch.full((1, 32, CELLS), 9.0)], 1)
    check(read("yolov8", facts((1, 38, CELLS), (1, 32, 24, 40)), [masks]), [[40, 35, 60, 45]], [0.6], [1])


def test_yolov5_multiplies_classes_by_the_objectness() -> None:
    output = torch.zeros(1, 3 * CELLS, 7)
    output[0, 500] = torch.tensor([50.0, 40.0, 20.0, 10.0, 0.5, 0.9, 0.1])
    output[0, 501] = torch.tensor([90.0, 40.0, 20.0, 10.0, 0.5, 0.5, 0.1])
    check(read("yolov5", facts((1, 3 * CELLS, 7)), [output]), [[40, 35, 60, 45]], [0.45], [0])


def test_chosen_boxes_are_not_suppressed_again_and_unknown_classes_go() -> None:
    output = torch.zeros(1, 300, 6)
    output[0, 0] = torch.tensor([10.0, 10, 50, 50, 0.9, 2])
    output[0, 1] = torch.tensor([10.0, 10, 50, 49, 0.8, 2])
    output[0, 2] = torch.tensor([10.0, 10, 50, 49, 0.8, 3])
    check(read("end2end", facts((1, 300, 6), classes=3), [output]), [[10, 10, 50, 50], [10, 10, 50, 49]], [0.9, 0.8], [2, 2])


def test_queries_have_boxes_as_fractions_of_the_picture() -> None:
    boxes, logits = torch.zeros(1, 300, 4), torch.full((1, 300, 3), -9.0)
    boxes[0, 4] = torch.tensor([0.5, 0.5, 0.25, 0.5])
    logits[0, 4, 2] = 2.0
    box, score = [60.0, 24.0, 100.0, 72.0], float(torch.tensor(2.0).sigmoid())
    check(read("detr", facts((1, 300, 3), (1, 300, 4)), [boxes, logits]), [box], [score], [2])
    check(read("rtdetr", facts((1, 300, 7)), [torch.cat([boxes, logits.sigmoid()], 2)]), [box], [score], [2])


@pytest.mark.parametrize("name", ["nanodet", "picodet", "nanodet-plus"])
def test_distributions_are_distances_from_the_cell(name: str) -> None:
    levels = [240, 60, 15] if name == "nanodet" else [240, 60, 15, 6]
    scores, sides = [torch.zeros(1, n, 2) for n in levels], [torch.zeros(1, n, 32) for n in levels]
    cell = 2 * 10 + 3
    scores[1][0, cell, 1] = 0.7
    for side, distance in enumerate((1, 2, 3, 4)):
        sides[1][0, cell, side * 8 + distance] = 50.0
    centre = 0.0 if name == "nanodet-plus" else 0.5
    x, y = 3 + centre, 2 + centre
    box = [max(x - 1, 0) * 16, max(y - 2, 0) * 16, (x + 3) * 16, min((y + 4) * 16, 96)]
    if name == "nanodet-plus":
        joined = torch.cat([torch.cat(scores, 1), torch.cat(sides, 1)], 2)
        check(read(name, facts(tuple(joined.shape)), [joined]), [box], [0.7], [1])
    else:
        known = facts(*(tuple(each.shape) for each in (*scores, *sides)))
        check(read(name, known, [*scores, *sides]), [box], [0.7], [1])


def test_nothing_above_the_threshold_is_nothing_found() -> None:
    for name, task, known, _ in RECOGNISED:
        if task == "detect":
            fit = HEADS[name].fit(known)
            assert fit is not None
            shapes = {output.name: output.shape for output in known.outputs}
            shapes.update(each for output in known.outputs for each in output.maps)
            assert not len(read(name, known, [torch.full(shapes[each], -9.0) for each in fit.outputs]).boxes)


def pose_rows(joints: int, numbers: int) -> torch.Tensor:
    output = torch.zeros(1, 5 + joints * numbers, CELLS)
    output[0, :5, 7] = torch.tensor([50.0, 40.0, 20.0, 10.0, 0.6])
    output[0, 5:, 7] = torch.arange(joints * numbers) / 10
    output[0, :5, 9] = torch.tensor([51.0, 40.0, 20.0, 10.0, 0.5])  # goes, and its joints with it
    output[0, :5, 11] = torch.tensor([20.0, 20.0, 10.0, 10.0, 0.9])
    return output


@pytest.mark.parametrize(("joints", "numbers"), [(17, 3), (4, 2)])
def test_people_have_the_joints_of_their_row(joints: int, numbers: int) -> None:
    known = facts((1, 5 + joints * numbers, CELLS), classes=joints)
    found = read("yolov8-pose", known, [pose_rows(joints, numbers)])
    check(found, [[15, 15, 25, 25], [40, 35, 60, 45]], [0.9, 0.6], [0, 0])
    assert found.keypoints is not None and found.keypoints.shape == (2, joints, 3)
    given = (np.arange(joints * numbers) / 10).reshape(joints, numbers)
    np.testing.assert_allclose(found.keypoints[1, :, :2], given[:, :2], atol=1e-5)
    np.testing.assert_allclose(found.keypoints[1, :, 2], given[:, 2] if numbers == 3 else 0.6, atol=1e-5)
    assert not found.keypoints[0, :, :2].any()


def test_chosen_people_are_not_suppressed_again() -> None:
    output = torch.zeros(1, 300, 57)
    output[0, 0, :6], output[0, 0, 6:9] = torch.tensor([10.0, 10, 50, 50, 0.9, 0]), torch.tensor([12.0, 13, 0.8])
    output[0, 1, :6] = torch.tensor([10.0, 10, 50, 49, 0.8, 0])
    found = read("end2end-pose", facts((1, 300, 57)), [output])
    check(found, [[10, 10, 50, 50], [10, 10, 50, 49]], [0.9, 0.8], [0, 0])
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[0, 0], [12, 13, 0.8])


def test_ssd_has_fractions_and_leaves_the_background_out() -> None:
    boxes, chances = torch.zeros(1, 3000, 4), torch.zeros(1, 3000, 4)
    boxes[0, 4], chances[0, 4] = torch.tensor([0.25, 0.5, 0.5, 1.0]), torch.tensor([0.1, 0.0, 0.7, 0.4])
    boxes[0, 5], chances[0, 5] = boxes[0, 4], torch.tensor([0.4, 0.0, 0.6, 0.0])
    chances[0, 9, 0] = 1
    known = facts((1, 3000, 4), (1, 3000, 4), names=("scores", "boxes"))
    box = [40.0, 48.0, 80.0, 96.0]
    check(read("ssd", known, [boxes, chances]), [box, box], [0.7, 0.4], [1, 2])


def test_what_the_file_says_of_its_task_tells_poses_from_detectors() -> None:
    shape = (1, 56, CELLS)
    assert recognise(facts(shape, task="pose", kpt_shape="[17, 3]"), "net.onnx", None)[0].name == "yolov8-pose"
    assert recognise(facts(shape, task="detect"), "net.onnx", None)[0].name == "yolov8"
    with pytest.raises(UsageError, match=r"may be those of yolov8 \(52 classes\) or yolov8-pose \(17 joints\)"):
        recognise(facts(shape), "net.onnx", None)


def test_simcc_reads_the_highest_bins() -> None:
    fit = HEADS["simcc"].fit(facts((1, 2, 320), (1, 2, 192)))
    assert fit is not None
    x, y = torch.zeros(1, 2, 320), torch.zeros(1, 2, 192)
    x[0, 0, 31], y[0, 0, 50], x[0, 1, 7], y[0, 1, 8] = 0.9, 0.6, 0.2, 0.4
    np.testing.assert_allclose(fit.make(("a", "b")).keypoints((x.numpy(), y.numpy())), [[15.5, 25, 0.6], [3.5, 4, 0.2]], atol=1e-5)
