"""`--motion warp`: it runs, everything that reports it says that it has no bound, and what cannot be meant is refused."""

from __future__ import annotations

import csv
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
    """A working directory with a clip in which a square moves over a scene at rest, and then the scene is another."""
    random = np.random.default_rng(0)
    scenes = [np.kron(random.integers(20, 236, (24, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2)]
    with av.open(str(empty_place / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for index in range(8):
            image = scenes[index >= 5].copy()
            image[80:110, 20 + 4 * index : 50 + 4 * index] = (40, 60, 230)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return empty_place


def test_a_clip_is_analysed_and_its_records_say_how(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "clip.mp4", "--motion", "warp", "-o", "a.jsonl", "-o", "a.mp4", "--csv", "a.csv"]) == 0
    said = "".join(capsys.readouterr())
    assert "2 of 8 frames were keyframes" in said and "no bound" in said
    header, *records = map(json.loads, (place / "a.jsonl").read_text().splitlines())
    frames = [record for record in records if "frame" in record]
    assert header["gate"] == "warp"
    assert [frame["keyframe"] for frame in frames] == [True, False, False, False, False, True, False, False]
    shares = [frame["cost"]["macs"] / frame["cost"]["dense_macs"] for frame in frames]
    assert shares[0] == shares[5] == 1 and max(shares[1:5]) < 0.35
    assert len({frame["cost"]["dense_macs"] for frame in frames}) == 1
    with (place / "a.csv").open() as file:
        assert len(list(csv.reader(file))) > 10
    assert (place / "a.mp4").stat().st_size > 0


def test_the_report_says_that_there_is_no_bound_in_every_form(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "clip.mp4", "--motion", "warp", "--html", "a.html"]) == 0
    printed, page = capsys.readouterr().out, (place / "a.html").read_text()
    for shown in (printed, page):
        assert "activation motion compensation, no bound" in " ".join(shown.split())
        assert "by any amount" in " ".join(shown.split())
        assert "gate, threshold" not in shown
    assert run(["report", "clip.mp4", "--motion", "warp", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["gate"] == "warp" and any("no bound" in problem for problem in document["problems"])
    assert run(["report", "clip.mp4"]) == 0
    assert "no bound" not in capsys.readouterr().out


def test_a_preset_may_say_it_and_an_option_takes_it_back(place: Path) -> None:
    save_preset(replace(load_preset("efficientdet-nano"), motion="warp"), Path("warping.yaml"))
    assert load_preset("warping.yaml").motion == "warp"
    gates = []
    for options in (["--motion", "warp"], []):
        assert run(["detect", "clip.mp4", "-q", *options, "--overwrite", "-o", "a.jsonl"]) == 0
        gates.append(json.loads((place / "a.jsonl").read_text().splitlines()[0])["gate"])
    assert gates == ["warp", "norm"]


def test_a_heatmap_is_drawn(place: Path) -> None:
    assert run(["heatmap", "clip.mp4", "-q", "--motion", "warp", "-o", "map.mp4"]) == 0
    assert (place / "map.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["detect", "clip.mp4", "--motion", "warp", "--threshold", "0"], "threshold 0 promises the dense network's results"),
        (["pose", "clip.mp4", "--motion", "warp"], "--motion warp is for detectors, not for poses"),
        (["pose", "clip.mp4", "--motion", "warp", "--full-frame"], "--motion warp is for detectors, not for poses"),
        (["report", "clip.mp4", "--motion", "warp", "--thresholds", "0.03,0.1"], "neither thresholds nor gates"),
        (["report", "clip.mp4", "--motion", "warp", "--gate-maps", "gates.png"], "neither thresholds nor gates"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert run(words) == 2
    said = capsys.readouterr().err.strip()
    assert expected in said and "Traceback" not in said and len(said.splitlines()) <= 2
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4"]


def test_it_has_no_thresholds_that_could_be_calibrated(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_preset(replace(load_preset("efficientdet-nano"), motion="warp"), Path("warping.yaml"))
    assert run(["calibrate", "clip.mp4", "--preset", "warping.yaml", "-o", "mine.yaml"]) == 2
    said = capsys.readouterr().err.strip()
    assert "says 'motion: warp', which has no thresholds" in said and "Traceback" not in said
    assert not (place / "mine.yaml").exists()
