"""The commands on a small clip: what they print, what they write, how they end. One engine with random weights serves them all."""

from __future__ import annotations

import csv
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
import torch
from clips import write_clip

from skipvid.cli.app import run
from skipvid.cli.run_jobs import cores_for
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.report import SummaryBuilder
from skipvid.skip import cpu as native
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import LearnedGate, save_gates
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.video.sources.decoded import DecodedPicture


@pytest.fixture
def place(empty_place: Path) -> Path:
    """A working directory with a clip; commands find the test's engine loaded already, with the gates that their options ask for."""
    write_clip(empty_place / "clip.mp4")
    return empty_place


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        (["-o", "out.jsonl"], False),
        (["-o", "out.jsonl", "-o", "out.mkv"], True),
        (["-o", "out.MP4"], True),
        (["-o", "out.mp4", "--overlay", "none"], False),
    ],
)
def test_where_work_was_done_is_worked_out_for_who_draws_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], drawn: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(DetectEngine, "show_activity", lambda self, shown: asked.append(shown))
    assert run(["detect", "clip.mp4", "-q", *words]) == 0
    assert asked == [drawn]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_detect_to_json_lines_never_makes_a_full_size_picture(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(picture: DecodedPicture) -> None:
        raise AssertionError("a full-size picture was made")

    monkeypatch.setattr(DecodedPicture, "bgr", refuse)
    assert run(["detect", "clip.mp4", "-o", "out.jsonl"]) == 0
    assert len(records((place / "out.jsonl").read_text())) >= 12


def test_detect_writes_the_annotated_video_beside_a_report_and_says_where(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4"]) == 0
    captured = capsys.readouterr()
    assert "MACs saved" in captured.out and "class_net" in captured.out
    assert captured.err.splitlines()[-1] == f"wrote {place / 'clip_skipvid.mp4'}"
    with av.open(str(place / "clip_skipvid.mp4")) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, video.width) == ("h264", "yuv420p", 64)
        assert sum(1 for _ in container.decode(video)) == 12
    assert not list(place.glob("*.part"))


def test_detect_writes_every_kind_of_output_in_one_run(place: Path) -> None:
    outputs = ["a.mkv", "a.jsonl", "a.json", "a.csv", "a.coco.json", "a.mot.txt"]
    words = ["detect", "clip.mp4", *(word for output in outputs for word in ("-o", output)), "--csv", "cost.csv", "-q"]
    assert run(words) == 0
    assert sorted(path.name for path in place.iterdir()) == sorted([*outputs, "clip.mp4", "cost.csv"])
    lines = records((place / "a.jsonl").read_text())
    assert [line["type"] for line in lines] == ["header"] + ["frame"] * 12 + ["summary"]
    frames = lines[1:-1]
    assert [frame["frame"] for frame in frames] == list(range(12)) and frames[5]["time"] == pytest.approx(0.5)
    found = sum(len(frame["detections"]) for frame in frames)
    assert found > 0
    assert len((place / "a.csv").read_text().splitlines()) == found + 1
    assert len((place / "a.mot.txt").read_text().splitlines()) == found
    assert len(json.loads((place / "a.coco.json").read_text())["annotations"]) == found
    rows = list(csv.DictReader((place / "cost.csv").read_text().splitlines()))
    per_frame = [int(row["macs"]) for row in rows if row["scope"] == "frame"]
    assert per_frame == [frame["cost"]["macs"] for frame in frames]
    assert [int(row["macs"]) for row in rows if row["scope"] == "total"] == [sum(per_frame)]


def test_jsonl_on_stdout_is_nothing_but_json_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "-o", "-", "--max-frames", "3"]) == 0
    captured = capsys.readouterr()
    assert [record["type"] for record in records(captured.out)] == ["header", "frame", "frame", "frame", "summary"]
    assert "MACs saved" in captured.err


def test_json_prints_exactly_one_document(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "--json", "--max-frames", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    (only,) = document["runs"]
    assert only["frames"] == 2 and only["outputs"] == [str(place / "clip_skipvid.mp4")]
    assert 0 < only["cost"]["macs"] <= only["cost"]["dense_macs"]


def test_dry_run_says_the_cost_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "--dry-run", "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["plan"]
    assert plan["frames"] == 12 and plan["input"] == [544, 416] and plan["dense_macs_per_frame"] > 1e8
    assert [path.name for path in place.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_precision_is_said_before_a_run_and_after_it(precision: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["detect", "clip.mp4", "--precision", precision, "--max-frames", "3"]
    assert run([*words, "--dry-run", "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["plan"]
    assert plan["precision"] == precision
    assert run([*words, "-o", "clip.jsonl"]) == 0
    assert f"back end, {precision}" in capsys.readouterr().out
    assert records((place / "clip.jsonl").read_text())[0]["precision"] == precision


def test_one_bad_source_does_not_stop_the_others(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(place / "other.mp4", frames=4)
    (place / "bad.mp4").write_text("no video")
    assert run(["detect", "clip.mp4", "bad.mp4", "other.mp4", "--csv", "cost.csv"]) == 7
    error = capsys.readouterr().err
    assert "bad.mp4" in error and "1 of 3 sources failed" in error
    assert (place / "clip_skipvid.mp4").is_file() and (place / "other_skipvid.mp4").is_file()
    rows = list(csv.DictReader((place / "cost.csv").read_text().splitlines()))
    assert {(row["source"], int(row["frames"])) for row in rows if row["scope"] == "total"} == {("clip.mp4", 12), ("other.mp4", 4)}


def test_skip_existing_leaves_what_is_there_and_overwrite_replaces_it(place: Path) -> None:
    (place / "clip_skipvid.mp4").write_bytes(b"old")
    assert run(["detect", "clip.mp4"]) == 6
    assert run(["detect", "clip.mp4", "--skip-existing"]) == 0
    assert (place / "clip_skipvid.mp4").read_bytes() == b"old"
    assert run(["detect", "clip.mp4", "--overwrite", "-q"]) == 0
    assert (place / "clip_skipvid.mp4").stat().st_size > 1000


def test_a_truncated_file_is_analysed_as_far_as_it_goes_and_reported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(place / "long.mkv", frames=60)
    whole = (place / "long.mkv").read_bytes()
    (place / "cut.mkv").write_bytes(whole[: int(len(whole) * 0.6)])
    assert run(["detect", "cut.mkv", "-o", "cut.jsonl"]) == 0
    error = capsys.readouterr().err
    assert "cut.mkv: read" in error and "of about 60 frames" in error
    assert records((place / "cut.jsonl").read_text())[-1]["type"] == "summary"


def test_settings_come_from_flag_then_environment_then_file(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "settings.yaml").write_text("threshold: 0.4\nmax-frames: 1\n")
    words = ["detect", "clip.mp4", "--config", "settings.yaml", "--dry-run", "--json"]

    def threshold(*more: str) -> float:
        assert run([*words, *more]) == 0
        plan = json.loads(capsys.readouterr().out)["plan"][0]
        assert plan["frames"] == 1
        return float(plan["threshold"])

    assert threshold() == 0.4
    monkeypatch.setenv("SKIPVID_THRESHOLD", "0.2")
    assert threshold() == 0.2
    assert threshold("--threshold", "0.1") == 0.1


def test_heatmap_writes_a_video_and_its_time_average(place: Path) -> None:
    assert run(["heatmap", "clip.mp4", "-q"]) == 0
    with av.open(str(place / "clip_heatmap.mp4")) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 12
    picture = cv2.imread(str(place / "clip_heatmap.png"))
    assert picture is not None and picture.shape[1] >= 64 and picture.std() > 5


def test_heatmap_as_a_picture_alone(place: Path) -> None:
    assert run(["heatmap", "clip.mp4", "-o", "mean.png", "-q"]) == 0
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4", "mean.png"]


def test_report_compares_thresholds_with_dense(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", "clip.mp4", "--thresholds", "0.03,0,0.5", "--csv", "cost.csv", "--html", "page.html", "--json"]
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    rows = document["thresholds"]
    assert [row["threshold"] for row in rows] == [0.03, 0.0, 0.5]
    assert rows[1]["f1"] == 1.0  # threshold 0 is exact
    assert rows[1]["saving"] < rows[0]["saving"] < rows[2]["saving"]
    assert "<svg" in (place / "page.html").read_text() and (place / "cost.csv").is_file()


def test_one_threshold_turns_those_of_all_maps(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "clip.mp4", "--json"]) == 0
    as_preset = json.loads(capsys.readouterr().out)["cost"]["saving"]
    assert run(["report", "clip.mp4", "--thresholds", f"0,{load_preset(DEFAULT_DETECT).threshold},0.5", "--json"]) == 0
    savings = [row["saving"] for row in json.loads(capsys.readouterr().out)["thresholds"]]
    assert savings[0] < savings[1] == as_preset < savings[2]


def test_report_prints_tables_and_the_dense_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "clip.mp4", "--layers", "--max-frames", "4"]) == 0
    text = capsys.readouterr().out
    assert "backbone.conv_stem" in text and "as fast as dense" in text and "Agreement" in text


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_and_exit_code_130(tmp_path: Path, random_weights: Path) -> None:
    write_clip(tmp_path / "long.mp4", frames=900)
    words = ["detect", "long.mp4", "--weights", str(random_weights), "-o", "out.mp4", "-o", "out.jsonl", "--threads", "1"]
    program = [sys.executable, "-c", "from skipvid.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        program,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background inherit an ignored SIGINT, which Python then leaves ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(part.read_text().count("\n") > 5 for part in tmp_path.glob("out.jsonl.*.part")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    lines = records((tmp_path / "out.jsonl").read_text())
    assert lines[-1]["type"] == "summary" and lines[-1]["interrupted"] is True
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == len(lines) - 2


@pytest.mark.parametrize(
    ("options", "gate", "threshold"),
    [
        (["--gate", "norm-output"], "norm-output", 0.13),  # the preset's 0.03 is one of norm gates
        (["--gate", "norm-output", "--threshold", "0.2", "--block", "4"], "norm-output", 0.2),
        (["--reference", "previous"], "norm-previous", 0.03),
    ],
)
def test_every_kind_of_gate_runs(place: Path, capsys: pytest.CaptureFixture[str], options: list[str], gate: str, threshold: float) -> None:
    assert run(["detect", "clip.mp4", "-o", "-", "--max-frames", "3", *options]) == 0
    header, *frames, summary = records(capsys.readouterr().out)
    assert header["gate"] == gate and header["threshold"] == pytest.approx(threshold)
    assert all(0 < frame["cost"]["macs"] <= frame["cost"]["dense_macs"] for frame in frames)


def test_learned_gates_come_from_a_file(place: Path, engine: DetectEngine, capsys: pytest.CaptureFixture[str]) -> None:
    gates = {"class_net.predict.conv_pw": LearnedGate(torch.zeros(64), -1.0), "backbone.conv_stem": LearnedGate(torch.ones(3), -1e-3)}
    save_gates(gates, place / "gates.pt", {})
    assert run(["report", "clip.mp4", "--gate", "gumbel", "--gate-weights", "gates.pt", "--max-frames", "3", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    assert 0 < cost["gate_macs"] < cost["macs"] < cost["dense_macs"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--gate", "gumbel"], 4, "has no learned gates; train some with skipvid train gates"),
        (["--gate", "gumbel", "--gate-weights", "none.pt"], 4, "none.pt is missing"),
        (["--gate-weights", "gates.pt"], 2, "the gate is norm"),
        (["--reference", "previous", "--backend", "cpu"], 5, "use --reference accumulated"),
    ],
)
def test_gates_that_cannot_be_had_are_one_clear_line(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, says: str
) -> None:
    assert run(["detect", "clip.mp4", *options]) == code
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_report_draws_and_lists_what_the_gates_let_through(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "clip.mp4", "--max-frames", "4", "--gate-maps", "gates.png"]) == 0
    captured = capsys.readouterr()
    assert "Inside boxes" in captured.out and "class_net.predict.conv_pw@52x68" in captured.out
    assert str(place / "gates.png") in captured.err and cv2.imread(str(place / "gates.png")).shape[1] > 1000
    assert run(["report", "clip.mp4", "--max-frames", "1", "--gate-maps", "none.png"]) == 2
    assert not (place / "none.png").exists()


@pytest.mark.parametrize(("backend", "threads"), [("auto", 1), ("reference", 2)])
def test_beside_native_kernels_pytorch_keeps_to_one_thread(engine: DetectEngine, backend: str, threads: int) -> None:
    if backend == "auto" and not native.status().available:
        pytest.skip("no native back end here")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with cores_for(engine.regated(SkipConfig(backend=backend))):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_garbage_collector_passes_over_what_was_there_before_the_frames(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[int] = []
    add = SummaryBuilder.add

    def counted(*given: Any) -> None:
        frozen.append(gc.get_freeze_count())
        add(*given)

    monkeypatch.setattr(SummaryBuilder, "add", counted)
    assert run(["detect", "clip.mp4", "-o", "out.jsonl"]) == 0
    assert min(frozen) > 10_000 and gc.get_freeze_count() == 0
