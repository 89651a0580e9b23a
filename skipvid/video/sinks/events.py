"""What is counted, event by event, as JSON lines or as a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from skipvid.core.files import output_errors
from skipvid.core.results import FrameResult, RunHeader, RunSummary
from skipvid.video.sinks.records import number
from skipvid.video.sinks.text import TextSink

FIELDS = ("source", "frame", "time", "count", "event", "label", "id", "inside")
SUFFIXES = (".jsonl", ".csv")


class EventSink(TextSink):
    """A record for each event: source, frame (from 0), time (s), count (its name), event ("right" or "left" of a line, seen from its first
    point to its second; "enter" or "leave" of a zone), label, id, inside (how many are in the zone after this frame; nothing for a line).
    The suffix of the path says how it is written. Several sources may share a file (`write_of`, `end_of`, `drop_source`, `complete`).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._table = path.suffix.lower() == ".csv"
        if self._table:
            self._put(_row(FIELDS))

    def write_of(self, header: RunHeader, result: FrameResult) -> None:
        """The events of a frame of the source that the header describes."""
        self.write(result)

    def end_of(self, header: RunHeader, summary: RunSummary) -> None:
        """The source is done; nothing follows its events."""

    def drop_source(self, name: str) -> None:
        """Take back the events of a source that failed."""
        first = _row((name,)).rstrip("\n") + "," if self._table else json.dumps({FIELDS[0]: name})[:-1] + ","
        self._drop_lines(first.encode("utf-8", "backslashreplace"))

    def take_over(self, path: Path) -> None:
        """Append the events of another file of this suffix."""
        with output_errors(path), path.open(encoding="utf-8", newline="") as file:
            if self._table:
                next(file, None)
            for line in file:
                self._put(line)

    def complete(self) -> None:
        """Give the file its name, after the last source."""
        self._close_file()
        self._commit()

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
