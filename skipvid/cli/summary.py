"""What a command says when it is done: the report or the JSON document, and the files that were written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.app import INTERRUPTED
from skipvid.cli.run_jobs import Outcome
from skipvid.cli.talk import Talk
from skipvid.core import interrupts
from skipvid.core.errors import SomeSourcesFailed

if TYPE_CHECKING:
    from skipvid.core.results import RunSummary


def tell(outcome: Outcome, talk: Talk, as_json: bool, layers: bool = False, to_stderr: bool = False) -> int:
    """Print the report (or the JSON document) and the written files. to_stderr: stdout is for data. Returns the exit code.

    Raises SomeSourcesFailed in the end where that is so.
    """
    from skipvid.report import summary_document

    done, failed = outcome.done, outcome.failed
    if as_json:
        runs = [{**summary_document(d.summary), "outputs": [str(path) for path in d.written]} for d in done]
        document: dict[str, Any] = {"runs": runs}
        if failed:
            document["failed"] = [{"source": f.source, "error": f.error, "exit_code": f.exit_code} for f in failed]
        click.echo(json.dumps(document, indent=2))
    elif done and not talk.quiet and not interrupts.reader_gone():
        print_reports([d.summary for d in done], layers, to_stderr)
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


def print_reports(summaries: Sequence[RunSummary], layers: bool, to_stderr: bool) -> None:
    """The report of one source; of several, a line each."""
    from rich.console import Console

    from skipvid.report import render_report

    if len(summaries) == 1:
        render_report(summaries[0], console=Console(stderr=to_stderr), layers=layers)
        return
    for summary in summaries:
        saved = f", {summary.cost.saving:.1%} MACs saved" if summary.cost is not None else ""
        click.echo(f"{summary.header.source.name}: {summary.frames} frames{saved}, {summary.fps:.1f} fps", err=to_stderr)
