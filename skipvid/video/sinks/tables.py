"""Tables: detections as CSV and in the MOT challenge's layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from skipvid.core.results import FrameResult, RunHeader, RunSummary
from skipvid.video.sinks.records import number
from skipvid.video.sinks.text import TextSink


class _TableSink(TextSink):
    def _row(self, values: Iterable[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self._put(line.getvalue())


class CsvSink(_TableSink):
    """One row per detection: source, frame (from 0), time (s), id, label, category_id, score, x1, y1, x2, y2 (pixels of the upright frame).

    Poses add nose_x, nose_y, nose_score, left_eye_x, …, by the names of the joints. Images add a last column, file: its
    name, relative to the source where that is a folder. An unknown value is an empty cell. A frame in which
    nothing was found has no row.
    """

    def __init__(self, path: Path, header: RunHeader) -> None:
        super().__init__(path)
        self._names_files = header.source.images
        names = ["source", "frame", "time", "id", "label", "category_id", "score", "x1", "y1", "x2", "y2"]
        self._row(names + [f"{joint}_{part}" for joint in header.keypoints for part in ("x", "y", "score")] + ["file"] * self._names_files)

    def write(self, result: FrameResult) -> None:
        frame, found = result.frame, result.detections
        points = found.keypoints
        for i, label in enumerate(found.labels):
            row: list[object] = [frame.source, frame.index, number(frame.time, 6), "" if found.ids is None else int(found.ids[i]), label]
            row += [int(found.category_ids[i]), number(found.scores[i], 4), *(number(v, 2) for v in found.boxes[i])]
            if points is not None:
                row += [number(v, 4 if k % 3 == 2 else 2) for k, v in enumerate(points[i].ravel())]
            self._row([*row, frame.file] if self._names_files else row)


class MotSink(_TableSink):
    """The MOT challenge's text: frame (from 1), id (-1 where not tracked), left, top, width, height, score, -1, -1, -1; no header.

    A box with a coordinate that is not finite has no place in this layout and is left out. Nor has a file's name: images get a second file
    beside it, out.mot.files.csv, that names the file of each frame.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._out = path
        self._files: _FrameFiles | None = None

    def write(self, result: FrameResult) -> None:
        found, frame = result.detections, result.frame
        if frame.file:
            if self._files is None:
                self._files = _FrameFiles(self._out.with_name(self._out.name[: -len(".txt")] + ".files.csv"))
            self._files.write(result)
        for i in range(len(found)):
            x1, y1, x2, y2 = (float(v) for v in found.boxes[i])
            values = [number(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)] + [number(found.scores[i], 4)]
            if None not in values:
                self._row([frame.index + 1, -1 if found.ids is None else int(found.ids[i]), *values, -1, -1, -1])

    def finish(self, summary: RunSummary) -> None:
        super().finish(summary)
        if self._files is not None:
            self._files.finish(summary)

    def close(self) -> None:
        super().close()
        if self._files is not None:
            self._files.close()


class _FrameFiles(_TableSink):
    """Which file each frame of the MOT text is: frame (from 1), file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._row(["frame", "file"])

    def write(self, result: FrameResult) -> None:
        self._row([result.frame.index + 1, result.frame.file])
