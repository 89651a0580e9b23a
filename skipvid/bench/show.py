"""Measurements as a table, as CSV and as one JSON document."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipvid import __version__
from skipvid.bench.machine import machine_line
from skipvid.bench.measure import Measurement
from skipvid.core.files import write_text
from skipvid.report.units import milliseconds, percent, times

TITLES = {
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO f32",
    "openvino-bf16": "OpenVINO bf16",
    "openvino-int8": "OpenVINO int8",
}

LONGEST_NAME, LONGEST_BESIDE_ALL = 18, 13
"""Characters of a clip's name: with them, and the times of four runtimes, or closer together of all, a table is 80 columns wide."""


def render_bench(found: Sequence[Measurement], console: Console) -> None:
    """Print two tables for each preset, input size and precision: what skipping saves, and how other runtimes compare with it."""
    console.print(Text(machine_line(), style="dim"))
    keys = list(dict.fromkeys(map(_subject, found)))
    for key in keys:
        _render([item for item in found if _subject(item) == key], console)


def _subject(item: Measurement) -> tuple[str, tuple[int, int], str]:
    return (item.preset, item.size, item.precision)


def _render(rows: Sequence[Measurement], console: Console) -> None:
    first = rows[0]
    what = f"{first.preset} {first.size[1]}x{first.size[0]} in {first.precision}"
    console.print()
    console.print(Text(f"{what}, threshold {first.threshold:g}, {first.threads} threads, weights {first.weights}", style="bold"))
    table = _table("Changed", "MACs saved", "Fewer", "Skip ms", "Dense ms", "Speed-up")
    for row in rows:
        fewer = times(row.reduction) if math.isfinite(row.reduction) else "-"
        speed = (milliseconds(row.skip_ms), milliseconds(row.dense_ms), times(row.speedup))
        table.add_row(Text(row.what), percent(row.changed), percent(row.saving), fewer, *speed)
    console.print(table)
    runtimes = [name for name in TITLES if name in first.runtime_ms]
    if runtimes:
        console.print()
        console.print(Text("Dense elsewhere, ms (and how many times our gated time)", style="bold"))
        table = _table(*(TITLES[name] for name in runtimes), close=len(runtimes) == len(TITLES))
        for row in rows:
            cells = (f"{milliseconds(row.runtime_ms[name])} ({times(row.runtime_ms[name] / row.skip_ms)})" for name in runtimes)
            table.add_row(Text(row.what), *cells)
        console.print(table)
    for name, reason in first.missing.items():
        console.print(Text(f"{TITLES[name]}: {reason}", style="yellow"))
    console.print(Text(f"Medians; state of one session {first.state_bytes / 2**20:.1f} MiB", style="dim"))


def _table(*headings: str, close: bool = False) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0 if close else 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("Frames", no_wrap=True, max_width=LONGEST_BESIDE_ALL if close else LONGEST_NAME)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def bench_document(found: Sequence[Measurement]) -> dict[str, Any]:
    """The measurements as plain data for JSON; an infinite reduction is null."""
    return {"version": __version__, "machine": machine_line(), "measurements": [_record(item) for item in found]}


def write_bench_csv(path: Path, found: Sequence[Measurement]) -> None:
    """A row for each measurement. Raises OutputError where the file cannot be written."""
    records = []
    for item in found:
        record = _record(item)
        record |= {f"{name}_ms": record["runtime_ms"].get(name) for name in TITLES}
        records.append({key: value for key, value in record.items() if not isinstance(value, dict)})
    text = io.StringIO()
    rows = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(records)
    write_text(path, text.getvalue())


def _record(item: Measurement) -> dict[str, Any]:
    return {
        "preset": item.preset,
        "height": item.size[0],
        "width": item.size[1],
        "weights": item.weights,
        "precision": item.precision,
        "threshold": item.threshold,
        "threads": item.threads,
        "what": item.what,
        "frames": item.frames,
        "changed": item.changed,
        "macs": item.macs,
        "dense_macs": item.dense_macs,
        "saving": item.saving,
        "reduction": item.reduction if math.isfinite(item.reduction) else None,
        "skip_ms": item.skip_ms,
        "dense_ms": item.dense_ms,
        "speedup": item.speedup,
        "state_bytes": item.state_bytes,
        "runtime_ms": dict(item.runtime_ms),
        "missing": dict(item.missing),
    }
