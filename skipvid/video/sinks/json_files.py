"""JSON Lines for programs that read along, and one JSON document for those that read afterwards."""

from __future__ import annotations

from pathlib import Path

from skipvid.core.results import FrameResult, RunHeader, RunSummary
from skipvid.video.sinks.records import dumps, frame_record, header_record, summary_record
from skipvid.video.sinks.text import TextSink


class JsonlSink(TextSink):
    """A header record, one record per frame, a summary record; each is a line, told apart by "type", and flushed at once.

    path None writes to stdout (`-o -`).
    """

    def __init__(self, path: Path | None, header: RunHeader) -> None:
        super().__init__(path)
        self._put(dumps(header_record(header)) + "\n", flush=True)

    def write(self, result: FrameResult) -> None:
        self._put(dumps(frame_record(result)) + "\n", flush=True)

    def _complete(self, summary: RunSummary) -> None:
        self._put(dumps(summary_record(summary)) + "\n", flush=True)


class JsonSink(TextSink):
    """One document {"header": …, "frames": […], "summary": …} of the same records, written frame by frame.

    The summary of what a killed run leaves is null.
    """

    def __init__(self, path: Path, header: RunHeader) -> None:
        super().__init__(path)
        self._separator = "\n"
        self._put('{"header": ' + dumps(header_record(header)) + ',\n"frames": [', flush=True)

    def write(self, result: FrameResult) -> None:
        self._put(self._separator + dumps(frame_record(result)))
        self._separator = ",\n"

    def _ending(self) -> str:
        return '\n],\n"summary": null}\n'

    def _complete(self, summary: RunSummary) -> None:
        self._put('\n],\n"summary": ' + dumps(summary_record(summary)) + "}\n")
