"""The pose engine with real weights on real clips; annotated boxes stand in for the detector."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.pose_engine import PERSON, PoseEngine, PoseOptions
from skipvid.presets import load_preset
from skipvid.results import Detections, Frame, FrameResult
from skipvid.runtime.config import SkipConfig

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


def test_threshold_zero_equals_dense_on_a_real_clip(data: Path, engine: PoseEngine, detector: Annotated) -> None:
    folder = data / "sequences" / "jhmdb"
    name = "wave_and_say_hi_wave_u_nm_np1_fr_med_0.avi"
    joints = np.array(json.loads((folder / "joints.json").read_text())["clips"][name]["joints"], np.float32)
    detector.boxes = {i: np.concatenate([frame.min(0), frame.max(0)])[None] for i, frame in enumerate(joints)}
    exact = engine.regated(SkipConfig(threshold=0.0))
    gated, dense = exact.stream(), exact.dense_stream()
    for frame in read(folder / name, 40):
        one, other = gated.process(frame).detections.keypoints, dense.process(frame).detections.keypoints
        assert one is not None and other is not None
        np.testing.assert_allclose(one[..., 2], other[..., 2], atol=1e-4)
        sure = other[..., 2] > 0.1  # where nothing is seen, the highest of equal pixels is any of them
        np.testing.assert_allclose(one[sure], other[sure], atol=0.05)


def test_a_crowd_keeps_its_identities_in_bounded_memory(data: Path, engine: PoseEngine, detector: Annotated) -> None:
    folder = data / "sequences" / "pets09_s2l1"
    people: dict[int, list[list[float]]] = defaultdict(list)
    for number, person, x, y, width, height in np.loadtxt(folder / "gt_mot_480x360.txt", delimiter=",", usecols=range(6)):
        people[int(number) - 1].append([person, x, y, x + width, y + height])
    detector.boxes = {index: np.array(rows, np.float32)[:, 1:] for index, rows in people.items()}
    stream = engine.regated(SkipConfig(threshold=0.1)).stream()
    last: dict[float, int] = {}
    switches, sizes = 0, []
    for frame in read(folder / "vtest_480x360.avi", 60):
        result = stream.process(frame)
        assert result.detections.ids is not None
        for box, identity in zip(result.detections.boxes, result.detections.ids.tolist(), strict=True):
            truth = np.array(people[frame.index])
            person = float(truth[np.abs(truth[:, 1:] - box).sum(1).argmin(), 0])
            switches += last.get(person, identity) != identity
            last[person] = identity
        sizes.append(stream.memory_bytes / max(len(result.detections), 1))
    assert len(last) >= 5
    assert switches <= 2
    assert stream.memory_bytes <= 12 * max(sizes[:5])
