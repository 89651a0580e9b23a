"""`skipvid probe`: what a source is, before anything is done with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag
from skipvid.cli.settings.groups import SourceSettings
from skipvid.core.errors import SkipvidError, SomeSourcesFailed
from skipvid.core.text import printable
from skipvid.video.sources.specs import display_name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """Settings of `probe`."""

    source: SourceSettings
    count: bool = flag("--count", help="Decode everything: count the frames and find damage.")
    as_json: bool = flag("--json", help="Print one JSON document.")


@command(ProbeSettings)
def probe(settings: ProbeSettings) -> None:
    """Container, codec, size, rotation, frame rate, duration, sound and damage of sources."""
    from skipvid.cli.jobs import expand_each

    specs, unknown = expand_each(settings.source.sources)
    alone = len(specs) + len(unknown) == 1
    results = [_examine(spec, settings.count, alone) for spec in specs]
    results += [{"source": display_name(job.spec), "error": str(job.problem)} for job in unknown]
    failed = [result for result in results if "error" in result]
    if settings.as_json:
        click.echo(json.dumps({"sources": results}, indent=2, default=_plain))
    else:
        _print(results)
    for result in failed:
        click.echo(f"skipvid: {printable(str(result['error']))}", err=True)
    if failed:
        raise SomeSourcesFailed(f"{len(failed)} of {len(results)} sources failed", "see the messages above")


def _examine(spec: str, count: bool, alone: bool) -> dict[str, Any]:
    """What is known of a source; of several, one that fails has an "error"."""
    from skipvid.video.sources.probe import probe as examine

    try:
        return dataclasses.asdict(examine(spec, count=count))
    except Exception as error:
        if alone:
            raise
        text = str(error) if isinstance(error, SkipvidError) else f"internal error: {type(error).__name__}: {error}"
        return {"source": display_name(spec), "error": text if display_name(spec) in text else f"{display_name(spec)}: {text}"}


def _print(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        if "error" in report:
            continue
        click.echo(report["source"])
        for key, value in report.items():
            if key != "source" and value not in (None, "", (), []):
                click.echo(printable(f"  {key.replace('_', ' '):14} {_text(value)}"))


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, Path) else repr(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
