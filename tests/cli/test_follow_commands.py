"""`detect` with identities, areas and counts, on a clip with the tests' detector."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import write_clip

from skipvid.cli.app import run
from skipvid.core.results import Count, CountEvent, Detections, Frame, FrameResult
from skipvid.tasks.counting import Counts
from skipvid.tasks.detect_engine import DetectEngine, DetectStream


@pytest.fixture
def place(empty_place: Path, engine: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a clip; `detect` finds the test's engine loaded already. What it finds is sure enough for identities."""
    monkeypatch.setattr(engine, "score_threshold", 0.25)
    write_clip(empty_place / "clip.mp4", frames=5)
    return empty_place


def frames_of(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if "frame" in record]


@pytest.mark.parametrize(
    ("words", "followed"),
    [
        (["-o", "a.jsonl"], False),
        (["-o", "a.jsonl", "--track"], True),
        (["-o", "a.jsonl", "-o", "a.mot.txt"], True),
        (["-o", "a.jsonl", "-o", "a.mot.txt", "--no-track"], False),
        (["-o", "a.jsonl", "--detect-every", "3"], True),
    ],
)
def test_identities_are_given_where_they_are_wanted_or_needed(words: list[str], followed: bool, place: Path) -> None:
    assert run(["detect", "clip.mp4", "-q", *words]) == 0
    frames = frames_of(place / "a.jsonl")
    ids = [found["id"] for frame in frames for found in frame["detections"]]
    assert ids and all((identity is not None) == followed for identity in ids)
    every = 3 if "--detect-every" in words else 1
    assert [frame["cost"]["dense_macs"] > 0 for frame in frames] == [n % every == 0 for n in range(5)]
    if "a.mot.txt" in words:
        rows = [line.split(",") for line in (place / "a.mot.txt").read_text().splitlines()]
        assert {int(row[1]) for row in rows} == (set(ids) if followed else {-1})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--track", "--no-track"], "--track and --no-track contradict each other"),
        (["--detect-every", "2", "--no-track"], "--detect-every and --no-track contradict each other"),
        (["--detect-every", "0"], "0 is not in the range"),
        (["--count", "0,0 1,1", "--no-track"], "--count and --no-track contradict each other"),
        (["--events", "e.csv"], "--events is given, and nothing is counted; add --count"),
        (["--count", "0,0 1,1", "--events", "e.txt"], "has another suffix than .jsonl and .csv"),
        (["--count", "0,0 1,1", "--count", "0,1 1,0"], "two counts have the name 'line'"),
        (["--count", "0,0 1,1", "--events", "e.csv", "-o", "e.csv"], "e.csv is named twice"),
        (["--count", "0,0 1,1", "--events", "{stem}.csv", "-o", "clip.csv"], "clip.csv is named twice"),
        (["--count", "0,0 1,1", "--events", "e.csv", "--csv", "e.csv"], "e.csv is named twice"),
        (["--count", "0,0 1,1", "--events", "{name}.csv"], "{name} stands for nothing; only {stem} and {n} do"),
        (["clip.mp4", "./clip.mp4", "--count", "0,0 1,1", "--events", "{stem}.csv", "-o", "{n}.csv"], "clip.csv would be written for"),
        (["--count", "9,9"], "write it as 'x,y x,y', in pixels or in shares of the picture"),
        (["--count", "z=0,0 1,1 2,2"], "lie on a line, so that there is nothing in the zone"),
        (["--count", "z=9000,0 9000,9"], "the count z lies beside a picture of"),
        (["--ignore", "0,0 1,1"], "has 2 points, a polygon has 3 or more"),
        (["--ignore", "0,0 1,0 1,1 0,1"], "leave nothing of a picture of"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_one_line(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [] if "clip.mp4" in words else ["clip.mp4"]
    assert run(["detect", *sources, *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_what_areas_save_is_in_every_form_of_the_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The square of the clip moves from the left to the right, and so out of what is left out."""
    words = ["clip.mp4", "--ignore", "0,0 0.5,0 0.5,1 0,1", "--threshold", "0.03", "--csv", "cost.csv"]
    assert run(["report", *words, "--html", "page.html", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    areas = document["areas"]
    assert areas["frames"] == document["frames"] - document["keyframes"] and areas["macs"] < areas["macs_without"]
    assert areas["saving"] == pytest.approx(1 - areas["macs"] / areas["macs_without"]) and min(areas["ms"], areas["ms_without"]) > 0
    with (place / "cost.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["scope"] == "areas"]
    assert [(row["name"], int(row["frames"]), int(row["macs"])) for row in rows] == [
        ("areas left out", areas["frames"], areas["macs"]),
        ("whole picture", areas["frames"], areas["macs_without"]),
    ]
    said = f"measured in {areas['frames']} of {document['frames']} frames, run with and without areas in turns"
    assert "Areas saved" in (page := (place / "page.html").read_text()) and said in page
    assert run(["detect", *words[:-2], "-o", "a.jsonl", "--overwrite"]) == 0
    assert "Areas saved" in (out := capsys.readouterr().out) and said in " ".join(out.split())
    assert run(["detect", *words[:-2], "-o", "b.jsonl", "--json"]) == 0
    same = json.loads(capsys.readouterr().out)["runs"][0]["areas"]
    assert (same["macs"], same["macs_without"]) == (areas["macs"], areas["macs_without"])
    assert run(["detect", "clip.mp4", "-o", "c.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["areas"] is None


def test_areas_and_counts_are_reported_written_and_drawn(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--ignore", "0,0 0.3,0 0.3,1 0,1", "--count", "door=0.3,0 0.8,0 0.8,0.9 0.3,0.9", "--conf", "0"]
    assert run(["detect", "clip.mp4", *words, "--events", "e.jsonl", "-o", "a.jsonl", "-o", "a.mp4", "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)["runs"][0]
    notes = document["notes"]
    assert any(line.startswith("areas left out: ") for line in notes) and any(line.startswith("count door: ") for line in notes)
    assert document["problems"] == [] and "warning" not in said.err
    assert run(["detect", "clip.mp4", *words, "-o", "c.jsonl"]) == 0
    said = capsys.readouterr()
    assert " ".join(notes[0].split()) in " ".join(said.out.split()) and "warning" not in said.err
    assert json.loads((place / "c.jsonl").read_text().splitlines()[-1])["notes"] == notes
    assert run(["detect", "clip.mp4", *words, "--events", "e.csv", "-o", "b.mp4", "-q"]) == 0
    assert (place / "e.csv").read_text().splitlines()[0] == "source,frame,time,count,event,label,id,inside"
    events = [json.loads(line) for line in (place / "e.jsonl").read_text().splitlines()]
    assert len(events) == len((place / "e.csv").read_text().splitlines()) - 1
    assert run(["detect", "clip.mp4", *words, "--events", "e.csv", "-o", "c.mp4", "-q"]) == 6, "it is there already"
    assert not list(place.glob("*.part"))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person goes to the right in every frame, and in every second one a car, too."""

    def update(counts: Counts, detections: Detections, time: float) -> tuple[tuple[CountEvent, ...], tuple[Count, ...]]:
        totals = counts.totals["line"]
        events = [CountEvent("line", "right", "person", 1)]
        if totals.total() % 3 == 0:
            events.append(CountEvent("line", "right", "car", 2))
        totals.update((event.kind, event.label) for event in events)
        return tuple(events), (Count("line", np.array([[0, 0], [9, 9]], np.int32), {"right": totals.total(), "left": 0}),)

    monkeypatch.setattr(Counts, "update", update)


def events_of(path: Path) -> list[tuple[str, int, str]]:
    """(source, frame, label) of each event."""
    text = path.read_text()
    rows: Any = csv.DictReader(text.splitlines()) if path.suffix == ".csv" else map(json.loads, text.splitlines())
    return [(row["source"], int(row["frame"]), row["label"]) for row in rows]


EACH = [(frame, label) for frame in range(4) for label in (("person", "car") if frame % 2 == 0 else ("person",))]


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.usefixtures("counted")
def test_events_of_several_sources_share_a_file_and_each_names_its_source(
    jobs: str, suffix: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be read, and one that fails half-way, leave nothing in it."""
    names = ["a.mp4", 'b,"ü.mp4']
    for name in names:
        write_clip(place / name, frames=4)
    (place / "bad.mp4").write_text("no video")
    words = [*names, "bad.mp4", "--count", "0,0 1,1", "--events", f"e.{suffix}", "-o", "{n}.jsonl", "--jobs", jobs]
    assert run(["detect", *words, "--json"]) == 7
    document = json.loads(capsys.readouterr().out)
    found = events_of(place / f"e.{suffix}")
    for name in names:
        assert [(frame, label) for source, frame, label in found if source == name] == EACH
    assert len(found) == 2 * len(EACH)
    assert [each["counts"] for each in document["runs"]] == [{"line": {"right": {"person": 4, "car": 2}, "left": {}}}] * 2
    assert document["all"]["counts"] == {"line": {"right": {"person": 8, "car": 4}, "left": {}}}
    assert all(str(place / f"e.{suffix}") in each["outputs"] for each in document["runs"])
    assert run(["detect", *words, "--overwrite"]) == 7
    out = capsys.readouterr().out.splitlines()
    assert [line.partition("; ")[2] for line in out] == ["line: 6 right, 0 left", "line: 6 right, 0 left", "line: 12 right, 0 left"]


@pytest.mark.usefixtures("counted")
def test_each_source_has_its_own_events_where_the_name_says_so(place: Path) -> None:
    for name in ("a", "b"):
        write_clip(place / f"{name}.mp4", frames=4)
    words = ["detect", "a.mp4", "b.mp4", "--count", "0,0 1,1", "-o", "{stem}.jsonl", "-q"]
    assert run([*words, "--events", "{stem}-{n}.csv", "--jobs", "2"]) == 0
    for name, number in (("a", 1), ("b", 2)):
        assert events_of(place / f"{name}-{number}.csv") == [(f"{name}.mp4", *each) for each in EACH]
    assert run([*words, "--events", "{stem}-{n}.csv", "--overwrite"]) == 0
    assert run([*words, "--events", "{stem}-{n}.csv", "-o", "{stem}.json"]) == 6, "they are there already"


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.usefixtures("counted")
def test_a_source_that_fails_half_way_leaves_no_events(suffix: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "aa"):
        write_clip(place / f"{name}.mp4", frames=4)
    begin = DetectStream.begin

    def failing(stream: DetectStream, frame: Frame) -> Callable[[], FrameResult]:
        if frame.source == "a.mp4" and frame.index == 3:
            raise ZeroDivisionError
        return begin(stream, frame)

    monkeypatch.setattr(DetectStream, "begin", failing)
    assert run(["detect", "a.mp4", "aa.mp4", "--count", "0,0 1,1", "--events", f"e.{suffix}", "-o", "{stem}.jsonl", "-q"]) == 7
    assert events_of(place / f"e.{suffix}") == [("aa.mp4", *each) for each in EACH]
