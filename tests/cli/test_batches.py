"""Several sources, names that are hard to write, and outputs that are links: one engine with random weights serves all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from clips import write_clip

from skipvid.cli.app import run
from skipvid.core.errors import OutputError
from skipvid.core.files import PartFile
from skipvid.core.results import Frame, FrameResult
from skipvid.tasks.detect_engine import DetectStream

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def place(empty_place: Path) -> Path:
    """A working directory with three clips of four frames."""
    for name in "abc":
        write_clip(empty_place / f"{name}.mp4", frames=4)
    return empty_place


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def fail_on(name: str, error: Exception, of: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but it raises the error for the source of that name."""

    def failing(*arguments: Any, **options: Any) -> Any:
        if any(name in str(argument) for argument in arguments):
            raise error
        return of(*arguments, **options)

    return failing


FAILURES = [
    # where, what, and for which of three sources
    ("skipvid.video.sources.open.open_source", KeyError("x\ny"), "a.mp4"),
    ("skipvid.cli.run_jobs.make_header", ZeroDivisionError("float division by zero"), "c.mp4"),
    ("skipvid.video.sinks.open.open_sink", OSError(5, "Input/output error"), "b.mp4"),
    ("process", av.FFmpegError(1, "x"), "a.mp4"),
    ("write", MemoryError(), "c.mp4"),
]


@pytest.mark.parametrize(
    ("where", "error", "bad"), FAILURES, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value
)
def test_source_that_fails_anywhere_for_any_reason_does_not_stop_the_others(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, where: str, bad: str
) -> None:
    if where == "process":
        begin = DetectStream.begin

        def failing_network(stream: DetectStream, frame: Frame) -> Callable[[], FrameResult]:
            if frame.source == bad:
                raise error
            return begin(stream, frame)

        monkeypatch.setattr(DetectStream, "begin", failing_network)
    elif where == "write":
        from skipvid.video.sinks.json_files import JsonlSink

        write = JsonlSink.write

        def failing(sink: JsonlSink, result: FrameResult) -> None:
            if result.frame.source == bad:
                raise error
            write(sink, result)

        monkeypatch.setattr(JsonlSink, "write", failing)
    else:
        module, _, name = where.rpartition(".")
        monkeypatch.setattr(where, fail_on(bad, error, getattr(__import__(module, fromlist=[name]), name)))
    (place / "out").mkdir()
    words = ["detect", "a.mp4", "b.mp4", "c.mp4", "-o", "out/", "-o", "out/{stem}.jsonl", "--csv", "cost.csv", "--json"]
    assert run(words) == 7
    captured = capsys.readouterr()
    good = [name for name in ("a.mp4", "b.mp4", "c.mp4") if name != bad]
    document = json.loads(captured.out)
    assert [each["source"] for each in document["failed"]] == [bad] and len(document["runs"]) == 2
    (line,) = [line for line in captured.err.splitlines() if bad in line]
    assert "Traceback" not in captured.err and "1 of 3 sources failed" in captured.err and document["failed"][0]["error"] in line
    stems = sorted(name[0] for name in good)
    assert sorted(path.name for path in (place / "out").iterdir()) == sorted(
        f"{s}{end}" for s in stems for end in ("_skipvid.mp4", ".jsonl")
    )
    assert all(frames_of(place / "out" / f"{stem}_skipvid.mp4") == 4 for stem in stems)
    rows = list(csv.DictReader((place / "cost.csv").read_text().splitlines()))
    assert {(row["source"], row["frames"]) for row in rows if row["scope"] == "total"} == {(name, "4") for name in good}
    assert {row["source"] for row in rows} == set(good)


def test_source_that_stands_for_nothing_does_not_stop_the_others(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty").mkdir()
    assert run(["detect", "a.mp4", "none*.mp4", "empty", "gone.mp4", "x" * 300, "-q"]) == 7
    error = capsys.readouterr().err
    assert "nothing matches none*.mp4" in error and "empty holds neither" in error and "4 of 5 sources failed" in error
    assert frames_of(place / "a_skipvid.mp4") == 4


def test_probe_of_several_names_the_bad_one_and_describes_the_others(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "bad.mp4").write_text("no video")
    assert run(["probe", "a.mp4", "bad.mp4", "b.mp4", "--json"]) == 7
    captured = capsys.readouterr()
    found = json.loads(captured.out)["sources"]
    assert [("error" in each, each["source"]) for each in found] == [(False, "a.mp4"), (True, "bad.mp4"), (False, "b.mp4")]
    assert captured.err.splitlines()[0].startswith("skipvid: bad.mp4")


@pytest.mark.parametrize(
    "name", [LATIN, "two\nlines", "\x1b[31mred\x1b[0m", "cam[1]", "{n}", "a b'\"", "-dash", "x" * 245, "é" * 121, "[bold]b"]
)
def test_clip_of_any_name_is_analysed_and_shown_in_plain_lines(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    os.replace("a.mp4", f"{name}.mp4")
    (place / "out").mkdir()
    ends = (".mp4", ".jsonl", ".csv", ".coco.json")
    outputs = [word for end in ends for word in ("-o", "out/{stem}" + end)] if len(name) < 200 else ["-o", "out"]
    assert run(["detect", "--max-frames", "2", *outputs, "--csv", "cost.csv", "--", f"{name}.mp4"]) == 0
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        text.encode()
        assert "\x1b" not in text and "two\nlines" not in text
    written = sorted(path.name for path in (place / "out").iterdir())
    assert len(written) == (4 if len(name) < 200 else 1) and all(each.startswith(name[:100]) for each in written)
    if len(name) < 200:
        header = json.loads((place / "out" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[0])
        header["source"].encode()
        assert frames_of(place / "out" / f"{name}.mp4") == 2


@pytest.mark.parametrize("output", ["y" * 252 + ".mp4", "zero\0.mp4", "é" * 130 + ".csv", "/".join(["d" * 200] * 30) + "/a.mp4"])
def test_output_name_that_cannot_be_is_one_line_before_any_work(place: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    assert run(["detect", "a.mp4", "-o", output]) == 6
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot be written" in error
    assert sorted(path.name for path in place.iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]


def test_brackets_of_a_folder_that_exists_mean_themselves(place: Path) -> None:
    (place / "cam[1]").mkdir()
    os.replace("a.mp4", "cam[1]/a.mp4")
    os.replace("b.mp4", "cam[1]/b[2].mp4")
    assert run(["detect", "cam[1]/*.mp4", "-q"]) == 0
    assert (place / "a_skipvid.mp4").is_file() and (place / "b[2]_skipvid.mp4").is_file()


def test_output_through_a_link_goes_where_it_leads_and_links_to_the_input_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "far").mkdir()
    (place / "o.mp4").symlink_to("far/new.mp4")
    assert run(["detect", "a.mp4", "-o", "o.mp4", "-q"]) == 0
    assert (place / "o.mp4").is_symlink() and frames_of(place / "far" / "new.mp4") == 4
    (place / "soft.mp4").symlink_to("a.mp4")
    os.link("a.mp4", "hard.mp4")
    (place / "loop.mp4").symlink_to("loop.mp4")
    before = (place / "a.mp4").read_bytes()
    for name, words in (("soft.mp4", "also the input"), ("hard.mp4", "also the input"), ("loop.mp4", "circle")):
        capsys.readouterr()
        assert run(["detect", "a.mp4", "-o", name, "--overwrite"]) == 6
        assert words in capsys.readouterr().err
    assert (place / "a.mp4").read_bytes() == before


def test_picture_of_an_input_folder_is_never_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2
    import numpy as np

    (place / "fol").mkdir()
    cv2.imwrite("fol/1.png", np.zeros((48, 64, 3), np.uint8))
    (place / "same.png").symlink_to("fol/1.png")
    for name in ("fol/1.png", "same.png"):
        assert run(["heatmap", "fol", "-o", name, "--overwrite"]) == 6
        assert "also the input" in capsys.readouterr().err


def test_output_that_another_run_is_writing_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = PartFile(place / "t.mp4")
    other.part.write_text("of the other run")
    assert run(["detect", "a.mp4", "-o", "t.mp4", "-o", "t.csv", "--overwrite"]) == 6
    assert "t.mp4 is being written already" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == sorted(["a.mp4", "b.mp4", "c.mp4", other.part.name])
    assert other.part.read_text() == "of the other run"
    other.discard()


def test_one_file_for_two_outputs_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["detect", "a.mp4", "-o", "t.csv", "--csv", "t.csv"]) in (2, 6)
    assert not (place / "t.csv").exists()


def test_sink_that_cannot_be_completed_does_not_cost_the_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipvid.video.sinks.json_files import JsonlSink

    def full(sink: JsonlSink, summary: object) -> None:
        raise OutputError(f"{sink.path} cannot be written: No space left on device")

    monkeypatch.setattr(JsonlSink, "finish", full)
    assert run(["detect", "a.mp4", "-o", "o.jsonl", "-o", "o.mp4", "-q"]) == 6
    assert sorted(path.name for path in place.iterdir()) == ["a.mp4", "b.mp4", "c.mp4", "o.mp4"]
