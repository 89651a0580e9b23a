"""Counting on scenes made of boxes: directions, ends of lines, trembling, zones, categories."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.core.errors import UsageError
from skipvid.core.results import Detections
from skipvid.tasks.counting import Counts, read_count


def standing(*objects: tuple[int, float, float], label: str = "person") -> Detections:
    """(id, x, y): boxes of 20 x 50 pixels that stand at x, y."""
    feet = np.array([each[1:] for each in objects], np.float32).reshape(-1, 2)
    boxes = np.hstack([feet - (10, 50), feet + (10, 0)]).astype(np.float32)
    n = len(objects)
    ids = np.array([each[0] for each in objects], np.int64)
    return Detections(boxes, np.full(n, 0.9, np.float32), np.ones(n, np.int64), (label,) * n, ids)


def walked(text: str, *ways: list[tuple[float, float]], size: tuple[int, int] = (240, 320)) -> tuple[list[tuple[int, str, int]], Counts]:
    """(frame, kind, id) of the events while each object goes its way, and the counts after that."""
    counts = Counts((read_count(text),))
    counts.begin_anew(size)
    events = []
    for frame, places in enumerate(zip(*ways, strict=True)):
        new, _ = counts.update(standing(*((number, *place) for number, place in enumerate(places, start=1))), frame / 25)
        events += [(frame, event.kind, event.id) for event in new]
    return events, counts


def way(start: tuple[float, float], end: tuple[float, float], frames: int = 21) -> list[tuple[float, float]]:
    return [
        (start[0] + (end[0] - start[0]) * step / (frames - 1), start[1] + (end[1] - start[1]) * step / (frames - 1))
        for step in range(frames)
    ]


DOWN, UP = way((100, 60), (100, 160)), way((120, 160), (120, 60))


@pytest.mark.parametrize("line", ["50,110 200,110", "0.15625,0.4583 0.625,0.4583"])
def test_a_line_counts_by_direction_as_seen_from_its_first_point_to_its_second(line: str) -> None:
    events, counts = walked(f"street={line}", DOWN, UP)
    assert sorted((kind, identity) for _, kind, identity in events) == [("left", 2), ("right", 1)]
    assert counts.notes == ("count street: 1 right (person 1), 1 left (person 1)",)
    turned, _ = walked("200,110 50,110", DOWN, UP)
    assert sorted((kind, identity) for _, kind, identity in turned) == [("left", 1), ("right", 2)]


def test_who_goes_round_the_end_of_a_line_is_not_counted() -> None:
    assert walked("110,110 200,110", DOWN)[0] == []
    round_the_end = [*way((150, 60), (60, 60)), *way((60, 60), (60, 160)), *way((60, 160), (150, 160))]
    assert walked("110,110 200,110", round_the_end)[0] == []


def test_a_box_that_trembles_on_the_line_is_counted_once() -> None:
    trembling = [*way((100, 60), (100, 110)), *[(100, 110 + 4 * (-1) ** step) for step in range(50)], *way((100, 110), (100, 160))]
    assert [(kind, identity) for _, kind, identity in walked("50,110 200,110", trembling)[0]] == [("right", 1)]


def test_a_jump_over_the_line_between_two_detections_is_counted() -> None:
    assert len(walked("50,110 200,110", [(100.0, 60.0), (100.0, 160.0)])[0]) == 1


def test_a_zone_counts_who_enters_and_leaves_and_how_many_are_inside() -> None:
    text = "square=50,80 200,80 200,200 50,200"
    through, stays = way((100, 20), (100, 235), 41), way((150, 20), (150, 150), 41)
    events, counts = walked(text, through, stays)
    assert [(kind, identity) for _, kind, identity in sorted(events)] == [("enter", 1), ("enter", 2), ("leave", 1)]
    assert counts.notes == ("count square: 2 enter (person 2), 1 leave (person 1), at most 2 inside",)


def test_a_zone_holds_who_is_seen_in_it_from_the_start_and_forgets_who_vanishes() -> None:
    counts = Counts((read_count("square=50,80 200,80 200,200 50,200"),))
    counts.begin_anew((240, 320))
    states = [
        counts.update(standing(*objects), time)[1][0].inside for time, objects in enumerate([[(1, 100, 150), (2, 10, 10)], [(2, 10, 10)]])
    ]
    assert states == [1, 0] and counts.notes == ("count square: 0 enter, 0 leave, at most 1 inside",)


def test_totals_are_kept_by_category_and_go_on_after_a_change_of_size() -> None:
    counts = Counts((read_count("0.1,0.5 0.9,0.5"),))
    for size, label in (((240, 320), "car"), ((480, 640), "person")):
        counts.begin_anew(size)
        for time, y in enumerate((0.2, 0.8)):
            counts.update(standing((1, size[1] / 2, y * size[0]), label=label), time)
    assert counts.notes == ("count line: 2 right (car 1, person 1), 0 left",)


@pytest.mark.parametrize(
    ("text", "words"), [("5,5", "needs two points"), ("a=5,5 5,5", "all different"), ("=1,2 3,4", "no name"), ("a=x", "no list")]
)
def test_what_is_no_line_or_zone_is_answered_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_count(text)
