"""The printed report. Its own words are ASCII, so that any terminal or log file can show them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skipvid.core.costs import LayerCost
from skipvid.core.results import RunSummary
from skipvid.report.facts import headlines, run_line, source_line, times_of_phases, warnings_of
from skipvid.report.summary import Comparison, ThresholdRow, stage_costs, total_cost
from skipvid.report.units import count, milliseconds, percent, plural, times
from skipvid.report.verdict import NOT_COUNTED, why_it_does_not_pay


def render_report(
    summary: RunSummary,
    comparison: Comparison | None = None,
    *,
    console: Console,
    thresholds: Sequence[ThresholdRow] = (),
    layers: bool = False,
) -> None:
    """Print the report of a run: headlines, cost by stage (and by layer), measured times, and what is not counted.

    comparison: with a dense run of the same frames. thresholds: the rows of a sweep. The console decides on colour and width.
    """
    console.print(Text(summary.header.source.name, style="bold"), Text(source_line(summary), style="dim"))
    console.print(Text(run_line(summary), style="dim"))
    console.print()
    _print(console, _headline_table(summary, comparison))
    complaint = why_it_does_not_pay(summary, comparison)
    if complaint is not None:
        _print(console, Text(complaint, style="bold yellow"))
    for line in warnings_of(summary):
        _print(console, Text(f"Note: {line}", style="yellow"))
    for line in summary.notes:
        _print(console, Text(line))
    if summary.cost is not None:
        total = total_cost(summary.cost)
        _print(console, _cost_table("Stage", stage_costs(summary.cost), total, summary.frames, console.width))
        if layers:
            _print(console, _cost_table("Layer", list(summary.cost.layers), total, summary.frames, console.width))
    if thresholds:
        _print(console, _threshold_table(thresholds))
    if summary.median_ms:
        _print(console, _time_table(summary))
    if summary.cost is not None:
        _print(console, Text(NOT_COUNTED, style="dim"))


def _print(console: Console, part: Table | Text) -> None:
    console.print(part)
    console.print()


def _headline_table(summary: RunSummary, comparison: Comparison | None) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column()
    for row in headlines(summary, comparison):
        table.add_row(*row)
    return table


def _table(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, show_edge=False)


def _cost_table(what: str, costs: Sequence[LayerCost], total: LayerCost, frames: int, width: int) -> Table:
    """MACs per frame, on average. Columns that would hold only zeros are left out."""
    learned, normed = total.gate_macs > 0, total.gate_ops > 0
    headings = ["Dense", "Executed", *(["of it gates"] if learned else []), "Saved", "Skipped", *(["Gate ops"] if normed else [])]
    frames = max(1, frames)
    rows = [
        [
            count(cost.dense_macs / frames),
            count((cost.macs + cost.gate_macs) / frames),
            *([count(cost.gate_macs / frames)] if learned else []),
            percent(cost.saving) if cost.dense_macs else "-",
            percent(cost.skip_ratio) if cost.outputs else "-",
            *([count(cost.gate_ops / frames)] if normed else []),
        ]
        for cost in (*costs, total)
    ]
    # names get what the numbers leave; two blanks and a rule stand between columns
    room = max(12, width - sum(max(map(len, column)) + 3 for column in zip(headings, *rows, strict=True)))
    table = _table(f"MACs per frame by {what.lower()}, mean of {plural(frames, 'frame')}")
    table.add_column(what, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for cost, row in zip((*costs, total), rows, strict=True):
        if cost is total:
            table.add_section()
        table.add_row(Text(_tail(cost.name, room)), *row, style="bold" if cost is total else None)
    return table


def _threshold_table(rows: Sequence[ThresholdRow]) -> Table:
    table = _table("By threshold")
    measure = "F1 to dense" if all(row.mean_iou is None for row in rows) else "mIoU to dense"
    for heading in ("Threshold", "MACs saved", "Skipped", "ms", "Dense ms", "Speed-up", measure):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        same = "-" if row.same is None else f"{row.same:.3f}"
        cells = (percent(row.saving), percent(row.skip_ratio), milliseconds(row.ms), milliseconds(row.dense_ms), times(row.speedup), same)
        table.add_row(f"{row.threshold:g}", *cells)
    return table


def _time_table(summary: RunSummary) -> Table:
    table = _table("Milliseconds per frame, medians")
    rows = times_of_phases(summary)
    for phase, _ in rows:
        table.add_column(phase.replace("_", " "), justify="right")
    table.add_row(*(milliseconds(ms) for _, ms in rows))
    return table


def _tail(name: str, width: int) -> str:
    """The end of a name that is too long: layers differ there."""
    return name if len(name) <= width else "..." + name[3 - width :]
