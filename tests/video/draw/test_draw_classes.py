from __future__ import annotations

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from skipvid.core.class_maps import ClassMap
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.draw import draw_planes, draw_result
from skipvid.video.draw.text import colour_of
from skipvid.video.planes import bgr_of_planes, planes_of_bgr

SIZE = (121, 161)
NAMES = ("background", "road", "person")


def grey() -> np.ndarray:
    return np.full((*SIZE, 3), 120, np.uint8)


def result(cells: list[list[int]], names: tuple[str, ...] = NAMES) -> FrameResult:
    grid = np.array(cells, np.uint16)
    rows, columns = ((np.arange(side) * grid.shape[axis] // side) for axis, side in enumerate(SIZE))
    found = ClassMap(grid, rows, columns, names)
    return FrameResult(Frame(grey(), 0, 0.0, "clip"), Detections.empty(), False, {}, class_map=found)


def test_pixels_of_a_class_get_its_colour_and_the_background_keeps_its_own() -> None:
    drawn = draw_result(result([[0, 1], [0, 2]]))
    assert (drawn[20:50, 20:60] == 120).all()
    for y, x, number in ((20, 120, 1), (100, 120, 2)):
        expected = 0.55 * 120 + 0.45 * np.array(colour_of(number))
        np.testing.assert_allclose(drawn[y, x], expected, atol=1)


@pytest.mark.parametrize("names", [NAMES, tuple(f"class {number}" for number in range(300))])
def test_planes_show_the_same_as_bgr(names: tuple[str, ...]) -> None:
    reformatter = VideoReformatter()
    given = result([[0, 1, 1], [0, 2, 0]], names)
    drawn = draw_planes(planes_of_bgr(grey(), "bt709", reformatter), given)
    shown, wanted = bgr_of_planes(drawn, reformatter).astype(int), draw_result(given).astype(int)
    # Outlines are in luma alone, and chroma has half the resolution.
    gaps = np.abs(shown - wanted).max(2)
    assert (gaps < 6).mean() > 0.75


def test_a_part_has_an_outline_and_the_frame_none() -> None:
    drawn = draw_result(result([[0, 1], [0, 1]])).astype(int)
    inside, edge = drawn[30, 120], drawn[30, 81]
    colour = np.array(colour_of(1))
    assert np.abs(edge - colour).sum() < np.abs(inside - colour).sum()
    assert (drawn[0, 120] == inside).all() and (drawn[30, -1] == inside).all()


def test_names_of_the_classes_that_are_there_stand_at_the_bottom_left() -> None:
    with_names = draw_result(result([[1, 1], [2, 2]]))
    plates = [(with_names[-40:, :30] == colour_of(number)).all(2).any() for number in (0, 1, 2)]
    assert plates == [False, True, True]
    assert not (draw_result(result([[1, 1], [1, 1]]))[-40:, :30] == colour_of(2)).all(2).any()


def test_nothing_but_background_is_the_picture_itself() -> None:
    assert (draw_result(result([[0]])) == 120).all()
