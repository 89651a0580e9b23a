from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_making import numbered_picture
from numpy.typing import NDArray
from run_making import header, result, summary, two_objects

from skipvid.core.errors import OutputError, UsageError
from skipvid.core.results import FrameResult
from skipvid.video.sinks.coco import CocoSink
from skipvid.video.sinks.image import ImageSink
from skipvid.video.sinks.json_files import JsonlSink, JsonSink
from skipvid.video.sinks.open import open_sink
from skipvid.video.sinks.options import SinkOptions
from skipvid.video.sinks.tables import CsvSink, MotSink
from skipvid.video.sinks.targets import SUFFIXES
from skipvid.video.sinks.video import VideoSink

KINDS = {
    ".mp4": VideoSink,
    ".mkv": VideoSink,
    ".webm": VideoSink,
    ".png": ImageSink,
    ".jsonl": JsonlSink,
    ".json": JsonSink,
    ".csv": CsvSink,
    ".coco.json": CocoSink,
    ".mot.txt": MotSink,
}


def render(result: FrameResult) -> NDArray[np.uint8]:
    return result.frame.image


def test_every_known_suffix_is_tried_here() -> None:
    assert set(KINDS) == set(SUFFIXES)


@pytest.mark.parametrize("suffix", KINDS)
def test_suffix_chooses_the_sink_and_the_output_is_made(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix.upper()}"
    with open_sink(str(target), header(), SinkOptions(), render, lambda: numbered_picture(3)) as sink:
        assert type(sink) is KINDS[suffix] and sink.path == target
        for i in range(3):
            sink.write(result(i, two_objects(), numbered_picture(i)))
        sink.finish(summary())
    assert os.listdir(tmp_path) == [target.name] and target.stat().st_size > 0


def test_dash_is_jsonl_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with open_sink("-", header()) as sink:
        assert type(sink) is JsonlSink and sink.path is None
    assert capsys.readouterr().out.startswith('{"type": "header"')


@pytest.mark.parametrize("target", ["a.mp4", "a.png", "a.avi"])
def test_output_that_the_command_does_not_make_is_an_error(tmp_path: Path, target: str) -> None:
    with pytest.raises(OutputError, match=r"a\.(mp4|png|avi)"):
        open_sink(str(tmp_path / target), header())
    assert os.listdir(tmp_path) == []


def test_picture_is_written_once_at_the_end(tmp_path: Path) -> None:
    picture = numbered_picture(77)
    path = tmp_path / "average.png"
    with ImageSink(path, lambda: picture) as sink:
        sink.write(result())
        assert os.listdir(tmp_path) == []
        sink.finish(summary())
    assert (cv2.imread(str(path)) == picture).all()


def test_picture_of_a_run_without_frames_or_that_failed_is_not_made(tmp_path: Path) -> None:
    with ImageSink(tmp_path / "a.png", lambda: numbered_picture(0)) as sink:
        sink.finish(summary(frames=0))
    with pytest.raises(KeyError), ImageSink(tmp_path / "b.png", lambda: numbered_picture(0)) as sink:
        sink.write(result())
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_picture_in_a_folder_that_is_gone_is_an_output_error(tmp_path: Path) -> None:
    with ImageSink(tmp_path / "gone" / "a.png", lambda: numbered_picture(0)) as sink, pytest.raises(OutputError):
        sink.finish(summary())


@pytest.mark.parametrize("crf", [-1, 64])
def test_quality_out_of_range_is_refused(crf: int) -> None:
    with pytest.raises(UsageError):
        SinkOptions(crf=crf)


@pytest.mark.parametrize("module", ["skipvid.video.sinks.open", "skipvid.video.sources.open", "skipvid.video.sources.probe"])
def test_sources_and_sinks_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    "module", ["skipvid.video.sinks.targets", "skipvid.video.sinks.options", "skipvid.video.sources.specs", "skipvid.video.sources.options"]
)
def test_planning_imports_neither_av_nor_cv2(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'av', 'cv2', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
