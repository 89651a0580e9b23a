"""The pose engine on generated frames, with a stand-in for the detector: exactness, windows, identities, costs, bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.errors import PresetError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.models import build_model
from skipvid.presets.preset import Preset, load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.crops import EVERY_FRAME
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PERSON, PoseEngine, PoseStream

HEIGHT, WIDTH = 180, 320
Boxes = NDArray[np.float32]


@dataclass
class Script:
    """Stands in for a detector: reports prepared boxes, frame by frame, with a cost like that of a network of one layer."""

    boxes: Sequence[Boxes]
    categories: Mapping[int, str]
    backend = "script"
    weights_sha256 = ""
    runs = 0
    shows_activity = True

    def prepare(self, height: int, width: int) -> None: ...

    def show_activity(self, shown: bool) -> None:
        self.shows_activity = shown

    def networks(self, height: int, width: int) -> list[Any]:
        return []

    def stream(self, dense_every: int = 0) -> Script:
        return self

    def dense_stream(self) -> Script:
        return self

    def process(self, frame: Frame) -> FrameResult:
        self.runs += 1
        found = self.boxes[frame.index]
        count = len(found)
        first = frame.index == 0
        cost = FrameCost.of((LayerCost("head", "head", "conv", 1000, 1000 if first else 100, 10, 10 if first else 1),))
        return FrameResult(
            frame,
            Detections(found, np.linspace(0.9, 0.5, count, dtype=np.float32), np.full(count, PERSON, np.int64), ("person",) * count),
            first,
            {"preprocess": 1.0, "model": 2.0, "postprocess": 3.0},
            cost,
            np.full((9, 16), 1.0 if first else 0.1, np.float32) if self.shows_activity else None,
        )


def script(*frames: Sequence[tuple[float, float]], size: tuple[float, float] = (40, 100)) -> Script:
    """Persons by their centres, frame by frame."""
    half = np.array(size, np.float32) / 2
    boxes = [np.array([[*(np.array(c) - half), *(np.array(c) + half)] for c in centres], np.float32).reshape(-1, 4) for centres in frames]
    return Script(boxes, {PERSON: "person"})


def frames(positions: Sequence[Sequence[tuple[float, float]]], seed: int = 0) -> list[Frame]:
    """A still, noisy background with a bright figure at each position."""
    background = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    result = []
    for index, centres in enumerate(positions):
        image = background.copy()
        for x, y in centres:
            image[max(int(y) - 40, 0) : int(y) + 40, max(int(x) - 12, 0) : int(x) + 12] = 220
        result.append(Frame(image, index, index / 25, "clip"))
    return result


@pytest.fixture(scope="module")
def preset() -> Preset:
    return replace(load_preset("hrnet_w32_256x192"), model="hrnet-nano", image_size=(128, 96))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("pose") / "random.pt"
    torch.save(build_model("hrnet-nano").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def loaded(preset: Preset, weights: Path) -> PoseEngine:
    return PoseEngine(preset, SkipConfig(threshold=0.05), weights, "0" * 64, script())


def behind(loaded: PoseEngine, detector: Script | None, threshold: float = 0.05, **options: object) -> PoseEngine:
    """The loaded network behind another detector."""
    engine = loaded.regated(SkipConfig(threshold=threshold))
    engine.detector = detector
    engine.options = replace(PoseOptions(scene_cuts=False), **options)  # type: ignore[arg-type]
    return engine


def walk(count: int, start: tuple[float, float] = (150, 90), step: float = 2.0) -> list[list[tuple[float, float]]]:
    return [[(start[0] + step * index, start[1])] for index in range(count)]


def run(stream: PoseStream, given: Sequence[Frame]) -> list[FrameResult]:
    return [stream.process(frame) for frame in given]


def keypoints(result: FrameResult) -> NDArray[np.float32]:
    assert result.detections.keypoints is not None
    return result.detections.keypoints


def identities(result: FrameResult) -> list[int]:
    assert result.detections.ids is not None
    return result.detections.ids.tolist()


@pytest.mark.slow
def test_threshold_zero_equals_dense_in_every_crop_over_a_whole_clip(loaded: PoseEngine) -> None:
    positions = [[(60 + 3 * i, 90), (260 - 4 * i, 85)] for i in range(24)]
    engine = behind(loaded, script(*positions), 0.0)
    gated, dense = engine.stream(), engine.dense_stream()
    moved = 0
    for frame in frames(positions):
        one, other = gated.process(frame), dense.process(frame)
        np.testing.assert_allclose(keypoints(one)[..., :2], keypoints(other)[..., :2], atol=0.02)
        np.testing.assert_allclose(keypoints(one)[..., 2], keypoints(other)[..., 2], atol=1e-4)
        assert identities(one) == identities(other)
        assert other.cost is None and one.cost is not None
        moved += one.cost.saving == 0
    assert one.cost.saving > 0
    assert moved < 20


def test_a_person_who_stays_in_the_window_is_no_new_keyframe_and_costs_less(loaded: PoseEngine) -> None:
    positions = walk(5)
    results = run(behind(loaded, script(*positions)).stream(), frames(positions))
    assert [result.keyframe for result in results] == [True, False, False, False, False]
    assert all(result.cost is not None and result.cost.saving > 0 for result in results[1:])


def test_windows_that_follow_their_person_compute_everything_anew(loaded: PoseEngine) -> None:
    positions = walk(4)
    results = run(behind(loaded, script(*positions), rule=EVERY_FRAME).stream(), frames(positions))
    for result in results:
        assert result.cost is not None
        pose = [layer for layer in result.cost.layers if layer.name.startswith("pose.")]
        assert sum(layer.macs for layer in pose) == sum(layer.dense_macs for layer in pose) > 0


def test_costs_of_detector_and_pose_stand_apart_and_add_up_whoever_is_there(loaded: PoseEngine) -> None:
    positions = [[(80, 90)], [(80, 90), (240, 90)], []]
    results = run(behind(loaded, script(*positions)).stream(), frames(positions))
    costs = [result.cost for result in results]
    assert all(cost is not None for cost in costs)
    dense = [sum(layer.dense_macs for layer in cost.layers if layer.stage.startswith("pose.")) for cost in costs if cost]
    assert dense[1] == 2 * dense[0] and dense[2] == 0
    total = costs[0]
    for cost in costs[1:]:
        assert total is not None and cost is not None
        total = total + cost
    assert total is not None and total.dense_macs == 3 * dense[0] + 3 * 1000
    assert {layer.name.split(".")[0] for layer in total.layers} == {"detector", "pose"}


def test_who_draws_no_mask_gets_the_same_poses_without_it(loaded: PoseEngine) -> None:
    positions = walk(3)
    shown, hidden = (behind(loaded, script(*positions)) for _ in range(2))
    hidden.show_activity(False)
    assert hidden.detector is not None and not hidden.detector.shows_activity
    for seen, unseen in zip(run(shown.stream(), frames(positions)), run(hidden.stream(), frames(positions)), strict=True):
        assert unseen.activity is None and seen.activity is not None
        assert unseen.detections.boxes.tobytes() == seen.detections.boxes.tobytes()
        assert unseen.cost is not None and seen.cost is not None and unseen.cost.macs == seen.cost.macs


def test_activity_covers_the_frame_and_is_highest_where_a_person_moves(loaded: PoseEngine) -> None:
    positions = walk(4, step=4.0)
    last = run(behind(loaded, script(*positions)).stream(), frames(positions))[-1].activity
    assert last is not None
    rows, columns = last.shape
    assert columns / rows == pytest.approx(WIDTH / HEIGHT, rel=0.05)
    person = last[int(rows * 0.4) : int(rows * 0.6), int(columns * 0.45) : int(columns * 0.55)]
    away = last[:, : int(columns * 0.2)]
    assert person.mean() > 2 * away.mean()
    assert away.mean() == pytest.approx(0.1, abs=0.02)


def test_between_detections_the_box_goes_with_the_keypoints(loaded: PoseEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.tasks.pose.SURE", 0.0)  # random weights are sure of nothing
    positions = walk(7)
    detector = script(*positions)
    results = run(behind(loaded, detector, detect_every=3).stream(), frames(positions))
    assert detector.runs == 3
    assert len({tuple(identities(result)) for result in results}) == 1
    for result in results:
        assert result.cost is not None
        runs = result.frame.index % 3 == 0
        assert (sum(layer.dense_macs for layer in result.cost.layers if layer.name.startswith("detector.")) > 0) == runs
    held = [result.detections.boxes[0] for result in results[:2]]
    shift = np.median(keypoints(results[1])[0, :, :2] - keypoints(results[0])[0, :, :2], axis=0)
    np.testing.assert_allclose(held[1][:2] - held[0][:2], shift, atol=1e-3)


def test_a_person_who_leaves_and_comes_back_soon_keeps_identity_and_session(loaded: PoseEngine) -> None:
    positions = [[(150, 90)], [(152, 90)], [], [], [(154, 90)]]
    stream = behind(loaded, script(*positions)).stream()
    results = run(stream, frames(positions))
    assert [len(result.detections) for result in results] == [1, 1, 0, 0, 1]
    assert identities(results[0]) == identities(results[4])
    assert not results[4].keyframe


def test_persons_beyond_the_bound_are_left_out_and_memory_stays_bounded(loaded: PoseEngine) -> None:
    crowd = [(20 + 40 * i, 60 + 6 * (i % 3)) for i in range(8)]
    positions = [crowd[:2], crowd, crowd, crowd[4:], crowd[4:], crowd]
    stream = behind(loaded, script(*positions, size=(30, 60)), max_persons=3).stream()
    sizes = []
    for frame in frames(positions):
        result = stream.process(frame)
        assert len(result.detections) <= 3
        sizes.append(stream.memory_bytes)
    one = sizes[0] / 2
    assert max(sizes) <= 3 * one * 1.01
    assert stream.notes == () and stream.problems == ("more than 3 persons in 5 frames: up to 5 left out; raise --max-persons",)


def test_two_persons_who_cross_keep_identity_and_session(loaded: PoseEngine) -> None:
    # In the middle the detector sees one box only: one person hides the other.
    paths = [[(100 + 6 * i, 90), (208 - 6 * i, 92)] for i in range(19)]
    positions = [[pair[0]] if abs(pair[0][0] - pair[1][0]) < 12 else pair for pair in paths]
    assert any(len(seen) == 1 for seen in positions)
    results = run(behind(loaded, script(*positions)).stream(), frames(paths))

    def by_place(result: FrameResult) -> list[int]:
        return [identities(result)[index] for index in np.argsort(result.detections.boxes[:, 0])]

    left, right = by_place(results[0])
    assert by_place(results[-1]) == [right, left]


def test_twelve_persons_who_come_and_go_need_twelve_sessions_however_long_it_lasts(
    loaded: PoseEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = behind(loaded, None)
    made: list[object] = []
    make = engine.model.session
    monkeypatch.setattr(engine.model, "session", lambda: made.append(make()) or made[-1])
    crowd = [(16 + 22 * i, 50 + 70 * (i % 2)) for i in range(14)]
    # Every six frames two go and two come.
    positions = [[place for number, place in enumerate(crowd) if (number + 2 * (frame // 6)) % 14 >= 2] for frame in range(30)]
    engine.detector = script(*positions, size=(18, 56))
    stream = engine.stream()
    sizes = []
    for frame in frames(positions):
        assert len(stream.process(frame).detections) == 12
        sizes.append(stream.memory_bytes)
    assert len(made) == 12
    assert max(sizes) == sizes[0]


def test_a_scene_cut_forgets_everybody(loaded: PoseEngine) -> None:
    positions = walk(2, step=0.0)
    before, after = frames(positions[:1])[0], frames(positions, seed=1)[1]
    after = replace(after, picture=(after.image // 8).astype(np.uint8))
    stream = behind(loaded, script(*positions), scene_cuts=True).stream()
    first, second = stream.process(before), stream.process(after)
    assert identities(first) != identities(second)
    assert second.cost is not None
    assert all(layer.macs == layer.dense_macs for layer in second.cost.layers if layer.name.startswith("pose."))


def test_a_change_of_size_begins_anew(loaded: PoseEngine) -> None:
    positions = walk(2, step=0.0)
    first, second = frames(positions)
    small = replace(second, picture=second.image[:160, :300].copy())
    stream = behind(loaded, script(*positions)).stream()
    stream.process(first)
    result = stream.process(small)
    assert result.activity is not None and len(result.detections) == 1
    assert result.cost is not None
    assert all(layer.macs == layer.dense_macs for layer in result.cost.layers if layer.name.startswith("pose."))


def test_without_a_detector_the_whole_frame_is_one_window_of_its_own_shape(loaded: PoseEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.tasks.pose.SURE", 0.0)
    positions = walk(3)
    engine = behind(loaded, None, score_threshold=0.0)
    assert engine.window_size((HEIGHT, WIDTH)) == (128, 224)
    results = run(engine.stream(), frames(positions))
    assert [result.keyframe for result in results] == [True, False, False]
    for result in results:
        assert identities(result) == [1]
        assert result.cost is not None and all(layer.name.startswith("pose.") for layer in result.cost.layers)
        x1, y1, x2, y2 = result.detections.boxes[0]
        assert 0 <= x1 <= x2 <= WIDTH and 0 <= y1 <= y2 <= HEIGHT


def test_in_a_whole_frame_without_a_sure_keypoint_nobody_is_reported(loaded: PoseEngine) -> None:
    result = behind(loaded, None).stream().process(frames(walk(1))[0])
    assert len(result.detections) == 0 and keypoints(result).shape == (0, 17, 3)


def test_the_dense_networks_are_timed_beside_the_gated_ones_when_asked(loaded: PoseEngine) -> None:
    positions = walk(3)
    stream = behind(loaded, script(*positions)).stream(dense_every=2)
    results = run(stream, frames(positions))
    assert ["dense_model" in result.ms for result in results] == [False, False, True]


def test_nothing_is_timed_where_the_detector_skips_frames(loaded: PoseEngine) -> None:
    positions = walk(5)
    results = run(behind(loaded, script(*positions), detect_every=2).stream(dense_every=2), frames(positions))
    assert not any("dense_model" in result.ms for result in results)


def test_a_person_who_stands_still_weighs_in_the_activity_by_what_the_network_would_have_cost(loaded: PoseEngine) -> None:
    positions = walk(3, step=0.0)
    last = run(behind(loaded, script(*positions)).stream(), frames(positions))[-1].activity
    assert last is not None
    rows, columns = last.shape
    person = last[int(rows * 0.4) : int(rows * 0.6), int(columns * 0.45) : int(columns * 0.5)]
    assert person.max() < 0.01 and last[:, : int(columns * 0.2)].mean() == pytest.approx(0.1, abs=0.02)  # the detector's


@pytest.mark.parametrize(
    ("name", "categories", "words"),
    [("efficientdet-nano", {1: "person"}, "is for the task 'detect'"), ("hrnet_w32_256x192", {3: "car"}, "knows no persons")],
)
def test_a_preset_or_detector_of_the_wrong_kind_is_refused(name: str, categories: dict[int, str], words: str, weights: Path) -> None:
    with pytest.raises(PresetError, match=words):
        PoseEngine(load_preset(name), SkipConfig(), weights, detector=Script((), categories))
