"""Who is looked at, and through whose session: the choice among many persons, and viewers that change hands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.crops import CropWindow
from skipvid.tasks.people import DetectedPeople, PoseOptions
from skipvid.tasks.track import Track
from skipvid.tasks.viewers import ViewerPool

FRAME, INPUT = (200, 800), (64, 48)


class Session:
    """In place of a session of the pose network."""

    memory_bytes = 10

    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


def boxes(*left: float) -> NDArray[np.float32]:
    """Persons of 40 x 100 pixels by their left edges."""
    return np.array([[x, 50, x + 40, 150] for x in left], np.float32)


def people(most: int) -> DetectedPeople:
    make: Any = Session
    return DetectedPeople(make, INPUT, PoseOptions(score_threshold=0.3, max_persons=most))


def seen(group: DetectedPeople, places: NDArray[np.float32], scores: list[float], time: float) -> list[float]:
    """The left edges of those who are looked at in a frame."""
    group.found(places, np.array(scores, np.float32), time)
    return [float(person.track.box[0]) for person in group.in_view(FRAME)]


def test_the_surest_persons_are_looked_at_first() -> None:
    assert seen(people(2), boxes(0, 200, 400), [0.5, 0.9, 0.7], 0.0) == [200, 400]


def test_whoever_is_looked_at_already_stays_so_though_others_grow_surer() -> None:
    group = people(2)
    places = boxes(0, 200, 400)
    first = seen(group, places, [0.5, 0.9, 0.7], 0.0)
    assert sorted(seen(group, places, [0.95, 0.4, 0.35], 0.1)) == sorted(first)
    assert group.problem == "more than 2 persons in 2 frames: up to 1 left out; raise --max-persons"


def test_lost_persons_do_not_keep_new_ones_out() -> None:
    """The tracker holds twice as many as are looked at: those who are out of sight for a moment, too."""
    group = people(2)
    seen(group, boxes(0, 200), [0.9, 0.8], 0.0)
    assert seen(group, boxes(400, 600), [0.9, 0.8], 0.1) == [400, 600]
    assert sorted(track.lost for track in group._tracker.tracks) == [False, False, True, True]
    assert group.problem is None


def test_a_viewer_that_changes_hands_forgets_window_keypoints_and_stream() -> None:
    make: Any = Session
    pool = ViewerPool(make, 2)
    tracks = [Track(number, boxes(0)[0], 0.9, 0.0) for number in range(3)]
    first = pool.take(tracks[0], tracks)
    first.look_at(CropWindow(0, 0, 48, 64, INPUT))
    first.keypoints = np.zeros((17, 3), np.float32)
    pool.take(tracks[1], tracks)
    resets = first.session.resets  # type: ignore[attr-defined]
    pool.keep(tracks[1:])  # the first one is gone
    assert (first.window, first.keypoints) == (None, None) and first.session.resets == resets + 1  # type: ignore[attr-defined]
    assert pool.take(tracks[2], tracks) is first and pool.memory_bytes == 20


def test_where_every_viewer_is_in_use_that_of_the_longest_lost_is_taken() -> None:
    make: Any = Session
    pool = ViewerPool(make, 3)
    tracks = [Track(number, boxes(0)[0], 0.9, seen) for number, seen in enumerate((5.0, 2.0, 1.0, 9.0))]
    viewers = [pool.take(track, tracks) for track in tracks[:3]]
    tracks[0].lost = tracks[1].lost = True  # the third is in view
    viewers[1].look_at(CropWindow(0, 0, 48, 64, INPUT))
    assert pool.take(tracks[3], tracks) is viewers[1] and viewers[1].window is None
    assert tracks[1] not in pool and tracks[0] in pool
