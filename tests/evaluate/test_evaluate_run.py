"""Passes over a clip with truth: exact detections score 100, cost and time count for every frame, baselines fill in what they say."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.baselines import EveryKth
from skipvid.evaluate.jhmdb import JOINTS, coco_columns, truth_of
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.run import Pass, add_labelled, compare, joined, main_measure, run_clip
from skipvid.evaluate.show import Row, document, render_rows, verdict, write_csv
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.video.sources.base import Source

SPEED = np.array([3, 1, 3, 1], np.float32)
BOX = np.array([10, 10, 40, 60], np.float32)


def frames(count: int) -> list[Frame]:
    return [Frame(np.zeros((90, 160, 3), np.uint8), index, index / 10, "clip") for index in range(count)]


class Played(Source):
    """Frames that are there already."""

    def __init__(self, count: int) -> None:
        self._frames = frames(count)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._frames)


class Right:
    """Finds the walking object, `off` pixels beside it; every frame takes 5 ms."""

    def __init__(self, off: float = 0.0) -> None:
        self.off, self.calls = off, 0

    def process(self, frame: Frame) -> FrameResult:
        self.calls += 1
        box = (BOX + frame.index * SPEED + self.off)[None]
        found = Detections(box.astype(np.float32), np.array([0.9], np.float32), np.array([1]), ("person",))
        return FrameResult(frame, found, False, {"model": 5.0})


def walking(count: int, unlabelled: tuple[int, ...] = ()) -> LabelledClip:
    truth = {index: FrameTruth.of([(*(BOX + index * SPEED), 1, False)]) for index in range(count) if index not in unlabelled}
    return LabelledClip("walk", "walk.mp4", truth)


def passed(stream: object, name: str = "x", count: int = 40, unlabelled: tuple[int, ...] = ()) -> Pass:
    outcome = Pass(name)
    run_clip(outcome, stream, Played(count), walking(count, unlabelled), Labels((1,)), dense_macs=100)  # type: ignore[arg-type]
    return outcome


def test_exact_detections_score_a_hundred_and_unlabelled_frames_only_cost() -> None:
    outcome = passed(Right(), unlabelled=(3, 4))
    everything = np.ones(38, np.int64)
    assert len(outcome.groups) == 38 and len(outcome.model_ms) == 40 and outcome.macs == outcome.dense_macs == 4000
    assert {name: measure(everything) for name, measure in outcome.measures().items()} == pytest.approx({"AP50": 100, "AP": 100})


def test_every_labelled_frame_counts_for_poses_where_nobody_is_or_was_found() -> None:
    points = np.random.default_rng(0).uniform(20, 200, (15, 2)).astype(np.float32)
    there, nobody = truth_of(points, (240, 320)), truth_of(np.full_like(points, np.nan), (240, 320))
    assert there.keypoints is not None and nobody.keypoints is None
    columns = coco_columns(JOINTS, COCO_KEYPOINTS)
    joints = np.zeros((1, 17, 3), np.float32)
    joints[0, columns[1]] = there.keypoints[0, columns[0]]
    person = Detections(there.boxes, np.ones(1, np.float32), np.ones(1, np.int64), ("person",), keypoints=joints)
    outcome = Pass("")
    for truth, found in ((there, person), (nobody, Detections.empty()), (nobody, person), (there, Detections.empty())):
        add_labelled(outcome, found, truth, "clip", Labels((1,), keypoints=COCO_KEYPOINTS), columns)
    compared = compare(outcome, outcome, 1, 20)
    assert len(outcome.joints) == len(outcome.groups) == 4 and compared["PCK"].value.value == 50
    assert 0 < compared["AP50"].value.value < 60, "half of the people, with a false one before them or not"


def test_joined_passes_keep_each_frame_with_its_category() -> None:
    """Persons are missed in the first pass; cars, which only the second one measures, are found."""
    persons, cars = passed(Right(off=200), count=30), passed(Right(), count=10)
    cars.matches = {3: cars.matches.pop(1)}
    both = joined([persons, cars])
    name, measure = main_measure(both)
    assert name == "AP50" and len(both.groups) == 40 and both.macs == persons.macs + cars.macs
    assert measure(np.ones(40, np.int64)) == pytest.approx(50)
    first, last = np.repeat([1, 0], [30, 10]), np.repeat([0, 1], [30, 10])
    assert measure(first) == 0 and measure(last) == pytest.approx(100)


def test_every_third_frame_costs_a_third_and_held_boxes_fall_behind() -> None:
    inner = Right()
    held, moved = passed(EveryKth(inner, 3, moved=False)), passed(EveryKth(Right(), 3, moved=True))
    assert inner.calls == 14 and held.macs == 1400 and held.fewer == pytest.approx(40 / 14)
    everything = np.ones(40, np.int64)
    assert held.measures()["AP"](everything) < 80
    assert moved.measures()["AP"](everything) > 94, "the first two frames are before a velocity is known"


def test_losses_are_paired_and_a_tie_is_called_one() -> None:
    dense, same, worse = passed(Right()), passed(Right()), passed(Right(off=12))
    assert compare(same, dense, 5, 100)["AP50"].lost.tie and compare(same, dense, 5, 100)["AP50"].lost.value == 0
    lost = compare(worse, dense, 5, 100)["AP50"].lost
    assert lost.value == pytest.approx(100) and not lost.tie
    with pytest.raises(ValueError, match="38 labelled frames against 40"):
        compare(passed(Right(), unlabelled=(1, 2)), dense, 5, 10)


def test_a_table_a_document_and_a_csv_say_the_same(tmp_path: Path) -> None:
    dense, worse = passed(Right(), "dense"), passed(Right(off=12), "0.1")
    rows = [Row(own.name, own, compare(own, dense, 5, 50), own is dense) for own in (dense, worse)]
    text = io.StringIO()
    render_rows(rows, 40, 5, Console(file=text, width=120))
    assert "100.0 (100.0…100.0)" in text.getvalue() and "worse" in text.getvalue() and "40 labelled frames" in text.getvalue()
    data = json.loads(json.dumps(document(rows, 40, 5)))
    assert data["rows"][1]["measures"]["AP50"]["lost"]["value"] == 100 and data["rows"][0]["measures"]["AP50"]["lost"] is None
    write_csv(tmp_path / "eval.csv", rows)
    header, first, second = (tmp_path / "eval.csv").read_text().splitlines()
    assert "AP50_lost_low" in header and first.startswith("dense,") and ",worse," in second
    assert (
        verdict(rows[0], "AP50") == ""
        and verdict(Row("s", dense, compare(dense, dense, 0, 10), False), "AP50") == "too little data to tell"
    )


def test_merged_categories_are_one_class_and_doubled_boxes_count_once() -> None:
    labels = Labels((3, 6), merged=True)
    boxes = np.stack([BOX, BOX + 1, BOX + 60]).astype(np.float32)
    found = labels.found(Detections(boxes, np.array([0.5, 0.9, 0.4], np.float32), np.array([3, 6, 1]), ("a", "b", "c")))
    assert found.scores.tolist() == pytest.approx([0.9]) and found.category_ids.tolist() == [3]
    assert labels.true(FrameTruth.of([(*BOX, 6, False), (*BOX, 1, False)])).category_ids.tolist() == [3, 1]
