import cv2
import numpy as np
import pytest

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.draw import Status, draw_result
from skipvid.video.draw.tint import tint_activity


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)


def detections(boxes: list[list[float]], **fields: object) -> Detections:
    k = len(boxes)
    scores = np.linspace(0.9, 0.4, k, dtype=np.float32)
    return Detections(np.array(boxes, np.float32).reshape(k, 4), scores, np.arange(1, k + 1), ("thing",) * k, **fields)


def result(image: np.ndarray, found: Detections | None = None, activity: np.ndarray | None = None, keyframe: bool = False) -> FrameResult:
    return FrameResult(Frame(image, 0, 0.0, "clip"), found or Detections.empty(), keyframe, {}, None, activity)


def saturation(image: np.ndarray) -> float:
    return float(np.ptp(image.astype(np.float64), axis=2).mean())


def test_a_frame_without_anything_to_draw_is_returned_as_an_equal_copy() -> None:
    image = picture(90, 160)
    drawn = draw_result(result(image))
    assert np.array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


def test_drawing_never_touches_the_frame_itself() -> None:
    image = picture(240, 320)
    before = image.copy()
    found = detections([[20, 40, 120, 200]], ids=np.array([4]))
    draw_result(result(image, found, np.eye(6, 8, dtype=np.float32), True), status=Status(25.0, 0.5, "d0", 0.03))
    assert np.array_equal(image, before)


def test_overlay_none_leaves_the_activity_away() -> None:
    image = picture(90, 160)
    assert np.array_equal(draw_result(result(image, activity=np.eye(4, 4, dtype=np.float32)), overlay="none"), image)


def test_reused_cells_turn_grey_and_dark_and_computed_cells_keep_their_colours() -> None:
    image = np.full((80, 80, 3), (40, 90, 200), np.uint8)
    activity = np.zeros((2, 2), np.float32)
    activity[1, 1] = 1.0
    drawn = tint_activity(image, activity)
    # two pixels off the border of the cells, where the outline runs
    reused, computed = drawn[:36, :36], drawn[44:, 44:]
    assert reused.mean() < 0.75 * image.mean() < computed.mean()
    assert saturation(reused) < 0.25 * saturation(image) < saturation(computed)


def test_the_tint_grows_with_activity() -> None:
    image = np.full((40, 90, 3), 120, np.uint8)
    drawn = tint_activity(image, np.linspace(0.0, 1.0, 9, dtype=np.float32)[None])
    warmth = drawn[20, 5::10, 2].astype(int) - drawn[20, 5::10, 0].astype(int)
    assert (np.diff(warmth) > 0).all()


def test_a_cell_is_tinted_where_it_lies_and_nowhere_else() -> None:
    image = picture(97, 131)
    quiet = np.zeros((5, 7), np.float32)
    active = quiet.copy()
    active[3, 2] = 0.4  # under one half: no outline
    changed = (tint_activity(image, quiet) != tint_activity(image, active)).any(axis=2)
    rows, columns = np.nonzero(changed)
    found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert found == (56, 80, 40, 56)  # the nearest blocks of the encoder to 58.2, 77.6, 37.4 and 56.1


def test_the_outline_runs_along_the_border_of_the_active_region_only() -> None:
    image = np.zeros((144, 144, 3), np.uint8)
    activity = np.zeros((6, 6), np.float32)
    activity[2:4, 1:5] = 0.5
    lit = tint_activity(image, activity).max(axis=2) > 150
    inside = np.zeros((144, 144), bool)
    inside[48:96, 24:120] = True
    border = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert lit.any() and not (lit & ~border).any()
    assert lit[48, 24:120].all() and lit[96, 24:120].all() and lit[48:96, 24].all() and lit[48:96, 120].all()


@pytest.mark.parametrize(("holes", "outlined"), [(8, False), (10, False), (12, True), (16, True)])
def test_holes_in_a_frame_that_was_computed_nearly_everywhere_have_no_outline(holes: int, outlined: bool) -> None:
    """Of 36 cells. A camera that moves would have them all over the picture."""
    image, activity = np.zeros((144, 144, 3), np.uint8), np.ones(36, np.float32)
    activity[1 : 2 * holes : 2] = 0.0
    lit = tint_activity(image, activity.reshape(6, 6)).max(axis=2) > 150
    assert lit.any() == outlined


def test_a_frame_computed_everywhere_has_no_outline() -> None:
    image = np.full((60, 60, 3), 100, np.uint8)
    drawn = tint_activity(image, np.ones((4, 4), np.float32))
    assert (drawn == drawn[0, 0]).all()


def test_the_frame_with_the_tint_stays_close_to_the_definition_per_pixel() -> None:
    image = picture(64, 96)
    share = 0.3**0.6
    luma = image.astype(np.float64) @ np.array([0.114, 0.587, 0.299])
    reused = 0.12 * image + 0.50 * luma[..., None]
    computed = 0.84 * image + 0.16 * np.array([30.0, 160.0, 255.0])
    expected = (1 - share) * reused + share * computed
    assert np.abs(tint_activity(image, np.full((3, 3), 0.3, np.float32)) - expected).max() <= 3.0


def test_activity_out_of_range_or_not_a_number_is_drawn_as_its_nearest_value() -> None:
    image = picture(40, 40)
    strange = np.array([[np.nan, -1.0], [2.0, 1.0]], np.float32)
    plain = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    assert np.array_equal(tint_activity(image, strange), tint_activity(image, plain))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (17, 23), (120, 160), (160, 120), (1080, 1920)])
@pytest.mark.parametrize("grid", [(1, 1), (23, 40)])
def test_every_size_of_frame_and_grid_can_be_drawn(size: tuple[int, int], grid: tuple[int, int]) -> None:
    image = picture(*size)
    boxes = [[0, 0, size[1], size[0]], [-50, -50, 5, 5], [size[1] - 3, size[0] - 3, size[1] + 90, size[0] + 90], [4, 4, 4, 4]]
    joints = np.random.default_rng(0).uniform(-20, 2 * max(size), (4, 17, 3)).astype(np.float32)
    found = detections(boxes, ids=np.arange(4), keypoints=joints)
    activity = np.random.default_rng(1).random(grid).astype(np.float32)
    drawn = draw_result(result(image, found, activity, True), status=Status(1234.5, -0.02, "a_preset_with_a_long_name", 0.03))
    assert drawn.shape == image.shape and drawn.dtype == np.uint8


def test_boxes_and_joints_that_are_not_finite_do_no_harm() -> None:
    joints = np.full((2, 17, 3), np.nan, np.float32)
    found = detections([[np.nan, 0, 20, np.inf], [-np.inf, 1e30, 30, 40]], keypoints=joints)
    assert draw_result(result(picture(90, 160), found)).shape == (90, 160, 3)
