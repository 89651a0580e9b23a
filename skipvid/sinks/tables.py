"""Tables: detections as CSV and in the MOT challenge's layout, and the cost report as two CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from skipvid.results import FrameResult, LayerCost, RunSummary
from skipvid.sinks.records import number
from skipvid.sinks.text import TextSink

_STAGES = ("decode", "preprocess", "model", "postprocess", "dense_model")


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


class _FrameCostSink(_TableSink):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        names = ["source", "frame", "time", "keyframe", "detections", "dense_macs", "macs", "gate_ops", "saving", "skip_ratio"]
        self._row(names + [f"{stage}_ms" for stage in _STAGES])

    def write(self, result: FrameResult) -> None:
        frame, cost = result.frame, result.cost
        row: list[object] = [frame.source, frame.index, number(frame.time, 6), int(result.keyframe), len(result.detections)]
        if cost is None:
            row += [""] * 5
        else:
            row += [cost.dense_macs, cost.macs, cost.gate_ops, number(cost.saving, 4), number(cost.skip_ratio, 4)]
        self._row(row + [number(result.ms[stage], 3) if stage in result.ms else "" for stage in _STAGES])


class CostCsvSink(_TableSink):
    """The cost report (`--csv cost.csv`): cost.csv has a row per layer, summed over the run, and cost.frames.csv a row per frame.

    Layers: stage, layer, kind, dense_macs, macs (gate MACs not in it), gate_macs, gate_ops, outputs, active (pixels), saving, skip_ratio.
    Element-wise gate work that belongs to no layer is a row of its own, "(input)", so that each column's sum is the run's. Frames:
    macs contain gate MACs; times are milliseconds.
    """

    def __init__(self, path: Path) -> None:
        self._frames = _FrameCostSink(cost_csv_paths(path)[1])
        try:
            super().__init__(path)
        except BaseException:
            self._frames.close()
            raise

    def write(self, result: FrameResult) -> None:
        self._frames.write(result)

    def _complete(self, summary: RunSummary) -> None:
        names = ["stage", "layer", "kind", "dense_macs", "macs", "gate_macs", "gate_ops", "outputs", "active", "saving", "skip_ratio"]
        self._row(names)
        if summary.cost is not None:
            for layer in summary.cost.layers:
                self._layer(layer)
            if summary.cost.other_gate_ops:
                self._layer(LayerCost("(input)", "gates", "gate", 0, 0, 0, 0, gate_ops=summary.cost.other_gate_ops))

    def _layer(self, layer: LayerCost) -> None:
        row: list[object] = [layer.stage, layer.name, layer.kind, layer.dense_macs, layer.macs, layer.gate_macs, layer.gate_ops]
        self._row([*row, layer.outputs, layer.active, number(layer.saving, 4), number(layer.skip_ratio, 4)])

    def finish(self, summary: RunSummary) -> None:
        # Both are whole before either appears.
        self._frames._seal(summary)
        self._seal(summary)
        self._frames._commit()
        self._commit()

    def close(self) -> None:
        self._frames.close()
        super().close()


def cost_csv_paths(path: Path) -> tuple[Path, Path]:
    """The two files of the cost report: per layer, and per frame."""
    return path, path.with_name(f"{path.stem}.frames{path.suffix or '.csv'}")
