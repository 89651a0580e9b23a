"""The bench: what moves in its frames, who takes part, and what its numbers mean."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from skipvid.bench.frames import clip_frames, clip_size, patch_frames
from skipvid.bench.measure import DENSE_EVERY, WARM_UP, Measurement, load_subject, measure
from skipvid.bench.runtimes import RUNTIMES, open_runtime
from skipvid.bench.show import TITLES, bench_document, render_bench, write_bench_csv
from skipvid.cli.app import run
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig

PRESET = load_preset("efficientdet-nano")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.25, 1.0])
def test_patch_changes_its_share_of_the_picture_in_every_frame(share: float) -> None:
    frames = list(patch_frames(PRESET, (96, 160), share, 40))
    for before, after in zip(frames, frames[1:], strict=False):
        changed = float((before.pixels != after.pixels).any(2).mean())
        # The strip that a small patch uncovers comes on top; a byte of the texture may stay the same by chance.
        assert 0.9 * share <= changed <= share + 0.2 * (0 < share < 1)


def test_patch_moves_the_same_way_in_every_run() -> None:
    first, second = (list(patch_frames(PRESET, (64, 64), 0.1, 3)) for _ in range(2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(self.conv(x))
        return y, y.mean((2, 3))


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_computes_what_the_module_computes(name: str) -> None:
    torch.manual_seed(0)
    net, x = TwoOutputs().eval().requires_grad_(False), torch.randn(1, 3, 16, 24)
    runtime = open_runtime(name, net, x, 1)
    if runtime.run is None:
        pytest.skip(runtime.missing)
    found = runtime.run(x)
    outputs = list(found.values()) if hasattr(found, "values") else list(found)
    for actual, expected in zip(outputs, net(x), strict=True):
        atol = {"openvino-bf16": 0.05, "openvino-int8": 0.15}.get(name, 1e-5)
        np.testing.assert_allclose(np.asarray(actual), expected.numpy(), atol=atol)


def test_int8_finds_its_ranges_on_a_hundred_of_the_frames_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def quantize(network: object, dataset: list[np.ndarray], subset_size: int) -> object:
        seen.extend(dataset)
        assert subset_size == len(dataset)
        raise RuntimeError("far enough")

    core = types.SimpleNamespace(get_property=lambda *arguments: ["FP32"])
    openvino = types.SimpleNamespace(Core=lambda: core, convert_model=lambda net, **arguments: "network")
    monkeypatch.setitem(sys.modules, "openvino", openvino)
    monkeypatch.setitem(sys.modules, "nncf", types.SimpleNamespace(quantize=quantize, Dataset=list))
    frames = (torch.full((1, 3, 8, 8), float(number)) for number in range(200))
    runtime = open_runtime("openvino-int8", TwoOutputs().eval(), torch.zeros(1, 3, 8, 8), 1, lambda: frames)
    assert runtime.missing == "RuntimeError: far enough"
    assert [float(frame[0, 0, 0, 0]) for frame in seen] == list(range(100))


def test_a_runtime_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: object) -> None:
        raise ModuleNotFoundError("No module named 'fast'", name="fast")

    monkeypatch.setitem(RUNTIMES, "openvino", absent)
    runtime = open_runtime("openvino", TwoOutputs(), torch.zeros(1, 3, 8, 8), 1)
    assert runtime.run is None and runtime.missing == "fast is not installed"


@pytest.fixture(scope="module")
def still_and_moving() -> list[Measurement]:
    subject = load_subject(PRESET, SkipConfig(threshold=0.0, threads=1), None)
    runtimes = [open_runtime("torch", subject.net, torch.zeros(1, 3, 64, 64), 1)]
    frames = DENSE_EVERY * 2 + 1
    return [
        measure(subject, (64, 64), f"patch {share:.0%}", patch_frames(PRESET, (64, 64), share, frames), runtimes) for share in (0.0, 1.0)
    ]


def test_a_still_picture_costs_no_macs_and_a_moving_one_all(still_and_moving: list[Measurement]) -> None:
    still, moving = still_and_moving
    assert still.frames == moving.frames == DENSE_EVERY * 2 - WARM_UP
    assert still.macs == 0 and still.changed == 0 and math.isinf(still.reduction) and still.saving == 1
    assert moving.changed > 0.9 and moving.saving < 0.1
    assert still.skip_ms < moving.skip_ms and set(still.runtime_ms) == {"torch"}
    assert 1e6 < still.state_bytes < moving.state_bytes < 1.5 * still.state_bytes  # in motion a stream has a dense state, too


def test_tables_hold_every_measurement(still_and_moving: list[Measurement], tmp_path: Path) -> None:
    partly = dataclasses.replace(still_and_moving[0], runtime_ms={}, missing={"torch": "torch is not installed"})
    write_bench_csv(tmp_path / "bench.csv", [*still_and_moving, partly])
    rows = list(csv.DictReader((tmp_path / "bench.csv").read_text().splitlines()))
    assert [row["what"] for row in rows] == ["patch 0%", "patch 100%", "patch 0%"]
    assert rows[0]["reduction"] == "" and float(rows[1]["torch_ms"]) > 0 and rows[2]["torch_ms"] == ""
    document = json.loads(json.dumps(bench_document([partly])))
    assert document["measurements"][0]["missing"] == {"torch": "torch is not installed"}


def test_clip_frames_have_the_size_that_clip_size_says(tmp_path: Path) -> None:
    import cv2

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((90, 160, 3), 40 * number, np.uint8))
    for name in ("efficientdet-nano", "hrnet_w32_256x192"):
        preset = load_preset(name)
        size = clip_size(str(tmp_path), preset)
        assert [frame.shape for frame in clip_frames(str(tmp_path), preset, size, 2)] == [(1, 3, *size)] * 2


def test_bench_prints_one_document_and_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--size", "64", "--activity", "0,50", "--frames", "9", "--runtime", "torch", "--threads", "1", "--json"]
    assert run([*words, "--csv", str(tmp_path / "bench.csv")]) == 0
    found = json.loads(capsys.readouterr().out)["measurements"]
    assert [item["what"] for item in found] == ["patch 0%", "patch 50%"] and found[0]["macs"] == 0
    assert (tmp_path / "bench.csv").is_file()


def test_bench_prints_a_table_that_names_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: object) -> None:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setitem(RUNTIMES, "onnxruntime", absent)
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["bench", "--size", "64", "--activity", "10", "--frames", "9", "--runtime", "onnxruntime", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "ONNX Runtime: onnx is not installed" in text and "patch 10%" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--activity", "none"], "nothing to measure"),
        (["--activity", "120"], "more than 100 %"),
        (["nowhere.mp4"], "nowhere.mp4"),
        (["--preset", "d9"], "unknown preset"),
    ],
)
def test_bench_refuses_what_cannot_be_measured(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", *words]) in (2, 3, 4)
    assert complaint in capsys.readouterr().err


def test_tables_fit_a_terminal_of_80_columns() -> None:
    runtimes = dict.fromkeys(TITLES, 1234.5)
    name = "a clip with a long name.mp4"
    row = Measurement("p", (512, 512), name, 9, 1.0, 1e9, 1e12, 43.21, 1234.5, 2**28, 2, 0.03, "random", "bf16", runtimes)
    console = Console(width=80, file=io.StringIO())
    render_bench([row], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for heading in ("Changed", "MACs saved", "Fewer", "Skip ms", "Dense ms", "Speed-up", *TITLES.values()):
        assert heading in text
    assert text.count("1234 (28.6x)") == len(TITLES)
    assert max(len(line) for line in text.splitlines()[1:]) <= 80


def test_each_precision_is_measured_on_the_same_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precisions = ["--precision", "f32", "--precision", "bf16"]
    frames = ["--frames", "8", "--size", "64", "--activity", "10", "--weights", "random", "--runtime", "none", "--threads", "1"]
    assert run(["bench", *frames, *precisions, "--json"]) == 0
    full, half = json.loads(capsys.readouterr().out)["measurements"]
    assert (full["precision"], half["precision"]) == ("f32", "bf16")
    assert full["changed"] == half["changed"] and full["dense_macs"] == half["dense_macs"]
    assert half["state_bytes"] < 0.6 * full["state_bytes"]
