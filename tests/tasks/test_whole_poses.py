"""Pose networks that find all people in the picture: against ONNX Runtime, with identities, and in the commands."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from file_networks import SIZE, people_file  # noqa: E402
from moving_square import frames  # noqa: E402

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("skip/importers", "cli")]

from clips import write_clip  # noqa: E402
from onnx_graphs import runtime  # noqa: E402

from skipvid.cli.app import run  # noqa: E402
from skipvid.core.results import Frame  # noqa: E402
from skipvid.models.detections import class_wise_nms  # noqa: E402
from skipvid.presets.preset import Preset, load_preset  # noqa: E402
from skipvid.skip.config import SkipConfig  # noqa: E402
from skipvid.tasks.detect_engine import DetectEngine  # noqa: E402
from skipvid.tasks.identities import FollowOptions  # noqa: E402
from skipvid.tasks.network_files import FileChoice, preset_of_file  # noqa: E402

THRESHOLD = 0.2


def engine_of(preset: Preset, threshold: float = 0.0) -> DetectEngine:
    return DetectEngine(replace(preset, score_threshold=THRESHOLD), SkipConfig(threshold=threshold, threads=1), Path(preset.weights))


def test_people_are_those_that_onnx_runtime_finds(tmp_path: Path) -> None:
    path = people_file(tmp_path / "net.onnx")
    preset = preset_of_file(path, "pose", FileChoice())
    assert (preset.head, preset.task, len(preset.keypoints)) == ("yolov8-pose", "pose", 17)
    engine = engine_of(preset)
    assert engine.categories == {1: "person"}
    assert not engine.model.planned(((1, 3, *SIZE),)).fallbacks  # the joints are read from maps
    stream, task = engine.stream(), engine.task()
    for frame in frames(4, SIZE):
        found = stream.process(frame).detections
        rows = runtime(path, task.prepare(frame.image).tensor().numpy())[0][0].T
        rows = rows[rows[:, 4] > THRESHOLD]
        corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1).clip(0, [SIZE[1], SIZE[0]] * 2)
        kept = class_wise_nms(corners.astype(np.float32), rows[:, 4], np.zeros(len(rows), np.int64), 0.7)
        kept = np.array([n for n in kept if min(corners[n, 2:] - corners[n, :2]) > 0])
        assert len(kept) > 2 and found.keypoints is not None and set(found.labels) == {"person"}
        np.testing.assert_allclose(found.boxes, corners[kept], atol=0.02)
        np.testing.assert_allclose(found.scores, rows[kept, 4], atol=1e-4)
        np.testing.assert_allclose(found.keypoints, rows[kept, 5:].reshape(-1, 17, 3), atol=0.02)


def test_joints_are_in_pixels_of_the_frame_and_follow_their_identities(tmp_path: Path) -> None:
    engine = engine_of(preset_of_file(people_file(tmp_path / "net.onnx"), "pose", FileChoice()))
    small = frames(1, SIZE)[0]
    large = Frame(small.image.repeat(2, 0).repeat(2, 1), 0, 0.0, "clip.mp4")
    one, two = engine.stream().process(small).detections, engine.stream().process(large).detections
    assert one.keypoints is not None and two.keypoints is not None
    np.testing.assert_allclose(two.keypoints[..., :2], 2 * one.keypoints[..., :2], atol=0.05)
    engine.follow = FollowOptions()
    followed = engine.stream().process(small).detections
    assert followed.ids is not None and followed.keypoints is not None and len(followed)
    for box, points in zip(followed.boxes, followed.keypoints, strict=True):
        (row,) = np.flatnonzero((one.boxes == box).all(1))
        assert (points == one.keypoints[row]).all()


def test_metadata_of_ultralytics_is_understood(tmp_path: Path) -> None:
    said = {"task": "pose", "names": "{0: 'person'}", "kpt_shape": "[17, 3]", "stride": "32", "imgsz": "[64, 96]"}
    preset = preset_of_file(people_file(tmp_path / "net.onnx", **said), None, FileChoice())
    assert (preset.head, preset.image_size, preset.keypoints[0]) == ("yolov8-pose", SIZE, "nose")


def test_commands_run_it_without_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIPVID_PRESETS", str(tmp_path / "presets"))
    write_clip(tmp_path / "clip.mp4", frames=4)
    people_file(tmp_path / "net.onnx", task="pose", kpt_shape="[17, 3]")
    assert run(["presets", "add", "mine", "--model", "net.onnx", "-q"]) == 0 and load_preset("mine").task == "pose"
    use = ["--preset", "mine", "--threads", "1", "--conf", "0.1"]
    assert run(["pose", "clip.mp4", *use, "-o", "a.jsonl", "-q"]) == 0
    header, first, *_ = (json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    assert len(header["keypoints"]) == 17 and header["categories"] == {"1": "person"}
    assert first["detections"] and all(len(each["keypoints"]) == 17 and each["id"] is not None for each in first["detections"])
    assert run(["heatmap", "clip.mp4", *use, "-o", "heat.png", "-q"]) == 0
    assert run(["report", "clip.mp4", *use, "--csv", "cost.csv", "-q"]) == 0
    assert run(["pose", "clip.mp4", *use, "--dry-run", "--json"]) == 0
    assert '"per_person": false' in capsys.readouterr().out
    for flag, value in (("--detector", "efficientdet-nano"), ("--detect-every", "2")):
        assert run(["pose", "clip.mp4", *use, flag, value, "-o", "b.jsonl"]) == 2
        assert f"{flag} is given, but mine finds people itself; leave it out" in capsys.readouterr().err
