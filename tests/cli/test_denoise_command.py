"""`--denoise` on the clip of a noisy camera."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from skipvid.cli.app import run
from skipvid.presets.preset import load_preset, save_preset


@pytest.fixture
def place(empty_place: Path) -> Path:
    """A working directory with the clip of a noisy camera at rest."""
    random = np.random.default_rng(0)
    scene = np.kron(random.integers(60, 190, (12, 20, 3)), np.ones((16, 16, 1)))
    with av.open(str(empty_place / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for _ in range(24):
            image = np.clip(np.rint(scene + random.normal(0, 5, scene.shape)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return empty_place


def shares(path: Path) -> list[float]:
    frames = [record for record in map(json.loads, path.read_text().splitlines()) if "frame" in record]
    return [frame["cost"]["macs"] / frame["cost"]["dense_macs"] for frame in frames]


def test_noise_costs_no_work_and_the_command_says_why(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mkv", "-q", "-o", "plain.jsonl"]) == 0
    assert run(["detect", "clip.mkv", "--denoise", "auto", "-o", "calm.jsonl"]) == 0
    said = capsys.readouterr()
    assert "the camera is noisy" in said.out + said.err
    assert np.mean(shares(place / "calm.jsonl")[12:]) < 0.5 * np.mean(shares(place / "plain.jsonl")[12:])


def test_a_preset_keeps_it_and_refuses_other_words(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_preset(replace(load_preset("efficientdet-nano"), denoise="auto"), Path("noisy.yaml"))
    assert load_preset("noisy.yaml").denoise == "auto"
    save_preset(replace(load_preset("efficientdet-nano"), denoise="loud"), Path("wrong.yaml"))
    assert run(["detect", "clip.mkv", "--preset", "wrong.yaml"]) != 0
    assert "'denoise' must be one of auto, none" in capsys.readouterr().err


def test_another_word_is_refused_in_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mkv", "--denoise", "loud"]) == 2
    said = capsys.readouterr().err.strip()
    assert "'loud' is not one of 'auto', 'none'" in said and "Traceback" not in said
