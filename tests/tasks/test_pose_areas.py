"""Areas that are left out of poses: in the windows of persons as in whole frames."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from random_poses import random_pose_engine

from skipvid.core.results import AreaCost, Detections, Frame, FrameResult
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, HeldWindows, read_area
from skipvid.tasks.crops import CropWindow
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PERSON, PoseEngine, PoseStream
from skipvid.video.sources.decoded import Converters, DecodedPicture
from skipvid.video.sources.orientation import Orientation

SIZE = (120, 160)
LEFT = Areas(ignore=(read_area("0,0 70,0 70,120 0,120"),))


class Detector:
    """Finds the same persons in every frame; knows no areas."""

    categories = {PERSON: "person"}
    backend = "stand-in"
    notes = ("areas left out: some",)

    def networks(self, height: int, width: int) -> list[object]:
        return []

    def stream(self, dense_every: int = 0) -> Detector:
        return self

    def process(self, frame: Frame) -> FrameResult:
        boxes = np.array([[60, 20, 110, 110], [10, 30, 50, 110]], np.float32)
        found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([PERSON, PERSON], np.int64), ("person", "person"))
        return FrameResult(frame, found, frame.index == 0, {"model": 1.0})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PoseEngine:
    return random_pose_engine(tmp_path_factory.mktemp("pose"), (64, 64))


def streams(loaded: PoseEngine, threshold: float, detector: Detector | None) -> tuple[PoseStream, PoseStream]:
    engine = loaded.regated(SkipConfig(threshold=threshold, dense_above=1.0))
    engine.detector, engine.areas = detector, LEFT  # type: ignore[assignment]
    return engine.stream(), engine.stream()


def frames(count: int) -> list[Frame]:
    """A noisy background that stands still; a square moves on the right."""
    background = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    result = []
    for index in range(count):
        image = background.copy()
        image[40:60, 80 + 2 * index : 95 + 2 * index] = 200
        result.append(Frame(image, index, index / 25, "clip"))
    return result


def disturbed(frame: Frame) -> Frame:
    picture = frame.image.copy()
    picture[LEFT.left_out(*SIZE)] = np.random.default_rng(frame.index + 1).integers(0, 256, 3, np.uint8)
    return replace(frame, picture=picture)


@pytest.mark.parametrize("detector", [None, Detector()], ids=["whole frame", "windows"])
@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_whatever_happens_in_an_ignored_area_costs_nothing_and_changes_no_pose(
    loaded: PoseEngine, threshold: float, detector: Detector | None
) -> None:
    calm, wild = streams(loaded, threshold, detector)
    for frame in frames(4):
        one, other = calm.process(frame), wild.process(disturbed(frame))
        assert len(one.detections) >= 1 and one.detections.keypoints is not None and other.detections.keypoints is not None
        np.testing.assert_array_equal(one.detections.keypoints, other.detections.keypoints)
        assert one.cost is not None and other.cost is not None and one.cost.macs == other.cost.macs
    assert other.keyframe is False and other.cost.macs < other.cost.dense_macs
    assert wild.notes[0].startswith("areas left out: ")


def test_who_stands_in_an_ignored_area_is_not_reported(loaded: PoseEngine) -> None:
    stream, _ = streams(loaded, 0.05, Detector())
    found = stream.process(frames(1)[0]).detections
    assert len(found) == 1 and found.boxes[0, 0] == 60
    stream.look_at(None)
    assert len(stream.process(frames(2)[1]).detections) == 2
    stream.look_at(LEFT)
    assert len(stream.process(frames(3)[2]).detections) == 1


def test_what_areas_save_is_measured_without_a_detector_and_by_the_detector_where_there_is_one(loaded: PoseEngine) -> None:
    engine = loaded.regated(SkipConfig(threshold=0.05))
    engine.detector, engine.areas, engine.options = None, LEFT, PoseOptions(scene_cuts=False)
    moving = [disturbed(frame) for frame in frames(4)]
    results = [measured.process(frame) for measured in [engine.stream(dense_every=40)] for frame in moving]
    engine.areas = None
    alone = [stream.process(frame) for stream in [engine.stream()] for frame in moving]
    assert results[0].areas is None
    for result, other in zip(results[1:], alone[1:], strict=True):
        assert result.areas is not None and result.cost is not None and other.cost is not None
        assert (result.areas.macs, result.areas.whole_macs) == (result.cost.macs, other.cost.macs) and result.areas.saving > 0

    told = AreaCost(3, 4, 1.0, 2.0)

    class Measuring(Detector):
        def process(self, frame: Frame) -> FrameResult:
            return replace(super().process(frame), areas=told)

    engine.detector, engine.areas = Measuring(), LEFT  # type: ignore[assignment]
    assert engine.stream(dense_every=40).process(moving[0]).areas == told


@pytest.mark.parametrize("window", [(50, 10, 60, 80), (60, 30, 20, 26), (-20, -20, 140, 180), (0, 0, 160, 213), (130, 100, 90, 120)])
def test_no_change_in_what_is_left_out_is_seen_through_any_window(window: tuple[int, int, int, int]) -> None:
    """Of decoded pictures, too, whose colours are stored at half the resolution; a window that shows nothing of the area is not touched."""
    through = CropWindow(*window, (64, 48))
    held = HeldWindows(LEFT.left_out(*SIZE), (1, 2, 3))
    frame = frames(1)[0]
    seen: list[list[NDArray[np.uint8]]] = []
    for image in (frame.image, disturbed(frame).image):
        decoded = DecodedPicture(av.VideoFrame.from_ndarray(image, format="bgr24"), Orientation(), Converters())
        seen.append([held.hold(through.cut(image), through), held.hold(through.cut(decoded), through)])
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    if window[0] > 80:
        np.testing.assert_array_equal(seen[0][0], through.cut(frame.image))
    assert not (seen[0][0] == (1, 2, 3)).all()
