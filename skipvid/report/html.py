"""The report as one HTML file that needs nothing else: styles and charts are inside, there are no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.files import write_text
from skipvid.core.results import RunSummary
from skipvid.report.charts import layer_chart, saving_chart
from skipvid.report.facts import headlines, run_line, source_line, times_of_phases, warnings_of
from skipvid.report.summary import Comparison, CurvePoint, ThresholdRow, stage_costs, total_cost
from skipvid.report.units import count, milliseconds, percent, times
from skipvid.report.verdict import NOT_COUNTED, why_it_does_not_pay


def write_html(
    path: Path,
    summary: RunSummary,
    *,
    comparison: Comparison | None = None,
    thresholds: Sequence[ThresholdRow] = (),
    curve: Sequence[CurvePoint] = (),
) -> None:
    """Write the report of a run; raises OutputError. curve: SummaryBuilder.curve, for the chart over the run."""
    write_text(path, html_page(summary, comparison, thresholds, curve))


def html_page(summary: RunSummary, comparison: Comparison | None, thresholds: Sequence[ThresholdRow], curve: Sequence[CurvePoint]) -> str:
    """The page as text."""
    name = escape(summary.header.source.name)
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    parts = [f"<h1>{name}</h1><p>{escape(source_line(summary))}</p>", f'<p class="soft">{escape(run_line(summary))}</p>']
    parts.append(f'<div class="cards">{"".join(map(_card, headlines(summary, comparison)))}</div>')
    complaint = why_it_does_not_pay(summary, comparison)
    parts += [f'<div class="note">{escape(line)}</div>' for line in ([complaint] if complaint else []) + warnings_of(summary)]
    parts += [f"<p>{escape(line)}</p>" for line in summary.notes]
    if curve:
        stretch = f"; each point is the mean of {curve[0].frames} frames" if curve[0].frames > 1 else ""
        ticks = f'<p class="legend">Ticks below the axis are keyframes, which are computed in full{stretch}.</p>'
        parts.append(_section("MACs saved over the run", saving_chart(curve) + ticks))
    if summary.cost is not None:
        parts += _cost_sections(summary.cost, summary.frames)
    if thresholds:
        parts.append(_section("By threshold", _threshold_table(thresholds)))
    if summary.median_ms:
        cells = [(phase.replace("_", " "), milliseconds(ms)) for phase, ms in times_of_phases(summary)]
        parts.append(_section("Milliseconds per frame, medians", _table([name for name, _ in cells], [_row([ms for _, ms in cells])])))
    made = f"skipvid {escape(summary.header.version)}"
    note = f"{escape(NOT_COUNTED)} " if summary.cost is not None else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}: skipvid report</title><style>\n{style}</style></head>\n"
        f"<body><main>{''.join(parts)}<p><small>{note}Made by {made}.</small></p></main></body></html>\n"
    )


def _card(line: tuple[str, str, str]) -> str:
    name, figure, text = map(escape, line)
    return f'<div class="card"><span class="soft">{name}</span><b>{figure}</b><small>{text}</small></div>'


def _cost_sections(cost: FrameCost, frames: int) -> list[str]:
    total = total_cost(cost)
    legend = '<p class="legend"><span class="swatch spent"></span>executed<span class="swatch dense"></span>saved</p>'
    layers = f"<details><summary>All {len(cost.layers)} layers</summary>{_cost_table('Layer', cost.layers, total, frames)}</details>"
    return [
        _section("MACs per frame by stage", _cost_table("Stage", stage_costs(cost), total, frames)),
        _section("MACs per frame by layer", layer_chart(cost.layers, frames) + legend + layers),
    ]


def _cost_table(what: str, rows: Sequence[LayerCost], total: LayerCost, frames: int) -> str:
    learned, normed = total.gate_macs > 0, total.gate_ops > 0
    head = [
        what,
        "Dense",
        "Executed",
        *(["of it gates"] if learned else []),
        "Saved",
        "Pixels skipped",
        *(["Gate operations"] if normed else []),
    ]
    frames = max(1, frames)
    body = []
    for cost in (*rows, total):
        spent = cost.macs + cost.gate_macs
        share = min(1.0, spent / cost.dense_macs) if cost.dense_macs else 0.0
        cells = [
            escape(cost.name),
            count(cost.dense_macs / frames),
            f'{count(spent / frames)}<span class="bar"><i style="width:{share:.1%}"></i></span>',
            *([count(cost.gate_macs / frames)] if learned else []),
            _percent(cost.saving) if cost.dense_macs else "–",
            _percent(cost.skip_ratio) if cost.outputs else "–",
            *([count(cost.gate_ops / frames)] if normed else []),
        ]
        body.append(_row(cells, "total" if cost is total else ""))
    return _table(head, body)


def _threshold_table(rows: Sequence[ThresholdRow]) -> str:
    measure = "F1" if all(row.mean_iou is None for row in rows) else "mIoU"
    head = ["Threshold", "MACs saved", "Pixels skipped", "Network, ms", "Dense, ms", "Speed-up", f"{measure} against dense"]
    body = []
    for row in rows:
        same = "–" if row.same is None else f"{row.same:.3f}"
        numbers = [milliseconds(row.ms), milliseconds(row.dense_ms), times(row.speedup), same]
        body.append(_row([f"{row.threshold:g}", _percent(row.saving), _percent(row.skip_ratio), *numbers]))
    return _table(head, body)


def _percent(fraction: float) -> str:
    """As HTML: what is nearly nothing reads "<0.1%"."""
    return escape(percent(fraction))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(head: Sequence[str], body: Sequence[str]) -> str:
    return f"<table><thead><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _row(cells: Sequence[str], kind: str = "") -> str:
    """A row of cells that are HTML already."""
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f"{opening}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
