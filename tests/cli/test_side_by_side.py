"""Several sources at a time: cameras that are stand-ins, recordings, one engine with random weights."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import write_clip
from numpy.typing import NDArray

from skipvid.cli.app import run
from skipvid.core.errors import OutputError, SourceError
from skipvid.core.results import Frame, FrameResult, RunHeader
from skipvid.tasks.detect_engine import DetectStream
from skipvid.video.sources.base import Source


class Camera:
    """A webcam that delivers `rate` pictures a second; one of an odd number has twice the size, in the same shape."""

    rate = 50.0
    fps = 50.0
    codec = "mjpg"

    def __init__(self, number: int) -> None:
        if number >= 7:
            raise SourceError(f"there is no camera {number}")
        self.scale, self.count = 1 + number % 2, 0

    def read(self) -> NDArray[np.uint8] | None:
        time.sleep(1 / self.rate)
        self.count += 1
        return np.full((48 * self.scale, 64 * self.scale, 3), 90 + self.count % 40, np.uint8)

    def release(self) -> None: ...


class Watch:
    """What the analysis does, stream by stream: how many frames at a time, how old they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
        self.most, self.frames, self.ages, self.times = 0, list[str](), list[float](), list[float]()
        self.all_begun = threading.Event()  # each of three sources has had a frame
        self._now, self._lock = 0, threading.Lock()
        begin_frame = DetectStream.begin

        def watched(stream: DetectStream, frame: Frame) -> Callable[[], FrameResult]:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                if frame.source in self.frames:  # the first one waits for the network to be loaded
                    self.ages.append(time.monotonic() - (frame.arrived or 0.0))
                self.frames.append(frame.source)
                if len(set(self.frames)) == 3:
                    self.all_begun.set()
            begin = time.monotonic()
            time.sleep(seconds)
            try:
                return begin_frame(stream, frame)
            finally:
                with self._lock:
                    self._now -= 1
                    self.times.append(time.monotonic() - begin)

        monkeypatch.setattr(DetectStream, "begin", watched)


@pytest.fixture
def place(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("skipvid.video.sources.webcam.Camera", Camera)
    return empty_place


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cameras(count: int) -> list[str]:
    return [f"webcam://{number}" for number in range(count)]


def test_cameras_run_at_the_same_time_each_with_its_files_and_there_is_a_report_on_each_and_on_all(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["detect", *cameras(3), "--max-frames", "8", "-o", "{stem}.jsonl", "-o", "{stem}.mp4", "--csv", "cost.csv", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = [each["source"]["name"] for each in document["runs"]]
    assert names == ["webcam 0", "webcam 1", "webcam 2"] and all(each["frames"] == 8 for each in document["runs"])
    together = document["all"]
    assert together["sources"] == 3 and together["frames"] == sum(each["frames"] for each in document["runs"])
    assert together["fps"] == pytest.approx(together["frames"] / together["seconds"]) and 0 <= together["saving"] <= 1
    for number in range(3):
        first, *frames, last = records(place / f"webcam{number}.jsonl")
        assert last["frames"] == len(frames) == 8 and frames[0]["keyframe"]
        assert {first["video"]["height"], *(frame["height"] for frame in frames)} == {96 if number == 1 else 48}
        assert (place / f"webcam{number}.mp4").is_file()
    with (place / "cost.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["source"] for row in rows if row["scope"] == "frame") == {e["source"]["name"]: e["frames"] for e in document["runs"]}
    assert sorted(row["source"] for row in rows if row["scope"] == "total") == names
    assert not list(place.glob("*.part"))


@pytest.mark.parametrize(("threads", "at_once"), [(1, 1), (2, 2)])
def test_cameras_share_the_threads_and_get_the_newest_frame(
    threads: int, at_once: int, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The analysis keeps up with a part of what comes: a frame that had waited for its turn would be two turns old, or five."""
    watch = Watch(monkeypatch, seconds=0.05)
    assert run(["detect", *cameras(6), "--max-frames", "5", "-o", "{stem}.jsonl", "--threads", str(threads)]) == 0
    assert watch.most == at_once
    assert len(set(watch.frames)) == 6
    assert np.median(watch.ages) < 1.5 * np.median(watch.times)
    said = capsys.readouterr()
    assert "dropped" in said.out and "all 6 together: " in said.out


@pytest.mark.parametrize("how", ["not there", "breaks"])
def test_a_camera_that_fails_does_not_stop_the_others(
    how: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = 9 if how == "not there" else 1
    if how == "breaks":
        begin_frame = DetectStream.begin

        def failing(stream: DetectStream, frame: Frame) -> Callable[[], FrameResult]:
            if frame.source == "webcam 1" and frame.index > 2:
                raise ZeroDivisionError("float division by zero")
            return begin_frame(stream, frame)

        monkeypatch.setattr(DetectStream, "begin", failing)
    words = ["webcam://0", f"webcam://{bad}", "webcam://2", "--max-frames", "6", "-o", "{stem}.jsonl", "--csv", "cost.csv"]
    assert run(["detect", *words]) == 7
    err = capsys.readouterr().err
    assert err.count("skipvid: ") == 2 and "1 of 3 sources failed; the others are done" in err
    assert ("there is no camera 9" in err) == (how == "not there") and ("division by zero" in err) == (how == "breaks")
    assert sorted(path.name for path in place.iterdir()) == ["cost.csv", "webcam0.jsonl", "webcam2.jsonl"]
    with (place / "cost.csv").open() as file:
        assert {row["source"] for row in csv.DictReader(file)} == {"webcam 0", "webcam 2"}


@pytest.mark.skipif(not hasattr(signal, "SIGTERM"), reason="needs signals")
@pytest.mark.parametrize("closing", [0.0, 1.5])
def test_a_signal_ends_all_of_them_with_whole_files(
    closing: float, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a source takes its time to close after its files are complete: its report is not lost."""
    close = Source.__exit__
    monkeypatch.setattr(Source, "__exit__", lambda source, *error: (time.sleep(closing), close(source, *error))[1])
    watch = Watch(monkeypatch)
    threading.Thread(target=lambda: watch.all_begun.wait() and os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
    assert run(["detect", *cameras(3), "-o", "{stem}.jsonl", "-o", "{stem}.mp4", "--json"]) == 143
    document = json.loads(capsys.readouterr().out)
    assert len(document["runs"]) == 3 and all(each["interrupted"] for each in document["runs"])
    for number in range(3):
        last = records(place / f"webcam{number}.jsonl")[-1]
        assert last["type"] == "summary" and last["interrupted"] and (place / f"webcam{number}.mp4").is_file()
    assert not list(place.glob("*.part"))


def test_all_sources_may_write_to_stdout_and_each_line_says_whose_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", *cameras(3), "--duration", "1", "-o", "-", "-q"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_kind = {kind: Counter(line["source"] for line in lines if line["type"] == kind) for kind in ("header", "frame", "summary")}
    assert by_kind["header"] == by_kind["summary"] == dict.fromkeys(["webcam 0", "webcam 1", "webcam 2"], 1)
    assert set(by_kind["frame"]) == {"webcam 0", "webcam 1", "webcam 2"}


def test_a_window_is_for_one_source(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("skipvid.video.sinks.window.check_display", lambda: None)
    assert run(["detect", *cameras(2), "--show"]) == 2
    assert "--show is a window for one source, and there are 2 at a time" in capsys.readouterr().err


def test_recordings_that_run_side_by_side_give_what_they_give_one_by_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate([(64, 48), (128, 96), (64, 48), (256, 192)]):
        write_clip(place / f"{number}.mp4", frames=6, size=size)
    words = [*(f"{number}.mp4" for number in range(4)), "-q"]
    assert run(["detect", *words, "-o", "one-{stem}.jsonl", "--csv", "one.csv"]) == 0
    assert run(["detect", *words, "-o", "many-{stem}.jsonl", "--csv", "many.csv", "--jobs", "3"]) == 0

    def results(name: str) -> list[dict[str, Any]]:
        return [{key: value for key, value in record.items() if key != "ms"} for record in records(place / name)[1:-1]]

    def costs(name: str) -> Counter[tuple[str, ...]]:
        with (place / name).open() as file:
            return Counter((row["source"], row["scope"], row["name"], row["frame"], row["macs"]) for row in csv.DictReader(file))

    for number in range(4):
        assert results(f"many-{number}.jsonl") == results(f"one-{number}.jsonl")
    assert costs("many.csv") == costs("one.csv")


def test_a_cost_csv_that_cannot_be_written_fails_all_that_write_to_it_with_the_same_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from skipvid.report import CostCsv

    write = CostCsv.write_of
    rows = 0

    def full(sink: CostCsv, header: RunHeader, result: FrameResult) -> None:
        nonlocal rows
        rows += 1
        if rows == 5:
            sink.close()  # as where the disk is full
            raise OutputError("cost.csv cannot be written: No space left on device")
        write(sink, header, result)

    monkeypatch.setattr(CostCsv, "write_of", full)
    for number in range(3):
        write_clip(place / f"{number}.mp4", frames=8)
    assert run(["detect", *(f"{number}.mp4" for number in range(3)), "-o", "{stem}.jsonl", "--csv", "cost.csv", "--jobs", "3"]) == 7
    err = capsys.readouterr().err
    assert err.count("cost.csv cannot be written: No space left on device") == 3 and "internal error" not in err
    assert sorted(path.name for path in place.iterdir()) == ["0.mp4", "1.mp4", "2.mp4"]


def test_recordings_are_done_so_many_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write_clip(place / f"{number}.mp4", frames=4)
    watch = Watch(monkeypatch, seconds=0.05)
    assert run(["detect", *(f"{number}.mp4" for number in range(5)), "-o", "{stem}.jsonl", "-q", "--jobs", "2", "--threads", "4"]) == 0
    assert watch.most == 2 and Counter(watch.frames) == {f"{number}.mp4": 4 for number in range(5)}
