"""`--model net.onnx` in every command, and `presets add`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from clips import write_clip

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

sys.path.append(str(Path(__file__).parents[1] / "tasks"))

from file_networks import heat_map_file, ultralytics_file, yolox_file  # noqa: E402

from skipvid.cli.app import run  # noqa: E402
from skipvid.presets.preset import load_preset, preset_names  # noqa: E402

DETECTOR = ["--model", "net.onnx", "--labels", "labels.txt", "--normalise", "unit", "--conf", "0.1", "--threads", "1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a clip and network files; presets are added to a folder in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIPVID_PRESETS", str(tmp_path / "presets"))
    write_clip(tmp_path / "clip.mp4", frames=6)
    yolox_file(tmp_path / "net.onnx")
    heat_map_file(tmp_path / "pose.onnx")
    (tmp_path / "labels.txt").write_text("person\ncar\ntractor\n")
    return tmp_path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_detect_runs_a_network_file(place: Path) -> None:
    assert run(["detect", "clip.mp4", *DETECTOR, "-o", "a.jsonl", "-q"]) == 0
    header, *frames, summary = records(place / "a.jsonl")
    assert header["preset"] == "net" and len(header["weights_sha256"]) == 64
    labels = {each["label"] for frame in frames for each in frame["detections"]}
    assert len(frames) == 6 and labels and labels <= {"person", "car", "tractor"}
    assert summary["type"] == "summary" and frames[-1]["cost"]["macs"] < frames[-1]["cost"]["dense_macs"]


def test_pose_runs_a_network_file_on_the_whole_frame(place: Path) -> None:
    assert run(["pose", "clip.mp4", "--model", "pose.onnx", "--full-frame", "--threads", "1", "--conf", "0", "-o", "a.jsonl", "-q"]) == 0
    header, first, *_ = records(place / "a.jsonl")
    assert header["preset"] == "pose" and len(first["detections"][0]["keypoints"]) == 17


@pytest.mark.parametrize(
    "words",
    [
        ["report", "clip.mp4", *DETECTOR, "--csv", "cost.csv"],
        ["heatmap", "clip.mp4", *DETECTOR, "-o", "heat.png"],
        ["calibrate", "clip.mp4", *DETECTOR, "-o", "mine.yaml", "--inputs", "2"],
    ],
    ids=lambda words: words[0],
)
def test_other_commands_run_a_network_file(words: list[str], place: Path) -> None:
    assert run([*words, "-q"]) == 0
    assert (place / words[words.index(next(word for word in words if word in ("cost.csv", "heat.png", "mine.yaml")))]).is_file()


def test_eval_measures_a_network_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "gt.txt").write_text("".join(f"{frame},1,10,5,20,20,1,1,1\n" for frame in range(1, 7)))
    assert run(["eval", "clip.mp4", "--truth", "gt.txt", *DETECTOR, "--class", "person", "--json", "-q", "--draws", "10"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_bench_measures_a_network_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--model", "net.onnx", "--labels", "labels.txt", "--activity", "10", "--frames", "9", "--runtime", "torch"]
    assert run([*words, "--threads", "1", "--json", "-q"]) == 0
    assert "net" in capsys.readouterr().out
    assert run([*words, "--weights", "random"]) == 2


def test_added_preset_is_one_like_any_other(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "add", "mine", "--model", "net.onnx", "--labels", "labels.txt", "--normalise", "unit"]) == 0
    told = capsys.readouterr().err
    assert "net.onnx, read as yolox, 3 classes" in told and "skipvid detect SOURCE --preset mine" in told
    assert preset_names()[-1] == "mine" and load_preset("mine").weights == str(place / "net.onnx")
    assert run(["presets", "list"]) == 0 and "\nmine " in capsys.readouterr().out
    assert run(["presets", "path", "mine"]) == 0 and capsys.readouterr().out.strip() == str(place / "presets" / "mine.yaml")
    assert run(["presets", "show", "mine", "--cost"]) == 0
    assert "# input 96x64 for a 16:9 source" in capsys.readouterr().out
    assert run(["detect", "clip.mp4", "--preset", "mine", "-o", "a.jsonl", "-q", "--threads", "1"]) == 0
    assert records(place / "a.jsonl")[0]["preset"] == "mine"
    assert run(["presets", "add", "mine", "--model", "net.onnx", "--labels", "labels.txt"]) == 6
    assert "mine.yaml exists; give another name, or --overwrite" in capsys.readouterr().err
    assert run(["presets", "add", "mine", "--model", "pose.onnx", "--overwrite", "-q"]) == 0
    assert load_preset("mine").task == "pose"


def test_preset_can_be_calibrated_while_it_is_added(place: Path) -> None:
    words = ["presets", "add", "mine", "--model", "net.onnx", "--labels", "labels.txt", "--normalise", "unit", "--calibrate", "clip.mp4"]
    assert run([*words, "-q"]) == 0
    preset = load_preset("mine")
    assert preset.name == "mine" and preset.thresholds and preset.head == "yolox"


def test_changed_network_file_is_not_taken_for_the_one_of_the_preset(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "add", "mine", "--model", "net.onnx", "--labels", "labels.txt", "-q"]) == 0
    yolox_file(place / "net.onnx", classes=2)
    assert run(["detect", "clip.mp4", "--preset", "mine", "-o", "a.jsonl"]) == 4
    assert "net.onnx is damaged or another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "net.onnx", "--preset", "efficientdet-nano"], 2, "--model and --preset contradict each other"),
        (["--model", "net.onnx", "--weights", "w.pt"], 2, "--model and --weights contradict each other"),
        (["--head", "yolox"], 2, "--head is for a network that --model names"),
        (["--size", "64x96"], 2, "--size is for a network that --model names"),
        (["--model", "net.onnx", "--labels", "labels.txt", "--mean", "1,2,3"], 2, "--mean and --std belong together"),
        (["--model", "net.onnx", "--normalise", "unit", "--mean", "1,2,3"], 2, "--normalise and --mean or --std contradict each other"),
        (["--model", "net.onnx"], 2, "it has 3 classes without names; give them, one a line: --labels FILE"),
        (["--model", "none.onnx"], 4, "network file none.onnx is missing"),
        (["--model", "clip.mp4"], 2, "clip.mp4 is no network file: it must end in .onnx or .pt2"),
        (["--model", "pose.onnx"], 2, "no head for 'detect' is known that reads its outputs"),
        (["--model", "net.onnx", "--head", "heatmaps"], 2, "the head heatmaps is for the task 'pose', not 'detect'"),
        (["--model", "net.onnx", "--labels", "none.txt"], 4, "labels file none.txt cannot be read"),
        (["--model", "net.onnx", "--labels", "labels.txt", "--size", "128"], 2, "input x is 64x96 (height x width), not 128x128"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["detect", "clip.mp4", "-o", "a.jsonl", *words]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (place / "a.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["efficientdet-nano"], 2, "the preset efficientdet-nano comes with skipvid; choose another name"),
        (["../mine"], 2, "'../mine' is no name for a preset"),
        (["mine.yaml"], 2, "'mine.yaml' is no name for a preset"),
    ],
)
def test_names_that_a_preset_cannot_have(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["presets", "add", *words, "--model", "net.onnx", "--labels", "labels.txt"]) == code
    assert message in capsys.readouterr().err


def test_mean_and_deviation_may_be_of_bytes(place: Path) -> None:
    ultralytics_file(place / "open.onnx", ("h", "w"), names="['a', 'b', 'c']", imgsz="[64, 96]")
    words = [
        "--model",
        "open.onnx",
        "--channels",
        "bgr",
        "--mean",
        "103.53,116.28,123.675",
        "--std",
        "57.375,57.12,58.395",
        "--size",
        "128x64",
    ]
    assert run(["presets", "add", "mine", *words, "-q"]) == 0
    preset = load_preset("mine")
    assert preset.mean == pytest.approx((0.406, 0.456, 0.485)) and preset.std == pytest.approx((0.225, 0.224, 0.229))
    assert (preset.image_size, preset.channels) == ((128, 64), "bgr")
    assert run(["presets", "add", "mine", "--model", "open.onnx", "--channels", "bgr", "--normalise", "imagenet", "--overwrite", "-q"]) == 0
    assert load_preset("mine").mean == pytest.approx((0.406, 0.456, 0.485)) and load_preset("mine").image_size == 96
