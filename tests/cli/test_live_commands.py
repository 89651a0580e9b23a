"""`pose`, and cameras and windows for `pose` and `detect`, with stand-ins for camera, screen and detector."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from clips import write_clip
from numpy.typing import NDArray

from skipvid.cli.app import run
from skipvid.cli.networks import skip_config
from skipvid.cli.pose import PoseNetworkSettings
from skipvid.cli.settings.groups import NetworkSettings
from skipvid.cli.talk import Talk
from skipvid.core.errors import SourceError
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.models import build_model
from skipvid.presets.preset import Preset, load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PoseEngine
from skipvid.video.sources.reconnect import Reconnecting


class Camera:
    """Delivers a picture every 30 ms, `count` of them; then it is unplugged."""

    count = 1000
    fps = 30.0
    codec = "mjpg"
    opened: list[int] = []

    def __init__(self, number: int) -> None:
        if number > 1:
            raise SourceError(f"there is no camera {number}")
        self.opened.append(number)
        self.left = self.count

    def read(self) -> NDArray[np.uint8] | None:
        self.left -= 1
        time.sleep(0.03)
        return np.full((48, 64, 3), 90 + self.left % 40, np.uint8) if self.left >= 0 else None

    def release(self) -> None: ...


@pytest.fixture(scope="module")
def pose_engine(tmp_path_factory: pytest.TempPathFactory, engine: DetectEngine) -> PoseEngine:
    """A small pose network with random weights that is sure of every joint, behind the tests' detector."""
    torch.manual_seed(0)
    net: Any = build_model("hrnet-nano")
    net.final_layer.bias.data.fill_(0.6)
    path = tmp_path_factory.mktemp("pose") / "random.pt"
    torch.save(net.state_dict(), path)
    preset = replace(load_preset("hrnet_w32_256x192"), model="hrnet-nano", image_size=(64, 64))
    return PoseEngine(preset, SkipConfig(), path, "0" * 64, engine)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: DetectEngine, pose_engine: PoseEngine) -> Path:
    """A working directory with a clip; commands find the test's engines loaded already, and a camera plugged in."""

    def loaded_detector(settings: NetworkSettings, preset: Preset, talk: Talk) -> DetectEngine:
        return engine.regated(skip_config(settings, preset, talk))

    def loaded_pose(settings: PoseNetworkSettings, preset: Preset, talk: Talk) -> PoseEngine:
        loaded = pose_engine.regated(skip_config(settings, preset, talk))
        loaded.detector = None if settings.people.full_frame else engine
        loaded.options = PoseOptions(settings.conf or 0.3, settings.people.detect_every, settings.people.max_persons)
        return loaded

    monkeypatch.setattr("skipvid.cli.networks.load_detect_engine", loaded_detector)
    monkeypatch.setattr("skipvid.cli.networks.load_pose_engine", loaded_pose)
    monkeypatch.setattr("skipvid.video.sources.webcam.Camera", Camera)
    monkeypatch.chdir(tmp_path)
    Camera.opened.clear()
    write_clip(tmp_path / "clip.mp4", frames=5)
    return tmp_path


def frames_of(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if "frame" in record]


def test_pose_writes_keypoints_ids_and_a_cost_report_that_separates_the_networks(place: Path) -> None:
    outputs = [word for name in ("a.mp4", "a.jsonl", "a.csv", "a.coco.json") for word in ("-o", name)]
    assert run(["pose", "clip.mp4", *outputs, "--csv", "cost.csv", "--conf", "0", "--max-persons", "2", "-q"]) == 0
    frames = frames_of(place / "a.jsonl")
    assert len(frames) == 5
    for frame in frames:
        assert 0 < len(frame["detections"]) <= 2
        for person in frame["detections"]:
            assert person["label"] == "person" and person["id"] >= 1
            assert np.array(person["keypoints"]).shape == (17, 3)
    with (place / "cost.csv").open() as file:
        text = file.read()
    assert "detector." in text and "pose." in text
    header = json.loads((place / "a.jsonl").read_text().splitlines()[0])
    category = json.loads((place / "a.coco.json").read_text())["categories"][0]
    assert header["keypoints"] == category["keypoints"] == list(COCO_KEYPOINTS) and len(category["skeleton"]) == 19
    with (place / "a.csv").open() as file:
        assert "right_ankle_score" in next(csv.reader(file))
    with av.open(str(place / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_pose_of_one_person_in_the_whole_frame_needs_no_detector(place: Path) -> None:
    assert run(["pose", "clip.mp4", "--full-frame", "-o", "a.jsonl", "--csv", "cost.csv", "-q"]) == 0
    assert all([person["id"] for person in frame["detections"]] == [1] for frame in frames_of(place / "a.jsonl"))
    with (place / "cost.csv").open() as file:
        assert not any("detector." in cell for row in csv.reader(file) for cell in row)


@pytest.mark.parametrize("more", [[], ["--full-frame"]])
def test_areas_are_left_out_of_poses(more: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pose", "clip.mp4", "-o", "a.jsonl", "--ignore", "0,0 1,0 1,0.5 0,0.5", "--conf", "0", "--json", *more]
    assert run(words) == 0
    for frame in frames_of(place / "a.jsonl"):
        assert all((person["box"][1] + person["box"][3]) / 2 >= 23 for person in frame["detections"])
    (document,) = json.loads(capsys.readouterr().out)["runs"]
    assert any(note.startswith("areas left out: 5") for note in document["notes"])
    assert run(["pose", "clip.mp4", "-o", "b.jsonl", "--ignore", "1,2"]) == 2


def test_the_heatmap_of_a_pose_preset_shows_the_work_on_persons(place: Path) -> None:
    assert run(["heatmap", "clip.mp4", "--preset", "hrnet_w32_256x192", "-o", "heat.mp4", "--conf", "0", "-q"]) == 0
    with av.open(str(place / "heat.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert (place / "heat.png").is_file()


def test_a_dry_run_names_both_networks_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pose", "clip.mp4", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"][0]
    assert [network["preset"] for network in plan["networks"]] == ["efficientdet-nano", "hrnet_w32_256x192"]
    assert plan["dense_macs_per_frame"] == sum(network["dense_macs"] for network in plan["networks"])
    assert plan["per_person"] is True
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize("command", ["detect", "pose"])
def test_a_camera_is_recorded_for_as_long_as_asked_and_the_recording_lasts_as_long(command: str, place: Path) -> None:
    words = [command, "--webcam", "1", "--duration", "1.5", "-o", "cam.mp4", "-o", "cam.jsonl", "-q"]
    assert run(words + (["--full-frame"] if command == "pose" else [])) == 0
    assert Camera.opened == [1]
    times = [frame["time"] for frame in frames_of(place / "cam.jsonl")]
    assert times[0] == 0 and times[-1] < 1.5
    with av.open(str(place / "cam.mp4")) as container:
        shown = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    np.testing.assert_allclose(shown, times, atol=0.002)


def test_without_an_output_a_camera_is_recorded_under_its_number(place: Path) -> None:
    assert run(["detect", "--webcam", "--max-frames", "2", "-q"]) == 0
    assert Camera.opened == [0]
    assert (place / "webcam0_skipvid.mp4").is_file()


def test_a_camera_that_is_unplugged_leaves_whole_files_and_a_word(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Camera, "count", 8)
    assert run(["detect", "--webcam", "-o", "cam.jsonl", "--reconnect", "never"]) == 0
    assert "webcam 0: disappeared after 8 frames" in capsys.readouterr().err
    assert (place / "cam.jsonl").is_file() and not list(place.glob("*.part"))


def test_a_camera_that_is_plugged_in_again_goes_on_with_a_keyframe(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is lost after every frame, and back a moment later."""
    monkeypatch.setattr(Camera, "count", 1)
    quick = partial(Reconnecting, first_delay=0.1, longest_delay=0.1)
    monkeypatch.setattr("skipvid.video.sources.reconnect.Reconnecting", quick)
    assert run(["detect", "--webcam", "-o", "cam.jsonl", "--max-frames", "3"]) == 0
    assert [frame["keyframe"] for frame in frames_of(place / "cam.jsonl")] == [True, True, True]
    assert len(Camera.opened) >= 3
    err = capsys.readouterr().err
    assert "webcam 0: connection lost (it ended); trying again" in err and "webcam 0: back after " in err


@pytest.mark.parametrize(("password", "token"), [("geheim", "geheim"), ("ge/he@im", "token77")])
def test_a_password_in_an_address_is_never_printed_or_written(
    password: str, token: str, place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where something fails, with -v and in the log; what cannot be connected fails in the same way for any camera."""
    outputs = [word for name in ("a.jsonl", "a.json", "a.csv", "a.coco.json", "a.mp4") for word in ("-o", "{stem}-" + name)]
    address = f"http://admin:{password}@127.0.0.1:1/live?token={token}"
    words = [address, *outputs, "--csv", "cost.csv", "-v", "--log-file", "run.log"]
    assert run(["detect", *words]) == 3
    assert run(["detect", address, address + "2", "-o", "{stem}-{n}.jsonl", "-v", "--json"]) == 7
    assert run(["probe", address]) == 3
    assert run(["probe", address, address + "2", "--json"]) == 7
    assert run(["detect", address, "--webcam"]) == 2
    monkeypatch.setattr("skipvid.video.sources.network.open_container", lambda *words: 1 / 0)
    assert run(["detect", *words]) == 1
    said = "".join(capfd.readouterr())
    assert "http://admin:***@127.0.0.1:1/live?token=***" in said and "Traceback" in said
    written = {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for secret in (password, token):
        assert secret not in said and secret.encode() not in b"".join(written.values()) and secret not in "".join(written)


def test_a_recording_rolls_over_and_all_its_files_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "--webcam", "--max-frames", "1", "-o", "first.jsonl", "-q"]) == 0  # compiles for this size, which takes a while
    assert run(["detect", "--webcam", "--segment", "1s", "--duration", "4", "-o", "cam.jsonl"]) == 0
    files = sorted(place.glob("cam-*.jsonl"))
    told = [line.removeprefix("wrote ") for line in capsys.readouterr().err.splitlines() if line.startswith("wrote ")]
    assert 2 <= len(files) <= 4 and sorted(told) == [str(path) for path in files]
    times = [[frame["time"] for frame in frames_of(path)] for path in files]
    assert all(len({int(time) for time in each}) == 1 for each in times) and len({int(each[0]) for each in times}) == len(files)


class Screen:
    """A window in which q is pressed at the third picture."""

    shown = 0

    def __init__(self, title: str) -> None:
        type(self).shown = 0

    def show(self, image: NDArray[np.uint8]) -> None:
        type(self).shown += 1

    def key(self, milliseconds: int) -> str:
        return "q" if self.shown == 3 else ""

    def is_open(self) -> bool:
        return True

    def close(self) -> None: ...


@pytest.mark.parametrize("words", [["--webcam"], ["clip.mp4"]])
def test_q_in_the_window_ends_the_run_without_an_error_and_nothing_is_written(
    words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skipvid.video.sinks.window.CvWindow", Screen)
    monkeypatch.setattr("skipvid.video.sinks.window.check_display", lambda: None)
    assert run(["detect", *words, "--show", "-q"]) == 0
    assert Screen.shown == 3
    assert sorted(path.name for path in place.iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "there is no source; give a video, a folder, a URL, - for stdin, or --webcam"),
        (["--webcam", "1", "clip.mp4"], 2, "--webcam and clip.mp4 are two sources"),
        (["clip.mp4", "--duration", "3"], 2, "--duration is for live sources; use --end or --max-frames"),
        (["-", "--duration", "3"], 2, "--duration is for live sources; use --end, or say --live"),
        (["clip.mp4", "--live"], 2, "--live is for cameras, addresses and standard input, not for clip.mp4"),
        (["rtsp://127.0.0.1:1/a", "--live", "--no-live"], 2, "--live and --no-live contradict each other"),
        (["clip.mp4", "--segment", "10m"], 2, "--segment is for live sources, not for clip.mp4"),
        (["--webcam", "--segment", "0.5"], 2, "--segment is 0.5 s; give a second or more"),
        (["--webcam", "--segment", "soon"], 2, "'soon' is not a time such as 90s, 10m or 2h"),
        (["rtsp://127.0.0.1:1/a", "--reconnect", "often"], 2, "'often' is not one of 'always', 'never'"),
        (["--webcam", "--duration", "3", "--end", "4"], 2, "--duration and --end say the same"),
        (["--webcam", "7"], 3, "there is no camera 7"),
    ],
)
@pytest.mark.parametrize("command", ["detect", "pose"])
def test_what_cannot_be_meant_is_answered_in_one_line(
    command: str, words: list[str], code: int, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, *words]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("words", [["--detector", "tf_efficientdet_d1"], ["--detect-every", "3"], ["--detector-weights", "x.pt"]])
def test_a_whole_frame_and_a_detector_contradict_each_other(words: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pose", "clip.mp4", "--full-frame", *words]) == 2
    assert "--full-frame uses no detector" in capsys.readouterr().err
