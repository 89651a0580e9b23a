"""Outputs that roll over: whole files, each by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from run_making import header, summary

from skipvid.core.errors import OutputError
from skipvid.core.results import Detections, Frame, FrameResult, SourceInfo
from skipvid.report import SummaryBuilder
from skipvid.video.planes import planes_of_bgr
from skipvid.video.sinks.base import Sink
from skipvid.video.sinks.open import open_sink
from skipvid.video.sinks.segments import SegmentSink

HEADER = header(SourceInfo("rtsp://camera/live", 64, 48, live=True))
TIMES = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 6.25, 6.75]
"""In segments of 2 s: four frames, two, none, two."""


def result(index: int, time: float) -> FrameResult:
    picture = np.full((48, 64, 3), 40 + 20 * index, np.uint8)
    return FrameResult(Frame(picture, index, time, "rtsp://camera/live"), Detections.empty(), index == 0, {})


def opened(target: str) -> Sink:
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    return open_sink(target, HEADER, None, lambda result: planes_of_bgr(result.frame.image, "bt709", reformatter))


def record(folder: Path, name: str, told: list[Path], times: list[float] = TIMES) -> list[Path]:
    with SegmentSink(str(folder / name), 2.0, opened, lambda: SummaryBuilder(HEADER), told.append) as sink:
        for index, time in enumerate(times):
            sink.write(result(index, time))
        sink.finish(summary(HEADER))
    assert sink.path is not None and not list(folder.glob("*.part"))
    return [*told, sink.path]


@pytest.mark.parametrize("name", ["cam.mp4", "cam.mkv", "cam.jsonl", "cam.coco.json", "cam.mot.txt", "cam.csv"])
def test_each_file_is_whole_and_is_called_by_the_time_at_which_it_begins(tmp_path: Path, name: str) -> None:
    told: list[Path] = []
    written = record(tmp_path, name, told)
    assert len(told) == 2 and len(set(written)) == 3 and sorted(tmp_path.glob("cam-*")) == sorted(written)
    suffix = re.escape(name.removeprefix("cam"))
    assert all(re.fullmatch(rf"cam-\d{{8}}-\d{{6}}(-\d)?{suffix}", path.name) for path in written)


def test_videos_begin_at_zero_and_records_keep_the_times_of_the_run(tmp_path: Path) -> None:
    videos = []
    for path in record(tmp_path, "cam.mp4", []):
        with av.open(str(path)) as container:
            videos.append([round(float(frame.pts * frame.time_base), 2) for frame in container.decode(video=0)])
    assert videos == [[0.0, 0.5, 1.0, 1.5], [0.0, 0.5], [0.0, 0.5]]
    records = [[json.loads(line) for line in path.read_text().splitlines()] for path in record(tmp_path, "cam.jsonl", [])]
    assert [[line["time"] for line in lines[1:-1]] for lines in records] == [TIMES[:4], TIMES[4:6], TIMES[6:]]
    assert [lines[-1]["frames"] for lines in records] == [4, 2, 2]


def test_a_run_that_fails_keeps_the_files_that_are_whole_and_no_other(tmp_path: Path) -> None:
    told: list[Path] = []
    with (
        pytest.raises(RuntimeError),
        SegmentSink(str(tmp_path / "cam.mp4"), 2.0, opened, lambda: SummaryBuilder(HEADER), told.append) as sink,
    ):
        for index, time in enumerate(TIMES[:5]):
            sink.write(result(index, time))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == told and len(told) == 1


def test_a_file_that_cannot_be_opened_does_not_cost_the_one_before(tmp_path: Path) -> None:
    left = iter([opened])

    def once(target: str) -> Sink:
        one = next(left, None)
        if one is None:
            raise OutputError("the disk is gone")
        return one(target)

    with (
        pytest.raises(OutputError, match="the disk is gone"),
        SegmentSink(str(tmp_path / "cam.jsonl"), 2.0, once, lambda: SummaryBuilder(HEADER), lambda path: None) as sink,
    ):
        for index, time in enumerate(TIMES):
            sink.write(result(index, time))
    assert len(list(tmp_path.glob("cam-*.jsonl"))) == 1 and not list(tmp_path.glob("*.part"))


def test_a_run_without_a_frame_writes_nothing(tmp_path: Path) -> None:
    with SegmentSink(str(tmp_path / "cam.mp4"), 2.0, opened, lambda: SummaryBuilder(HEADER), lambda path: None) as sink:
        sink.finish(summary(HEADER))
    assert not list(tmp_path.iterdir())
