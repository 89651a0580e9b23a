"""The engine on generated frames: exactness, costs, activity, keyframes. What it detects is the models' affair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from moving_square import assert_same, frames
from numpy.typing import NDArray

from skipvid.core.errors import PresetError
from skipvid.core.planes import Planes
from skipvid.core.results import Frame
from skipvid.models.anchors import AnchorHead
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine

HEIGHT, WIDTH = 90, 160


def test_threshold_zero_finds_what_the_dense_network_finds_in_every_frame(engine: DetectEngine) -> None:
    exact = engine.regated(SkipConfig(threshold=0.0))
    gated, dense = exact.stream(), exact.dense_stream()
    for frame in frames(6):
        one, other = gated.process(frame), dense.process(frame)
        assert len(one.detections) > 0
        assert_same(one.detections, other.detections)
        assert other.cost is None and other.activity is None


def test_only_the_first_frame_is_a_keyframe_and_later_ones_cost_less(engine: DetectEngine) -> None:
    stream = engine.stream()
    results = [stream.process(frame) for frame in frames(4)]
    assert [result.keyframe for result in results] == [True, False, False, False]
    costs = [result.cost for result in results]
    assert all(cost is not None for cost in costs)
    assert costs[0] is not None and costs[0].saving == 0
    assert all(cost is not None and 0 < cost.saving < 1 for cost in costs[1:])


def test_activity_covers_the_frame_and_lies_where_something_moved(engine: DetectEngine) -> None:
    stream = engine.stream()
    results = [stream.process(frame) for frame in frames(3)]
    first, last = results[0].activity, results[-1].activity
    assert first is not None and last is not None
    assert first.shape == last.shape and first.min() == 1.0
    rows, columns = last.shape
    moved = last[int(rows * 30 / HEIGHT) : int(rows * 50 / HEIGHT), int(columns * 10 / WIDTH) : int(columns * 40 / WIDTH)]
    far = last[:, int(columns * 0.9) :]
    assert moved.mean() > 3 * far.mean()


def test_who_draws_no_mask_gets_the_same_results_without_it(engine: DetectEngine) -> None:
    plain = engine.regated(engine.model.config)
    plain.show_activity(False)
    streams = engine.stream(), plain.stream()
    for frame in frames(3):
        shown, hidden = (stream.process(frame) for stream in streams)
        assert hidden.activity is None and shown.activity is not None
        assert hidden.detections.boxes.tobytes() == shown.detections.boxes.tobytes()
        assert hidden.cost is not None and shown.cost is not None and hidden.cost.macs == shown.cost.macs


class Stored:
    """A picture that notes in which sizes it was made."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]
        self.made: list[tuple[int, int]] = []
        self._kept: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def scaled(self, height: int, width: int) -> NDArray[np.uint8]:
        if (height, width) not in self._kept:
            self.made.append((height, width))
            self._kept[height, width] = np.asarray(cv2.resize(self._image, (width, height)), np.uint8)
        return self._kept[height, width]

    def sampled(self, height: int, width: int) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(self._image, (width, height)), np.uint8)

    def bgr(self) -> NDArray[np.uint8]:
        return self._image

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        return self._image[top:bottom, left:right]

    def planes(self) -> Planes:
        raise NotImplementedError

    def own_planes(self) -> None:
        return None


@pytest.mark.parametrize("areas", [None, Areas(ignore=(read_area("0,0 40,0 40,40 0,40"),))])
def test_a_frame_that_was_prepared_before_its_turn_is_not_prepared_again(engine: DetectEngine, areas: Areas | None) -> None:
    given = engine.regated(engine.model.config)
    given.areas = areas
    early, late = given.stream(), given.stream()
    for frame in frames(4):
        pictures = Stored(frame.image), Stored(frame.image)
        one, other = (replace(frame, picture=picture) for picture in pictures)
        early.look_ahead(one)
        before = list(pictures[0].made)
        prepared, plain = early.process(replace(one, ahead_ms=1000.0)), late.process(other)
        assert len(before) == 1 and pictures[0].made == pictures[1].made == before
        assert prepared.detections.boxes.tobytes() == plain.detections.boxes.tobytes()
        assert prepared.ms["preprocess"] > 1000 > plain.ms["preprocess"]


def test_a_scene_cut_is_a_keyframe_unless_switched_off(engine: DetectEngine) -> None:
    first, other = frames(1)[0], frames(1, seed=1)[0]
    dark = replace(other, picture=(other.image // 8).astype(np.uint8), index=1)
    stream = engine.stream()
    assert [stream.process(frame).keyframe for frame in (first, dark)] == [True, True]
    engine.scene_cuts = False
    try:
        stream = engine.stream()
        assert [stream.process(frame).keyframe for frame in (first, dark)] == [True, False]
    finally:
        engine.scene_cuts = True


def test_a_change_of_size_within_a_stream_is_a_keyframe(engine: DetectEngine) -> None:
    stream = engine.stream()
    first = frames(1)[0]
    stream.process(first)
    turned = replace(first, picture=np.ascontiguousarray(first.image.transpose(1, 0, 2)), index=1)
    assert stream.process(turned).keyframe


def test_a_change_of_size_within_the_same_padded_input_is_a_keyframe(engine: DetectEngine) -> None:
    sizes = [(85, 160), (94, 160), (85, 160)]
    random = np.random.default_rng(0)
    given = [Frame(random.integers(0, 256, (*size, 3), np.uint8), index, index / 25, "clip") for index, size in enumerate(sizes)]
    assert {engine.networks(*size)[0][2] for size in sizes} == {(320, 544)}
    stream, dense = engine.stream(), engine.dense_stream()
    for frame in given:
        result = stream.process(frame)
        assert result.keyframe
        assert_same(result.detections, dense.process(frame).detections)


def test_dense_times_are_sampled_now_and_then(engine: DetectEngine) -> None:
    stream = engine.stream(dense_every=3)
    measured = ["dense_model" in stream.process(frame).ms for frame in frames(7)]
    assert measured == [False, False, False, True, False, False, True]


def test_dense_times_of_a_long_run_are_sampled_less_often(engine: DetectEngine) -> None:
    stream = engine.stream(dense_every=1)
    measured = [number for number, frame in enumerate(frames(24)) if "dense_model" in stream.process(frame).ms]
    assert measured == [1, 2, 4, 8, 13, 18, 23]


def test_frames_that_ran_without_gates_are_times_of_the_dense_network(engine: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(engine.model), "dense_ms", lambda model, prepared, busy: pytest.fail("there is nothing else to time"))
    random = np.random.default_rng(0)
    stream = engine.regated(SkipConfig(threshold=0.02, threads=1)).stream(dense_every=6)
    results = [stream.process(Frame(random.integers(0, 256, (90, 160, 3), np.uint8), n, n / 25, "clip")) for n in range(12)]
    # A gated frame at once shows that gates do not pay; of the stretch that follows the last frame leaves something to the next one.
    assert [result.keyframe for result in results[:3]] == [True, False, True]
    timed = [number for number, result in enumerate(results) if "dense_model" in result.ms]
    assert timed[:7] == [2, 3, 4, 5, 6, 7, 8] and 9 not in timed
    assert all(results[number].ms["dense_model"] <= results[number].ms["model"] for number in timed)
    without = engine.regated(SkipConfig(threshold=0.02, threads=1)).stream()
    assert not any("dense_model" in without.process(result.frame).ms for result in results)


def test_the_dense_network_is_timed_before_the_gated_one_and_apart_from_it(engine: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    now = [0.0]
    monkeypatch.setattr("skipvid.tasks.engine_stream.time.perf_counter", lambda: now[-1])
    maps = engine.model.session().maps
    owner = type(maps.__self__)  # type: ignore[attr-defined]
    gated = owner.maps

    def dense_ms(model: object, prepared: object) -> float:
        order.append("dense")
        now.append(now[-1] + 3600.0)
        return 3.6e6

    def gated_maps(session: object, prepared: object) -> object:
        order.append("gated")
        return gated(session, prepared)

    monkeypatch.setattr(type(engine.model), "dense_ms", dense_ms)
    monkeypatch.setattr(owner, "maps", gated_maps)
    stream = engine.stream(dense_every=1)
    first, second = (stream.process(frame) for frame in frames(2))
    assert order == ["gated", "dense", "gated"]
    assert "dense_model" not in first.ms and second.ms["dense_model"] == 3.6e6
    assert [second.ms[phase] for phase in ("preprocess", "model", "postprocess")] == [0, 0, 0]


def test_every_frame_of_a_dense_stream_is_a_keyframe(engine: DetectEngine) -> None:
    stream = engine.dense_stream()
    assert [stream.process(frame).keyframe for frame in frames(3)] == [True] * 3


def test_without_gates_there_is_no_other_network_to_time(engine: DetectEngine) -> None:
    stream = engine.regated(SkipConfig(gate="none")).stream(dense_every=1)
    assert not any("dense_model" in stream.process(frame).ms for frame in frames(3))


def test_gate_none_runs_densely_and_reports_no_cost(engine: DetectEngine) -> None:
    stream = engine.regated(SkipConfig(gate="none")).stream()
    for frame in frames(2):
        result = stream.process(frame)
        assert result.keyframe and result.cost is None and result.activity is None


def test_two_streams_of_one_engine_do_not_disturb_each_other(engine: DetectEngine) -> None:
    alone = [engine.stream() for _ in range(2)]
    together = [engine.stream() for _ in range(2)]
    clips = [frames(4, seed=seed) for seed in range(2)]
    expected = [[stream.process(frame) for frame in clip] for stream, clip in zip(alone, clips, strict=True)]
    for index in range(4):
        for which in range(2):
            result = together[which].process(clips[which][index])
            assert_same(result.detections, expected[which][index].detections)
            assert result.cost == expected[which][index].cost


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "pose"}, "is for the task 'pose'; choose a preset of the task 'detect'"),
        ({"model": "hrnet-nano"}, "the network hrnet-nano is for the task 'pose', not 'detect'"),
        ({"model": "yolox_namo"}, "unknown network 'yolox_namo'; did you mean yolox_nano?"),
        ({"size_multiple": 8}, "'size_multiple' must be a multiple of 32 for the network efficientdet-nano, got 8"),
    ],
)
def test_a_preset_that_no_detector_fits_is_refused(changes: dict[str, Any], says: str, random_weights: Path) -> None:
    preset = replace(load_preset("efficientdet-nano"), **changes)
    with pytest.raises(PresetError) as caught:
        DetectEngine(preset, SkipConfig(), random_weights)
    assert says in str(caught.value)


def test_only_the_heads_that_changed_are_read(engine: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    find = AnchorHead.find
    monkeypatch.setattr(AnchorHead, "find", lambda head, level, *rest: read.append(level) or find(head, level, *rest))
    stream, dense = engine.regated(SkipConfig(threshold=0.0)).stream(), engine.dense_stream()
    image = np.random.default_rng(0).integers(0, 256, (128, 256, 3), np.uint8)
    counts = []
    for number in range(4):
        if number == 3:
            image = image.copy()
            image[:8, :8] ^= 255
        read.clear()
        frame = Frame(image, number, number / 25, "test")
        found = stream.process(frame)
        counts.append(len(read))  # before the dense network's heads are read
        expected = dense.process(frame).detections
        assert np.array_equal(found.detections.boxes, expected.boxes) and np.array_equal(found.detections.scores, expected.scores)
    assert counts[0] == 5 and counts[1] == counts[2] == 0 and counts[3] > 0


def test_results_are_the_same_when_they_are_completed_after_frames_that_follow(engine: DetectEngine) -> None:
    given = list(frames(6))
    together, in_steps = engine.stream(), engine.stream()
    expected = [together.process(frame) for frame in given]
    begun = [in_steps.begin(frame) for frame in given]
    for complete, result in zip(begun, expected, strict=True):
        late = complete()
        assert_same(late.detections, result.detections)
        assert late.frame is result.frame and late.keyframe == result.keyframe
        assert late.cost is not None and result.cost is not None
        assert late.cost.table is result.cost.table and np.array_equal(late.cost.counts, result.cost.counts)
        assert late.cost.other_gate_ops == result.cost.other_gate_ops
        assert late.activity is not None and result.activity is not None and np.array_equal(late.activity, result.activity)
        assert late.ms.keys() == result.ms.keys() and late.ms["postprocess"] > 0


def test_the_dense_network_is_taken_to_wait_for_cores_as_gated_frames_do(engine: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(engine.model), "dense_ms", lambda model, prepared: 5.0)
    stream = engine.stream(dense_every=1)
    monkeypatch.setattr(type(stream._session), "held_up", 3.0)
    results = [stream.process(frame) for frame in frames(2)]
    assert results[1].ms["dense_model"] == 15.0
