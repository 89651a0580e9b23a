"""Detection with activation motion compensation: exact at rest, keyframes where a scene begins, and refusals in one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shaking_camera import SIZE, scene, seen, shaken

from skipvid.core.errors import UsageError
from skipvid.core.results import Frame, FrameResult
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.identities import FollowOptions


def warping(engine: DetectEngine, config: SkipConfig | None = None) -> DetectEngine:
    chosen = engine.regated(config or engine.model.config)
    chosen.use_motion("warp")
    return chosen


def at_rest(count: int) -> list[Frame]:
    picture = seen(scene())
    return [Frame(picture, number, number / 25, "clip") for number in range(count)]


def analysed(engine: DetectEngine, given: list[Frame]) -> list[FrameResult]:
    stream = engine.stream()
    return [stream.process(frame) for frame in given]


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_scene_at_rest_has_the_bits_of_the_dense_network(engine: DetectEngine, precision: str) -> None:
    chosen = warping(engine, replace(engine.model.config, precision=precision))
    dense, results = chosen.dense_stream(), analysed(chosen, at_rest(4))
    assert [result.keyframe for result in results] == [True, False, False, False]
    for frame, result in zip(at_rest(4), results, strict=True):
        expected = dense.process(frame).detections
        assert len(expected) > 0
        assert np.array_equal(result.detections.boxes, expected.boxes)
        assert np.array_equal(result.detections.scores, expected.scores)


def test_macs_are_those_of_the_suffix_against_the_plain_network(engine: DetectEngine) -> None:
    chosen = warping(engine)
    costs = [result.cost for result in analysed(chosen, at_rest(3))]
    parts = chosen.model.split(((1, 3, *chosen.preset.input_size(*SIZE)),))
    dense = engine.dense_macs(*SIZE)
    for cost, expected in zip(costs, (dense, parts.suffix.costs.dense_macs, parts.suffix.costs.dense_macs), strict=True):
        assert cost is not None and (cost.macs, cost.dense_macs) == (expected, dense)
    assert parts.prefix.costs.dense_macs + parts.suffix.costs.dense_macs == dense
    assert parts.suffix.costs.dense_macs < 0.35 * dense


def test_both_programs_are_built_before_the_first_frame(engine: DetectEngine) -> None:
    chosen = warping(engine)
    parts = chosen.model.split(((1, 3, *chosen.preset.input_size(*SIZE)),))
    assert chosen.prepare(*SIZE) == (parts.prefix, parts.suffix)
    assert len(engine.prepare(*SIZE)) == 1


def test_a_scene_cut_a_lost_connection_and_another_size_begin_anew(engine: DetectEngine) -> None:
    rest = at_rest(3)
    dark = replace(rest[0], picture=(seen(scene(9)) // 8).astype(np.uint8), index=3)
    resumed = replace(dark, index=4, resumed=True)
    small = Frame(seen(scene(9))[:200].copy(), 5, 0.2, "clip")
    results = analysed(warping(engine), [*rest, dark, resumed, small])
    assert [result.keyframe for result in results] == [True, False, False, True, True, True]
    alone = analysed(warping(engine), [small])[0]
    assert np.array_equal(results[-1].detections.boxes, alone.detections.boxes)


def test_the_stream_says_that_it_has_no_bound(engine: DetectEngine) -> None:
    stream = warping(engine).stream()
    for frame in at_rest(3):
        stream.process(frame)
    (problem,) = stream.problems
    assert "1 of 3 frames were keyframes" in problem and "no bound" in problem and "by any amount" in problem


def test_the_dense_network_stays_as_it_is(engine: DetectEngine) -> None:
    one, other = warping(engine).dense_stream(), engine.dense_stream()
    for frame in shaken(2):
        assert np.array_equal(one.process(frame).detections.boxes, other.process(frame).detections.boxes)
    assert one.problems == ()


def test_with_areas_and_identities_it_runs_as_gates_do(engine: DetectEngine) -> None:
    chosen = warping(engine)
    chosen.areas = Areas(ignore=(read_area("0,0 1,0 1,0.5 0,0.5"),))
    chosen.follow = FollowOptions()
    stream = chosen.stream(dense_every=2)
    results = [stream.process(frame) for frame in shaken(5, 0.0)]
    assert all(result.areas is None for result in results), "without gates, areas save nothing"
    assert any(result.detections.ids is not None and len(result.detections) for result in results)
    for result in results:
        assert ((result.detections.boxes[:, 1] + result.detections.boxes[:, 3]) / 2 >= SIZE[0] / 2).all()


def test_threshold_0_is_refused_and_no_gates_means_none(engine: DetectEngine) -> None:
    exact = engine.regated(SkipConfig(threshold=0.0))
    with pytest.raises(UsageError, match="threshold 0 promises"):
        exact.use_motion("warp")
    without = engine.regated(SkipConfig(gate="none"))
    without.use_motion("warp")
    assert not without.warps and without.motion_in_use == "none"
