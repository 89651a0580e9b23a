"""What is counted, as JSON lines and as a table."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_making import summary

from skipvid.core.results import Count, CountEvent, Detections, Frame, FrameResult
from skipvid.video.sinks.events import EventSink


def results() -> list[FrameResult]:
    """A car crosses a line in the second frame; a person, whose name needs quotes, enters a zone in the third."""
    line = Count("door", np.array([[1, 2], [3, 4]], np.int32), {"right": 1, "left": 0})
    zone = Count('the "square", 1', np.array([[1, 2], [3, 4], [5, 1]], np.int32), {"enter": 1, "leave": 0}, 4)
    plain = FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), 0, 0.0, "clip.mp4"), Detections.empty(), True, {})
    second = replace(plain, frame=replace(plain.frame, index=1, time=0.04), counts=(line, zone))
    third = replace(plain, frame=replace(plain.frame, index=2, time=0.08), counts=(line, zone))
    return [
        plain,
        replace(second, events=(CountEvent("door", "right", "car", 7),)),
        replace(third, events=(CountEvent(zone.name, "enter", "person", 9),)),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_each_event_is_a_record(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    with EventSink(path) as sink:
        for result in results():
            sink.write(result)
        sink.finish(summary())
    if suffix == ".jsonl":
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [record["inside"] for record in records] == [None, 4]
    else:
        with path.open(newline="") as file:
            records = list(csv.DictReader(file))
        assert [record["inside"] for record in records] == ["", "4"]
    assert [(r["source"], int(r["frame"]), float(r["time"]), r["count"], r["event"], r["label"], int(r["id"])) for r in records] == [
        ("clip.mp4", 1, 0.04, "door", "right", "car", 7),
        ("clip.mp4", 2, 0.08, 'the "square", 1', "enter", "person", 9),
    ]
