"""What a command says when it is done: the report or the JSON document, and the files that were written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from skipvid.cli.app import INTERRUPTED
from skipvid.cli.run_jobs import Outcome
from skipvid.cli.talk import Talk
from skipvid.core import interrupts
from skipvid.core.errors import SomeSourcesFailed

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""As in RunSummary.counts."""


def tell(outcome: Outcome, talk: Talk, as_json: bool, layers: bool = False, to_stderr: bool = False) -> int:
    """Print the report (or the JSON document) and the written files. to_stderr: stdout is for data. Returns the exit code.

    Raises SomeSourcesFailed in the end where that is so.
    """
    from skipvid.report import summary_document

    done, failed = outcome.done, outcome.failed
    if as_json:
        runs = [{**summary_document(d.summary), "outputs": [str(path) for path in d.written]} for d in done]
        document: dict[str, Any] = {"runs": runs}
        if len(done) > 1:
            document["all"] = _in_all(outcome)
        if failed:
            document["failed"] = [{"source": f.source, "error": f.error, "exit_code": f.exit_code} for f in failed]
        click.echo(json.dumps(document, indent=2))
    elif done and not talk.quiet and not interrupts.reader_gone():
        print_reports(outcome, layers, to_stderr)
    for path in dict.fromkeys(path for d in done for path in d.written):
        talk.say(f"wrote {path}")
    if outcome.stopped:
        talk.warn(f"{interrupts.reason()}; what was written so far is complete up to the last frame")
        return INTERRUPTED
    if failed:
        count = len(done) + len(failed)
        rest = "the others are done; see the messages above" if done else "see the messages above"
        raise SomeSourcesFailed(f"{len(failed)} of {count} sources failed", rest)
    return 0


def print_reports(outcome: Outcome, layers: bool, to_stderr: bool) -> None:
    """The report of one source; of several, a line each, and one on all of them."""
    from rich.console import Console

    from skipvid.report import render_report

    summaries = [done.summary for done in outcome.done]
    if len(summaries) == 1:
        render_report(summaries[0], console=Console(stderr=to_stderr), layers=layers)
        return
    for summary in summaries:
        saving = None if summary.cost is None else summary.cost.saving
        line = _line(summary.header.source.name, summary.frames, saving, summary.fps, summary.dropped, summary.counts)
        click.echo(line, err=to_stderr)
    whole = _in_all(outcome)
    name = f"all {len(summaries)} together"
    click.echo(_line(name, whole["frames"], whole["saving"], whole["fps"], whole["dropped"], whole["counts"]), err=to_stderr)


def _line(name: str, frames: int, saving: float | None, fps: float, dropped: int, counts: Counts) -> str:
    saved = "" if saving is None else f", {saving:.1%} MACs saved"
    counted = "".join(
        f"; {count}: {', '.join(f'{sum(labels.values())} {kind}' for kind, labels in kinds.items())}" for count, kinds in counts.items()
    )
    return f"{name}: {frames} frames{saved}, {fps:.1f} fps" + (f", {dropped} dropped" if dropped else "") + counted


def _in_all(outcome: Outcome) -> dict[str, Any]:
    """Sums over all sources that were analysed. fps: frames of all in a second of the whole command."""
    summaries = [done.summary for done in outcome.done]
    frames = sum(summary.frames for summary in summaries)
    costs = [summary.cost for summary in summaries if summary.cost is not None]
    dense = sum(cost.dense_macs for cost in costs)
    macs = sum(cost.dense_macs * (1 - cost.saving) for cost in costs)
    return {
        "sources": len(summaries),
        "frames": frames,
        "dropped": sum(summary.dropped for summary in summaries),
        "seconds": outcome.seconds,
        "fps": frames / outcome.seconds if outcome.seconds else 0.0,
        "saving": 1 - macs / dense if dense else None,
        "counts": _counts_in_all([summary.counts for summary in summaries]),
    }


def _counts_in_all(counts: Sequence[Counts]) -> Counts:
    """Sums by name of the line or zone, kind and label."""
    sums: dict[str, dict[str, dict[str, int]]] = {}
    for of_one in counts:
        for name, kinds in of_one.items():
            for kind, labels in kinds.items():
                sum_of = sums.setdefault(name, {}).setdefault(kind, {})
                for label, number in labels.items():
                    sum_of[label] = sum_of.get(label, 0) + number
    return sums
