"""The sentences of a report, shared by its printed and its HTML form."""

from __future__ import annotations

from skipvid.core.motions import WARP
from skipvid.core.results import AreaCost, RunSummary
from skipvid.report.limits import pipeline_text
from skipvid.report.summary import Comparison
from skipvid.report.units import count, milliseconds, percent, plural, times
from skipvid.report.verdict import dense_ms

_PHASES = ("decode", "preprocess", "model", "dense_model", "postprocess", "draw", "write")


def source_line(summary: RunSummary) -> str:
    """Size, nominal rate and length of what was analysed."""
    source = summary.header.source
    rate = f"{source.fps:.4g} fps" if source.fps > 0.0 else ""
    return ", ".join(part for part in (f"{source.width}x{source.height}", rate, plural(summary.frames, "frame")) if part)


def run_line(summary: RunSummary) -> str:
    """What analysed it."""
    header = summary.header
    ungated = {"none": "no gates", WARP: "activation motion compensation, no bound"}
    gate = ungated.get(header.gate, f"{header.gate} gate, threshold {header.threshold:g}")
    block = f"blocks of {header.block}" if header.block > 1 and header.gate not in ungated else ""
    return ", ".join(part for part in (header.preset, gate, block, f"{header.backend} back end, {header.precision}") if part)


def headlines(summary: RunSummary, comparison: Comparison | None) -> list[tuple[str, str, str]]:
    """(name, figure, explanation) of the results that matter most."""
    lines: list[tuple[str, str, str]] = []
    cost, frames = summary.cost, max(1, summary.frames)
    if cost is not None:
        less = f"{times(cost.dense_macs / cost.macs)} fewer: " if 0 < cost.macs < cost.dense_macs else ""
        spent = f"{less}{count(cost.macs / frames)} of {count(cost.dense_macs / frames)} per frame"
        lines.append(("MACs saved", percent(cost.saving), spent))
    if summary.areas is not None:
        lines.append(("Areas saved", percent(summary.areas.saving), _areas_text(summary.areas, summary.frames)))
    model, dense = summary.median_ms.get("model"), dense_ms(summary, comparison)
    if model is not None and dense is not None and model > 0.0:
        lines.append(
            ("Network", times(dense / model), f"as fast as dense: {milliseconds(model)} ms against {milliseconds(dense)} ms per frame")
        )
    elif model is not None:
        lines.append(("Network", f"{milliseconds(model)} ms", "per frame (median)"))
    lines.append(("Pipeline", f"{summary.fps:.1f} fps", f"{plural(summary.frames, 'frame')} in {summary.wall_seconds:.1f} s"))
    if limits := pipeline_text(summary, comparison):
        lines.append(("", "", limits))
    if comparison is not None and comparison.agreement is not None:
        same = comparison.agreement
        text = f"F1 at IoU 0.5 against the dense detections, scores differ by {same.mean_score_gap:.3f} on average"
        lines.append(("Agreement", f"{same.f1:.3f}", text))
    if comparison is not None and comparison.maps is not None:
        text = f"mean IoU of the classes with the dense maps, {percent(comparison.maps.pixels)} of the pixels have the same class"
        lines.append(("Agreement", f"{comparison.maps.mean_iou:.3f}", text))
    if summary.header.gate == WARP:
        lines.append(("Bound", "no bound", "results between keyframes may differ from the dense network's by any amount"))
    if comparison is not None and comparison.bound_usage is not None:
        text = "of the error bound was used at most, on any map at any time"
        lines.append(("Bound", percent(comparison.bound_usage), text))
    if cost is not None:
        share = percent(summary.keyframes / frames)
        lines.append(
            ("Keyframes", f"{summary.keyframes:,}", f"of {plural(summary.frames, 'frame')} ({share}), computed in full and included")
        )
    return lines


def _areas_text(cost: AreaCost, frames: int) -> str:
    """What leaving out areas changed, and how that was found."""
    macs = f"{count(cost.macs / cost.frames)} MACs per frame in place of {count(cost.whole_macs / cost.frames)}"
    ms = f"{milliseconds(cost.ms)} ms of the network in place of {milliseconds(cost.whole_ms)}"
    return f"{macs}, {ms}: measured in {cost.frames} of {plural(frames, 'frame')}, run with and without areas in turns"


def times_of_phases(summary: RunSummary) -> list[tuple[str, float]]:
    """(phase, median ms) in the order of the pipeline; phases of other names follow."""
    known = [phase for phase in _PHASES if phase in summary.median_ms]
    other = [phase for phase in summary.median_ms if phase not in _PHASES]
    return [(phase, summary.median_ms[phase]) for phase in known + other]


def warnings_of(summary: RunSummary) -> list[str]:
    """What went wrong or was left out, one line each."""
    lines = list(summary.problems)
    if summary.dropped and not any("dropped" in line for line in lines):
        lines.append(f"{plural(summary.dropped, 'frame')} of the live source came too fast and were dropped")
    if summary.interrupted:
        lines.append(f"interrupted after {plural(summary.frames, 'frame')}")
    return lines
