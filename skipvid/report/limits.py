"""What limits the whole command, and what the gates bring to it."""

from __future__ import annotations

from skipvid.core.cores import usable_cores
from skipvid.core.results import RunSummary
from skipvid.report.summary import Comparison
from skipvid.report.units import percent
from skipvid.report.verdict import dense_ms

CLOSE = 0.03
"""Shares that differ by less are the same."""


def limit(summary: RunSummary) -> str | None:
    """The stage that waits least for the others: "decoding", "the network", "drawing", "encoding" or "writing"; None where unknown."""
    if not summary.busy:
        return None
    stage = max(summary.busy, key=lambda name: summary.busy[name])
    output = "encoding" if "draw" in summary.busy else "writing"
    return {"decode": "decoding", "network": "the network", "draw": "drawing", "output": output}[stage]


def fps_without_gates(summary: RunSummary, comparison: Comparison | None) -> float | None:
    """Frames a second of the same command with the dense network, estimated; None where that was not measured beside the gates.

    The network's stage would take the difference of the two networks longer in each frame, and so would the processor; the slower of the
    two, or what takes longest now, sets the pace. One thread is assumed: what more of them would spend is left out.
    """
    dense, model = dense_ms(summary, comparison), summary.median_ms.get("model")
    if comparison is not None or summary.cost is None or dense is None or model is None or not summary.busy or not summary.frames:
        return None  # a comparison runs the dense network in every frame: its pace is no command's
    own, frames = summary.wall_seconds * 1e3 / summary.frames, summary.frames
    more = dense - model
    paces = [own * summary.busy["network"] + more, (summary.cpu_seconds * 1e3 / frames + more) / usable_cores()]
    others = [own * share for stage, share in summary.busy.items() if stage != "network"]
    return 1e3 / max(*paces, *others)


def pipeline_text(summary: RunSummary, comparison: Comparison | None) -> str:
    """What stands behind the frames per second of the whole command: "" where nothing is known."""
    stage = limit(summary)
    parts = []
    if stage is not None:
        parts.append(f"limited by {stage}, busy {percent(max(summary.busy.values()))} of the time")
    without = fps_without_gates(summary, comparison)
    if without is not None:
        gain = summary.fps / without - 1
        parts.append("about as fast without gates" if abs(gain) < CLOSE else f"about {without:.1f} fps without gates")
    return "; ".join(parts)
