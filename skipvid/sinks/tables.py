"""Tables: detections as CSV and in the MOT challenge's layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from skipvid.results import FrameResult, RunSummary
from skipvid.sinks.records import number
from skipvid.sinks.text import TextSink


class _TableSink(TextSink):
    def _row(self, values: Iterable[object]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self._put(line.getvalue())


class CsvSink(_TableSink):
    """One row per detection: source, frame (from 0), time (s), id, label, category_id, score, x1, y1, x2, y2 (pixels of the upright frame).

    Poses add kp0_x, kp0_y, kp0_score, kp1_x, … An unknown value is an empty cell. A frame in which nothing was found has no row.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._joints: int | None = None

    def write(self, result: FrameResult) -> None:
        frame, found = result.frame, result.detections
        if not len(found):
            return
        points = found.keypoints
        if self._joints is None:
            self._header(0 if points is None else points.shape[1])
        for i, label in enumerate(found.labels):
            row: list[object] = [frame.source, frame.index, number(frame.time, 6), "" if found.ids is None else int(found.ids[i]), label]
            row += [int(found.category_ids[i]), number(found.scores[i], 4), *(number(v, 2) for v in found.boxes[i])]
            if points is not None:
                row += [number(v, 4 if k % 3 == 2 else 2) for k, v in enumerate(points[i].ravel())]
            self._row(row)

    def _complete(self, summary: RunSummary) -> None:
        if self._joints is None:
            self._header(0)

    def _header(self, joints: int) -> None:
        # Written with the first detection, because only that tells how many joints there are.
        self._joints = joints
        names = ["source", "frame", "time", "id", "label", "category_id", "score", "x1", "y1", "x2", "y2"]
        self._row(names + [f"kp{j}_{part}" for j in range(joints) for part in ("x", "y", "score")])


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
