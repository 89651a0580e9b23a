"""`skipvid calibrate`: a preset that the other commands take."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clips import write_clip

from skipvid.cli.app import run
from skipvid.cli.calibrate_goal import _clear, _key, _options, told_apart
from skipvid.cli.calibrated_preset import described
from skipvid.cli.networks import skip_config
from skipvid.cli.settings.calibrate import CalibrateSettings
from skipvid.cli.settings.groups import NetworkSettings, PeopleNetworkSettings, PeopleSettings, ReadSettings, SourceSettings
from skipvid.cli.settings.motion import MotionSettings
from skipvid.cli.talk import Talk
from skipvid.evaluate.found import Goal
from skipvid.evaluate.truth import LabelledClip
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig


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
    assert run(["detect", "longer.mp4", "--preset", "mine.yaml", "-o", "a.jsonl", "-q"]) == 0
    costs = [record["cost"] for record in map(json.loads, (place / "a.jsonl").read_text().splitlines()) if "frame" in record]
    fewer = sum(cost["dense_macs"] for cost in costs) / sum(cost["macs"] for cost in costs)
    assert fewer == pytest.approx(told["promised"]["fewer_macs"], rel=0.1)


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
        (["-o", "mine.yaml", "--max-drop", "1", "--truth", "a.json", "--truth", "b.json"], 2, "2 files of truth for 1 source given"),
        (["-o", "mine.yaml", "--max-drop", "1", "--html", "no/a.html"], 6, "no is no folder"),
        (["-o", "mine.yaml", "--max-drop", "1", "--html", "mine.yaml"], 2, "mine.yaml would be the preset and the page"),
        (["-o", "mine.yaml", "--max-drop", "1", "--truth", "there.yaml", "--html", "there.yaml", "--overwrite"], 6, "is also the input"),
        (["-o", "mine.yaml", "--max-drop", "1", "--truth", "truth.xml"], 2, "its name does not tell the layout; add --layout coco or mot"),
        (["-o", "mine.yaml", "--max-drop", "1", "--truth", "no.xml", "--layout", "mot", "--first-frame", "0"], 3, "no.xml"),
        (["-o", "mine.yaml", "--max-drop", "1", "--motion", "warp"], 2, "--motion warp has no thresholds"),
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


def test_a_file_where_passes_would_be_kept_is_told_before_any_pass(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(place / "longer.mp4", frames=8)
    (place / "mine-calibration").touch()
    monkeypatch.setattr("skipvid.evaluate.goal.calibrate_by_goal", lambda *_, **__: pytest.fail("it ran"))
    assert run(["calibrate", "longer.mp4", "-o", "mine.yaml", "--saving", "2"]) == 6
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_clips_of_one_name_are_cameras_of_their_own() -> None:
    clips = [LabelledClip("a.mp4", "east/a.mp4"), LabelledClip("b.mp4", "b.mp4"), LabelledClip("a.mp4", "west/a.mp4")]
    assert [clip.name for clip in told_apart(clips)] == ["east/a.mp4", "b.mp4", "west/a.mp4"]


def settings_of(**network: Any) -> CalibrateSettings:
    return CalibrateSettings(
        source=SourceSettings(sources=("clip.mp4",)), output="mine.yaml", network=PeopleNetworkSettings(**network), motion=MotionSettings()
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"precision": "f32", "conf": 0.45, "block": 4},
        {"gate": "norm-smooth"},
        {"threshold": 0.2},
        {"weights": None, "gate": "norm", "reference": "accumulated"},
    ],
)
def test_a_written_preset_runs_as_what_was_measured(given: dict[str, Any]) -> None:
    """Of another kind of gate the scales and the limit of dense frames are not the preset's: nothing of the old ones may stay."""
    before = replace(load_preset("efficientdet-nano"), scales={"x": 0.5}, p=2.0, input_threshold=0.01)
    settings = settings_of(**given)
    config = skip_config(settings.network, before, Talk())
    engine: Any = SimpleNamespace(model=SimpleNamespace(config=config))
    after = described(settings, before, engine, "mine", "promised", 0.07, {"x": 0.08})
    assert skip_config(NetworkSettings(), after, Talk()) == replace(config, threshold=0.07, thresholds={"x": 0.08})
    assert after.score_threshold == given.get("conf", before.score_threshold)
    assert NetworkSettings().over(after) == settings.network.over(before)


def test_motion_and_denoising_that_were_measured_are_written_and_a_second_calibration_replaces_the_words_of_the_first() -> None:
    before = replace(load_preset("efficientdet-nano"), motion="auto")
    settings = replace(settings_of(), motion=MotionSettings(denoise="auto"))
    engine: Any = SimpleNamespace(model=SimpleNamespace(config=skip_config(settings.network, before, Talk())))
    after = described(settings, before, engine, "mine", "one", 0.07, {})
    assert (after.motion, after.denoise) == ("auto", "auto")
    again = described(replace(settings, motion=MotionSettings(motion="none")), after, engine, "mine", "two", 0.07, {})
    assert (again.motion, again.denoise) == ("none", "auto")
    assert again.description == f"{before.description}; calibrated: two"


def test_what_no_preset_holds_is_named_beside_the_promise() -> None:
    detector, poses, goal = load_preset("efficientdet-nano"), load_preset("hrnet-nano"), Goal("drop", 0.5)
    assert _options(settings_of(), detector, goal) == _options(settings_of(), poses, goal) == ""
    assert _options(settings_of(refresh=9), detector, goal) == "--refresh 9"
    strided = replace(settings_of(people=PeopleSettings(detect_every=3, max_persons=2)), read=ReadSettings(stride=2))
    assert _options(strided, poses, goal) == "--detect-every 3 --max-persons 2 --stride 2"
    assert _options(strided, detector, goal) == "--stride 2"
    still = replace(settings_of(), motion=MotionSettings(motion="none"))
    assert _options(still, poses, goal) == "--motion none" and _options(still, detector, goal) == ""  # a detector's preset says it
    timed = settings_of(threads=1, backend="reference")
    assert _options(timed, detector, goal) == ""
    assert _options(timed, detector, Goal("budget", 5.0)) == "--threads 1 --backend reference"


def test_kept_passes_are_of_the_same_pictures_and_networks(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"one")

    def engine(weights: str, detector: Any = None) -> Any:
        model = SimpleNamespace(config=SkipConfig())
        return SimpleNamespace(preset="p", model=model, weights_sha256=weights, motion="none", denoise="none", detector=detector)

    def key(settings: CalibrateSettings, of: Any) -> str:
        return _key(settings, of, [str(tmp_path)])

    first = key(settings_of(), engine("a"))
    assert first == key(settings_of(), engine("a")) and re.fullmatch(r"[0-9a-f]{16}", first)
    others = {key(settings_of(), engine("b")), key(settings_of(), engine("a", engine("d"))), key(settings_of(), engine("a", engine("e")))}
    others |= {key(settings_of(refresh=3), engine("a")), key(replace(settings_of(), truth=("t",)), engine("a"))}
    (tmp_path / "0.jpg").write_bytes(b"others")
    others.add(key(settings_of(), engine("a")))
    assert len(others) == 6 and first not in others


def test_what_was_kept_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    keep = tmp_path / "mine-calibration"
    for name in ("0123456789abcdef", "fedcba9876543210", "notes"):
        (keep / name).mkdir(parents=True)
        (keep / name / "dense.npz").touch()
    _clear(keep)
    assert [path.name for path in keep.iterdir()] == ["notes"]
    (keep / "notes" / "dense.npz").unlink()
    (keep / "notes").rmdir()
    _clear(keep)
    assert not keep.exists()
