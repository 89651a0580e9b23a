"""Tables: detections as CSV and in the MOT challenge's layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from skipvid.core.results import FrameResult, RunHeader
from skipvid.video.sinks.records import number
from skipvid.video.sinks.text import TextSink


class _TableSink(TextSink):
    def _row(self, values: Iterable[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self._put(line.getvalue())


class CsvSink(_TableSink):
    """One row per detection: source, frame (from 0), time (s), id, label, category_id, score, x1, y1, x2, y2 (pixels of the upright frame).

    Poses add nose_x, nose_y, nose_score, left_eye_x, …, by the names of the joints. An unknown value is an empty cell. A frame in which
    nothing was found has no row.
    """

    def __init__(self, path: Path, header: RunHeader) -> None:
        super().__init__(path)
        names = ["source", "frame", "time", "id", "label", "category_id", "score", "x1", "y1", "x2", "y2"]
        self._row(names + [f"{joint}_{part}" for joint in header.keypoints for part in ("x", "y", "score")])

    def write(self, result: FrameResult) -> None:
        frame, found = result.frame, result.detections
        points = found.keypoints
        for i, label in enumerate(found.labels):
            row: list[object] = [frame.source, frame.index, number(frame.time, 6), "" if found.ids is None else int(found.ids[i]), label]
            row += [int(found.category_ids[i]), number(found.scores[i], 4), *(number(v, 2) for v in found.boxes[i])]
            if points is not None:
                row += [number(v, 4 if k % 3 == 2 else 2) for k, v in enumerate(points[i].ravel())]
            self._row(row)


class MotSink(_TableSink):
    """The MOT challenge's text: frame (from 1), id (-1 where not tracked), left, top, width, height, score, -1, -1, -1; no header.

    A box with a coordinate that is not finite has no place in this layout and is left out.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def write(self, result: FrameResult) -> None:
        found = result.detections
        for i in range(len(found)):
            x1, y1, x2, y2 = (float(v) for v in found.boxes[i])
            values = [number(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)] + [number(found.scores[i], 4)]
            if None not in values:
                self._row([result.frame.index + 1, -1 if found.ids is None else int(found.ids[i]), *values, -1, -1, -1])
