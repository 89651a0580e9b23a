"""Whether skipping pays, said plainly."""

from __future__ import annotations

from skipvid.core.motions import WARP
from skipvid.core.results import RunSummary
from skipvid.report.summary import Comparison
from skipvid.report.units import milliseconds, percent, plural, times

NOT_COUNTED = (
    "MACs are the multiply-accumulates of convolutions and linear layers, and of learned gates. "
    "Not among them: activations, sums and products of maps, pooling, resizing, moving data, and the norm gates' own operations, "
    "which have their own column. Keyframes are included."
)


NOISE = 1.05
"""Times of one network differ by so much from run to run: what is closer is as fast."""


def dense_ms(summary: RunSummary, comparison: Comparison | None) -> float | None:
    """Median milliseconds of the dense network on the same frames, None where it was not measured."""
    if comparison is not None:
        return comparison.dense_ms
    return summary.median_ms.get("dense_model")


def why_it_does_not_pay(summary: RunSummary, comparison: Comparison | None) -> str | None:
    """One sentence where the network with gates is slower than the dense one; None where it is not, or where that was not measured."""
    dense, skip = dense_ms(summary, comparison), summary.median_ms.get("model")
    if summary.cost is None or dense is None or skip is None or skip < NOISE * dense:
        return None
    cost = summary.cost
    if summary.header.backend == "reference":
        reason = (
            "the reference back end computes every layer in full and only counts what could be skipped; "
            "the MACs are right, the times are not those of a back end that skips (see: skipvid doctor)"
        )
    elif 2 * summary.keyframes > summary.frames:
        reason = f"{summary.keyframes:,} of {plural(summary.frames, 'frame')} were keyframes, which are computed in full"
    elif cost.saving < 0.25:
        reason = (
            f"only {percent(cost.saving)} of the MACs were saved, because most of the picture changes all the time "
            "(a moving camera, noise, or a threshold that is too low)"
        )
    else:
        own = "the search for motion" if summary.header.gate == WARP else "the gates' own work"
        reason = f"{own} takes more time here than {percent(cost.saving)} fewer MACs save"
    ratio = times(dense / skip) if skip > 0.0 else "0x"
    return f"Skipping does not pay here: {milliseconds(skip)} ms against {milliseconds(dense)} ms dense ({ratio}): {reason}."
