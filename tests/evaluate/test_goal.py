"""Calibration by goal: what is promised was measured on blocks of time that neither proportions nor level came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipvid.core.errors import SourceError, UsageError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.evidence import EXPECTED
from skipvid.evaluate.found import Found, Goal, GoalNotMet, Point
from skipvid.evaluate.frontier import comment, document, lines, page
from skipvid.evaluate.goal import LEVELS, _Search, with_noise
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.material import FOLDS, GRADED, Material, Seen, agreed
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.skip.config import SkipConfig
from skipvid.skip.sensitivity import Sensitivity

COUNT = 208


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are the bootstrap's own tests' business."""
    monkeypatch.setattr("skipvid.evaluate.goal.DRAWS", 20)


BOX = np.array([[20, 20, 60, 60]], np.float32)


def detections(off: float = 0.0, score: float = 0.9) -> Detections:
    return Detections(BOX + np.float32(off), np.array([score], np.float32), np.array([1]), ("person",))


def material(labelled: bool = True, count: int = COUNT) -> Material:
    truth = FrameTruth(BOX, np.array([1]), np.array([False]))
    clip = LabelledClip("walk", "walk.mp4", {number: truth for number in range(count)} if labelled else {})

    @contextmanager
    def opened(of: LabelledClip) -> Iterator[Iterator[Frame]]:
        yield (Frame(np.full((80, 80, 3), 100, np.uint8), number, number / 25, of.name) for number in range(count))

    return Material.read([clip], opened, Labels((1,)) if labelled else None)


def seen(wrong: np.ndarray[Any, Any], fewer: float) -> Seen:
    """What misses the object in the frames that are `wrong`."""
    found = [detections(100.0 if each else 0.0) for each in wrong]
    macs = np.full(len(wrong), 1000)
    return Seen(found, (macs / fewer).astype(np.int64), macs, np.full(len(wrong), 20 / fewer))


def detections_of(*offs: float) -> Detections:
    count = len(offs)
    boxes = np.concatenate([BOX + np.float32(off) for off in offs])
    return Detections(boxes, np.linspace(0.9, 0.95, count, dtype=np.float32), np.ones(count, np.int64), ("person",) * count)


def nothing(fewer: float) -> Seen:
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    macs = np.full(COUNT, 1000)
    return Seen([none] * COUNT, (macs / fewer).astype(np.int64), macs, np.full(COUNT, 20 / fewer))


class Played(_Search):
    """A search whose runs are made up. misses: share of the frames missed by fold, level and block."""

    def __init__(self, misses: Callable[[int, int, int], float], goal: Goal, labelled: bool = True, keep: Path | None = None) -> None:
        engine = type("Engine", (), {"model": type("Model", (), {"config": SkipConfig(threshold=0.05)})()})()
        super().__init__(engine, material(labelled), goal, keep, 0.0, lambda text: None)  # type: ignore[arg-type]
        self.misses, self.runs = misses, 0

    def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
        if name in ("dense", "noise"):
            return super()._seen(name, lambda: seen(np.zeros(COUNT, bool), 1.0))
        return super()._seen(name, run)

    def _run(self, fold: int, number: int, sensitivity: Any) -> Seen:
        def run() -> Seen:
            self.runs += 1
            place = np.arange(COUNT) % (COUNT // FOLDS) / (COUNT // FOLDS)
            wrong = place < np.array([self.misses(fold, number, block) for block in self.material.folds])
            return seen(wrong, LEVELS[number] * 3)

        return self._seen(f"{fold}-{number}", run)

    def _measured_sensitivities(self) -> Any:
        self.runs += 1
        return [Sensitivity(self.engine.model).restored({"damage": {"x": 1.0}, "work": {"x": 1.0}}) for _ in range(FOLDS)]


def grows(fold: int, number: int, block: int) -> float:
    return 0.1 * max(0, number - 2)


def test_the_highest_level_that_keeps_the_goal_is_chosen_and_promised() -> None:
    found = Played(grows, Goal("drop", 0.5)).run()
    assert found.measure == "AP50" and found.yardstick == 100
    assert found.promised.lost.value == 0 and found.promised.fewer == pytest.approx(LEVELS[2] * 3, rel=0.01)
    assert found.threshold == pytest.approx(0.05 * LEVELS[2], rel=0.01) and found.thresholds == {"x": found.threshold}
    assert [point.lost.value > 0.5 for point in found.frontier] == [False] * 3 + [True] * 4


def test_a_promise_is_what_the_left_out_blocks_show() -> None:
    """In each fold only the block that was left out suffers: what the others say is not promised."""

    def overfitted(fold: int, number: int, block: int) -> float:
        return 0.2 if block == fold and number >= 2 else 0.0

    found = Played(overfitted, Goal("drop", 0.5)).run()
    assert found.promised.lost.value == 0 and found.promised.fewer == pytest.approx(LEVELS[1] * 3, rel=0.01)
    everywhere = Played(lambda fold, number, block: 0.2 if block == fold else 0.0, Goal("drop", 0.5))
    with pytest.raises(GoalNotMet, match="no working point meets the goal on the frames that were left out: at most 0.5 points") as missed:
        everywhere.run()
    assert len(missed.value.frontier) == len(LEVELS)


def test_why_a_goal_was_missed_does_not_contradict_it() -> None:
    """Only the most careful thresholds lose anything: no level can be chosen, and to say that another one has 0 would help nobody."""
    odd = Played(lambda fold, number, block: 0.2 if number == 0 else 0.0, Goal("drop", 2.0))
    with pytest.raises(GoalNotMet, match=r"the most careful thresholds, 0\.025, lost 38\.\d\d, at most"):
        odd.run()
    for goal, words in ((Goal("saving", 30), r"the most is 12\.\d\d times"), (Goal("budget", 1.0), r"the least is 1\.67 ms")):
        with pytest.raises(GoalNotMet, match=words):
            Played(grows, goal).run()


@pytest.mark.parametrize(
    ("share", "number", "goal", "words"),
    [
        (1.0, 1, Goal("saving", 2.0), r"AP50 0\.0 by this truth: next to nothing could be lost"),
        (0.97, 1, Goal("drop", 5.0), r"AP50 \d\.\d by this truth: next to nothing could be lost"),
        (0.0, 7, Goal("saving", 2.0), "the truth has no object to be found in these frames"),
    ],
)
def test_of_a_truth_that_fits_nothing_nothing_is_promised(share: float, number: int, goal: Goal, words: str) -> None:
    class Foreign(Played):
        def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
            return seen(np.arange(COUNT) < share * COUNT, 1.0)

    played = Foreign(grows, goal)
    played.material = replace(played.material, labels=Labels((number,)))
    with pytest.raises(SourceError, match=words):
        played.run()


def test_progress_is_told_what_is_left_to_run(tmp_path: Path) -> None:
    told, lines_said = list[int](), list[str]()

    def watch(frames: int) -> Callable[[FrameResult], None]:
        told.append(frames)
        return lambda result: None

    def watched() -> Played:
        played = Played(grows, Goal("drop", 0.5), keep=tmp_path)
        _Search.__init__(played, played.engine, played.material, played.goal, tmp_path, 0.0, lines_said.append, watch)
        return played

    watched().run()
    (tmp_path / "2-3.npz").unlink()
    watched().run()
    passes = FOLDS * len(LEVELS) + 1
    assert told == [passes * COUNT, COUNT] and f"{passes - 1} of {passes} passes are kept from before" in lines_said


def test_several_clips_have_no_interval_for_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clips begin eight blocks of time, however short they are."""
    searched = Played(grows, Goal("drop", 0.5))
    assert np.isfinite(searched.run().promised.lost.low)
    short = Played(grows, Goal("drop", 0.5))
    monkeypatch.setattr("skipvid.evaluate.goal.blocks_of", lambda groups, length: [np.arange(2)] * 9)
    monkeypatch.setattr("skipvid.evaluate.goal.BLOCK_FRAMES", 40)
    assert np.isinf(short.run().promised.lost.low)


def test_where_gates_hardly_ran_nothing_is_promised() -> None:
    """Of a camera that moves nearly all frames are dense: they lose nothing, and say nothing about the others."""

    class Moving(Played):
        def _run(self, fold: int, number: int, sensitivity: Any) -> Seen:
            return seen(np.zeros(COUNT, bool), 1.05)

    with pytest.raises(UsageError, match="nearly everything changes in these clips: 1.05 times fewer MACs"):
        Moving(grows, Goal("drop", 0.5)).run()
    assert Moving(grows, Goal("saving", 1.04)).run().promised.fewer == pytest.approx(1.05, rel=0.01)


def few(fold: int, number: int, block: int) -> float:
    return 0.015 * number  # of a block, at first one frame of 52: not every 25 frames have one


def test_a_loss_that_these_frames_hardly_show_is_not_taken_for_none() -> None:
    """The measured loss of a level keeps the goal; what resampled blocks of time may lose does not."""
    goal = Goal("drop", 2.2)
    found = Played(few, goal, labelled=False).run()
    further = found.unproven(goal)
    assert found.promised.at_most <= goal.value and further is not None
    assert further.lost.value <= goal.value < further.at_most and found.promised.level < further.level


def test_a_gain_of_accuracy_counts_as_a_loss() -> None:
    """Above the second level a false detection of the dense network, in every other frame, is gone."""

    class Lucky(Played):
        def _run(self, fold: int, number: int, sensitivity: Any) -> Seen:
            one, two = detections(), detections_of(0.0, 200.0)
            found = [one if number > 1 and each % 2 else two for each in range(COUNT)]
            macs = np.full(COUNT, 1000)
            return Seen(found, (macs / (LEVELS[number] * 3)).astype(np.int64), macs, np.full(COUNT, 5.0))

        def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
            macs = np.full(COUNT, 1000)
            return Seen([detections_of(0.0, 200.0)] * COUNT, macs, macs, np.full(COUNT, 20.0))

    labelled = Lucky(grows, Goal("drop", 0.5)).run()
    gain = labelled.frontier[2]
    assert gain.lost.value < -1 and gain.at_most == pytest.approx(-gain.lost.value, abs=0.3)
    assert labelled.promised == labelled.frontier[1]


def test_where_there_is_nothing_to_lose_the_level_is_that_of_other_cameras() -> None:
    """Without an object nothing is ever lost; four times the thresholds are not promised for that."""

    class Empty(Played):
        def _run(self, fold: int, number: int, sensitivity: Any) -> Seen:
            return nothing(LEVELS[number] * 3)

        def _seen(self, name: str, run: Callable[[], Seen]) -> Seen:
            return nothing(1.0)

    found = Empty(grows, Goal("drop", 0.5), labelled=False).run()
    assert found.objects == 0 and found.promised.level == 0.05 and found.promised.at_most == EXPECTED[2]
    assert "0 objects in 208 frames do not exclude" in "\n".join(lines(Goal("drop", 0.5), found))


@pytest.mark.parametrize(("goal", "level"), [(Goal("saving", 4.0), 3), (Goal("budget", 5.0), 3), (Goal("saving", 1.4), 0)])
def test_for_a_saving_or_a_budget_the_most_careful_level_is_taken(goal: Goal, level: int) -> None:
    found = Played(grows, goal).run()
    assert found.promised.fewer == pytest.approx(LEVELS[level] * 3, rel=0.01)
    assert goal.met_by(found.promised)


def test_what_no_level_saves_is_not_promised() -> None:
    with pytest.raises(UsageError, match="30 times fewer MACs"):
        Played(grows, Goal("saving", 30.0)).run()


def test_without_truth_the_dense_network_under_noise_is_the_yardstick() -> None:
    found = Played(grows, Goal("drop", 0.5), labelled=False).run()
    assert found.measure == "agreement" and found.yardstick == 100
    assert found.promised.lost.value == 0 and found.frontier[-1].lost.value > 20


def test_a_run_that_was_broken_off_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = Played(grows, Goal("drop", 0.5), keep=tmp_path)
    found = first.run()
    assert first.runs == 1 + FOLDS * len(LEVELS)
    (tmp_path / "2-3.npz").write_bytes((tmp_path / "2-3.npz").read_bytes()[:200])  # broken off while it was written
    (tmp_path / "1-1.npz").unlink()
    again = Played(grows, Goal("drop", 0.5), keep=tmp_path)
    assert again.run() == found and again.runs == 2
    (tmp_path / "sensitivity.json").write_text('[{"damage": {}}, 1, 2, 3]')
    once_more = Played(grows, Goal("drop", 0.5), keep=tmp_path)
    assert once_more.run() == found and once_more.runs == 1


def test_what_was_kept_is_what_was_seen(tmp_path: Path) -> None:
    poses = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    one = Detections(BOX, np.array([0.5], np.float32), np.array([1]), ("",), keypoints=poses)
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (), keypoints=poses[:0])
    Seen([one, none, one], np.array([1, 2, 3]), np.array([9, 9, 9]), np.array([1.0, 2.0, 3.0])).save(tmp_path / "a.npz")
    kept = Seen.load(tmp_path / "a.npz", 3)
    assert kept is not None and [len(each) for each in kept.detections] == [1, 0, 1]
    assert np.array_equal(kept.detections[2].keypoints, poses) and kept.macs.tolist() == [1, 2, 3] and kept.ms.tolist() == [1, 2, 3]
    assert Seen.load(tmp_path / "a.npz", 4) is None and Seen.load(tmp_path / "b.npz", 3) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("counts", np.array(["a"])),
        ("counts", np.array(1)),
        ("counts", np.array([1.0])),
        ("counts", np.array([2])),
        ("boxes", np.zeros((2, 4), np.float32)),
        ("macs", np.array(["1"])),
        ("macs", np.ones((1, 2), np.int64)),
        ("ms", np.array(1.0)),
        ("scores", np.zeros(0, np.float32)),
        ("keypoints", np.zeros((0, 17, 3), np.float32)),
    ],
)
def test_what_was_kept_otherwise_is_measured_anew(tmp_path: Path, name: str, value: np.ndarray[Any, Any]) -> None:
    path = tmp_path / "a.npz"
    Seen([detections()], np.array([1]), np.array([9]), np.array([1.0])).save(path)
    with np.load(path) as kept:
        arrays = dict(kept)
    assert Seen.load(path, 1) is not None
    np.savez_compressed(path, allow_pickle=False, **{**arrays, name: value})
    assert Seen.load(path, 1) is None


def test_other_files_in_the_place_of_what_was_kept_are_measured_anew(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    assert [Seen.load(tmp_path / name, 3) for name in ("a.npy", "empty", "folder")] == [None] * 3


def test_a_frame_that_is_filled_in_costs_nothing() -> None:
    class Half:
        notes: tuple[str, ...] = ()

        def process(self, frame: Frame) -> FrameResult:
            return FrameResult(frame, detections(), False, {"model": 5.0 if frame.index % 2 == 0 else 0.0})

    found = Seen.of(material(count=10), Half, dense_macs=100)
    assert found.macs.tolist() == [100, 0] * 5 and found.dense_macs.tolist() == [100] * 10


def test_agreement_is_weighted_by_score_and_by_the_distance_of_keypoints() -> None:
    assert agreed(detections(), detections()) == pytest.approx((1.8, 1.8))
    assert agreed(detections(), detections(100.0)) == pytest.approx((0, 1.8))
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())
    assert agreed(none, none) == (0, 0) and agreed(detections(score=0.4), none) == pytest.approx((0, 0.4))
    points = np.zeros((1, 2, 3), np.float32)
    pose = Detections(BOX, np.array([0.5], np.float32), np.array([1]), ("",), keypoints=points)
    off = Detections(BOX, np.array([0.5], np.float32), np.array([1]), ("",), keypoints=points + np.array([4, 0, 0], np.float32))
    assert agreed(pose, off) == pytest.approx((0.9, 1.0))  # a tenth of the box's side of 40 pixels


def test_graded_agreement_is_the_mean_over_scores_from_which_detections_are_shown() -> None:
    dense, found = detections(score=0.34), detections(score=0.31)
    scores = 0.3 + GRADED * (np.arange(2000) + 0.5) / 2000
    pairs = [agreed(*(shown_from(each, score) for each in (dense, found))) for score in scores]
    assert agreed(dense, found, 0.3) == pytest.approx(np.mean(pairs, axis=0), abs=1e-3)
    assert agreed(dense, found) == pytest.approx((0.65, 0.65))  # shown both times, which says nothing of how nearly it was not
    clear = detections(score=0.3 + GRADED + 0.01)
    assert agreed(clear, clear, 0.3) == agreed(clear, clear)


def shown_from(found: Detections, score: float) -> Detections:
    keep = found.scores >= score
    return Detections(found.boxes[keep], found.scores[keep], found.category_ids[keep], ("",) * int(keep.sum()))


def test_a_clip_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(SourceError, match="walk has 7 frames"):
        material(count=7)


def test_blocks_are_of_one_piece_and_cover_all_frames() -> None:
    folds = material(count=10).folds
    assert folds.tolist() == sorted(folds.tolist()) and set(folds.tolist()) == set(range(FOLDS))


def test_noise_has_a_deviation_of_one_grey_level() -> None:
    frame = Frame(np.full((60, 60, 3), 100, np.uint8), 0, 0.0, "x")
    spoilt = with_noise()(frame).image.astype(float)
    assert spoilt.std() == pytest.approx(1.04, abs=0.05) and spoilt.mean() == pytest.approx(100, abs=0.1)


def found_with(high: float) -> tuple[Goal, Found]:
    points = tuple(
        Point(0.05 * level, Interval(0.1 * level, -0.5 if np.isfinite(high) else -np.inf, high), 0.3 * level, 2 * level, 10.0)
        for level in (1, 2)
    )
    return Goal("drop", 0.5), Found(0.05, {"x": 0.05}, points[0], points, "AP50", 75.6, 20.0, 240, 31)


def test_preset_page_and_document_tell_the_same() -> None:
    goal, found = found_with(0.8)
    text = comment(goal, found, ["a\nb.mp4"], "2026-11-27", "1.0")
    assert all(line.startswith("# ") for line in text.splitlines())
    promise = "at most 0.30 points of AP50 lost (90% sure; 0.10 (-0.50 … 0.80) on these frames) at 2.00 times fewer MACs"
    doubt = (
        "kept below 0.1, which lost 0.20 points on these frames, but 31 objects in 240 frames do not exclude 0.60: more frames may allow it"
    )
    for part in ("on a b.mp4", "goal: at most 0.5 points lost", promise, doubt):
        assert part in text
    printed = "\n".join(lines(goal, found))
    assert promise in printed and doubt in printed and printed.count("x  ") == 2
    told = document(goal, found)
    assert told["promised"]["lost"] == {"value": 0.1, "low": -0.5, "high": 0.8} and len(told["frontier"]) == 2
    assert told["promised"]["at_most"] == 0.3 and told["objects"] == 31
    html = page(goal, found, ["<clip>"], "1.0", "--refresh 9")
    assert "31 objects in 240 frames" in html and "at most (90% sure)" in html and "measured with --refresh 9" in html
    assert "&lt;clip&gt;" in html and html.count("<circle") == 3 and html.count('class="grid" d="M') >= 2
    assert html.count('class="range"') == 2 and 'class="swatch range"' in html


def test_where_there_are_too_few_frames_there_is_no_interval() -> None:
    goal, found = found_with(np.inf)
    assert "lost (90% sure; 0.10 on these frames)" in "\n".join(lines(goal, found))
    assert document(goal, found)["promised"]["lost"]["high"] is None


def test_a_goal_that_was_not_about_accuracy_has_no_doubts() -> None:
    _, found = found_with(0.8)
    assert "kept below" not in "\n".join(lines(Goal("saving", 2.0), found))


def test_a_budget_that_needs_no_gates_is_said_to_need_none() -> None:
    _, found = found_with(0.8)
    assert "the dense network takes 20.00 ms a frame here: --gate none keeps the budget" in "\n".join(lines(Goal("budget", 20.0), found))
    assert "--gate none" not in "\n".join(lines(Goal("budget", 19.0), found)) + "\n".join(lines(Goal("saving", 20.0), found))


def test_the_time_of_the_dense_network_is_told_with_either_yardstick() -> None:
    goal, found = found_with(0.8)
    for measure in ("AP50", "agreement"):
        assert "20.00 ms a frame" in lines(goal, replace(found, measure=measure))[0]
