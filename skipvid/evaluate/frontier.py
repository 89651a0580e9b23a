"""What calibration by a goal found: as lines, as plain data, as a page with the frontier, and as the comment at the head of the preset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.evidence import SURE
from skipvid.evaluate.found import Found, Goal, Point
from skipvid.evaluate.material import FOLDS
from skipvid.report.frontier_chart import ChartPoint, frontier_chart


def lines(goal: Goal, found: Found) -> list[str]:
    """The frontier and the promise, for a terminal."""
    head = f"{yardstick(found)}; measured on {found.frames} frames, on each block of time with thresholds from the others:"
    return [head, *table(found.frontier), f"goal: {goal}", f"promised: {promise(found)}", *doubts(goal, found)]


def table(frontier: Sequence[Point]) -> list[str]:
    """Working points below each other, with a head."""
    rows = [
        f"  {point.level:9.3g}  {interval(point.lost):>22}  {points(point.at_most):>7}  {point.fewer:9.2f}x  {point.ms:6.2f}"
        for point in frontier
    ]
    return [f"  {'threshold':>9}  {'lost (95 %)':>22}  {'at most':>7}  {'fewer MACs':>10}  {'ms':>6}", *rows]


def promise(found: Found) -> str:
    point = found.promised
    lost = (
        f"at most {points(max(point.at_most, 0))} points of {found.measure} lost ({SURE:.0%} sure; {interval(point.lost)} on these frames)"
    )
    return f"{lost} at {point.fewer:.2f} times fewer MACs, {point.ms:.2f} ms a frame"


def doubts(goal: Goal, found: Found) -> list[str]:
    """Why it is no more, or need not be: what so little material cannot show, and what is reached without gates."""
    if goal.kind == "budget" and found.dense_ms <= goal.value:
        return [f"the dense network takes {found.dense_ms:.2f} ms a frame here: --gate none keeps the budget, too, and loses nothing"]
    further = found.unproven(goal)
    if further is None:
        return []
    seen = f"{points(further.lost.value)} points on these frames, but {found.objects} objects in {found.frames} frames"
    return [f"kept below {further.level:.3g}, which lost {seen} do not exclude {points(further.at_most)}: more frames may allow it"]


def yardstick(found: Found) -> str:
    """What losses are counted from."""
    if found.measure == "agreement":
        itself = f"agrees with itself to {found.yardstick:.1f} % under noise of one grey level"
        return f"agreement with the dense network, which {itself} and takes {found.dense_ms:.2f} ms a frame"
    return f"{found.measure} of the dense network is {found.yardstick:.1f}, at {found.dense_ms:.2f} ms a frame"


def document(goal: Goal, found: Found) -> dict[str, Any]:
    """The same as plain data; what is unknown or no number is null."""
    return {
        "goal": {"kind": goal.kind, "value": goal.value},
        "measure": found.measure,
        "yardstick": _number(found.yardstick),
        "dense_ms": round(found.dense_ms, 3),
        "frames": found.frames,
        "objects": found.objects,
        "promised": _record(found.promised),
        "frontier": [_record(point) for point in found.frontier],
        "threshold": found.threshold,
        "maps": len(found.thresholds),
    }


def comment(goal: Goal, found: Found, clips: Sequence[str], date: str, version: str, options: str = "") -> str:
    """The head of the preset, which says where it comes from. options: that it was measured with, and that no preset holds."""
    rows = [
        f"skipvid {version} calibrate, {date}, on {', '.join(clips)}",
        f"goal: {goal}",
        f"promised: {promise(found)}",
        *(f"  {doubt}" for doubt in doubts(goal, found)),
        *([f"  {with_options(options)}"] if options else []),
        f"  {yardstick(found)}; measured on {found.frames} frames,",
        f"  each of {FOLDS} blocks of time with thresholds from the others; milliseconds on the machine that calibrated",
        "frontier, measured likewise:",
        *(
            f"  {point.level:.3g}: {interval(point.lost)} lost, at most {points(point.at_most)}, {point.fewer:.2f}x, {point.ms:.2f} ms"
            for point in found.frontier
        ),
    ]
    return "".join(f"# {' '.join(row.splitlines())}\n" for row in rows)


def with_options(options: str) -> str:
    """Under what options a promise was measured: others are another way of running."""
    return f"measured with {options}: it holds for runs with these options"


def page(goal: Goal, found: Found, clips: Sequence[str], version: str, options: str = "") -> str:
    """The frontier as an HTML page that needs nothing else. options: as in `comment`."""
    import skipvid.report.charts as charts

    style = Path(charts.__file__).with_name("report.css").read_text(encoding="utf-8")
    limit = goal.value if goal.kind == "drop" else None
    drawn = [ChartPoint(point.fewer, point.lost.value, point.lost.low, point.lost.high, point.at_most) for point in found.frontier]
    chart = frontier_chart(drawn, found.frontier.index(found.promised), limit, found.measure)
    cells = [
        (f"{point.level:.3g}", interval(point.lost), points(point.at_most), f"{point.fewer:.2f}", f"{point.ms:.2f}")
        for point in found.frontier
    ]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
    doubt = "".join(f'<p class="soft">{escape(each)}</p>' for each in doubts(goal, found))
    heads = "".join(
        f"<th>{name}</th>" for name in ("threshold", "points lost (95 %)", f"at most ({SURE:.0%} sure)", "times fewer MACs", "ms a frame")
    )
    title = escape(f"Calibration: {goal}")
    notes = [with_options(options)] if options else []
    soft = "".join(f'<p class="soft">{escape(each)}</p>' for each in (yardstick(found), *notes))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>\n{style}</style></head>\n<body><main>'
        f"<h1>{title}</h1><p>{escape(', '.join(clips))}</p>{soft}"
        f"<section><h2>{escape('Promised: ' + promise(found))}</h2>{doubt}{chart}"
        f'<p class="legend">{_legend(found, limit)}</p>'
        f"</section><section><table><tr>{heads}</tr>{body}</table></section>"
        f"<p><small>Made by skipvid {escape(version)}.</small></p></main></body></html>\n"
    )


def _legend(found: Found, limit: float | None) -> str:
    """What the chart's marks mean, those that are there."""
    marks = [("spent", "promised"), ("level", "lost on frames that were left out")]
    marks += [("range", "its 95 % interval")] if any(math.isfinite(point.lost.high) for point in found.frontier) else []
    marks += [("most", f"at most ({SURE:.0%} sure)")]
    marks += [("goal", "the goal, for what is lost at most")] if limit is not None else []
    return "".join(f'<span class="swatch {kind}"></span>{escape(meaning)}' for kind, meaning in marks)


def points(value: float) -> str:
    """Points of a measure; none is never less than none."""
    return f"{round(value, 2) + 0.0:.2f}"


def interval(lost: Interval) -> str:
    """A loss and its interval, where there is one."""
    return points(lost.value) if math.isinf(lost.low) else f"{points(lost.value)} ({points(lost.low)} … {points(lost.high)})"


def _record(point: Point) -> dict[str, Any]:
    ends = {name: _number(value) for name, value in (("low", point.lost.low), ("high", point.lost.high))}
    lost = {"value": _number(point.lost.value), **ends}
    return {
        "level": round(point.level, 5),
        "lost": lost,
        "at_most": _number(point.at_most),
        "fewer_macs": round(point.fewer, 4),
        "ms": round(point.ms, 3),
    }


def _number(value: float) -> float | None:
    return round(value, 3) + 0.0 if math.isfinite(value) else None
