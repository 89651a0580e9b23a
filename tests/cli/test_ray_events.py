"""--events with --ray: what becomes of the pieces that workers write. Tasks run here, one after the other, after a trip through pickle."""

from __future__ import annotations

import csv
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import write_clip

from skipvid.cli import ray_jobs
from skipvid.cli.app import run
from skipvid.core.results import Count, CountEvent, Detections
from skipvid.tasks.counting import Counts


class Task:
    """A remote function whose results are there at once; one that raised raises when it is fetched."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def remote(self, *words: Any) -> Callable[[], Any]:
        try:
            result = self._function(*pickle.loads(pickle.dumps(words)))
        except Exception as error:
            failure = error

            def fetch() -> Any:
                raise failure

            return fetch
        return lambda: result


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(
        init=lambda **words: None,
        shutdown=lambda: None,
        remote=lambda **words: Task,
        wait=lambda waiting: (waiting[:1], waiting[1:]),
        get=lambda ready: ready(),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    ray_jobs._engine.cache_clear()


@pytest.fixture
def place(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips, in every frame of which somebody goes to the right."""

    def update(counts: Counts, detections: Detections, time: float) -> tuple[tuple[CountEvent, ...], tuple[Count, ...]]:
        counts.totals["line"].update([("right", "person")])
        total = Count("line", np.array([[0, 0], [9, 9]], np.int32), {"right": counts.totals["line"].total(), "left": 0})
        return (CountEvent("line", "right", "person", 1),), (total,)

    monkeypatch.setattr(Counts, "update", update)
    for name in ("a", "b", "c"):
        write_clip(empty_place / f"{name}.mp4", frames=3)
    return empty_place


WORDS = ["detect", "-o", "{stem}.jsonl", "--count", "0,0 1,1", "--ray", "local", "-q"]


def sources_of(path: Path) -> list[str]:
    """Of each event."""
    text = path.read_text()
    rows: Any = csv.DictReader(text.splitlines()) if path.suffix == ".csv" else map(json.loads, text.splitlines())
    return [row["source"] for row in rows]


def times(count: int, *names: str) -> list[str]:
    return [f"{name}.mp4" for name in names for _ in range(count)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_one_file_holds_the_events_of_all_and_a_later_run_adds_to_it(suffix: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = place / f"e{suffix}"
    assert run([*WORDS[:-1], "a.mp4", "b.mp4", "--events", events.name, "--json"]) == 0
    assert all(str(events) in each["outputs"] for each in json.loads(capsys.readouterr().out)["runs"])
    assert sources_of(events) == times(3, "a", "b")
    (place / "a.jsonl").unlink()
    assert run([*WORDS, "a.mp4", "b.mp4", "c.mp4", "--events", events.name]) == 0, "a is done again, b is kept"
    assert sources_of(events) == times(3, "b", "a", "c")
    assert run([*WORDS, "a.mp4", "--events", events.name, "--overwrite"]) == 0
    assert sources_of(events) == times(3, "a")
    assert not list(place.glob("*.pieces")) and not list(place.glob("*.part"))


def test_a_file_that_fails_has_no_events_and_stops_no_other(place: Path) -> None:
    (place / "b.mp4").write_text("no video")
    assert run([*WORDS, "a.mp4", "b.mp4", "c.mp4", "--events", "e.csv"]) == 7
    assert sources_of(place / "e.csv") == times(3, "a", "c")


def test_the_pieces_of_a_run_that_was_killed_are_used(place: Path) -> None:
    (place / "e.jsonl.pieces").mkdir()
    (place / "e.jsonl.pieces" / "0.jsonl").write_text('{"source": "a.mp4"}\n')
    (place / "a.jsonl").write_text("finished")
    assert run([*WORDS, "a.mp4", "b.mp4", "--events", "e.jsonl"]) == 0
    assert sources_of(place / "e.jsonl") == ["a.mp4", *times(3, "b")]


def test_each_file_has_its_own_events_where_the_name_says_so(place: Path) -> None:
    assert run([*WORDS, "a.mp4", "b.mp4", "--events", "{stem}.csv"]) == 0
    assert [sources_of(place / f"{name}.csv") for name in ("a", "b")] == [times(3, "a"), times(3, "b")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--events", "e.txt"], "has another suffix than .jsonl and .csv"),
        (["--events", "nowhere/e.csv"], "nowhere is no folder"),
        (["--ignore", "1,1 2,2"], "has 2 points"),
        (["--count", "1"], "is no list of points"),
    ],
)
def test_what_is_wrong_is_said_once_and_not_by_each_worker(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*WORDS, "a.mp4", "b.mp4", *words]) in (2, 6)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(path.name for path in place.iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]
