from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.draw import RecentActivity
from skipvid.video.draw.recent import HOLD, LIT


def result(activity: NDArray[np.float32] | None, keyframe: bool = False) -> FrameResult:
    return FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), 0, 0.0, "clip"), Detections.empty(), keyframe, {}, None, activity)


def grid(*lit: float) -> NDArray[np.float32]:
    return np.array([lit], np.float32)


def shown(recent: RecentActivity, activity: NDArray[np.float32] | None, keyframe: bool = False) -> list[float] | None:
    drawn = recent(result(activity, keyframe)).activity
    return None if drawn is None else drawn[0].tolist()


def test_a_cell_stays_lit_until_no_frame_has_lit_it_for_a_while() -> None:
    recent = RecentActivity()
    for again in (0.9, LIT):
        assert shown(recent, grid(0, again, 0)) == [0, 1, 0]
        assert [shown(recent, grid(0, 0, 0)) for _ in range(HOLD)] == [[0, 1, 0]] * (HOLD - 1) + [[0, 0, 0]]
    shown(recent, grid(1, 0, 0))
    for _ in range(3):
        assert [shown(recent, grid(0, 0, 0)) for _ in range(HOLD - 1)] == [[1, 0, 0]] * (HOLD - 1)
        assert shown(recent, grid(1, 0, 0)) == [1, 0, 0]


def test_small_changes_of_the_work_in_a_cell_do_not_show() -> None:
    recent, random = RecentActivity(), np.random.default_rng(0)
    seen = {tuple(shown(recent, grid(*(np.array([0.0, 0.2, 0.8]) + random.random(3) * 0.09))) or ()) for _ in range(50)}
    assert seen == {(0.0, 0.0, 1.0)}


def test_a_keyframe_is_shown_as_it_is_and_not_remembered() -> None:
    recent = RecentActivity()
    shown(recent, grid(0, 1))
    assert shown(recent, grid(0.5, 0.5), keyframe=True) == [0.5, 0.5]
    assert shown(recent, grid(1, 0)) == [1, 0]


def test_keyframes_that_follow_each_other_soon_leave_the_mask_as_it_is() -> None:
    recent = RecentActivity()
    assert shown(recent, grid(0.5, 0.5), keyframe=True) == [0.5, 0.5]
    shown(recent, grid(0, 1))
    for _ in range(3):
        assert shown(recent, grid(1, 1), keyframe=True) == [0, 1]
        assert shown(recent, grid(0, 0)) == [0, 1]
    for _ in range(HOLD):
        shown(recent, grid(0, 0))
    assert shown(recent, grid(1, 1), keyframe=True) == [1, 1]


def test_frames_without_a_mask_or_of_another_size_begin_anew() -> None:
    recent = RecentActivity()
    shown(recent, grid(1, 1))
    assert shown(recent, grid(0, 0, 0)) == [0, 0, 0]
    assert shown(recent, None) is None
    assert shown(recent, grid(0, 0, 0)) == [0, 0, 0]


def test_what_is_not_a_number_hides_nothing() -> None:
    recent = RecentActivity()
    shown(recent, grid(1, np.nan))
    assert shown(recent, grid(np.nan, 1)) == [1, 1]


def test_the_result_itself_is_left_alone() -> None:
    recent, later = RecentActivity(), result(grid(0, 0))
    shown(recent, grid(1, 1))
    assert recent(later).activity is not later.activity
    assert later.activity is not None and later.activity.max() == 0
