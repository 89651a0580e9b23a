"""Bad input: one clear line on stderr, the right exit code, no traceback, nothing left behind. A table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from clips import write_clip

from skipvid.cli.app import run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one good clip and several bad things."""
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "text.mp4").write_text("these are words, not pictures\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    write_clip(tmp_path / "zero.avi", frames=0)
    whole = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.yaml").write_text("name: [unclosed")
    (tmp_path / "unknown.yaml").write_text((Path(__file__).parents[2] / "presets/efficientdet-nano.yaml").read_text() + "treshold: 3\n")
    torch.save({"a": torch.zeros(3)}, tmp_path / "wrong.pt")
    (tmp_path / "truncated.pt").write_bytes((tmp_path / "wrong.pt").read_bytes()[:100])
    (tmp_path / "settings.yaml").write_text("treshold: 0.1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES: list[tuple[str, list[str], int, str]] = [
    ("missing file", ["detect", "missing.mp4"], 3, "missing.mp4 does not exist"),
    ("empty folder", ["detect", "folder"], 3, "folder"),
    ("text file named mp4", ["detect", "text.mp4"], 3, "text.mp4"),
    ("empty file", ["detect", "empty.mp4"], 3, "empty.mp4 is empty"),
    ("mp4 without its index", ["detect", "cut.mp4"], 3, "cut.mp4"),
    ("video without a frame", ["detect", "zero.avi"], 3, "no frame that can be decoded"),
    ("output where nothing can be written", ["detect", "clip.mp4", "-o", "/proc/out.mp4"], 6, "/proc/out.mp4 cannot be written"),
    ("glob without a match", ["detect", "*.webm"], 3, "*.webm"),
    ("no source", ["detect"], 2, "there is no source"),
    ("unknown option", ["detect", "clip.mp4", "--treshold", "1"], 2, "--treshold"),
    ("unknown option of a command in a group", ["train", "gates", "clip.mp4", "--treshold"], 2, "see skipvid train gates --help"),
    ("unknown command", ["detekt", "clip.mp4"], 2, "detekt"),
    ("negative threshold", ["detect", "clip.mp4", "--threshold", "-1"], 2, "0 or more"),
    ("threshold nan", ["detect", "clip.mp4", "--threshold", "nan"], 2, "0 or more"),
    ("threshold abc", ["detect", "clip.mp4", "--threshold", "abc"], 2, "'abc'"),
    ("block 3", ["detect", "clip.mp4", "--block", "3"], 2, "'3'"),
    ("conf 2", ["detect", "clip.mp4", "--conf", "2"], 2, "0 to 1"),
    ("end before start", ["detect", "clip.mp4", "--start", "3", "--end", "2"], 2, "--end"),
    ("two wishes", ["detect", "clip.mp4", "--overwrite", "--skip-existing"], 2, "contradict"),
    ("stdin among others", ["detect", "clip.mp4", "-"], 2, "standard input"),
    ("unknown preset", ["detect", "clip.mp4", "--preset", "efficientdet-nono"], 4, "efficientdet-nano"),
    ("missing preset file", ["detect", "clip.mp4", "--preset", "nowhere.yaml"], 4, "nowhere.yaml does not exist"),
    ("corrupt preset", ["detect", "clip.mp4", "--preset", "bad.yaml"], 4, "bad.yaml is not valid YAML"),
    ("unknown key in a preset", ["detect", "clip.mp4", "--preset", "unknown.yaml"], 4, "did you mean 'threshold'"),
    ("weights of another network", ["detect", "clip.mp4", "--weights", "wrong.pt"], 4, "wrong.pt does not fit"),
    ("truncated weights", ["detect", "clip.mp4", "--weights", "truncated.pt"], 4, "truncated.pt"),
    ("missing weights", ["detect", "clip.mp4", "--weights", "nowhere.pt"], 4, "nowhere.pt"),
    ("weights that must not be downloaded", ["detect", "clip.mp4", "--preset", "tf_efficientdet_d0", "--offline"], 4, "https://"),
    ("unknown suffix", ["detect", "clip.mp4", "-o", "out.xyz"], 6, "out.xyz"),
    ("output is the input", ["detect", "clip.mp4", "-o", "clip.mp4", "--overwrite"], 6, "also the input"),
    ("output in a missing folder", ["detect", "clip.mp4", "-o", "nowhere/out.mp4"], 6, "nowhere"),
    ("existing output", ["detect", "clip.mp4", "-o", "cut.mp4"], 6, "--overwrite"),
    ("existing report", ["report", "clip.mp4", "--html", "text.mp4"], 6, "--overwrite"),
    ("thresholds that are none", ["report", "clip.mp4", "--thresholds", "0,x"], 2, "'x'"),
    ("heatmap as data", ["heatmap", "clip.mp4", "-o", "heat.jsonl"], 2, "heat.jsonl"),
    ("heatmap without gates", ["heatmap", "clip.mp4", "--gate", "none", "--weights", "RANDOM"], 2, "without gates"),
    ("jsonl and json on stdout", ["detect", "clip.mp4", "-o", "-", "--json"], 2, "stdout"),
    ("settings with a wrong key", ["detect", "clip.mp4", "--config", "settings.yaml"], 2, "did you mean 'threshold'"),
    ("settings that are missing", ["detect", "clip.mp4", "--config", "none.yaml"], 2, "none.yaml"),
    ("log file in a missing folder", ["detect", "clip.mp4", "--log-file", "nowhere/log"], 6, "nowhere/log"),
    ("unknown preset to show", ["presets", "show", "nothing"], 4, "nothing"),
    ("probe of a text file", ["probe", "text.mp4"], 3, "text.mp4"),
]


@pytest.mark.parametrize(("words", "code", "part"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input_gets_one_line_and_its_exit_code(
    words: Sequence[str], code: int, part: str, place: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.iterdir())
    assert run([str(random_weights) if word == "RANDOM" else word for word in words]) == code
    captured = capsys.readouterr()
    assert part in captured.err
    assert len(captured.err.strip().splitlines()) == 1 and "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(place.iterdir()) == before


def test_verbose_shows_the_traceback(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "missing.mp4", "-v"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["environment", "settings file"])
def test_verbose_means_the_same_wherever_it_stands(
    way: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "verbose.yaml").write_text("verbose: true\n")
    if way == "environment":
        monkeypatch.setenv("SKIPVID_VERBOSE", "1")
    assert run(["detect", "missing.mp4", *(["--config", "verbose.yaml"] if way == "settings file" else [])]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_internal_error_is_one_line_and_exit_code_1(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("a defect\nof ours")

    monkeypatch.setattr("skipvid.cli.live.plan_jobs", fail)
    assert run(["detect", "clip.mp4"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("skipvid: internal error: RuntimeError: a defect of ours; ") and error.count("\n") == 1
