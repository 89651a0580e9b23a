"""Identities of detections: by category, between runs of the detector, in streams of the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from moving_square import frames

from skipvid.core.results import Detections
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.identities import FollowOptions, Identities

NAMES = {1: "person", 3: "car"}


def found(*objects: tuple[int, float, float, float]) -> Detections:
    """(category, x, y, score) of boxes of 40 x 80 pixels about x, y."""
    categories = np.array([each[0] for each in objects], np.int64)
    centres = np.array([each[1:3] for each in objects], np.float32).reshape(-1, 2)
    boxes = np.hstack([centres - (20, 40), centres + (20, 40)]).astype(np.float32)
    return Detections(boxes, np.array([each[3] for each in objects], np.float32), categories, tuple(NAMES[int(c)] for c in categories))


def by_label(detections: Detections) -> dict[str, int]:
    assert detections.ids is not None
    return dict(zip(detections.labels, detections.ids.tolist(), strict=True))


def test_objects_of_different_categories_never_share_an_identity() -> None:
    """A person gets out where a car stood: the same place, another object."""
    identities = Identities(0.3, NAMES)
    first = by_label(identities.found(found((1, 100, 100, 0.9), (3, 103, 100, 0.8)), 0.0))
    second = by_label(identities.found(found((3, 100, 100, 0.9), (1, 104, 100, 0.8)), 0.04))
    assert first == second and len(set(first.values())) == 2
    only = by_label(identities.found(found((1, 104, 100, 0.9)), 0.08))
    assert only == {"person": first["person"]}


def test_a_weak_box_continues_an_identity_and_begins_none() -> None:
    identities = Identities(0.3, NAMES)
    assert len(identities.found(found((1, 100, 100, 0.2)), 0.0)) == 0
    first = identities.found(found((1, 100, 100, 0.9)), 0.04)
    weak = identities.found(found((1, 102, 100, 0.2), (1, 300, 100, 0.2)), 0.08)
    assert weak.scores.tolist() == pytest.approx([0.2]) and by_label(weak) == by_label(first)


def test_weak_boxes_alone_do_not_keep_an_identity_for_long() -> None:
    """A tree that looked like a person once."""
    identities = Identities(0.3, NAMES)
    identities.found(found((1, 100, 100, 0.5)), 0.0)
    kept = [len(identities.found(found((1, 100, 100, 0.2)), step / 10)) for step in range(1, 20)]
    assert kept == [1] * 5 + [0] * 14


@pytest.mark.parametrize(("start", "enough"), [(0.3, 0.376), (0.8, 0.901), (0.0, 0.0)])
def test_an_identity_is_reported_from_its_first_box_on_that_confirms_it(start: float, enough: float) -> None:
    """A reflection scores a little above the threshold for as long as it is there; a person does better once."""
    identities = Identities(start, NAMES)
    begins = start + 0.001 if start else 0.0
    reported = []
    for step, score in enumerate([begins, begins, enough, begins, begins]):
        at = step / 10
        reported.append(len(identities.found(found((1, 100, 100, score), (1, 300, 100, begins)), at)))
        assert len(identities.expected(at + 0.05, (240, 640))) == reported[-1]
    assert reported == ([0, 0, 1, 1, 1] if start else [2] * 5)


def test_an_identity_that_is_not_confirmed_is_followed_meanwhile() -> None:
    """So it takes no box from another one, and is the same one when it is confirmed."""
    identities = Identities(0.3, NAMES)
    for step in range(10):
        identities.found(found((1, 100, 100, 0.9), (1, 160 + 10 * step, 100, 0.31)), step / 10)
    last = identities.found(found((1, 100, 100, 0.32), (1, 260, 100, 0.9)), 1.0)
    assert last.ids is not None and last.ids.tolist() == [2, 1]


def test_between_detections_objects_go_on_as_they_went_until_they_leave_the_frame() -> None:
    identities = Identities(0.3, NAMES)
    for step in range(31):
        seen = identities.found(found((1, 100 + 5 * step, 100, 0.9), (3, 600, 100, 0.5)), step / 10)
    later = identities.expected(3.2, (240, 640))
    assert by_label(later) == by_label(seen) and later.scores.tolist() == pytest.approx([0.9, 0.5])
    assert later.boxes[0].tolist() == pytest.approx([240, 60, 280, 140], abs=2)
    assert later.boxes[1].tolist() == pytest.approx([580, 60, 620, 140])
    assert identities.expected(3.1, (240, 580)).labels == ("person",), "the car lies beyond this frame"


def test_hundreds_of_objects_take_a_fraction_of_a_frame() -> None:
    """300 objects, a tenth of them hidden at any time: a Python loop over all pairs would take 90,000 steps a frame."""
    identities = Identities(0.3, NAMES)
    random = np.random.default_rng(0)
    places, speeds = random.uniform(0, 4000, (300, 2)), random.uniform(-40, 40, (300, 2))
    begin = time.process_time()
    for step in range(20):
        shown = random.permutation(300)[:270]
        now = places + speeds * step / 25
        result = identities.found(found(*((1, float(x), float(y), 0.9) for x, y in now[shown])), step / 25)
        assert len(result) == 270
    assert (time.process_time() - begin) / 20 < 0.15


@contextmanager
def following(engine: DetectEngine, options: FollowOptions) -> Iterator[DetectEngine]:
    """Its random weights find objects of scores about 0.36, which shall confirm identities."""
    before, engine.follow, engine.score_threshold = engine.score_threshold, options, 0.25
    try:
        yield engine
    finally:
        engine.follow, engine.score_threshold = None, before


def test_a_stream_gives_identities_and_its_dense_yardstick_does_not(engine: DetectEngine) -> None:
    with following(engine, FollowOptions()):
        stream, dense = engine.stream(), engine.dense_stream()
        results = [stream.process(frame) for frame in frames(3)]
        assert dense.process(frames(1)[0]).detections.ids is None
    ids = [set(result.detections.ids.tolist()) for result in results if result.detections.ids is not None]
    assert len(ids) == 3 and ids[0] and len(ids[0] & ids[2]) > len(ids[0]) / 2
    strongest = [result.detections.scores[0] for result in results]
    assert all(np.all(np.diff(result.detections.scores) <= 0) for result in results) and min(strongest) >= engine.score_threshold


def test_the_detector_looks_at_every_nth_frame_and_the_others_cost_nothing(engine: DetectEngine) -> None:
    with following(engine, FollowOptions(detect_every=3)):
        stream = engine.stream(dense_every=2)
        results = [stream.process(frame) for frame in frames(7)]
    costs = [result.cost for result in results]
    assert [cost is not None and cost.dense_macs > 0 for cost in costs] == [True, False, False, True, False, False, True]
    assert [result.keyframe for result in results] == [True, *[False] * 6]
    for number in (1, 2):
        assert results[number].activity is not None and not results[number].activity.any()
        assert set(results[number].detections.ids.tolist()) <= set(results[0].detections.ids.tolist())
        assert "dense_model" not in results[number].ms


def test_identities_outlast_a_lost_connection_but_no_scene_cut(engine: DetectEngine) -> None:
    first, again = frames(2)
    with following(engine, FollowOptions(detect_every=4)):
        stream = engine.stream()
        before = stream.process(first)
        after = stream.process(replace(again, time=first.time + 2, resumed=True))
        cut = stream.process(replace(again, picture=(frames(1, seed=1)[0].image // 8).astype(np.uint8), time=first.time + 2.1))
    assert [result.keyframe for result in (before, after, cut)] == [True, True, True], "none of them waits for its turn"
    assert set(after.detections.ids.tolist()) & set(before.detections.ids.tolist())
    assert not set(cut.detections.ids.tolist()) & set(before.detections.ids.tolist())
