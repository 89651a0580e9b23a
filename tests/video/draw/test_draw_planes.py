"""Drawing on planes, against drawing on BGR."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from skipvid.core.planes import Matrix, Planes
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.draw import Status, draw_planes, draw_result
from skipvid.video.draw.canvas import rectangle
from skipvid.video.draw.tint import BLOCK, tint_activity, tint_planes
from skipvid.video.planes import bgr_of_planes, frame_of_planes, planes_of_bgr, views

STATUS = Status(1234.5, -0.02, "a_preset_with_a_long_name", 0.03)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(40, 216, (5, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def copied(of: Planes) -> Planes:
    return replace(of, **{name: plane.copy() for name, plane in zip(("luma", "blue", "red"), of.all(), strict=True)})


def planes(image: NDArray[np.uint8], matrix: Matrix = "bt709") -> Planes:
    return planes_of_bgr(image, matrix, VideoReformatter())


def bgr(drawn: Planes) -> NDArray[np.uint8]:
    return bgr_of_planes(drawn, VideoReformatter())


def result(image: NDArray[np.uint8], grid: tuple[int, int] = (12, 20), boxes: list[list[float]] | None = None) -> FrameResult:
    height, width = image.shape[:2]
    boxes = boxes or [[0.1 * width, 0.2 * height, 0.4 * width, 0.9 * height], [0.5 * width, 0.4 * height, 0.7 * width, 0.8 * height]]
    random = np.random.default_rng(1)
    joints = random.uniform(0.1, 0.9, (len(boxes), 17, 3)).astype(np.float32) * np.array([width, height, 1], np.float32)
    scores = np.linspace(0.9, 0.4, len(boxes), dtype=np.float32)
    found = Detections(
        np.array(boxes, np.float32), scores, np.arange(1, len(boxes) + 1), ("thing",) * len(boxes), np.arange(len(boxes)), joints
    )
    return FrameResult(Frame(image, 0, 0.0, "clip"), found, True, {}, None, random.random(grid).astype(np.float32))


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("size", [(360, 640), (361, 641), (1080, 1920)])
def test_a_frame_looks_as_if_it_were_drawn_in_bgr(size: tuple[int, int], matrix: Matrix) -> None:
    image = picture(*size)
    of = result(image)
    expected = bgr(planes(draw_result(of, status=STATUS), matrix)).astype(int)
    got = bgr(draw_planes(planes(image, matrix), of, status=STATUS))
    difference = np.abs(got - expected)
    # Of thin coloured lines chroma may lie half a sample aside.
    assert difference.mean() < 3 and np.quantile(difference.max(2), 0.9) <= 12


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_the_tint_is_that_of_the_definition(matrix: Matrix) -> None:
    image = picture(96, 160)
    share = 0.3**0.6
    red, blue = (0.299, 0.114) if matrix == "bt601" else (0.2126, 0.0722)
    luma = image.astype(np.float64) @ np.array([blue, 1 - red - blue, red])
    expected = (1 - share) * (0.12 * image + 0.50 * luma[..., None]) + share * (0.84 * image + 0.16 * np.array([30.0, 160.0, 255.0]))
    got = bgr(tint_planes(planes(image, matrix), np.full((3, 5), 0.3, np.float32)))
    assert np.abs(got - expected).mean() < 1.5 and np.abs(got - expected).max() <= 6


def test_cells_are_tinted_where_they_lie() -> None:
    image = np.full((97, 131, 3), 120, np.uint8)
    activity = np.zeros((5, 7), np.float32)
    still = tint_planes(planes(image), activity)
    activity[3, 2] = 0.4  # under one half: no outline
    lit = tint_planes(planes(image), activity)
    for plane, before, scale in zip(lit.all(), still.all(), (1, 2, 2), strict=True):
        rows, columns = np.nonzero(plane != before)
        found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        expected = (3 * 97 / 5, 4 * 97 / 5, 2 * 131 / 7, 3 * 131 / 7)
        assert all(abs(a - b / scale) <= BLOCK / 2 / scale for a, b in zip(found, expected, strict=True))
        assert all(edge % (BLOCK // scale) == 0 for edge in found)


def test_outlines_run_where_they_run_in_bgr() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    activity = np.zeros((6, 8), np.float32)
    activity[2:4, 1:5] = 0.5
    flat = bgr(planes(tint_activity(image, activity))).max(2) > 130
    got = bgr(tint_planes(planes(image), activity)).max(2) > 130
    assert flat.any() and np.array_equal(got, flat)


@pytest.mark.parametrize("line", [1, 2, 3, 5])
@pytest.mark.parametrize("corners", [(20, 30, 91, 77), (21, 31, 90, 76), (-4, -3, 40, 200), (3, 3, 3, 3)])
def test_boxes_have_their_colour_all_round(corners: tuple[int, int, int, int], line: int) -> None:
    drawn = planes(np.full((121, 161, 3), 128, np.uint8))
    before = copied(drawn)
    rectangle(drawn, corners, (0, 0, 255), line)
    lines = drawn.luma != before.luma
    coloured = drawn.red != before.red
    assert lines.any() or line == 1
    # Every pixel of the line has the colour's chroma, and nothing else but its neighbours in the same sample.
    held = lines.reshape(61, 2, 81, 2).any((1, 3))
    thick = cv2.dilate(held.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert not (coloured & ~thick).any()
    assert (held & ~coloured).sum() <= 4  # OpenCV rounds the corners of thick lines


@pytest.mark.parametrize("overlay", ["mask", "none"])
def test_drawing_never_touches_the_picture_itself(overlay: str) -> None:
    image = picture(241, 321)
    source = planes(image)
    before = copied(source)
    drawn = draw_planes(source, result(image), overlay=overlay, status=STATUS)  # type: ignore[arg-type]
    for plane, kept, other in zip(source.all(), before.all(), drawn.all(), strict=True):
        assert np.array_equal(plane, kept) and not np.shares_memory(plane, other)


@pytest.mark.parametrize("overlay", ["mask", "none"])
def test_what_is_drawn_goes_to_the_encoder_without_a_copy(overlay: str) -> None:
    image = picture(241, 321)
    drawn = draw_planes(planes(image), result(image), overlay=overlay, status=STATUS)  # type: ignore[arg-type]
    for own, given in zip(drawn.all(), views(frame_of_planes(drawn)), strict=True):
        assert np.shares_memory(own, given) and np.array_equal(own, given)


def test_without_anything_to_draw_the_planes_are_equal() -> None:
    image = picture(90, 160)
    plain = FrameResult(Frame(image, 0, 0.0, "clip"), Detections.empty(), False, {})
    source = planes(image)
    assert all(np.array_equal(a, b) for a, b in zip(draw_planes(source, plain).all(), source.all(), strict=True))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (17, 23), (120, 160), (161, 121)])
@pytest.mark.parametrize("grid", [(1, 1), (23, 40)])
def test_every_size_of_frame_and_grid_can_be_drawn(size: tuple[int, int], grid: tuple[int, int]) -> None:
    image = picture(*size)
    boxes = [[0, 0, size[1], size[0]], [-50, -50, 5, 5], [size[1] - 3, size[0] - 3, size[1] + 90, size[0] + 90], [4, 4, 4, 4]]
    drawn = draw_planes(planes(image), result(image, grid, [list(map(float, box)) for box in boxes]), status=STATUS)
    assert drawn.shape == image.shape


def test_boxes_and_joints_that_are_not_finite_do_no_harm() -> None:
    image = picture(90, 160)
    boxes = np.array([[np.nan, 0, 20, np.inf], [-np.inf, 1e30, 30, 40]], np.float32)
    found = Detections(boxes, np.ones(2, np.float32), np.arange(2), ("a", "b"), keypoints=np.full((2, 17, 3), np.nan, np.float32))
    assert draw_planes(planes(image), FrameResult(Frame(image, 0, 0.0, "clip"), found, False, {})).shape == (90, 160, 3)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0), (70, 185, 255)])
def test_levels_are_those_of_the_converted_colour(colour: tuple[int, int, int], matrix: Matrix) -> None:
    flat = planes(np.full((16, 16, 3), colour, np.uint8), matrix)
    assert np.abs(np.array(flat.levels(colour)) - [plane[4, 4] for plane in flat.all()]).max() <= 1


def test_planes_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="7x5"):
        Planes(np.zeros((5, 7), np.uint8), np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8), "bt709", 5, 7)
