"""The tracker on scenes made of boxes: crossings, gaps, departures, crowds, weak boxes; and on real annotations."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.tasks.track import Track, Tracker, iou_matrix

Boxes = NDArray[np.float32]


def boxes(*centres: tuple[float, float], width: float = 40, height: float = 100) -> Boxes:
    return np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2] for x, y in centres], np.float32).reshape(-1, 4)


def step(tracker: Tracker, found: Boxes, time: float, scores: list[float] | None = None) -> dict[int, int]:
    """One frame. Returns the identity of each box, by its row; boxes without one are missing."""
    tracker.update(found, np.array(scores or [0.9] * len(found), np.float32), time)
    rows = {}
    for track in tracker.visible:
        rows[int(np.abs(found - track.box).sum(1).argmin())] = track.id
    return rows


def test_boxes_that_move_a_little_keep_their_identities_whatever_their_order() -> None:
    tracker = Tracker(0.3)
    first = step(tracker, boxes((100, 100), (300, 100)), 0.0)
    second = step(tracker, boxes((305, 102), (104, 101)), 0.04)
    assert first[0] == second[1] and first[1] == second[0]
    assert len(set(first.values())) == 2


def test_two_persons_who_cross_keep_their_identities_while_one_hides_the_other() -> None:
    tracker = Tracker(0.3)
    seen: list[dict[str, int]] = []
    for frame in range(60):
        left, right = (100 + 5 * frame, 100), (400 - 5 * frame, 104)
        hidden = abs(left[0] - right[0]) < 25
        rows = step(tracker, boxes(left) if hidden else boxes(left, right), frame / 25)
        seen.append({"left": rows[0]} | ({} if hidden else {"right": rows[1]}))
    assert {row["left"] for row in seen} == {seen[0]["left"]}
    assert {row["right"] for row in seen if "right" in row} == {seen[0]["right"]}


@pytest.mark.parametrize(("gap", "same"), [(0.2, True), (1.0, True), (2.5, True), (3.5, False)])
def test_a_person_who_is_lost_is_found_again_for_some_seconds(gap: float, same: bool) -> None:
    tracker = Tracker(0.3, patience=3.0)
    before = step(tracker, boxes((200, 100)), 0.0)
    time = 0.0
    while time < gap:
        time += 0.04
        assert step(tracker, boxes(), time) == {}
    after = step(tracker, boxes((215, 104)), time)
    assert (after[0] == before[0]) == same


def test_a_person_who_walks_behind_a_pillar_is_expected_on_its_other_side() -> None:
    tracker = Tracker(0.3)
    identities = set()
    for frame in range(50):
        x = 100 + 6 * frame
        found = boxes() if 15 <= frame < 30 else boxes((x, 100))
        identities |= set(step(tracker, found, frame / 25).values())
    assert len(identities) == 1


def test_the_speed_after_a_gap_is_that_of_the_straight_way() -> None:
    tracker = Tracker(0.3)
    for time in (0.0, 0.5):
        step(tracker, boxes((200, 100)), time)
    step(tracker, boxes(), 1.0)
    step(tracker, boxes((225, 100)), 1.5)
    (track,) = tracker.visible
    np.testing.assert_allclose(track.speed, (25, 0), atol=1e-4)


def test_another_person_elsewhere_or_of_another_size_does_not_inherit_the_identity() -> None:
    for other in (boxes((400, 100)), boxes((200, 100), width=80, height=200)):
        tracker = Tracker(0.3)
        first = step(tracker, boxes((200, 100)), 0.0)
        step(tracker, boxes(), 0.04)
        assert step(tracker, other, 0.08)[0] != first[0]


def test_a_weak_box_continues_a_track_but_begins_none() -> None:
    tracker = Tracker(0.5)
    assert step(tracker, boxes((100, 100)), 0.0, [0.4]) == {}
    first = step(tracker, boxes((100, 100)), 0.04, [0.6])
    assert step(tracker, boxes((103, 100)), 0.08, [0.3]) == first


def test_weak_boxes_alone_continue_a_track_for_half_a_second() -> None:
    tracker = Tracker(0.5)
    first = step(tracker, boxes((100, 100)), 0.0, [0.6])
    kept = [step(tracker, boxes((100, 100)), tick / 25, [0.3]) == first for tick in range(1, 25)]
    assert kept == [tick <= 12 for tick in range(1, 25)]


def test_a_crowd_beyond_the_bound_is_turned_away_and_the_best_stay() -> None:
    tracker = Tracker(0.3, most=3)
    crowd = boxes(*((60 * i + 50, 100) for i in range(6)))
    rows = step(tracker, crowd, 0.0, [0.4, 0.9, 0.5, 0.8, 0.7, 0.6])
    assert set(rows) == {1, 3, 4}
    assert step(tracker, crowd, 0.04, [0.4, 0.9, 0.99, 0.8, 0.7, 0.6]) == rows


def test_lost_tracks_make_room_for_new_persons() -> None:
    tracker = Tracker(0.3, most=2)
    step(tracker, boxes((100, 100), (300, 100)), 0.0)
    rows = step(tracker, boxes((300, 100), (500, 100)), 0.04)
    assert len(rows) == 2 and len(tracker.tracks) == 2
    assert rows[1] == 3


@pytest.mark.parametrize(("later", "moved"), [(0.0, 0), (0.5, 50), (1.0, 100), (2.5, 100)])
def test_a_lost_person_is_thought_to_walk_on_for_a_second_and_then_to_stand(later: float, moved: float) -> None:
    track = Track(1, boxes((200, 100))[0], 0.9, seen=4.0, speed=np.array([100.0, 0.0]))
    np.testing.assert_allclose(track.expected(4.0 + later), boxes((200 + moved, 100))[0], atol=1e-3)


def test_those_longest_unseen_make_room_first() -> None:
    tracker = Tracker(0.3, most=2)
    step(tracker, boxes((100, 100), (300, 100)), 0.0)
    last = step(tracker, boxes((300, 100)), 0.04)
    step(tracker, boxes(), 0.08)
    step(tracker, boxes((500, 100)), 0.12)
    assert step(tracker, boxes((300, 100), (500, 100)), 0.16)[0] == last[0]


def test_nothing_at_all_is_no_problem() -> None:
    tracker = Tracker(0.3)
    for time in (0.0, 0.04, 10.0):
        assert step(tracker, boxes(), time) == {}
    assert tracker.tracks == []


def test_overlaps_are_intersections_over_unions() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 9]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 3, 0, 0]], rtol=1e-6)
    assert iou_matrix(a[:0], b).shape == (0, 4)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "fps", "missed", "most_switches"),
    [
        ("pets09_s2l1/gt_mot_480x360.txt", 7, 0.0, 6),
        ("pets09_s2l1/gt_mot_480x360.txt", 7, 0.1, 15),
        ("towncentre_a/gt_mot_1920x1080.txt", 25, 0.1, 4),
    ],
)
def test_identities_last_on_annotated_streets(data: Path, file: str, fps: int, missed: float, most_switches: int) -> None:
    """True boxes with a pixel of jitter, without those that NMS would lose (two thirds covered), and without some at random."""
    random = np.random.default_rng(0)
    frames: dict[int, list[list[float]]] = defaultdict(list)
    for row in np.loadtxt(data / "sequences" / file, delimiter=",", usecols=range(6)):
        frames[int(row[0])].append(row[1:].tolist())
    tracker, last, switches = Tracker(0.3), {}, 0
    for number in sorted(frames):
        truth = np.array(frames[number])
        corners = np.concatenate([truth[:, 1:3], truth[:, 1:3] + truth[:, 3:5]], 1).astype(np.float32)
        nearer = corners[None, :, 3] > corners[:, None, 3]
        kept = ~((iou_matrix(corners, corners) > 0.65) & nearer).any(1) & (random.random(len(corners)) >= missed)
        found = corners[kept] + random.normal(0, 1, (int(kept.sum()), 4)).astype(np.float32)
        for row, identity in step(tracker, found, number / fps).items():
            person = truth[kept][row, 0]
            switches += last.get(person, identity) != identity
            last[person] = identity
    assert switches <= most_switches


@pytest.mark.parametrize("beside", [0, 10, 25])
def test_a_weak_box_beside_an_exit_does_not_bring_back_who_has_left(beside: int) -> None:
    tracker = Tracker(0.5)
    step(tracker, boxes((100, 100)), 0.0, [0.9])
    step(tracker, boxes(), 0.04)
    assert step(tracker, boxes((100 + beside, 100)), 0.08, [0.4]) == {}
    assert step(tracker, boxes((100 + beside, 100)), 0.12, [0.9]) == {0: 1}  # a strong one does


def test_a_weak_box_far_from_a_track_of_the_last_frame_does_not_continue_it() -> None:
    tracker = Tracker(0.5)
    step(tracker, boxes((100, 100)), 0.0, [0.9])
    assert step(tracker, boxes((128, 100)), 0.04, [0.4]) == {}


def test_a_strong_box_comes_before_a_weak_one_that_overlaps_more() -> None:
    tracker = Tracker(0.5)
    first = step(tracker, boxes((100, 100)), 0.0, [0.9])
    assert step(tracker, boxes((100, 100), (110, 100)), 0.04, [0.3, 0.8]) == {1: first[0]}


def test_boxes_beyond_the_bound_are_counted() -> None:
    tracker = Tracker(0.3, most=2)
    step(tracker, boxes(*((60 * i + 50, 100) for i in range(5))), 0.0)
    assert tracker.turned_away == 3
    step(tracker, boxes((50, 100)), 0.04)
    assert tracker.turned_away == 0
