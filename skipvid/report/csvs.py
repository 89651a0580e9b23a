"""The cost of a run as one tidy CSV table: a row per frame, then per layer and per stage, and the total."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skipvid.core.results import FrameResult, RunHeader, RunSummary
from skipvid.report.summary import cost_fields, stage_costs, total_cost
from skipvid.video.sinks.text import TextSink

PHASES = ("decode", "preprocess", "model", "postprocess", "dense_model")
COLUMNS = (
    "source",
    "preset",
    "threshold",
    "scope",
    "name",
    "stage",
    "kind",
    "frame",
    "time",
    "keyframe",
    "frames",
    "dense_macs",
    "macs",
    "gate_macs",
    "gate_ops",
    "outputs",
    "active",
    "saving",
    "skip_ratio",
    *(f"{phase}_ms" for phase in PHASES),
)


class CostCsv(TextSink):
    """Writes `cost.csv`. Every row has the same COLUMNS; what does not apply to it is empty, so `pandas.read_csv` sees numbers.

    scope: what the row is about, to be filtered by: "frame" (frame, time and keyframe are filled), "layer" (name, stage, kind), "stage"
    (name), "areas" or "total". "areas" are two rows, where areas were left out: macs and model_ms of the frames that were run both ways,
    with areas left out and with the whole picture.
    dense_macs, macs, gate_macs, gate_ops, outputs, active: of that frame, or summed over `frames` frames.
    macs: executed, gate_macs (learned gates) included. saving = 1 - macs / dense_macs. skip_ratio = 1 - active / outputs.
    *_ms: milliseconds of the frame, or the medians of the run in the row "total".
    Frames come in order, the other rows at the end of each run. Several runs (sources, thresholds) may share a file, one after the other
    (`next_run`) or side by side, each with its own source (`write_of`, `end_of`, `drop_source`).
    """

    def __init__(self, path: Path, header: RunHeader) -> None:
        """Raises OutputError where the file cannot be created."""
        super().__init__(path)
        self._header = header
        self._write({column: column for column in COLUMNS}, flush=True)

    def write(self, result: FrameResult) -> None:
        """Append one frame."""
        self.write_of(self._header, result)

    def write_of(self, header: RunHeader, result: FrameResult) -> None:
        """Append one frame of the run that the header describes."""
        cost = {} if result.cost is None else cost_fields(total_cost(result.cost))
        when = {"frame": result.frame.index, "time": result.frame.time, "keyframe": int(result.keyframe), "frames": 1}
        self._write({**_run(header), "scope": "frame", **when, **cost, **_times(result.ms)})

    def end_run(self, summary: RunSummary) -> None:
        """Append the sums of a run, after its frames."""
        self.end_of(self._header, summary)

    def end_of(self, header: RunHeader, summary: RunSummary) -> None:
        """Append the sums of the run that the header describes."""
        self._write_sums(header, summary)
        self._flush()

    def next_run(self, header: RunHeader) -> None:
        """Go on with the frames of another run; `end_run` comes first."""
        self._header = header

    def drop_source(self, name: str) -> None:
        """Take back the rows of a source that failed."""
        line = io.StringIO(newline="")
        csv.writer(line).writerow([name])
        self._drop_lines(line.getvalue().rstrip("\r\n").encode("utf-8", "backslashreplace") + b",")

    def finish(self, summary: RunSummary) -> None:
        self.end_run(summary)
        self.complete()

    def complete(self) -> None:
        """Give the file its name, after the sums of the last run."""
        self._close_file()
        self._commit()

    def _write_sums(self, header: RunHeader, summary: RunSummary) -> None:
        run = {**_run(header), "frames": summary.frames}
        if summary.cost is not None:
            for layer in summary.cost.layers:
                names = {"name": layer.name, "stage": layer.stage, "kind": layer.kind}
                self._write({**run, "scope": "layer", **names, **cost_fields(layer)})
            for stage in stage_costs(summary.cost):
                self._write({**run, "scope": "stage", "name": stage.name, **cost_fields(stage)})
        if (areas := summary.areas) is not None:
            for name, macs, ms in (("areas left out", areas.macs, areas.ms), ("whole picture", areas.whole_macs, areas.whole_ms)):
                measured = {"frames": areas.frames, "macs": macs, "model_ms": ms}
                self._write({**run, "scope": "areas", "name": name, **measured})
        total = {} if summary.cost is None else cost_fields(total_cost(summary.cost))
        self._write({**run, "scope": "total", **total, **_times(summary.median_ms)})

    def _write(self, row: dict[str, Any], flush: bool = False) -> None:
        rounded = {column: round(value, 6) if isinstance(value, float) else value for column, value in row.items()}
        line = io.StringIO(newline="")
        csv.DictWriter(line, COLUMNS, restval="").writerow(rounded)
        self._put(line.getvalue(), flush)


def _run(header: RunHeader) -> dict[str, Any]:
    return {"source": header.source.name, "preset": header.preset, "threshold": header.threshold}


def _times(ms: Mapping[str, float]) -> dict[str, float]:
    return {f"{phase}_ms": ms[phase] for phase in PHASES if phase in ms}
