"""Detection by a camera that shakes: what is computed, where it is reported, and that nothing changes where nothing moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moving_square import assert_same, frames
from numpy.typing import NDArray
from shaking_camera import SIZE, scene, seen, shaken

from skipvid.core.results import Frame, FrameResult
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine_stream import EngineStream
from skipvid.tasks.identities import FollowOptions
from skipvid.tasks.motion import MotionEstimator
from skipvid.tasks.similarity import Similarity


def analysed(engine: DetectEngine, motion: str, given: list[Frame], config: SkipConfig | None = None) -> list[FrameResult]:
    chosen = engine.regated(config or engine.model.config)
    chosen.use_motion(motion)
    stream = chosen.stream()
    return [stream.process(frame) for frame in given]


def saving(results: list[FrameResult]) -> float:
    costs = [result.cost for result in results if result.cost is not None]
    return 1 - sum(cost.macs for cost in costs) / sum(cost.dense_macs for cost in costs)


@pytest.mark.parametrize("motion", ["auto", "canvas", "shift"])
def test_a_camera_that_stands_still_has_the_same_bits(engine: DetectEngine, motion: str) -> None:
    given = [*shaken(6, 0.0), *shaken(6, 0.0, start=6)]
    for one, other in zip(analysed(engine, motion, given), analysed(engine, "none", given), strict=True):
        assert np.array_equal(one.detections.boxes, other.detections.boxes)
        assert np.array_equal(one.detections.scores, other.detections.scores)
        assert one.cost == other.cost and one.keyframe == other.keyframe
        assert one.activity is not None and other.activity is not None and np.array_equal(one.activity, other.activity)


def test_a_shaking_camera_costs_little_more_than_one_that_stands_still(engine: DetectEngine) -> None:
    still, without, with_canvas = (
        saving(analysed(engine, motion, shaken(16, pixels))) for motion, pixels in (("none", 0.0), ("none", 2.0), ("canvas", 2.0))
    )
    assert with_canvas > 0.85 * still and without < 0.5 * still


def panned(count: int, speed: float) -> list[Frame]:
    """Frames of a camera that turns to the left, so that the scene goes to the right."""
    whole = scene()
    return [Frame(seen(whole, speed * number - 38.0, 0.3), number, number / 25, "clip") for number in range(count)]


def test_a_pan_moves_what_is_known_in_place_of_a_keyframe(engine: DetectEngine) -> None:
    given = panned(20, 4.0)
    anew, moved = (analysed(engine, motion, given) for motion in ("canvas", "shift"))
    assert [result.keyframe for result in moved].count(True) == 1 < [result.keyframe for result in anew].count(True)
    assert saving(moved) > saving(anew) + 0.1
    for one, other in zip(moved[1:], analysed(engine, "none", given)[1:], strict=True):
        assert one.activity is not None and other.activity is not None and one.activity.shape == other.activity.shape


def test_auto_finds_out_that_a_canvas_pays(engine: DetectEngine) -> None:
    results = analysed(engine, "auto", shaken(40, 2.0))
    assert saving(results[20:]) > 0.5 > saving(results[:12])


def test_the_dense_network_stays_the_yardstick(engine: DetectEngine) -> None:
    given = shaken(3)
    with_canvas = engine.regated(engine.model.config)
    with_canvas.use_motion("canvas")
    one, other = with_canvas.dense_stream(), engine.dense_stream()
    for frame in given:
        assert_same(one.process(frame).detections, other.process(frame).detections)
    plain, canvas = (analysed(engine, motion, given)[-1].cost for motion in ("none", "canvas"))
    assert plain is not None and canvas is not None and plain.dense_macs == canvas.dense_macs


@pytest.mark.parametrize("gate", ["norm", "none"])
def test_auto_keeps_the_promise_of_threshold_0_and_of_no_gates(engine: DetectEngine, gate: str) -> None:
    given = shaken(30, 2.0)
    exact = SkipConfig(threshold=0.0, gate=gate)
    for one, other in zip(analysed(engine, "auto", given, exact), analysed(engine, "none", given, exact), strict=True):
        assert np.array_equal(one.detections.boxes, other.detections.boxes)


def test_boxes_and_activity_are_reported_where_the_frame_shows_them(bundled: DetectEngine) -> None:
    """The same things seen by a camera that moved aside lie as far aside in the results."""
    whole, across, down = scene(), 7.0, -5.0
    given = [seen(whole, across * step / 4, down * step / 4) for step in range(5)]
    results = analysed(bundled, "canvas", [Frame(picture, number, number / 25, "clip") for number, picture in enumerate(given)])
    assert len(results[0].detections) > 10 and not results[-1].keyframe
    first, last = results[0].detections.boxes, results[-1].detections.boxes
    inner = (first[:, 0] > 20) & (first[:, 1] > 20) & (first[:, 2] < SIZE[1] - 20) & (first[:, 3] < SIZE[0] - 20)
    assert inner.sum() > 5
    expected = first[inner] + np.array([across, down, across, down], np.float32)
    gaps = np.abs(last[None] - expected[:, None]).max(2).min(1)
    assert np.median(gaps) < 0.25, "less than the motion by far, so the way back was taken"
    assert (last[:, :2] >= 0).all() and (last[:, 2] <= SIZE[1]).all() and (last[:, 3] <= SIZE[0]).all()


def test_faint_boxes_hide_nothing_that_motion_is_found_by(bundled: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows things, or measures accuracy, asks for boxes that cover all of the picture; what is registered is the same."""
    given, hidden, found = shaken(12, 2.0), list[list[int]](), list[int]()
    estimate = MotionEstimator.estimate

    def watched(estimator: MotionEstimator, pixels: NDArray[np.uint8], boxes: NDArray[np.float32] | None = None) -> Similarity | None:
        hidden[-1].append(0 if boxes is None else len(boxes))
        return estimate(estimator, pixels, boxes)

    monkeypatch.setattr(MotionEstimator, "estimate", watched)
    low = bundled.score_threshold
    high = float(np.median(bundled.stream().process(given[0]).detections.scores))
    for sure, faint, follow in ((high, high, None), (high, low, None), (high, high, FollowOptions()), (low, low, None)):
        chosen = bundled.regated(bundled.model.config)
        chosen.preset = replace(bundled.preset, score_threshold=sure)
        chosen.score_threshold, chosen.follow = faint, follow
        chosen.use_motion("canvas")
        stream = chosen.stream()
        hidden.append([])
        found.append(sum(len(stream.process(frame).detections) for frame in given))
    assert hidden[0] == hidden[1] == hidden[2] != hidden[3] and 0 < found[0] < found[1]


def test_activity_and_masks_lie_on_the_frame(engine: DetectEngine) -> None:
    whole = scene()
    chosen = engine.regated(engine.model.config)
    chosen.use_motion("canvas")
    stream = chosen.stream()
    for number in range(4):
        picture = seen(whole, 3.0 * number).copy()
        if number == 3:
            picture[100:140, 300:340] = 255
        result = stream.process(Frame(picture, number, number / 25, "clip"))
    assert not result.keyframe and result.activity is not None
    columns = np.flatnonzero(result.activity.sum(0) > 0.5 * result.activity.sum(0).max())
    assert abs(columns.mean() * 8 + 4 - 320) < 8
    masks = stream.computed(SIZE)
    name, mask = next((name, mask) for name, mask in masks.items() if mask.any() and not mask.all())
    x = np.flatnonzero(mask.sum(0) > 0.5 * mask.sum(0).max()).mean() / mask.shape[1] * SIZE[1]
    assert abs(x - 320) < 12, name


def test_activity_lies_on_its_own_frame_when_the_next_one_has_begun(engine: DetectEngine) -> None:
    whole = scene()
    pictures = [seen(whole, 3.0 * number).copy() for number in range(5)]
    pictures[3][100:140, 300:340] = 255
    frames = [Frame(picture, number, number / 25, "clip") for number, picture in enumerate(pictures)]
    expected = analysed(engine, "canvas", frames)[3]
    chosen = engine.regated(engine.model.config)
    chosen.use_motion("canvas")
    stream = chosen.stream()
    assert isinstance(stream, EngineStream)
    ends = [stream.begin(each) for each in frames]
    found = ends[3]()
    assert found.activity is not None and expected.activity is not None
    np.testing.assert_array_equal(found.activity, expected.activity)


def test_a_scene_cut_a_lost_connection_and_another_size_begin_anew(engine: DetectEngine) -> None:
    given = shaken(4, 2.0)
    dark = replace(shaken(1, 0.0, seed=9)[0], picture=(seen(scene(9)) // 8).astype(np.uint8), index=4)
    resumed = replace(dark, picture=(seen(scene(9), 1.5) // 8).astype(np.uint8), index=5, resumed=True)
    small = Frame(seen(scene(9))[:200].copy(), 6, 0.3, "clip")
    results = analysed(engine, "canvas", [*given, dark, resumed, small])
    assert [result.keyframe for result in results] == [True, False, False, False, True, True, True]
    alone = analysed(engine, "canvas", [small])[0]
    assert np.array_equal(results[-1].detections.boxes, alone.detections.boxes)


def test_what_is_left_out_costs_nothing_before_a_shaking_camera(engine: DetectEngine) -> None:
    chosen = engine.regated(engine.model.config)
    chosen.areas = Areas(ignore=(read_area("0,0 1,0 1,0.9 0,0.9"),))
    chosen.use_motion("canvas")
    stream = chosen.stream()
    results = [stream.process(frame) for frame in shaken(6, 2.0)]
    assert all(result.activity is not None for result in results)
    assert max(float(result.activity[:20].mean()) for result in results[1:]) < 0.1  # type: ignore[index]
    for result in results:
        assert (result.detections.boxes[:, 3] > 0.5 * SIZE[0]).all()


def test_notes_say_how_much_was_registered(engine: DetectEngine) -> None:
    for motion, expected in (("canvas", "the camera moves: 5 of 6 frames were registered to 1 anchor"), ("none", None)):
        chosen = engine.regated(engine.model.config)
        chosen.use_motion(motion)
        stream = chosen.stream()
        for frame in shaken(6, 2.0):
            stream.process(frame)
        assert stream.notes == (() if expected is None else (expected,))


def test_notes_say_of_which_frames_they_are_where_the_detector_skips_some(engine: DetectEngine) -> None:
    chosen = engine.regated(engine.model.config)
    chosen.use_motion("canvas")
    chosen.follow = FollowOptions(detect_every=3)
    stream = chosen.stream()
    for frame in shaken(7, 2.0):
        stream.process(frame)
    ran = "(of the frames that the detector ran in)"
    assert stream.notes == (f"the camera moves: 2 of 3 frames were registered to 1 anchor {ran}",)


@pytest.mark.parametrize("motion", ["auto", "canvas"])
def test_noise_that_moves_nothing_is_analysed_as_without(engine: DetectEngine, motion: str) -> None:
    given = frames(6)
    for one, other in zip(analysed(engine, motion, given), analysed(engine, "none", given), strict=True):
        assert_same(one.detections, other.detections)


@pytest.fixture(scope="module")
def bundled(random_weights: Path) -> DetectEngine:
    """One with more boxes than the others: a low threshold on random weights."""
    return DetectEngine(load_preset("efficientdet-nano"), SkipConfig(threshold=0.03), random_weights, "0" * 64, 0.1)
