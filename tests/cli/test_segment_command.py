"""`skipvid segment`, and class maps in the other commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write_clip
from pycocotools import mask as coco

pytest.importorskip("onnx")

sys.path.append(str(Path(__file__).parents[1] / "tasks"))

from file_networks import heat_map_file, segment_file  # noqa: E402

from skipvid.cli.app import run  # noqa: E402
from skipvid.presets.preset import load_preset  # noqa: E402

NETWORK = ["--model", "net.onnx", "--labels", "labels.txt", "--threads", "1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a clip and a network; presets are added to a folder in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKIPVID_PRESETS", str(tmp_path / "presets"))
    write_clip(tmp_path / "clip.mp4", frames=6)
    segment_file(tmp_path / "net.onnx")
    (tmp_path / "labels.txt").write_text("background\nroad\nperson\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_segment_writes_a_video_records_and_masks_that_agree(place: Path) -> None:
    assert run(["segment", "clip.mp4", *NETWORK, "-o", "a.jsonl", "-o", "a.mp4", "--masks", "masks", "-q"]) == 0
    header, *frames, summary = (json.loads(line) for line in (place / "a.jsonl").read_text().splitlines())
    assert header["command"] == "segment" and header["categories"] == {"0": "background", "1": "road", "2": "person"}
    assert len(frames) == 6 and summary["type"] == "summary" and (place / "a.mp4").stat().st_size > 1000
    assert frames[-1]["cost"]["macs"] < frames[-1]["cost"]["dense_macs"]
    for number, frame in enumerate(frames):
        mask = cv2.imread(str(place / "masks" / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (frame["height"], frame["width"]) and frame["detections"] == []
        assert frame["segments"]
        covered = np.zeros(mask.shape, np.uint8)
        for segment in frame["segments"]:
            covered += coco.decode(segment["segmentation"]) * np.uint8(segment["category_id"])
        assert (covered == mask).all()


def test_added_preset_runs_in_every_command_that_looks_at_whole_frames(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["presets", "add", "mine", "--model", "net.onnx", "--labels", "labels.txt", "--calibrate", "clip.mp4"]
    assert run([*words, "-q"]) == 0
    preset = load_preset("mine")
    assert preset.task == "segment" and preset.thresholds
    use = ["--preset", "mine", "--threads", "1"]
    assert run(["segment", "clip.mp4", *use, "-o", "a.jsonl", "-q"]) == 0
    assert run(["heatmap", "clip.mp4", *use, "-o", "heat.png", "-q"]) == 0
    assert run(["calibrate", "clip.mp4", *use, "-o", "again.yaml", "--inputs", "2", "-q"]) == 0
    assert run(["segment", "clip.mp4", *use, "--dry-run", "-q"]) == 0
    capsys.readouterr()
    assert run(["bench", "--preset", "mine", "--activity", "10", "--frames", "9", "--runtime", "none", "--threads", "1", "-q"]) == 0
    assert run(["presets", "show", "mine", "--cost"]) == 0
    assert "task: segment" in capsys.readouterr().out


def test_report_compares_class_maps_with_the_dense_ones(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "clip.mp4", *NETWORK, "--thresholds", "0,0.2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["dense"]["class_maps"] == {"mean_iou": 1.0, "pixels": 1.0} and document["dense"]["agreement"] is None
    exact, loose = document["thresholds"]
    assert exact["mean_iou"] == 1 and 0 < loose["mean_iou"] <= 1 and loose["saving"] >= exact["saving"]
    assert run(["report", "clip.mp4", *NETWORK, "--thresholds", "0,0.2", "--html", "page.html", "--gate-maps", "maps.png"]) == 0
    printed = capsys.readouterr().out
    assert "mIoU to dense" in printed and "mean IoU of the classes" in printed
    assert "mIoU against dense" in (place / "page.html").read_text() and (place / "maps.png").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["segment", "clip.mp4"], 2, "there is no network: none for class maps comes with skipvid; give --model net.onnx, or --preset"),
        (["segment", "clip.mp4", "--preset", "efficientdet-nano"], 4, "preset efficientdet-nano is for the task 'detect'"),
        (["segment", "clip.mp4", *NETWORK, "-o", "a.mot.txt"], 2, "a.mot.txt: class maps are written as .mp4, .mkv, .webm, .jsonl, .json"),
        (["segment", "clip.mp4", *NETWORK, "--conf", "0.5"], 2, "--conf is for detections"),
        (["segment", "clip.mp4", *NETWORK, "--motion", "canvas"], 2, "--motion canvas is for detectors"),
        (["segment", "clip.mp4", *NETWORK, "--motion", "auto"], 2, "--motion auto is for detectors; leave it out"),
        (["report", "clip.mp4", *NETWORK, "--motion", "auto"], 2, "--motion auto is for detectors; leave it out"),
        (["segment", "clip.mp4", *NETWORK, "--masks", "."], 6, ". is not empty; give --overwrite"),
        (["segment", "clip.mp4", "clip2.mp4", *NETWORK, "--masks", "m"], 2, "--masks names one folder, and there are 2 sources"),
        (["detect", "clip.mp4", *NETWORK], 2, "no head for 'detect' is known"),
        (["detect", "clip.mp4", *NETWORK, "--head", "segment"], 2, "the head segment is for the task 'segment', not 'detect'"),
        (["eval", "clip.mp4", "--truth", "gt.txt", *NETWORK], 2, "makes class maps, and there is no layout of truth for them"),
        (["calibrate", "clip.mp4", *NETWORK, "--saving", "2", "-o", "c.yaml"], 2, "no goal can be measured on them"),
        (["report", "clip.mp4", "--model", "pose.onnx"], 4, "preset pose is for the task 'pose'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heat_map_file(place / "pose.onnx")
    (place / "gt.txt").write_text("1,1,10,5,20,20,1,1,1\n")
    (place / "clip2.mp4").write_bytes((place / "clip.mp4").read_bytes())
    assert run(words) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
