"""`skipvid eval` on a sample video with its own truth: a table, a CSV and a document that agree, and clear words where it cannot be."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from clips import write_clip

from skipvid.cli.app import run
from skipvid.presets.preset import load_preset, save_preset

SAMPLES = Path(__file__).parents[2] / "sample_videos"
CLIP, TRUTH = str(SAMPLES / "plaza.mp4"), str(SAMPLES / "plaza.coco.json")
QUICK = ["--max-frames", "12", "--block-frames", "1", "--draws", "20", "--threads", "1", "--offline"]


def test_dense_gated_and_every_second_frame_are_measured_on_the_same_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "eval.csv"
    words = ["eval", CLIP, "--truth", TRUTH, *QUICK, "--thresholds", "0,0.1", "--every", "2", "--json", "--csv", str(table)]
    assert run(words) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["dense", "norm 0", "norm 0.1", "every 2: held", "every 2: moved"] and found["frames"] == 12
    dense, exact = rows["dense"]["measures"]["AP50"], rows["norm 0"]["measures"]["AP50"]
    assert dense["value"]["value"] > 50 and exact["value"] == dense["value"], "threshold 0 is the dense network"
    assert exact["lost"] == {"value": 0, "low": 0, "high": 0} and rows["norm 0"]["verdict"] == "no difference"
    assert rows["norm 0.1"]["fewer_macs"] > rows["norm 0"]["fewer_macs"] > 1 and rows["every 2: held"]["fewer_macs"] == pytest.approx(2)
    with table.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(rows)


def test_a_preset_of_activation_motion_compensation_has_a_row_of_its_own_and_no_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "warping.yaml"
    save_preset(replace(load_preset("efficientdet-nano"), motion="warp"), path)
    words = ["eval", CLIP, "--truth", TRUTH, "--preset", str(path), *QUICK]
    assert run([*words, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == ["dense", "warp, no bound"] and rows["warp, no bound"]["fewer_macs"] > 1
    assert run([*words, "--thresholds", "0.03,0.1"]) == 2
    assert "has no thresholds" in capsys.readouterr().err
    assert run(["eval", CLIP, "--truth", TRUTH, "--preset", "hrnet-nano", "--detector", str(path), *QUICK]) == 2
    assert "the preset efficientdet-nano says 'motion: warp', which is for detectors, not for poses" in capsys.readouterr().err


def test_registered_pictures_are_measured_and_the_row_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", CLIP, "--truth", TRUTH, *QUICK, "--thresholds", "0,0.1", "--json"]
    for motion in ("canvas", "auto"):
        assert run([*words, "--motion", motion]) == 0
        rows = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
        exact = "norm 0, canvas" if motion == "canvas" else "norm 0"  # which auto does not touch
        assert rows == ["dense", exact, f"norm 0.1, {motion}"]
    assert run([*words, "--motion", "warp"]) == 2
    assert "--motion warp has no thresholds; leave out --thresholds" in capsys.readouterr().err
    poses = ["eval", CLIP, "--truth", TRUTH, "--preset", "hrnet-nano", *QUICK]
    for more in ([], ["--boxes", "truth"]):
        assert run([*poses, *more, "--motion", "shift"]) == 2
        assert "--motion shift is for detectors, not for poses" in capsys.readouterr().err


def test_poses_are_measured_in_true_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", str(SAMPLES / "exercise.mp4"), "--truth", str(SAMPLES / "exercise.coco.json"), "--boxes", "truth", *QUICK, "--json"]
    assert run([*words, "--max-frames", "4"]) == 0
    dense = json.loads(capsys.readouterr().out)["rows"][0]
    assert set(dense["measures"]) == {"AP50", "AP", "PCK"} and dense["measures"]["PCK"]["value"]["value"] > 60


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([CLIP], 2, "nothing says where its objects are; add --truth"),
        ([CLIP, "--truth", TRUTH, "--class", "unicorn"], 2, "does not know the class 'unicorn'"),
        ([CLIP, "--truth", TRUTH, "--layout", "detrac"], 2, "names its own truth"),
        ([CLIP, "--truth", "truth.xml"], 2, "does not tell the layout"),
        ([CLIP, "--truth", TRUTH, "--boxes", "truth", "--preset", "efficientdet-nano"], 2, "finds boxes itself"),
        ([CLIP, "--truth", TRUTH, "--preset", "hrnet-nano", "--every", "2"], 2, "--every is for detection presets"),
        ([CLIP, "--truth", str(SAMPLES / "plaza.mot.txt"), "--first-frame", "900"], 3, "comes before the first, 900"),
        ([CLIP, "--truth", CLIP.replace("mp4", "json")], 3, "cannot be read: No such file"),
        (["missing.mp4", "--layout", "joints"], 3, "not a file of joints"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", *words, *QUICK]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("skipvid: ")]
    assert message in line


def test_labels_without_a_frame_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truth that counts from another first frame, or pictures of other names, would be measured on the rest without a word."""
    write_clip(tmp_path / "clip.mp4", frames=4)
    truth = tmp_path / "gt.txt"
    words = ["eval", str(tmp_path / "clip.mp4"), "--truth", str(truth), "--draws", "10", "--json"]
    truth.write_text("".join(f"{frame},1,5,5,20,20,1,1,1\n" for frame in range(2, 6)))
    assert run(words) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("skipvid: warning: clip: 1 of 4 labelled frames are not among those that were read (does the truth count")
    assert run([*words, "--first-frame", "2"]) == 0 and not capsys.readouterr().err
    assert run([*words, "--max-frames", "2"]) == 0 and not capsys.readouterr().err
    truth.write_text("90,1,5,5,20,20,1,1,1\n")
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no frame that was read has a label" in line
