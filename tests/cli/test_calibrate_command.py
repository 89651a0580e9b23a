"""`skipvid calibrate`: a preset that the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clips import write_clip

from skipvid.cli.app import run
from skipvid.cli.calibrate_goal import told_apart
from skipvid.evaluate.truth import LabelledClip
from skipvid.presets.preset import load_preset


@pytest.fixture
def place(empty_place: Path) -> Path:
    """A working directory with a clip; the command finds the tests' detector loaded already."""
    write_clip(empty_place / "clip.mp4", frames=5)
    return empty_place


@pytest.mark.slow
def test_a_calibrated_preset_is_written_and_used(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["calibrate", "clip.mp4", "-o", "mine.yaml", "--inputs", "4", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    preset = load_preset(place / "mine.yaml")
    assert preset.name == "mine" and preset.weights == load_preset("efficientdet-nano").weights
    assert (told["inputs"], told["maps"], told["preset"]) == (4, len(preset.thresholds), str(place / "mine.yaml"))
    assert told["saving"] == pytest.approx(told["before"]["saving"], abs=0.05)
    assert run(["detect", "clip.mp4", "--preset", "mine.yaml", "-o", "a.jsonl", "-q"]) == 0
    header = json.loads((place / "a.jsonl").read_text().splitlines()[0])
    assert header["threshold"] == preset.threshold != load_preset("efficientdet-nano").threshold


@pytest.mark.slow
def test_a_goal_is_kept_on_frames_left_out_and_the_preset_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(place / "longer.mp4", frames=8)
    assert run(["calibrate", "longer.mp4", "-o", "mine.yaml", "--saving", "0.1", "--json", "-q", "--gate", "norm-smooth"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["goal"] == {"kind": "saving", "value": pytest.approx(1 / 0.9)} and told["promised"]["fewer_macs"] >= 1 / 0.9
    assert told["measure"] == "agreement" and len(told["frontier"]) == 7
    text = (place / "mine.yaml").read_text()
    assert text.startswith("# skipvid ") and "goal: 1.11111 times fewer MACs" in text and "longer.mp4" in text
    preset = load_preset(place / "mine.yaml")
    assert preset.gate == "norm-smooth" and preset.threshold == told["threshold"] and len(preset.thresholds) == told["maps"]
    assert "<svg" in (place / "mine.html").read_text()
    assert not (place / "mine-calibration").exists()  # what was kept in case of a break


@pytest.mark.slow
def test_own_weights_are_named_by_their_whole_path(place: Path, random_weights: Path) -> None:
    (place / "own.pt").write_bytes(random_weights.read_bytes())
    assert run(["calibrate", "clip.mp4", "-o", "mine.yaml", "--inputs", "2", "--weights", "own.pt", "-q"]) == 0
    preset = load_preset(place / "mine.yaml")
    assert preset.weights == str(place / "own.pt") and len(preset.sha256) == 64


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-o", "mine.txt"], 6, "mine.txt: a preset is a YAML file; choose a name that ends in .yaml"),
        (["-o", "there.yaml"], 6, "there.yaml exists already"),
        (["-o", "mine.yaml", "--gate", "none"], 2, "gates of the kind 'none, accumulated' cannot be calibrated"),
        (["-o", "mine.yaml", "--saving", "1"], 2, "'1' is not a number of times above 1, such as 4, or a fraction below 1, such as 0.75"),
        (["-o", "mine.yaml", "--max-drop", "-1"], 2, "'-1' is not a number of 0 or more, such as 0.5"),
        (["-o", "mine.yaml", "--budget", "0ms"], 2, "'0ms' is not a number of milliseconds above 0, such as 20ms"),
        (["-o", "mine.yaml", "--saving", "4", "--max-drop", "0.5"], 2, "there is more than one goal"),
        (["-o", "mine.yaml", "--truth", "clip.json"], 2, "--truth, --class and --html are for a goal"),
        (["-o", "mine.yaml", "--max-drop", "1", "--truth", "a.json", "--truth", "b.json"], 2, "there are 2 files of truth for 1 sources"),
        (["-o", "mine.yaml", "--max-drop", "1", "--html", "no/a.html"], 6, "no is no folder"),
        (["-o", "mine.yaml", "--max-drop", "1", "--gate", "none"], 2, "gates of the kind 'none, accumulated' cannot be calibrated"),
        (
            ["-o", "mine.yaml", "--max-drop", "1"],
            3,
            "clip.mp4 has 5 frames; calibration by a goal cuts a clip into 4 blocks of time, of 2 frames or more; take a longer clip",
        ),
        (["-o", "mine.yaml", "--max-drop", "1", "--max-frames", "1"], 3, "clip.mp4 has 1 frame; calibration by a goal"),
        ([], 2, "--output"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "there.yaml").write_text("the one before")
    assert run(["calibrate", "clip.mp4", *words]) == code
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4", "there.yaml"]
    assert (place / "there.yaml").read_text() == "the one before"


def test_clips_of_one_name_are_cameras_of_their_own() -> None:
    clips = [LabelledClip("a.mp4", "east/a.mp4"), LabelledClip("b.mp4", "b.mp4"), LabelledClip("a.mp4", "west/a.mp4")]
    assert [clip.name for clip in told_apart(clips)] == ["east/a.mp4", "b.mp4", "west/a.mp4"]
