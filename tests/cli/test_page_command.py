"""--web: cameras that are stand-ins, on a page that is asked while they run."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.cli.app import run
from skipvid.core.errors import SourceError


class Camera:
    """A picture every 30 ms, until all are unplugged."""

    fps = 30.0
    codec = "mjpg"
    unplugged = threading.Event()

    def __init__(self, number: int) -> None:
        if number >= 7:
            raise SourceError(f"there is no camera {number}")
        self.count = 0

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(0.03)
        self.count += 1
        return None if self.unplugged.is_set() else np.full((48, 64, 3), 90 + self.count % 40, np.uint8)

    def release(self) -> None: ...


@pytest.fixture
def place(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("skipvid.video.sources.webcam.Camera", Camera)
    Camera.unplugged.clear()
    return empty_place


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def extra() -> None:
    for name in ("starlette", "uvicorn"):
        pytest.importorskip(name, reason="the page is an extra: skipvid[web]")


class Viewer(threading.Thread):
    """Waits until all cameras run or failed, draws an area on the first picture, waits for its use, and unplugs the cameras."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.address = f"http://127.0.0.1:{port}"
        self.states: list[str] = []
        self.told = ""

    def run(self) -> None:
        try:
            self.until(lambda cameras: all(camera["state"] in ("running", "failed") for camera in cameras))
            self.told = self.ask("/areas/0", [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]])["told"]
            drawn = self.ask("/state")["cameras"][0]["frames"]
            self.until(lambda cameras: cameras[0]["frames"] > drawn + 2)
        finally:
            Camera.unplugged.set()

    def until(self, true: Callable[[list[dict[str, Any]]], bool]) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                cameras = self.ask("/state")["cameras"]
            except OSError:  # nothing listens yet
                cameras = []
            self.states = [camera["state"] for camera in cameras]
            if cameras and true(cameras):
                return
            time.sleep(0.05)
        raise TimeoutError(self.states)

    def ask(self, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, data, method="GET" if data is None else "PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def test_cameras_are_on_the_page_and_an_area_drawn_there_is_used_and_found_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra()
    port = free_port()
    viewer = Viewer(port)
    viewer.start()
    assert run(["detect", "webcam://0", "webcam://8", "webcam://2", "--web", str(port), "--reconnect", "never", "--json"]) == 7
    viewer.join()
    Camera.unplugged.clear()
    said = capsys.readouterr()
    assert viewer.states == ["running", "failed", "running"] and "next frame" in viewer.told
    assert f"page: http://127.0.0.1:{port}/" in said.err.splitlines()
    assert [path.name for path in place.iterdir()] == ["webcam0_areas.json"]

    def left_out() -> list[bool]:
        return [any("areas left out: 5" in note for note in each["notes"]) for each in json.loads(out)["runs"]]

    out = said.out
    assert left_out() == [True, False]
    assert run(["detect", "webcam://0", "webcam://2", "--web", "0", "--max-frames", "3", "--json"]) == 0
    out = capsys.readouterr().out
    assert left_out() == [True, False]
    assert run(["detect", "webcam://0", "--ignore", "webcam0_areas.json", "-o", "a.jsonl", "--max-frames", "3", "--json"]) == 0
    out = capsys.readouterr().out
    assert left_out() == [True]


def test_for_other_machines_the_token_is_printed_once_and_never_logged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra()
    assert run(["detect", "webcam://0", "--web", "0.0.0.0:0", "--max-frames", "2", "-q", "--log-file", "run.log"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    address, _, token = line.partition("/?token=")
    assert address.startswith("page: http://") and len(token) >= 32
    assert token not in (place / "run.log").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--web", "here"], "--web here names no port; write it as PORT or HOST:PORT"), (["--web", "256.1.1.1:1"], "cannot be used")],
)
def test_an_address_that_cannot_be_meant_is_told_before_anything_is_loaded(
    words: list[str], message: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extra()
    monkeypatch.setattr("skipvid.cli.networks.load_detect_engine", lambda *arguments: 1 / 0)
    assert run(["detect", "webcam://0", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_without_the_extra_one_line_says_how_to_get_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "skipvid.web.server", raising=False)
    assert run(["detect", "webcam://0", "--web", "8090"]) == 2
    assert capsys.readouterr().err == "skipvid: --web needs uvicorn, which is not installed; pip install 'skipvid[web]'\n"
