"""Lines and zones on the picture, with their totals."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from skipvid.core.results import Count
from skipvid.video.draw.counts import draw_counts
from skipvid.video.planes import bgr_of_planes, planes_of_bgr

ZONE = Count("square", np.array([[40, 60], [280, 60], [280, 200], [40, 200]], np.int32), {"enter": 3, "leave": 1}, 2)
LINE = Count("door", np.array([[100, 100], [220, 180]], np.int32), {"right": 12, "left": 9})


def drawn(*counts: Count) -> np.ndarray:
    image = np.full((240, 320, 3), 90, np.uint8)
    draw_counts(image, counts)
    return (image != 90).any(2)


def test_a_zone_is_closed_and_a_line_is_not() -> None:
    zone, line = drawn(ZONE), drawn(LINE)
    assert zone[60, 200:270].all() and zone[200, 60:270].all() and zone[100:190, 40].all() and zone[100:190, 280].all()
    assert line[140, 160] and line[178, 217] and not line[178, 100] and not zone[130, 160]


@pytest.mark.parametrize("count", [ZONE, LINE])
def test_the_plate_with_the_totals_stays_in_the_picture(count: Count) -> None:
    for image in (np.full((240, 320, 3), 90, np.uint8), np.full((60, 90, 3), 90, np.uint8)):
        moved = Count(count.name, count.points + np.array([300, 220], np.int32), count.totals, count.inside)
        for each in (count, moved):
            left, top, right, bottom = draw_counts(image, [each])[0]
            assert 0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]


def test_planes_show_the_same() -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    planes = planes_of_bgr(image, "bt709", VideoReformatter())
    draw_counts(image, [ZONE, LINE])
    draw_counts(planes, [ZONE, LINE])
    apart = np.abs(bgr_of_planes(planes, VideoReformatter()).astype(int) - image).max(2)
    assert (apart > 60).mean() < 0.01
