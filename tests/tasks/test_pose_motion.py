"""Poses before a camera that moves: windows ride on its motion, keep what was computed, and report where the frame shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_poses import random_pose_engine
from shaking_camera import scene, seen, shaken

from skipvid.core.errors import UsageError
from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine, DetectStream
from skipvid.tasks.engine import Stream
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PERSON, PoseEngine, PoseStream

AT_REST = np.array([[200, 90, 260, 210], [380, 60, 430, 170]], np.float32)
WAYS = ("own motion", "the detector's", "whole frame")
Places = Callable[[int], tuple[float, float]]


def found(places: Places, number: int) -> Detections:
    """Two persons who stand still in the scene, by a camera that moved it there."""
    boxes = (AT_REST + np.array([*places(number), *places(number)])).astype(np.float32)
    return Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([PERSON] * 2, np.int64), ("person",) * 2)


class Scripted:
    """Stands in for a detector, and knows nothing of the camera."""

    categories = {PERSON: "person"}
    backend = "script"
    notes = ()

    def __init__(self, places: Places) -> None:
        self._places = places

    def networks(self, height: int, width: int) -> list[object]:
        return []

    def stream(self, dense_every: int = 0) -> Scripted:
        return self

    dense_stream = stream

    def process(self, frame: Frame) -> FrameResult:
        return FrameResult(frame, found(self._places, frame.index), frame.index == 0, {"model": 1.0})


class Told(DetectStream):
    """A detector's stream whose network runs, and whose persons are told."""

    places: Places

    def process(self, frame: Frame) -> FrameResult:
        return replace(super().process(frame), detections=found(self.places, frame.index))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PoseEngine:
    return random_pose_engine(tmp_path_factory.mktemp("pose"), (128, 96))


@pytest.fixture(autouse=True)
def person_in_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keypoints of random weights are all over the frame, which would leave no background from which motion could be told."""
    monkeypatch.setattr("skipvid.tasks.people.extent", lambda *_: AT_REST[0])


@pytest.fixture(scope="module")
def detector(random_weights: Path) -> DetectEngine:
    return DetectEngine(load_preset("efficientdet-nano"), SkipConfig(threshold=0.03), random_weights, "0" * 64)


def made(
    loaded: PoseEngine, detector: DetectEngine, way: str, motion: str, places: Places, threshold: float = 0.05, **options: object
) -> PoseEngine:
    engine = loaded.regated(SkipConfig(threshold=threshold))
    engine.options = replace(PoseOptions(scene_cuts=False), **options)  # type: ignore[arg-type]
    engine.detector, engine.motion = None, motion
    if way == "own motion":
        engine.detector = Scripted(places)  # type: ignore[assignment]
    if way == "the detector's":
        own = detector.regated(detector.model.config)
        own.motion = motion

        def stream(dense_every: int = 0) -> Stream:
            told = Told(own, dense=False, dense_every=dense_every)
            told.places = places
            return told

        own.stream = stream  # type: ignore[method-assign, assignment]
        engine.detector = own
    return engine


def run(engine: PoseEngine, given: Sequence[Frame]) -> list[FrameResult]:
    stream = engine.stream()
    return [stream.process(frame) for frame in given]


def saving(results: Sequence[FrameResult]) -> float:
    """Of the pose network."""
    layers = [layer for result in results if result.cost is not None for layer in result.cost.layers if layer.name.startswith("pose.")]
    return 1 - sum(layer.macs for layer in layers) / sum(layer.dense_macs for layer in layers)


def keypoints(result: FrameResult) -> NDArray[np.float32]:
    points = result.detections.keypoints
    assert points is not None
    return points


def shake(number: int) -> tuple[float, float]:
    return 2 * float(np.sin(2.1 * number)), float(np.cos(1.3 * number)) - 1


def still(number: int) -> tuple[float, float]:
    return 0.0, 0.0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("motion", ["auto", "canvas"])
def test_a_camera_that_stands_still_has_the_same_bits(loaded: PoseEngine, detector: DetectEngine, way: str, motion: str) -> None:
    given = shaken(6, 0.0)
    ours, theirs = (run(made(loaded, detector, way, chosen, still), given) for chosen in (motion, "none"))
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(keypoints(one), keypoints(other)) and len(keypoints(one)) > 0
        assert np.array_equal(one.detections.boxes, other.detections.boxes)
        assert one.cost == other.cost and one.keyframe == other.keyframe
        assert one.activity is not None and other.activity is not None and np.array_equal(one.activity, other.activity)


@pytest.mark.parametrize("way", WAYS)
def test_a_shaking_camera_costs_little_more_than_one_that_stands_still(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    at_rest = saving(run(made(loaded, detector, way, "none", still), shaken(16, 0.0)))
    plain, riding = (saving(run(made(loaded, detector, way, motion, shake), shaken(16, 2.0))) for motion in ("none", "canvas"))
    assert riding > 0.85 * at_rest and plain < 0.5 * at_rest


@pytest.mark.parametrize("way", WAYS)
def test_keypoints_lie_where_the_frame_shows_them(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    def aside(number: int) -> tuple[float, float]:
        return 7.0 * number / 4, -5.0 * number / 4

    whole = scene()
    given = [Frame(seen(whole, *aside(number)), number, number / 25, "clip") for number in range(5)]
    results = run(made(loaded, detector, way, "canvas", aside), given)
    assert [result.keyframe for result in results] == [True, False, False, False, False]
    moved = keypoints(results[-1])[..., :2] - keypoints(results[0])[..., :2]
    assert np.abs(np.median(moved, axis=1) - (7.0, -5.0)).max() < 0.3


@pytest.mark.parametrize("way", WAYS[:2])
def test_between_runs_of_the_detector_windows_ride_too(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    given = shaken(16, 2.0)
    plain, riding = (saving(run(made(loaded, detector, way, motion, shake, detect_every=4), given)) for motion in ("none", "canvas"))
    assert riding > 1.3 * plain


@pytest.mark.parametrize("way", WAYS)
def test_a_new_anchor_is_a_keyframe_of_all_windows(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    def pan(number: int) -> tuple[float, float]:
        return 4.0 * number - 20, 0.3

    whole = scene()
    given = [Frame(seen(whole, *pan(number)), number, number / 25, "clip") for number in range(10)]
    results = run(made(loaded, detector, way, "canvas", pan), given)
    dense = [saving([result]) == 0 for result in results]
    assert dense == [number % 3 == 0 for number in range(10)], "the anchor lies 2 % of the width away in every third frame"


def test_auto_finds_out_that_it_pays(loaded: PoseEngine, detector: DetectEngine) -> None:
    results = run(made(loaded, detector, "own motion", "auto", shake), shaken(40, 2.0))
    assert saving(results[20:]) > 1.5 * max(0.1, saving(results[:12]))


@pytest.mark.parametrize("way", WAYS)
def test_auto_keeps_the_promise_of_threshold_0(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    given = shaken(24, 2.0)
    ours, theirs = (run(made(loaded, detector, way, motion, shake, 0.0), given) for motion in ("auto", "none"))
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(keypoints(one), keypoints(other))


@pytest.mark.parametrize("way", WAYS)
def test_the_dense_network_s_windows_are_never_registered(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    given = shaken(4, 2.0)
    ours, theirs = (made(loaded, detector, way, motion, shake).dense_stream() for motion in ("canvas", "none"))
    for frame in given:
        assert np.array_equal(keypoints(ours.process(frame)), keypoints(theirs.process(frame)))


@pytest.mark.parametrize("way", WAYS)
def test_a_scene_cut_a_lost_connection_and_another_size_begin_anew(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    given = shaken(4, 2.0)
    dark = replace(shaken(1, 0.0, seed=9)[0], picture=(seen(scene(9)) // 8).astype(np.uint8), index=4)
    resumed = replace(dark, picture=(seen(scene(9), 1.5) // 8).astype(np.uint8), index=5, resumed=True)
    small = Frame(seen(scene(9))[:220].copy(), 6, 0.3, "clip")
    engine = made(loaded, detector, way, "canvas", shake, scene_cuts=True)
    results = run(engine, [*given, dark, resumed, small])
    assert [saving([result]) == 0 for result in results] == [True, False, False, False, True, True, True]
    alone = run(engine, [small])[0]
    assert np.array_equal(keypoints(results[-1]), keypoints(alone))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_left_out_costs_nothing_before_a_shaking_camera(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    engine = made(loaded, detector, way, "canvas", shake)
    engine.areas = Areas(ignore=(read_area("0.36,0 1,0 1,1 0.36,1"),))  # both persons
    if engine.detector is not None:
        engine.detector.areas = engine.areas
    wild = [replace(frame, picture=frame.image.copy()) for frame in shaken(6, 2.0)]
    for frame in wild:
        frame.image[:, 220:] = np.random.default_rng(frame.index).integers(0, 256, 3, np.uint8)
    assert saving(run(engine, wild)[1:]) > 0.75
    assert saving(run(made(loaded, detector, way, "canvas", shake), wild)[1:]) < 0.4


@pytest.mark.parametrize("way", WAYS)
def test_notes_say_once_how_much_was_registered(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    for motion, expected in (("canvas", 1), ("none", 0)):
        stream = made(loaded, detector, way, motion, shake).stream()
        assert stream.notes == ()
        for frame in shaken(6, 2.0):
            stream.process(frame)
        assert [note.startswith("the camera moves: 5 of 6 frames") for note in stream.notes] == [True] * expected


@pytest.mark.parametrize("detect_every", [1, 3])
def test_notes_say_it_once_beside_areas(loaded: PoseEngine, detector: DetectEngine, detect_every: int) -> None:
    engine = made(loaded, detector, "the detector's", "canvas", shake, detect_every=detect_every)
    engine.areas = Areas(ignore=(read_area("0,0 0.1,0 0,0.1"),))
    assert isinstance(engine.detector, DetectEngine)
    engine.detector.areas = engine.areas
    stream = engine.stream()
    for frame in shaken(6, 2.0):
        stream.process(frame)
    areas, registered = stream.notes
    assert areas.startswith("areas left out: ") and registered == "the camera moves: 5 of 6 frames were registered to 1 anchor"


@pytest.mark.parametrize("detect_every", [1, 2])
def test_notes_say_how_many_of_the_detectors_pictures_were_filtered(loaded: PoseEngine, detector: DetectEngine, detect_every: int) -> None:
    engine = made(loaded, detector, "the detector's", "none", lambda _: (0, 0), detect_every=detect_every)
    assert isinstance(engine.detector, DetectEngine)
    engine.detector.use_denoising("auto")
    stream, random = engine.stream(), np.random.default_rng(0)
    for frame in shaken(16, 0.0):
        image = frame.image + random.normal(0, 5, frame.image.shape)
        stream.process(replace(frame, picture=np.clip(np.rint(image), 0, 255).astype(np.uint8)))
    (note,) = stream.notes
    assert f" of {16 // detect_every} frames" in note and "noise was taken out" in note
    assert note.endswith("(of the frames that the detector ran in)") == (detect_every == 2)


@pytest.mark.parametrize("way", WAYS)
def test_notes_count_on_after_a_scene_cut_another_size_and_other_areas(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    shakes = shaken(6, 2.0)
    elsewhere = [replace(frame, picture=(255 - frame.image).astype(np.uint8)) for frame in shaken(6, 2.0, seed=9)]
    small = [replace(frame, picture=frame.image[:250].copy()) for frame in elsewhere]
    stream = made(loaded, detector, way, "canvas", shake, scene_cuts=True).stream()
    assert isinstance(stream, PoseStream)
    for count, given in enumerate((shakes, elsewhere, small)):
        for frame in given:
            stream.process(frame)
        assert [note.startswith(f"the camera moves: {5 * (count + 1)} of {6 * (count + 1)} frames") for note in stream.notes] == [True]
    stream.look_at(Areas(ignore=(read_area("0,0 0.1,0 0,0.1"),)))
    stream.process(small[0])
    assert any(note.startswith("the camera moves: 15 of 19 frames") for note in stream.notes)


@pytest.mark.parametrize("way", WAYS)
def test_auto_keeps_what_it_has_learnt_after_a_scene_cut(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    """A camera that shakes goes on shaking before another scene."""
    after = [replace(frame, picture=(255 - frame.image).astype(np.uint8)) for frame in shaken(8, 2.0, seed=9)]
    results = run(made(loaded, detector, way, "auto", shake, scene_cuts=True), [*shaken(40, 2.0), *after])
    assert saving(results[41:]) > 0.8 * saving(results[30:40])


@pytest.mark.parametrize("way", ["the detector's", "whole frame"])
def test_moving_maps_is_refused(loaded: PoseEngine, detector: DetectEngine, way: str) -> None:
    with pytest.raises(UsageError, match="--motion shift is for detectors, not for poses"):
        made(loaded, detector, way, "none", still).use_motion("shift")


def test_use_motion_is_told_to_the_detector_and_asks_its_preset(loaded: PoseEngine, detector: DetectEngine) -> None:
    engine = made(loaded, detector, "the detector's", "none", still)
    assert engine.detector is not None
    engine.use_motion("canvas")
    assert engine.motion_in_use == engine.detector.motion == "canvas"
    engine.detector.preset = replace(engine.detector.preset, motion="auto")
    engine.use_motion(None)
    assert engine.motion_in_use == engine.detector.motion == "auto"


def test_the_pose_network_s_own_preset_goes_before_the_detector_s(loaded: PoseEngine, detector: DetectEngine) -> None:
    engine = made(loaded, detector, "the detector's", "none", still)
    assert engine.detector is not None
    engine.preset = replace(engine.preset, motion="canvas")
    engine.use_motion(None)
    assert engine.motion_in_use == engine.detector.motion == "canvas"
    engine.use_motion("none")
    assert engine.motion_in_use == engine.detector.motion == "none"


@pytest.mark.parametrize("whose", ["own", "the detector's"])
def test_a_preset_that_moves_maps_is_named(loaded: PoseEngine, detector: DetectEngine, whose: str) -> None:
    engine = made(loaded, detector, "the detector's", "none", still)
    assert engine.detector is not None
    one = engine if whose == "own" else engine.detector
    one.preset = replace(one.preset, motion="shift", name="mine")
    with pytest.raises(UsageError, match="the preset mine says 'motion: shift', which is for detectors, not for poses"):
        engine.use_motion(None)


def test_the_pose_network_s_own_preset_says_whether_pictures_are_filtered(loaded: PoseEngine, detector: DetectEngine) -> None:
    engine = made(loaded, detector, "the detector's", "none", still)
    assert engine.detector is not None
    engine.use_denoising(None)
    assert engine.detector.denoise == "none"
    engine.preset = replace(engine.preset, denoise="auto")
    engine.use_denoising(None)
    assert engine.detector.denoise == "auto"
    engine.use_denoising("none")
    assert engine.detector.denoise == "none"
    engine.preset = replace(engine.preset, denoise="none")
    engine.detector.preset = replace(engine.detector.preset, denoise="auto")
    engine.use_denoising(None)
    assert engine.detector.denoise == "auto"
