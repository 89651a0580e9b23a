"""The pose engine with real weights on real clips; annotated boxes stand in for the detector."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.presets.preset import load_preset
from skipvid.skip import cpu as native
from skipvid.skip.config import SkipConfig
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PERSON, PoseEngine

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


class Annotated:
    """Stands in for a detector: reports the annotated boxes of each frame."""

    backend = "annotations"
    weights_sha256 = ""
    categories: Mapping[int, str] = {PERSON: "person"}

    def __init__(self) -> None:
        self.boxes: dict[int, NDArray[np.float32]] = {}

    def prepare(self, height: int, width: int) -> None: ...

    def networks(self, height: int, width: int) -> list[Any]:
        return []

    def stream(self, dense_every: int = 0) -> Annotated:
        return self

    def dense_stream(self) -> Annotated:
        return self

    def process(self, frame: Frame) -> FrameResult:
        boxes = self.boxes.get(frame.index, np.zeros((0, 4), np.float32))
        count = len(boxes)
        found = Detections(boxes, np.ones(count, np.float32), np.full(count, PERSON, np.int64), ("person",) * count)
        return FrameResult(frame, found, frame.index == 0, {})


@pytest.fixture(scope="module")
def detector() -> Annotated:
    return Annotated()


@pytest.fixture(scope="module")
def engine(data: Path, detector: Annotated) -> PoseEngine:
    weights = data / "weights" / "tinypose_torch" / "tinypose_256x192_state_dict.pt"
    return PoseEngine(load_preset("tinypose_256x192"), SkipConfig(), weights, detector=detector, options=PoseOptions(scene_cuts=False))


def read(path: Path, most: int) -> list[Frame]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while len(frames) < most:
        there, image = capture.read()
        if not there:
            break
        frames.append(Frame(np.asarray(image, np.uint8), len(frames), len(frames) / 10, path.name))
    return frames


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_threshold_zero_gives_the_bits_of_dense_in_every_crop_of_a_whole_clip(
    backend: str, data: Path, engine: PoseEngine, detector: Annotated
) -> None:
    if backend == "cpu" and not native.status().available:
        pytest.skip("the native kernels were not built")
    folder = data / "sequences" / "jhmdb"
    name = "wave_and_say_hi_wave_u_nm_np1_fr_med_0.avi"
    joints = np.array(json.loads((folder / "joints.json").read_text())["clips"][name]["joints"], np.float32)
    detector.boxes = {i: np.concatenate([frame.min(0), frame.max(0)])[None] for i, frame in enumerate(joints)}
    exact = engine.regated(SkipConfig(threshold=0.0, backend=backend, dense_above=1.0))
    gated, dense = exact.stream(), exact.dense_stream()
    skipped = 0
    for frame in read(folder / name, 40):
        one, other = gated.process(frame), dense.process(frame)
        assert one.detections.keypoints is not None and other.detections.keypoints is not None
        assert one.detections.keypoints.shape == (1, 17, 3)
        np.testing.assert_array_equal(one.detections.keypoints, other.detections.keypoints)
        assert one.cost is not None
        skipped += one.cost.saving > 0
    assert skipped > 20  # it is no comparison of dense with dense


def annotated_people(data: Path) -> dict[int, NDArray[np.float32]]:
    """PETS by frame: (K, 5) identity, then box xyxy."""
    people: dict[int, list[list[float]]] = defaultdict(list)
    table = np.loadtxt(data / "sequences" / "pets09_s2l1" / "gt_mot_480x360.txt", delimiter=",", usecols=range(6))
    for number, person, x, y, width, height in table:
        people[int(number) - 1].append([person, x, y, x + width, y + height])
    return {index: np.array(rows, np.float32) for index, rows in people.items()}


def count_switches(results: list[FrameResult], people: Mapping[int, NDArray[np.float32]]) -> tuple[int, int]:
    """How many persons were reported, and how often one of them changed identity."""
    last: dict[float, int] = {}
    switches = 0
    for result in results:
        assert result.detections.ids is not None
        truth = people[result.frame.index]
        for box, identity in zip(result.detections.boxes, result.detections.ids.tolist(), strict=True):
            person = float(truth[np.abs(truth[:, 1:] - box).sum(1).argmin(), 0])
            switches += last.get(person, identity) != identity
            last[person] = identity
    return len(last), switches


def test_a_crowd_keeps_its_identities_in_bounded_memory(data: Path, engine: PoseEngine, detector: Annotated) -> None:
    people = annotated_people(data)
    detector.boxes = {index: rows[:, 1:] for index, rows in people.items()}
    stream = engine.regated(SkipConfig(threshold=0.1)).stream()
    results, sizes = [], []
    for frame in read(data / "sequences" / "pets09_s2l1" / "vtest_480x360.avi", 60):
        results.append(stream.process(frame))
        sizes.append(stream.memory_bytes / max(len(results[-1].detections), 1))
    persons, switches = count_switches(results, people)
    assert persons >= 5 and switches <= 2
    assert stream.memory_bytes <= 12 * max(sizes[:5])


def test_twelve_persons_at_once_are_looked_at_and_keep_their_identities(data: Path, engine: PoseEngine, detector: Annotated) -> None:
    """Three moments of PETS side by side."""
    alone, people = annotated_people(data), {}
    frames, images = [], read(data / "sequences" / "pets09_s2l1" / "vtest_480x360.avi", 64)
    width = images[0].width
    for index in range(16):
        moments = [index + 24 * view for view in range(3)]
        shifts = [np.array([1000 * view, *[width * view, 0] * 2], np.float32) for view in range(3)]
        people[index] = np.concatenate([alone[moment] + shift for moment, shift in zip(moments, shifts, strict=True)])
        frames.append(replace(images[index], picture=np.concatenate([images[moment].image for moment in moments], 1)))
    detector.boxes = {index: rows[:, 1:] for index, rows in people.items()}
    stream = engine.regated(SkipConfig(threshold=0.1, dense_above=1.0)).stream()  # stretches of dense frames have memory of their own
    results, sizes = [], []
    for frame in frames:
        results.append(stream.process(frame))
        sizes.append(stream.memory_bytes)
    assert max(len(rows) for rows in people.values()) >= 12
    full = [size for size, result in zip(sizes, results, strict=True) if len(result.detections) == 12]
    assert full and max(sizes) == full[0]
    assert count_switches(results, people)[1] <= 2
