"""The accuracy of several ways of running, side by side: as a table, as CSV, as data for JSON."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipvid.core.files import write_text
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.run import Compared, Pass


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One way of running. compared: by measure, against the dense run."""

    name: str
    outcome: Pass
    compared: Mapping[str, Compared]
    is_dense: bool

    @property
    def model_ms(self) -> float:
        """Mean milliseconds of the network a frame: frames that are filled in cost nothing, and count."""
        return statistics.fmean(self.outcome.model_ms) if self.outcome.model_ms else math.nan


def verdict(row: Row, measure: str) -> str:
    """What may be said of a row against dense: nothing lost that can be told, or how much."""
    if row.is_dense:
        return ""
    lost = row.compared[measure].lost
    if math.isinf(lost.low):
        return "too little data to tell"
    if lost.tie:
        return "no difference"
    return "worse" if lost.value > 0 else "better"


def main_measure(row: Row) -> str:
    """The measure that the verdict is about: PCK of poses, as for the paper's second benchmark, else AP50."""
    return "PCK" if "PCK" in row.compared else next(iter(row.compared))


def render_rows(rows: Sequence[Row], frames: int, block: int, console: Console) -> None:
    """Print the table. frames: labelled ones. block: of the bootstrap, 0 = clips."""
    first = main_measure(rows[0])
    others = [measure for measure in rows[0].compared if measure != first]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in (first, "lost (95 %)", *others, "MACs", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        lost = "" if row.is_dense else _range(row.compared[first].lost)
        cells = [f"{row.compared[first].value.value:.1f}", lost, *(f"{row.compared[other].value.value:.1f}" for other in others)]
        fewer = "1" if row.is_dense else f"÷{row.outcome.fewer:.2f}"
        table.add_row(Text(row.name), *cells, fewer, f"{row.model_ms:.2f}", verdict(row, first))
    console.print(table)
    drawn = f"blocks of {block} frames" if block else "clips"
    about = f"{frames} labelled frames; percent, milliseconds of the network a frame; intervals by bootstrap over {drawn}."
    console.print(Text(about, style="dim"))


def document(rows: Sequence[Row], frames: int, block: int) -> dict[str, Any]:
    """The same as plain data; an interval that is unknown has nulls."""
    return {"frames": frames, "block": block, "rows": [_record(row) for row in rows]}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A line for each row. Raises OutputError where the file cannot be written."""
    text = io.StringIO()
    records = [_flat(_record(row)) for row in rows]
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(path, text.getvalue())


def _record(row: Row) -> dict[str, Any]:
    measures = {}
    for name, found in row.compared.items():
        measures[name] = {"value": _numbers(found.value), "lost": None if row.is_dense else _numbers(found.lost)}
    return {
        "name": row.name,
        "measures": measures,
        "macs": row.outcome.macs,
        "dense_macs": row.outcome.dense_macs,
        "fewer_macs": round(row.outcome.fewer, 4) if math.isfinite(row.outcome.fewer) else None,
        "model_ms": round(row.model_ms, 3),
        "verdict": verdict(row, main_measure(row)) or None,
    }


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in record.items() if key != "measures"}
    for name, found in record["measures"].items():
        for kind in ("value", "lost"):
            for place, number in (found[kind] or dict.fromkeys(("value", "low", "high"))).items():
                flat["_".join([name, *([kind] if kind == "lost" else []), *([place] if place != "value" else [])])] = number
    return flat


def _numbers(interval: Interval) -> dict[str, float | None]:
    parts = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {key: round(value, 3) if math.isfinite(value) else None for key, value in parts.items()}


def _range(interval: Interval) -> str:
    if math.isinf(interval.low):
        return f"{interval.value:.1f}"
    return f"{interval.value:.1f} ({interval.low:.1f}…{interval.high:.1f})"
