"""Streams whose picture changes its size on the way: every output goes on, each frame's boxes in its own pixels."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from skipvid.cli.app import run

FIRST, TALLER, UPRIGHT = (640, 340), (640, 376), (480, 640)
"""(width, height). The first two share an input of the detector, the third has one of its own."""
FRAMES = 4


def write_stream(path: Path, *sizes: tuple[int, int]) -> None:
    """An H.264 stream with FRAMES pictures of each size: a bright figure walks over a pattern."""
    with path.open("wb") as file:
        for number, (width, height) in enumerate(sizes):
            part = io.BytesIO()
            with av.open(part, "w", format="h264") as container:
                stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for index in range(number * FRAMES, (number + 1) * FRAMES):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(width, height, index), "bgr24")))
                container.mux(stream.encode())
            file.write(part.getvalue())


def picture(width: int, height: int, index: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    image = np.stack([x % 256, y % 256, (x + y) % 256], 2).astype(np.uint8)
    image[height // 4 : height * 3 // 4, 40 + 8 * index : 140 + 8 * index] = (60, 90, 230)
    return image


@pytest.mark.slow
@pytest.mark.parametrize("command", ["detect", "pose"])
@pytest.mark.parametrize("sizes", [(FIRST, TALLER, FIRST), (FIRST, UPRIGHT)])
def test_all_outputs_of_a_stream_that_changes_its_size_go_on(
    command: str, sizes: tuple[tuple[int, int], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stream(tmp_path / "clip.h264", *sizes)
    outputs = ["-o", "out.mp4", "-o", "out.jsonl", "--csv", "out.csv"]
    assert run([command, "clip.h264", *outputs, "--offline", "--conf", "0.01"]) == 0, capsys.readouterr().err
    total = FRAMES * len(sizes)

    frames = [record for record in map(json.loads, Path("out.jsonl").read_text().splitlines()) if record["type"] == "frame"]
    assert len(frames) == total
    check_boxes(frames, sizes)
    if command == "detect":
        assert [number for number, frame in enumerate(frames) if frame["keyframe"]] == list(range(0, total, FRAMES))

    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_scope = {scope: [row for row in rows if row["scope"] == scope] for scope in ("frame", "layer", "total")}
    assert len(by_scope["frame"]) == total and len(by_scope["total"]) == 1
    for column in ("macs", "dense_macs"):
        summed = int(by_scope["total"][0][column])
        assert summed == sum(int(row[column]) for row in by_scope["frame"]) == sum(int(row[column]) for row in by_scope["layer"])
    names = [row["name"] for row in by_scope["layer"]]
    assert len(set(names)) == len(names)

    with av.open("out.mp4") as container:
        written = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert written == [sizes[0]] * total


def check_boxes(frames: list[dict[str, Any]], sizes: tuple[tuple[int, int], ...]) -> None:
    reach = {size: [0.0, 0.0] for size in sizes}
    for frame in frames:
        size = sizes[frame["frame"] // FRAMES]
        for found in frame["detections"]:
            x1, y1, x2, y2 = found["box"]
            assert 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]
            reach[size] = [max(reach[size][0], x2), max(reach[size][1], y2)]
    for (width, height), (right, bottom) in reach.items():
        assert right > 0.8 * width and bottom > 0.8 * height, "no box reaches into the far corner"
