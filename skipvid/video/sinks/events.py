"""What is counted, event by event, as JSON lines or as a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from skipvid.core.results import FrameResult
from skipvid.video.sinks.records import number
from skipvid.video.sinks.text import TextSink

FIELDS = ("source", "frame", "time", "count", "event", "label", "id", "inside")
SUFFIXES = (".jsonl", ".csv")


class EventSink(TextSink):
    """A record for each event: source, frame (from 0), time (s), count (its name), event ("right" or "left" of a line, seen from its first
    point to its second; "enter" or "leave" of a zone), label, id, inside (how many are in the zone after this frame; nothing for a line).
    The suffix of the path says how it is written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._table = path.suffix.lower() == ".csv"
        if self._table:
            self._put(_row(FIELDS))

    def write(self, result: FrameResult) -> None:
        inside = {count.name: count.inside for count in result.counts}
        frame = result.frame
        for event in result.events:
            values = (frame.source, frame.index, number(frame.time, 6), event.count, event.kind, event.label, event.id, inside[event.count])
            self._put(_row(values) if self._table else json.dumps(dict(zip(FIELDS, values, strict=True))) + "\n", flush=True)


def _row(values: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow("" if value is None else value for value in values)
    return line.getvalue()
