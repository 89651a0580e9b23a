"""What calibration by a goal found: as lines, as plain data, as a page with the frontier, and as the comment at the head of the preset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from skipvid.core.files import write_text
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.evidence import SURE
from skipvid.evaluate.goal import Found, Goal, Point
from skipvid.evaluate.material import FOLDS
from skipvid.report.charts import frontier_chart


def lines(goal: Goal, found: Found) -> list[str]:
    """The frontier and the promise, for a terminal."""
    head = f"{yardstick(found)}; measured on {found.frames} frames, on each block of time with thresholds from the others:"
    table = [f"  {'threshold':>9}  {'lost (95 %)':>22}  {'at most':>7}  {'fewer MACs':>10}  {'ms':>6}"]
    table += [
        f"  {point.level:9.3g}  {interval(point.lost):>22}  {point.at_most:7.2f}  {point.fewer:9.2f}x  {point.ms:6.2f}"
        for point in found.frontier
    ]
    return [head, *table, f"goal: {goal}", f"promised: {promise(found)}", *doubts(goal, found)]


def promise(found: Found) -> str:
    point = found.promised
    lost = f"at most {max(point.at_most, 0):.2f} points of {found.measure} lost ({SURE:.0%} sure; {interval(point.lost)} on these frames)"
    return f"{lost} at {point.fewer:.2f} times fewer MACs, {point.ms:.2f} ms a frame"


def doubts(goal: Goal, found: Found) -> list[str]:
    """Why it is no more: what so little material cannot show."""
    further = found.unproven(goal)
    if further is None:
        return []
    seen = f"{further.lost.value:.2f} points on these frames, but {found.objects} objects in {found.frames} frames"
    return [f"kept below {further.level:.3g}, which lost {seen} do not exclude {further.at_most:.2f}: more frames may allow it"]


def yardstick(found: Found) -> str:
    """What losses are counted from."""
    if found.measure == "agreement":
        return f"agreement with the dense network, which agrees with itself to {found.yardstick:.1f} % under noise of one grey level"
    return f"{found.measure} of the dense network is {found.yardstick:.1f}, at {found.dense_ms:.2f} ms a frame"


def document(goal: Goal, found: Found) -> dict[str, Any]:
    """The same as plain data; an interval that is unknown has nulls."""
    return {
        "goal": {"kind": goal.kind, "value": goal.value},
        "measure": found.measure,
        "yardstick": round(found.yardstick, 3),
        "dense_ms": round(found.dense_ms, 3),
        "frames": found.frames,
        "objects": found.objects,
        "promised": _record(found.promised),
        "frontier": [_record(point) for point in found.frontier],
        "threshold": found.threshold,
        "maps": len(found.thresholds),
    }


def comment(goal: Goal, found: Found, clips: Sequence[str], date: str, version: str) -> str:
    """The head of the preset, which says where it comes from."""
    rows = [
        f"skipvid {version} calibrate, {date}, on {', '.join(clips)}",
        f"goal: {goal}",
        f"promised: {promise(found)}",
        *(f"  {doubt}" for doubt in doubts(goal, found)),
        f"  {yardstick(found)}; measured on {found.frames} frames,",
        f"  each of {FOLDS} blocks of time with thresholds from the others; milliseconds on the machine that calibrated",
        "frontier, measured likewise:",
        *(
            f"  {point.level:.3g}: {interval(point.lost)} lost, at most {point.at_most:.2f}, {point.fewer:.2f}x, {point.ms:.2f} ms"
            for point in found.frontier
        ),
    ]
    return "".join(f"# {' '.join(row.splitlines())}\n" for row in rows)


def write_page(path: Path, goal: Goal, found: Found, clips: Sequence[str], version: str) -> None:
    """The frontier as an HTML page that needs nothing else. Raises OutputError."""
    import skipvid.report.charts as charts

    style = Path(charts.__file__).with_name("report.css").read_text(encoding="utf-8")
    points = [(point.fewer, point.lost.value, point.lost.low, point.lost.high) for point in found.frontier]
    limit = goal.value if goal.kind == "drop" else None
    chart = frontier_chart(points, (found.promised.fewer, found.promised.lost.value), limit)
    cells = [
        (f"{point.level:.3g}", interval(point.lost), f"{point.at_most:.2f}", f"{point.fewer:.2f}", f"{point.ms:.2f}")
        for point in found.frontier
    ]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
    doubt = "".join(f'<p class="soft">{escape(each)}</p>' for each in doubts(goal, found))
    heads = "".join(
        f"<th>{name}</th>" for name in ("threshold", "points lost (95 %)", f"at most ({SURE:.0%} sure)", "times fewer MACs", "ms a frame")
    )
    title = escape(f"Calibration: {goal}")
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>\n{style}</style></head>\n<body><main>'
        f'<h1>{title}</h1><p>{escape(", ".join(clips))}</p><p class="soft">{escape(yardstick(found))}</p>'
        f"<section><h2>{escape('Promised: ' + promise(found))}</h2>{doubt}{chart}"
        f'<p class="legend">Points of {escape(found.measure)} lost, downwards, with 95 % intervals, on frames that were left out.</p>'
        f"</section><section><table><tr>{heads}</tr>{body}</table></section>"
        f"<p><small>Made by skipvid {escape(version)}.</small></p></main></body></html>\n"
    )
    write_text(path, page)


def interval(lost: Interval) -> str:
    """A loss and its interval, where there is one."""
    return f"{lost.value:.2f}" if math.isinf(lost.low) else f"{lost.value:.2f} ({lost.low:.2f} … {lost.high:.2f})"


def _record(point: Point) -> dict[str, Any]:
    ends = {name: round(value, 3) if math.isfinite(value) else None for name, value in (("low", point.lost.low), ("high", point.lost.high))}
    lost = {"value": round(point.lost.value, 3), **ends}
    return {
        "level": round(point.level, 5),
        "lost": lost,
        "at_most": round(point.at_most, 3),
        "fewer_macs": round(point.fewer, 4),
        "ms": round(point.ms, 3),
    }
