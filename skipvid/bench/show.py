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

TITLES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO f32", "openvino-bf16": "OpenVINO bf16"}


def render_bench(found: Sequence[Measurement], console: Console) -> None:
    """Print one table for each preset and input size; columns of runtimes give milliseconds, and how many times slower than gated."""
    console.print(Text(machine_line(), style="dim"))
    keys = list(dict.fromkeys((item.preset, item.size) for item in found))
    for preset, size in keys:
        _render([item for item in found if (item.preset, item.size) == (preset, size)], console)


def _render(rows: Sequence[Measurement], console: Console) -> None:
    first = rows[0]
    title = (
        f"{first.preset} {first.size[1]}x{first.size[0]}, threshold {first.threshold:g}, {first.threads} threads, weights {first.weights}"
    )
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, show_edge=False)
    runtimes = [name for name in TITLES if name in first.runtime_ms or name in first.missing]
    table.add_column("Frames", no_wrap=True)
    for heading in ("Changed", "MACs saved", "Fewer", "Skip ms", "Dense ms", "Speed-up", *(f"{TITLES[name]} ms" for name in runtimes)):
        table.add_column(heading, justify="right")
    for row in rows:
        fewer = times(row.reduction) if math.isfinite(row.reduction) else "-"
        cells = [
            percent(row.changed),
            percent(row.saving),
            fewer,
            milliseconds(row.skip_ms),
            milliseconds(row.dense_ms),
            times(row.speedup),
        ]
        for name in runtimes:
            ms = row.runtime_ms.get(name)
            cells.append("missing" if ms is None else f"{milliseconds(ms)} ({times(ms / row.skip_ms)})")
        table.add_row(Text(row.what), *cells)
    console.print()
    console.print(table)
    for name, reason in first.missing.items():
        console.print(Text(f"{TITLES[name]}: {reason}", style="yellow"))
    console.print(Text(f"Medians; state of one session {first.state_bytes / 2**20:.1f} MiB", style="dim"))


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
