"""What the tests of the page share: cameras with results, and a server of them."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np

from skipvid.core.results import Count, Detections, Frame, FrameResult, RunHeader, SourceInfo
from skipvid.tasks.areas import Areas
from skipvid.web.address import Address, listen
from skipvid.web.board import Camera
from skipvid.web.kept_areas import KeptAreas
from skipvid.web.server import PageServer


def header(name: str = "yard", size: tuple[int, int] = (64, 48)) -> RunHeader:
    return RunHeader("detect", SourceInfo(name, *size, 25.0, live=True), "p", "norm", 0.05, 1, "cpu", "", "0")


def result(index: int, arrived: float | None = None, size: tuple[int, int] = (64, 48)) -> FrameResult:
    found = Detections(
        np.array([[10, 10, 30, 40]], np.float32), np.array([0.9], np.float32), np.array([1], np.int64), ("person",), np.array([7], np.int64)
    )
    picture = np.full((size[1], size[0], 3), 40 + index % 200, np.uint8)
    counts = (Count("door", np.array([[1, 1], [9, 9]], np.int32), {"right": 2, "left": 1}),)
    activity = np.full((6, 8), 0.5, np.float32)
    return FrameResult(
        Frame(picture, index, index / 25, "yard", arrived=arrived), found, index == 0, {"model": 1.0}, None, activity, (), counts
    )


class Served:
    """A page of two cameras. looked_at: areas that the first one's analysis was given."""

    def __init__(self, folder: Path, address: Address) -> None:
        self.looked_at: list[Areas | None] = []
        self.files = [folder / "yard_areas.json", folder / "gate_areas.json"]
        self.cameras = [Camera("yard", KeptAreas(self.files[0])), Camera("gate", KeptAreas(self.files[1]))]
        self.cameras[0].opened(header(), self.looked_at.append)
        listening, self.address = listen(address)
        self.server = PageServer(self.cameras, listening, self.address)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer. A header's _ stands for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data

    def state(self) -> list[dict[str, Any]]:
        status, _, body = self.ask("GET", "/state")
        assert status == 200
        cameras: list[dict[str, Any]] = json.loads(body)["cameras"]
        return cameras
