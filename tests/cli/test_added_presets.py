"""From a detector's ONNX file with published weights to a preset, and that one in every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from skipvid.cli.app import run  # noqa: E402

pytestmark = [pytest.mark.realdata, pytest.mark.slow]
FILES = {"yolox": "yolox_bigisland/yolox_nano.onnx", "nanodet": "nanodet/nanodet_m.onnx"}


@pytest.fixture(params=FILES)
def clip(request: pytest.FixtureRequest, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A clip, in a working directory in which the preset `mine` has been added."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIPVID_PRESETS", str(tmp_path / "presets"))
    assert run(["presets", "add", "mine", "--model", str(data / "weights" / FILES[request.param]), "-q"]) == 0
    assert f"head: {request.param}\n" in (tmp_path / "presets" / "mine.yaml").read_text()
    return str(data / "sequences" / "pets09_s2l1" / "vtest_480x360.avi")


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_detect_finds_the_same_people_in_every_output(clip: str) -> None:
    outputs = ["-o", "a.jsonl", "-o", "a.mp4", "-o", "a.csv", "-o", "a.mot.txt", "-o", "a.coco.json"]
    assert run(["detect", clip, "--preset", "mine", "--max-frames", "6", "--track", *outputs, "-q"]) == 0
    _, *frames, summary = records("a.jsonl")
    found = [each for frame in frames for each in frame["detections"]]
    people = [each for each in found if each["label"] == "person"]
    assert len(frames) == 6 and len(people) > 12 and any(each["id"] is not None for each in people)
    assert len(Path("a.csv").read_text().splitlines()) == len(found) + 1
    assert len(json.loads(Path("a.coco.json").read_text())["annotations"]) == len(found)
    assert sum(frame["cost"]["macs"] for frame in frames) < 0.6 * sum(frame["cost"]["dense_macs"] for frame in frames)
    assert summary["type"] == "summary" and Path("a.mp4").stat().st_size > 0


def test_areas_counting_and_half_precision(clip: str) -> None:
    options = ["--ignore", "0,0 240,0 240,360 0,360", "--count", "middle=360,0 360,360", "--precision", "bf16"]
    assert run(["detect", clip, "--preset", "mine", "--max-frames", "4", "--track", *options, "-o", "a.jsonl", "-q"]) == 0
    _, *frames, _ = records("a.jsonl")
    middles = [(each["box"][0] + each["box"][2]) / 2 for frame in frames for each in frame["detections"]]
    assert middles and min(middles) > 230


def test_heatmap_report_and_bench(clip: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["heatmap", clip, "--preset", "mine", "--max-frames", "3", "-o", "heat.mp4", "-q"]) == 0
    assert Path("heat.mp4").stat().st_size > 0
    report = ["report", clip, "--preset", "mine", "--max-frames", "4", "--thresholds", "0,0.05", "--csv", "cost.csv", "--html", "a.html"]
    assert run([*report, "-q"]) == 0
    assert "mine" in Path("a.html").read_text() and len(Path("cost.csv").read_text().splitlines()) > 4
    capsys.readouterr()
    assert run(["bench", "--preset", "mine", "--activity", "10", "--frames", "8", "--runtime", "torch", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_calibrated_thresholds_are_used(clip: str) -> None:
    assert run(["calibrate", clip, "--preset", "mine", "--max-frames", "8", "--inputs", "2", "-o", "fitted.yaml", "-q"]) == 0
    assert run(["detect", clip, "--preset", "fitted.yaml", "--max-frames", "3", "-o", "a.jsonl", "-q"]) == 0
    _, *frames, _ = records("a.jsonl")
    assert frames[-1]["detections"] and frames[-1]["cost"]["macs"] < frames[-1]["cost"]["dense_macs"]


def test_accuracy_is_that_of_the_network(clip: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = str(data / "sequences" / "pets09_s2l1" / "gt_mot_480x360.txt")
    options = ["--preset", "mine", "--max-frames", "12", "--class", "person", "--draws", "10", "--json", "-q"]
    assert run(["eval", clip, "--truth", truth, *options]) == 0
    rows = {row["name"]: row["measures"]["AP50"]["value"]["value"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert len(rows) == 2 and min(rows.values()) > 75, rows


def test_poses_of_the_people_that_it_finds(clip: str) -> None:
    assert run(["pose", clip, "--detector", "mine", "--max-frames", "2", "-o", "a.jsonl", "-q"]) == 0
    _, first, *_ = records("a.jsonl")
    assert first["detections"] and len(first["detections"][0]["keypoints"]) == 17


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pose"], 4, "preset mine is for the task 'detect'"),
        (["segment"], 4, "preset mine is for the task 'detect'"),
        (["detect", "--size", "320"], 2, "--size is for a network that --model names"),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else None,
)
def test_what_does_not_go_with_it_is_said(clip: str, words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *options = words
    assert run([command, clip, "--preset", "mine", "--max-frames", "2", *options]) == code
    text = capsys.readouterr().err
    assert says in text and "Traceback" not in text


def test_file_that_has_changed_or_gone_is_said(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIPVID_PRESETS", str(tmp_path / "presets"))
    net, clip = tmp_path / "net.onnx", str(data / "sequences" / "pets09_s2l1" / "vtest_480x360.avi")
    net.write_bytes((data / "weights" / FILES["nanodet"]).read_bytes())
    assert run(["presets", "add", "mine", "--model", "net.onnx", "-q"]) == 0
    net.write_bytes(net.read_bytes() + b" ")
    assert run(["detect", clip, "--preset", "mine", "--max-frames", "2", "-o", "a.jsonl", "-q"]) == 4
    net.unlink()
    assert run(["detect", clip, "--preset", "mine", "--max-frames", "2", "-o", "a.jsonl", "-q"]) == 4
    text = capsys.readouterr().err
    assert text.count("net.onnx") == 2 and "Traceback" not in text
