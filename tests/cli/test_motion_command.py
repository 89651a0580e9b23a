"""`--motion` on the clip of a camera that shakes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from skipvid.cli.app import run
from skipvid.presets.preset import load_preset, save_preset


@pytest.fixture
def place(empty_place: Path) -> Path:
    """A working directory with the clip of a shaking camera before a scene full of corners."""
    random = np.random.default_rng(0)
    scene = np.full((220, 340, 3), 120, np.uint8)
    for _ in range(150):
        x, y, w, h = random.integers(0, 320), random.integers(0, 200), random.integers(6, 50), random.integers(6, 50)
        scene[y : y + h, x : x + w] = random.integers(20, 236, 3)
    scene = cv2.GaussianBlur(scene, (0, 0), 1.0)  # type: ignore[assignment]
    with av.open(str(empty_place / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for index in range(40):
            shift = np.array([[1, 0, -10 + 1.2 * math.sin(2.1 * index)], [0, 1, -10 + 0.8 * math.cos(1.3 * index)]])
            image = cv2.warpAffine(scene, shift, (320, 192), flags=cv2.INTER_LANCZOS4)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return empty_place


def result_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(words) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def macs(path: Path) -> list[float]:
    frames = [record for record in map(json.loads, path.read_text().splitlines()) if "frame" in record]
    return [frame["cost"]["macs"] / frame["cost"]["dense_macs"] for frame in frames]


def test_a_canvas_saves_work_before_a_camera_that_shakes(place: Path) -> None:
    shares = {}
    for motion in ("none", "canvas", "auto"):
        assert run(["detect", "clip.mp4", "-q", "--threshold", "0.2", "--motion", motion, "-o", f"{motion}.jsonl"]) == 0
        shares[motion] = macs(place / f"{motion}.jsonl")
    assert np.mean(shares["canvas"]) < 0.6 * np.mean(shares["none"])
    assert np.mean(shares["auto"][20:]) < 0.6 * np.mean(shares["none"][20:])


def test_the_report_says_how_much_was_registered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "--motion", "canvas", "-o", "a.jsonl"]) == 0
    said = capsys.readouterr()
    assert "frames were registered to 1 anchor" in said.out + said.err
    assert run(["report", "clip.mp4", "--motion", "canvas", "--max-frames", "4"]) == 0
    assert "registered" in "".join(capsys.readouterr())


def test_the_environment_a_settings_file_and_the_preset_say_it_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.yaml").write_text("motion: canvas\n")
    assert run(["detect", "clip.mp4", "-q", "--config", "settings.yaml", "-o", "a.jsonl"]) == 0
    monkeypatch.setenv("SKIPVID_MOTION", "canvas")
    assert run(["detect", "clip.mp4", "-q", "-o", "b.jsonl"]) == 0
    assert macs(place / "a.jsonl") == macs(place / "b.jsonl")
    save_preset(replace(load_preset("efficientdet-nano"), motion="canvas"), Path("shaking.yaml"))
    assert load_preset("shaking.yaml").motion == "canvas"


def test_heatmaps_and_masks_are_drawn_on_the_frame(place: Path) -> None:
    assert run(["heatmap", "clip.mp4", "-q", "--motion", "canvas", "--max-frames", "5", "-o", "map.mp4"]) == 0
    assert run(["detect", "clip.mp4", "-q", "--motion", "canvas", "--max-frames", "5", "-o", "out.mp4"]) == 0
    assert (place / "map.png").stat().st_size > 0 and (place / "out.mp4").stat().st_size > 0


def test_poses_are_watched_through_windows_that_stand_still_in_the_scene(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = {}
    for motion in ("none", "canvas"):
        # Nobody is there: a box that a faint one is seen in may cover all corners that motion could be found by.
        words = ["pose", "clip.mp4", "-q", "--full-frame", "--conf", "0.9", "--max-frames", "12", "-o", f"{motion}.jsonl"]
        assert run([*words, "--motion", motion]) == 0
        shares[motion] = np.mean(macs(place / f"{motion}.jsonl"))
    assert shares["canvas"] < 0.6 * shares["none"]
    assert run(["pose", "clip.mp4", "--conf", "0.1", "--max-frames", "5", "--motion", "canvas", "-o", "out.mp4"]) == 0
    assert "frames were registered to 1 anchor" in "".join(capsys.readouterr())


def test_moving_maps_is_refused_for_poses_in_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--full-frame"], []):
        assert run(["pose", "clip.mp4", *words, "--motion", "shift"]) == 2
        said = capsys.readouterr().err.strip()
        assert "--motion shift is for detectors, not for poses" in said and "--motion canvas or auto" in said
        assert "Traceback" not in said and list(place.glob("*_skipvid*")) == []


def test_another_word_is_refused_in_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "--motion", "sideways"]) == 2
    said = capsys.readouterr().err.strip()
    assert "'sideways' is not one of 'auto', 'none', 'canvas'" in said and "Traceback" not in said
    save_preset(replace(load_preset("efficientdet-nano"), motion="sideways"), Path("wrong.yaml"))
    assert run(["detect", "clip.mp4", "--preset", "wrong.yaml"]) != 0
    assert "'motion' must be one of auto, none, canvas, shift, warp" in capsys.readouterr().err


def test_bench_says_that_it_registers_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_preset(replace(load_preset("efficientdet-nano"), motion="canvas"), Path("shaking.yaml"))
    words = ["bench", "--preset", "shaking.yaml", "--activity", "none", "--max-frames", "8", "--runtime", "none", "--threads", "1"]
    assert run([*words, "clip.mp4"]) == 0
    assert "clips are measured as they are, without its 'motion: canvas'" in capsys.readouterr().err
    assert run([*words[:4], "0", *words[5:], "--frames", "8"]) == 0
    assert "as they are" not in capsys.readouterr().err
