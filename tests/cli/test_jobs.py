"""What a command finds out before it reads a frame: how many frames to expect, and which outputs cannot be written; and its progress."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skipvid.cli.jobs import expected_frames, plan_jobs
from skipvid.cli.settings.groups import WriteSettings
from skipvid.cli.talk import Progress, Talk
from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.errors import OutputError
from skipvid.core.results import Detections, Frame, FrameResult, SourceInfo
from skipvid.video.sources.options import ReadOptions


@pytest.mark.parametrize(
    ("info", "read", "frames"),
    [
        ({"frames": 100}, {}, 100),
        ({"duration": 4.0}, {}, 100),
        ({}, {}, None),
        ({"frames": 100}, {"start": 1.0}, 75),
        ({"frames": 100}, {"start": 1.0, "end": 3.0}, 50),
        ({"frames": 100}, {"end": 30.0}, 100),
        ({"frames": 100}, {"start": 30.0}, 0),
        ({"frames": 10}, {"stride": 3}, 4),  # 0, 3, 6, 9
        ({"frames": 9}, {"stride": 3}, 3),
        ({"frames": 100}, {"start": 1.0, "stride": 10, "max_frames": 20}, 8),
        ({"frames": 100}, {"max_frames": 20}, 20),
        ({"live": True, "frames": 100}, {}, None),
        ({"live": True}, {"max_frames": 20}, 20),
        ({"frames": 10, "fps": 0.0}, {"fps": 5.0, "start": 1.0}, 5),  # images have the rate that is asked for
    ],
)
def test_as_many_frames_are_expected_as_will_be_read(info: dict[str, object], read: dict[str, object], frames: int | None) -> None:
    source = SourceInfo("clip", 8, 6, **{"fps": 25.0, **info})  # type: ignore[arg-type]
    assert expected_frames(source, ReadOptions(**read)) == frames  # type: ignore[arg-type]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of one picture, in the working directory."""
    import cv2

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    cv2.imwrite("in/one.png", np.zeros((6, 8, 3), np.uint8))
    return "in"


@pytest.mark.parametrize("which", ["output", "csv", "companion"])
def test_every_file_that_will_be_written_is_checked_before_any_work(pictures: str, which: str) -> None:
    existing = {"output": "out.jsonl", "csv": "cost.csv", "companion": "out.jsonl.png"}[which]

    def plan(overwrite: bool = False) -> list[tuple[str, ...]]:
        jobs = plan_jobs(
            [pictures],
            ["out.jsonl"],
            "cost.csv",
            WriteSettings(overwrite=overwrite),
            ReadOptions(),
            "_skipvid.mp4",
            companion=lambda target: f"{target}.png",
        )
        return [job.targets for job in jobs]

    assert plan() == [("out.jsonl", "out.jsonl.png")]
    Path(existing).write_text("mine")
    with pytest.raises(OutputError, match=f"{existing} exists already"):
        plan()
    assert plan(overwrite=True) == [("out.jsonl", "out.jsonl.png")]
    assert Path(existing).read_text() == "mine"


def test_progress_tells_frames_speed_savings_and_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("skipvid.cli.talk.time.monotonic", lambda: now[0])
    progress = Progress(Talk(), "clip.mp4", 200)
    cost = FrameCost.of([LayerCost("conv", "s", "conv", 1000, 150, 10, 2, gate_macs=50)])
    for index in range(44):
        now[0] += 0.25
        progress(FrameResult(Frame(np.zeros((6, 8, 3), np.uint8), index, 0.0, "clip.mp4"), Detections.empty(), False, {}, cost))
    progress.close()
    assert capsys.readouterr().err == "clip.mp4: frame 40 of about 200, 4.0 fps, 80% MACs saved, 0:40 left\n"
